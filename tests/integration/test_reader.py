"""What apps read, on a real server: each forecast once and in order, through outages."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from models import state
from shared import reader
from shared.candle import Candle, Series
from shared.errors import InvalidValue, StoreUnavailable
from shared.forecast import Forecast
from shared.reader import AsyncForecastReader, ForecastReader, UnknownSeries
from shared.store import Store
from tests.conftest import Server
from tests.integration.steps import FLEET, SERIES, walk
from worker.embedded import redis_server
from worker.teaching import Model
from worker.update import Updater

ETH = Series.parse("test:ETH/USDT:1h")
NAMES = (str(SERIES), str(ETH))
WALK = walk(12)
Wait = Callable[..., None]


def learn(store: Store, candles: list[Candle], *names: Series) -> None:
    """Learn candles one commit after the other, as they come live."""
    store.tick(FLEET)
    updater = Updater(store, Model("default", state.Signer(b"k" * 32), lambda _: 3, FLEET))
    for candle in candles:
        for series in names or (SERIES, ETH):
            store.append(series, [candle])
        while store.overview()["pending"]:
            updater.run()


class Watcher(threading.Thread):
    """Follows two series until it is told one thing more."""

    def __init__(self, url: str, *, awaits: bool) -> None:
        super().__init__(daemon=True)
        self._url, self._awaits = url, awaits
        self.seen: list[Forecast] = []
        self.is_enough = False
        self.start()

    def run(self) -> None:
        """Remember what comes."""
        if self._awaits:
            asyncio.run(self._await())
            return
        for forecast in ForecastReader(self._url).watch(*NAMES):
            if self.is_enough:
                return
            self.seen.append(forecast)

    async def _await(self) -> None:
        async with AsyncForecastReader(self._url) as reader:
            async for forecast in reader.watch(*NAMES):
                if self.is_enough:
                    return
                self.seen.append(forecast)


def of(seen: list[Forecast], series: Series) -> list[int]:
    """Which candles of a series these forecasts come after."""
    times = [candle.open_time for candle in WALK]
    return [times.index(one.candle_open_time) for one in seen if one.series == str(series)]


@pytest.mark.parametrize("awaits", [False, True])
def test_a_reader_misses_nothing_while_redis_is_away(
    tmp_path: Path, eventually: Wait, *, awaits: bool
) -> None:
    """It waits for it, and goes on where it was, with what was said before it was back."""
    with redis_server(tmp_path / "redis", "secret") as url:
        learn(Store.connect(url), WALK[:3])
        watcher = Watcher(url, awaits=awaits)
        seen = watcher.seen
        eventually(lambda: len(seen) == 2, "the newest of each")
        learn(Store.connect(url), WALK[3:5])
        eventually(lambda: len(seen) == 6, "what was said then")
    with redis_server(tmp_path / "redis", "secret") as again:
        assert again == url
        learn(Store.connect(url), WALK[5:8])
        eventually(lambda: len(seen) == 12, "what was said since")
        learn(Store.connect(url), WALK[8:9])
        eventually(lambda: len(seen) == 14, "what is said now")

        watcher.is_enough = True
        learn(Store.connect(url), WALK[9:10])
        watcher.join(10)
        assert not watcher.is_alive()
        assert of(seen, SERIES) == of(seen, ETH) == [2, 3, 4, 5, 6, 7, 8]
        last = ForecastReader(url).history(str(SERIES))[2:-1]
        assert [one for one in seen if one.series == str(SERIES)] == last


def test_a_redis_that_becomes_a_replica_ends_no_reader(tmp_path: Path, eventually: Wait) -> None:
    """It ends the wait of those who wait for news, who go on with what it says then."""
    with redis_server(tmp_path / "redis", "secret") as url:
        store = Store.connect(url)
        learn(store, WALK[:1])
        watcher = Watcher(url, awaits=False)
        eventually(lambda: len(watcher.seen) == 2, "the newest of each")
        store.link.redis.replicaof("127.0.0.1", 1)
        store.link.redis.replicaof("NO", "ONE")
        learn(store, WALK[1:2])
        eventually(lambda: len(watcher.seen) == 4, "what was said then")
        watcher.is_enough = True
        learn(store, WALK[2:3])
        watcher.join(10)

    assert not watcher.is_alive()


def test_a_history_is_what_was_said_since(store: Store, server: Server) -> None:
    """By revision; in the end comes what is the latest."""
    learn(store, WALK[:4], SERIES)
    reader = ForecastReader(server.url)

    said = reader.history(NAMES[0])
    since = reader.history(NAMES[0], since=said[2].issued_at)

    assert [one.revision for one in said] == [1, 2, 3, 4]
    assert since[-2:] == said[2:]
    assert said[-1] == reader.latest(NAMES[0])
    assert reader.series() == [NAMES[0]]
    assert reader.history("test:NO/NE:1h") == []
    assert not said[-1].is_stale(said[-1].valid_until)
    assert said[-1].is_stale(reader.now_ms())


def test_the_awaited_reader_says_the_same(store: Store, server: Server) -> None:
    """Method by method."""
    learn(store, WALK[:3], SERIES)
    reader = ForecastReader(server.url)

    async def ask() -> list[object]:
        async with AsyncForecastReader(server.url) as other:
            return [
                await other.series(),
                await other.latest(NAMES[0]),
                await other.history(NAMES[0]),
                abs(await other.now_ms() - reader.now_ms()) < 10_000,
            ]

    name = NAMES[0]
    assert asyncio.run(ask()) == [
        reader.series(),
        reader.latest(name),
        reader.history(name),
        True,
    ]


def test_what_waits_for_news_ends_when_it_is_cancelled(store: Store, server: Server) -> None:
    """At whatever moment."""
    learn(store, WALK[:1], SERIES)

    async def scene() -> None:
        for turns in range(40):
            async with AsyncForecastReader(server.url) as reader:
                following = asyncio.create_task(follow(reader))
                await asyncio.sleep(0.01)
                if turns % 2:  # also where something comes at that moment
                    store.link.redis.xadd(store.keys.forecasts(NAMES[0]), entry)
                for _ in range(turns // 2):
                    await asyncio.sleep(0)
                following.cancel()
                await asyncio.wait({following}, timeout=2)
                assert following.cancelled(), turns

    async def follow(reader: AsyncForecastReader) -> None:
        async for _ in reader.watch(NAMES[0]):
            pass

    ((_, entry),) = store.link.redis.xrange(store.keys.forecasts(NAMES[0]))
    asyncio.run(scene())


@pytest.mark.parametrize("awaits", [False, True])
def test_an_outage_may_last_for_hours(
    store: Store, server: Server, monkeypatch: pytest.MonkeyPatch, *, awaits: bool
) -> None:
    """However often it has failed, it is tried again."""
    learn(store, WALK[:1], SERIES)
    failures = 6_000

    def connected(get: Callable[..., Any], pool: Any) -> Any:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise redis.ConnectionError("away")
        return get(pool)

    async def pause(_: float) -> None:
        """Take no time."""

    async def follow() -> Forecast:
        async with AsyncForecastReader(server.url) as asking:
            stream = asking.watch(NAMES[0])
            await anext(stream)
            fail(asking._redis)
            return await anext(stream)

    def fail(client: Any) -> None:
        """Let every command fail for long, while something is said."""
        learn(store, WALK[1:2], SERIES)
        pool = type(client.connection_pool)
        get = pool.get_connection
        monkeypatch.setattr(pool, "get_connection", lambda pool, *_: connected(get, pool))

    monkeypatch.setattr(time, "sleep", lambda _: None)
    monkeypatch.setattr(asyncio, "sleep", pause)
    if awaits:
        assert asyncio.run(follow()).sequence == 2
    else:
        watch = ForecastReader(server.url).watch(NAMES[0])
        next(watch)
        fail(redis.Redis())
        assert next(watch).sequence == 2


def test_a_silent_redis_is_one_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has taken the connection and says nothing is not waited for without end."""
    monkeypatch.setattr(reader, "ANSWER_S", 0.2)

    async def scene(port: int) -> None:
        async with AsyncForecastReader(f"redis://127.0.0.1:{port}") as asking:
            await asking.latest(NAMES[0])

    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(StoreUnavailable):
        asyncio.run(scene(silent.getsockname()[1]))


@pytest.mark.parametrize("awaits", [False, True])
def test_a_series_that_is_none_is_not_waited_for(server: Server, *, awaits: bool) -> None:
    """A name that was mistyped would be watched for ever; one that is known is waited for."""

    async def wait() -> None:
        async with AsyncForecastReader(server.url) as reader:
            await anext(aiter(reader.watch(NAMES[0])))

    with pytest.raises(UnknownSeries, match="exist: none yet"):
        asyncio.run(wait()) if awaits else next(ForecastReader(server.url).watch(NAMES[0]))
    with pytest.raises(InvalidValue, match="name those"):
        next(ForecastReader(server.url).watch())


def test_a_series_without_a_forecast_yet_is_waited_for(store: Store, server: Server) -> None:
    """Its first one comes like all others."""
    store.append(SERIES, WALK[:1])
    watch = ForecastReader(server.url).watch(NAMES[0])
    first = threading.Timer(0.3, lambda: learn(store, WALK[1:2], SERIES))
    first.start()

    assert next(watch).sequence == 2
    first.join()
