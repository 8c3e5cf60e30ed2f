"""Many who follow forecasts over one reader of a real server."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
import redis

from api.hub import Event, Hub
from shared.forecast import Forecast
from shared.keys import DEFAULT_PREFIX, Keys
from shared.reader import AsyncForecastReader
from shared.wire import encode_forecast
from tests.conftest import Server
from tests.unit.forecasts import forecast

KEYS = Keys(DEFAULT_PREFIX)
NAMES = [f"x:COIN{number}/USDT:1h" for number in range(50)]


@pytest.fixture
def client(server: Server) -> Iterator[redis.Redis]:
    """Redis, where a forecast of each series is said."""
    with redis.Redis.from_url(server.url) as opened:
        for name in NAMES:
            say(opened, forecast(series=name))
        yield opened


def say(client: redis.Redis, said: Forecast) -> None:
    """Say it, as workers do."""
    client.xadd(KEYS.forecasts(said.series), {"forecast": encode_forecast(said)})


async def heard(
    stream: AsyncIterator[Event], count: int, after_s: float = 0.0
) -> list[tuple[str, int]]:
    """What comes next: series and revision."""
    await asyncio.sleep(after_s)
    events = [await anext(stream) for _ in range(count)]
    return [(event.forecast.series, event.forecast.revision) for event in events]


def test_all_who_come_are_told(server: Server, client: redis.Redis) -> None:
    """Each for a series of its own, within moments, as pages do after a restart."""

    async def scene() -> None:
        async with asyncio.timeout(20), Hub(AsyncForecastReader(server.url)) as hub:
            wanted = NAMES * 4
            streams = [hub.follow([name]) for name in wanted]
            coming = enumerate(streams)
            first = await asyncio.gather(*(heard(one, 1, i / 1_000) for i, one in coming))
            assert first == [[(name, 1)] for name in wanted]
            for name in NAMES:
                say(client, forecast(1, 2, series=name))
            second = await asyncio.gather(*(heard(one, 1) for one in streams))
            assert second == [[(name, 2)] for name in wanted]

    asyncio.run(scene())


def test_a_history_that_is_spoilt_stops_no_other(
    server: Server, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither while it is followed nor where one begins; once it is mended it is told again."""
    monkeypatch.setattr("api.hub._LOOK_AGAIN_S", 0.2)
    bad, good = NAMES[:2]

    async def scene() -> None:
        async with asyncio.timeout(20), Hub(AsyncForecastReader(server.url)) as hub:
            first = hub.follow([bad, good])
            assert await heard(first, 2) == [(bad, 1), (good, 1)]
            client.set(KEYS.forecasts(bad), "spoilt")
            say(client, forecast(1, 2, series=good))
            assert await heard(first, 1) == [(good, 2)]
            second = hub.follow([bad, good])
            assert await heard(second, 1) == [(good, 2)]
            client.delete(KEYS.forecasts(bad))
            say(client, forecast(2, 3, series=bad))
            assert await heard(second, 1) == [(bad, 3)]

    asyncio.run(scene())


def test_who_breaks_off_in_a_long_past_misses_nothing(server: Server, client: redis.Redis) -> None:
    """What is said meanwhile comes behind the past: one id stands for what was sent of all."""
    quiet, busy = NAMES[:2]
    now = int(client.time()[0]) * 1_000

    def tell(hour: int, series: str, at: int) -> None:
        said = forecast(hour, hour + 1, series=series, issued_at=at)
        client.xadd(KEYS.forecasts(series), {"forecast": encode_forecast(said)}, id=f"{at}-0")

    async def scene() -> None:
        async with asyncio.timeout(20), Hub(AsyncForecastReader(server.url)) as hub:
            stream = hub.follow([quiet, busy], now + 1)
            found = [await anext(stream) for _ in range(9)]
            for hour, name, at in ((2, quiet, 60_000), (41, busy, 60_001)):
                tell(hour, name, now + at)
                await asyncio.sleep(0.1)
            while found[-1].forecast.revision != 42:
                found.append(await anext(stream))
            assert (quiet, 3) in [(one.forecast.series, one.forecast.revision) for one in found]
            times = [one.forecast.issued_at for one in found]
            assert times == sorted(times)

    for name in (quiet, busy):
        client.delete(KEYS.forecasts(name))
    for hour in range(1, 41):
        tell(hour, busy, now + hour)
    tell(1, quiet, now + 5)
    asyncio.run(scene())
