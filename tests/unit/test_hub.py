"""One reader for all who follow, on a reader whose news a test decides."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import pytest

from api import hub
from api.hub import Event, Hub, TooSlow
from shared.errors import StoreUnavailable
from shared.following import PAGE, Following, Past
from shared.forecast import Forecast
from shared.wire import encode_forecast
from tests.unit.forecasts import forecast

NAME = "x:BTC/USDT:1h"
NEWEST = forecast(0)


def entry(said: Forecast) -> tuple[bytes, dict[bytes, bytes]]:
    """As Redis answers it."""
    return b"%d-0" % said.issued_at, {b"forecast": encode_forecast(said)}


def time_of(entry_id: bytes) -> int:
    """The milliseconds in it."""
    return int(entry_id.partition(b"-")[0])


def by_time(said: Forecast) -> tuple[int, str]:
    """In which order they were said."""
    return said.issued_at, said.series


class Reader:
    """Has a history, and tells what it is told."""

    def __init__(self) -> None:
        self.said: list[Forecast] = []
        self.told: asyncio.Queue[Any] = asyncio.Queue()
        self.begun: list[list[str]] = []
        self.meanwhile: list[list[Forecast]] = []

    def following(self, names: list[str]) -> list[str]:
        """The names themselves."""
        return names

    async def begin(self, following: Following) -> list[Forecast]:
        """The newest of each; remember who was asked for."""
        self.begun.append(following.streams)
        told = ([one for one in self.said if one.series == name] for name in following.streams)
        return following.newest([[entry(one) for one in said[-1:]] for said in told])

    async def readable(self, names: Iterable[str]) -> list[str]:
        """All."""
        return [*names]

    async def news(self, _: Following) -> list[Forecast]:
        """Wait for what the test says."""
        told = await self.told.get()
        if isinstance(told, Exception):
            raise told
        self.said += [one for one in told if one not in self.said]
        return list(told)

    async def past(self, names: list[str], since: int) -> Past:
        """What was said since, as it is now."""
        newest = {one.series: entry(one)[0] for one in sorted(self.said, key=by_time)}
        return Past({name: newest[name] for name in names if name in newest}, since)

    async def pages(self, past: Past) -> list[Any]:
        """So much of it at once; meanwhile the test says what is said next."""
        pages = []
        for name, (start, end) in past.wanted().items():
            first = time_of(start.removeprefix("(").encode()) + start.startswith("(")
            said = [entry(one) for one in sorted(self.said, key=by_time) if one.series == name]
            pages.append([one for one in said if first <= time_of(one[0]) <= time_of(end)][:PAGE])
        if self.meanwhile:
            self.told.put_nowait(self.meanwhile.pop(0))
            await asyncio.sleep(0.01)
        return pages

    async def close(self) -> None:
        """Nothing to close."""


def play(scene: Callable[[Hub, Reader], Awaitable[None]]) -> Reader:
    """Let a scene go on."""
    reader = Reader()

    async def run() -> None:
        async with asyncio.timeout(10), Hub(reader) as opened:  # type: ignore[arg-type]
            await scene(opened, reader)

    asyncio.run(run())
    return reader


async def begun(opened: Hub, reader: Reader, newest: Forecast = NEWEST) -> AsyncIterator[Event]:
    """Follow a series, and take what is the newest of it."""
    reader.said = [newest]
    stream = opened.follow([NAME])
    assert (await anext(stream)).forecast == newest
    return stream


def test_all_who_follow_are_told_by_one_reading() -> None:
    """The newest first, then each new one, once."""

    async def scene(opened: Hub, reader: Reader) -> None:
        reader.said = [forecast(0), forecast(1, 2)]
        streams = [opened.follow([NAME]) for _ in range(3)]
        assert [(await anext(one)).forecast.revision for one in streams] == [2, 2, 2]
        reader.told.put_nowait([forecast(1, 2), forecast(2, 3)])
        assert [(await anext(one)).forecast.revision for one in streams] == [3, 3, 3]

    reader = play(scene)

    assert [NAME] in reader.begun


def test_what_comes_at_once_is_told_by_time() -> None:
    """Who breaks off in between asks again with the time of the last one."""

    async def scene(opened: Hub, reader: Reader) -> None:
        other = "x:ETH/USDT:1h"
        reader.said = [forecast(0), forecast(0, series=other)]
        stream = opened.follow([NAME, other])
        for _ in reader.said:
            await anext(stream)
        late = [forecast(hour, hour + 1) for hour in (1, 3)]
        reader.told.put_nowait([*late, forecast(2, 3, series=other)])
        assert [(await anext(stream)).forecast.revision for _ in range(3)] == [2, 3, 4]

    play(scene)


def test_a_series_that_begins_anew_is_told_on() -> None:
    """Its candles and revisions are lower ones."""

    async def scene(opened: Hub, reader: Reader) -> None:
        stream = await begun(opened, reader, forecast(9, 50))
        again = forecast(0, 1)
        reader.told.put_nowait([again.model_copy(update={"issued_at": forecast(10).issued_at})])
        assert (await anext(stream)).forecast.revision == 1

    play(scene)


def test_a_long_past_comes_by_time_and_each_forecast_once() -> None:
    """Of several series, while more is said that the past may hold already."""

    async def scene(opened: Hub, reader: Reader) -> None:
        other = "x:ETH/USDT:1h"
        past = [forecast(hour, hour + 1) for hour in range(30)]
        past += [forecast(hour, hour + 1, series=other) for hour in range(0, 60, 2)]
        said = sorted(past, key=by_time)
        reader.said = [*said]
        reader.meanwhile = [
            [forecast(29, 30)],
            [forecast(59, 60, series=other)],
            [forecast(60, 61)],
        ]
        since = said[10].issued_at
        stream = opened.follow([NAME, other], since)
        past = [one for one in said if one.issued_at >= since]
        found = [(await anext(stream)).forecast for _ in range(len(past) + 2)]
        assert sorted(found[:-2], key=by_time) == past
        assert [one.issued_at for one in found] == sorted(one.issued_at for one in found)
        assert found[-2:] == [forecast(59, 60, series=other), forecast(60, 61)]

    play(scene)


def test_what_the_hub_has_still_to_read_comes_not_behind_what_is_newer() -> None:
    """As after an outage: who comes sees the newest before the hub has read the earlier ones."""

    async def scene(opened: Hub, reader: Reader) -> None:
        stream = await begun(opened, reader, forecast(3, 4))
        reader.told.put_nowait([forecast(hour, hour + 1) for hour in range(5)])
        assert (await anext(stream)).forecast.revision == 5

    play(scene)


def test_others_who_come_and_go_interrupt_nobody() -> None:
    """As long as the series that are followed are the same."""

    async def scene(opened: Hub, reader: Reader) -> None:
        stream = await begun(opened, reader)
        await asyncio.sleep(0.05)  # what has begun comes to its end
        before = len(reader.begun)
        for _ in range(5):
            other = opened.follow([NAME])
            await anext(other)
            await other.aclose()  # type: ignore[attr-defined]
        reader.told.put_nowait([forecast(1, 2)])
        assert (await anext(stream)).forecast.revision == 2
        # Each has asked for the newest by itself; the hub has not begun anew.
        assert len(reader.begun) == before + 5

    play(scene)


def test_who_goes_is_not_read_for_any_more() -> None:
    """The last one who wanted a series takes it along."""

    async def scene(opened: Hub, reader: Reader) -> None:
        stream = await begun(opened, reader)
        await stream.aclose()  # type: ignore[attr-defined]
        other = opened.follow(["x:ETH/USDT:1h"])
        waiting = asyncio.ensure_future(anext(other))
        await asyncio.sleep(0.05)
        waiting.cancel()

    assert play(scene).begun[-1] == ["x:ETH/USDT:1h"]


def test_what_cannot_be_read_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is cut off."""
    monkeypatch.setattr(hub, "_RETRY_S", 0.01)

    async def scene(opened: Hub, reader: Reader) -> None:
        stream = await begun(opened, reader)
        reader.told.put_nowait(StoreUnavailable("away"))
        reader.told.put_nowait([forecast(1, 2)])
        assert (await anext(stream)).forecast.revision == 2

    play(scene)


def test_more_at_once_than_may_wait_is_no_silent_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has missed some is cut off, and asks for them by the id of the last one."""
    monkeypatch.setattr(hub, "_MOST_UNREAD", 3)

    async def scene(opened: Hub, reader: Reader) -> None:
        stream = await begun(opened, reader)
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0.05)
        reader.told.put_nowait([forecast(hour, hour + 1) for hour in range(1, 9)])
        with pytest.raises(TooSlow):
            await waiting

    play(scene)


def test_who_does_not_read_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are told on."""
    monkeypatch.setattr(hub, "_MOST_UNREAD", 3)

    async def scene(opened: Hub, reader: Reader) -> None:
        slow, quick = [await begun(opened, reader) for _ in range(2)]
        for hour in range(1, 6):
            reader.told.put_nowait([forecast(hour, hour + 1)])
            assert (await anext(quick)).forecast.revision == hour + 1
        with pytest.raises(TooSlow):
            await anext(slow)

    play(scene)
