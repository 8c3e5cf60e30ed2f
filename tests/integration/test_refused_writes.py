"""A Redis that takes no writes for a while: producers wait as for one that cannot be reached."""

import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.client import Pipeline

from producers.push import Push
from shared.candle import Candle, Series
from shared.errors import InvalidValue, StoreUnavailable
from shared.records import Append, Appended
from shared.store import Store
from tests.faults.proxy import Proxy
from worker.embedded import redis_server

MINUTE = 60_000
T0 = 1_700_000_040_000
ROWS = 1_500
SERIES = Series.parse("x:BTC/USDT:1m")
Start = Callable[..., subprocess.Popen[bytes]]
Deed = Callable[[Any, Path], object]


def config(**settings: object) -> Deed:
    """Change settings of the server."""
    names = {name.replace("_", "-"): value for name, value in settings.items()}
    return lambda client, _: [client.config_set(*pair) for pair in names.items()]


def replica(client: Any, _: Path) -> None:
    """Make the server a replica of one that does not answer, as the old one of a failover is."""
    client.execute_command("REPLICAOF", "127.0.0.1", "1")


def primary(client: Any, _: Path) -> None:
    """Make it take writes again."""
    client.execute_command("REPLICAOF", "NO", "ONE")


def stale(client: Any, folder: Path) -> None:
    """Make it a replica that does not even let its data be read."""
    client.config_set("replica-serve-stale-data", "no")
    replica(client, folder)


def no_disk(client: Any, folder: Path) -> None:
    """Let it fail to save: a folder lies where its file would."""
    (folder / "dump.rdb").mkdir()
    client.config_set("save", "3600 1")
    _save(client, "err")


def disk(client: Any, folder: Path) -> None:
    """Let it save again."""
    (folder / "dump.rdb").rmdir()
    _save(client, "ok")


def _save(client: Any, outcome: str) -> None:
    client.bgsave()
    while (said := client.info("persistence"))["rdb_bgsave_in_progress"]:
        pass
    assert said["rdb_last_bgsave_status"] == outcome


REFUSALS: dict[str, tuple[Deed, Deed]] = {
    "READONLY": (replica, primary),
    "MASTERDOWN": (stale, primary),
    "NOREPLICAS": (config(min_replicas_to_write=1), config(min_replicas_to_write=0)),
    "MISCONF": (no_disk, disk),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of the server."""
    return tmp_path / "redis"


@pytest.fixture
def url(folder: Path) -> Iterator[str]:
    """A server of the test's own."""
    with redis_server(folder, "test") as address:
        yield address


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Candles of a day."""
    lines = [f"{(T0 + MINUTE * i) // 1_000},2,3,1,2,{i}" for i in range(ROWS)]
    path = tmp_path / "x-BTCUSDT-1m.csv"
    path.write_text("\n".join(["open_time,open,high,low,close,volume", *lines]))
    return path


def volumes(store: Store) -> list[float]:
    """What the log holds; the volume of a candle is its number."""
    return [candle.volume for candle in store.candles(SERIES)]


@pytest.mark.parametrize("code", REFUSALS)
def test_a_replay_goes_on_when_redis_takes_writes_again(
    *,
    code: str,
    url: str,
    folder: Path,
    file: Path,
    tmp_path: Path,
    start: Start,
    eventually: Callable[..., None],
) -> None:
    """It says why it waits, tries again by itself, and every candle arrives once."""
    refuse, allow = REFUSALS[code]
    client: Any = redis.Redis.from_url(url)
    store = Store.connect(url)

    def log() -> str:
        return (tmp_path / "replay-0.log").read_text()

    def refused() -> int:
        stats = client.info("errorstats").get(f"errorstat_{code}", {"count": 0})
        return int(stats["count"])

    replay = start("replay", str(file), "--speed", "500", CANDLECAST_REDIS_URL=url)
    eventually(lambda: store.end(SERIES), "the first candles")
    refuse(client, folder)
    eventually(lambda: "redis_unavailable" in log(), "the producer says that it waits")
    before = refused()
    eventually(lambda: refused() >= before + 2, "it tries again")
    assert replay.poll() is None
    allow(client, folder)

    assert replay.wait(30) == 0, log()
    assert '{"error": "Redis at 127.0.0.1' in log()
    assert log().count("redis_unavailable") == log().count("redis_back") == 1
    assert volumes(store) == list(range(ROWS))
    assert store.model(SERIES).lost == 0


class Numbered:
    """A feed of some candles, the volume of each its number."""

    series = SERIES

    def __init__(self, at: Callable[[int], object]) -> None:
        self._at = at
        self.given = 0

    def wait_s(self) -> float | None:
        """Nothing more after some."""
        return 0.0 if self.given < 10 else None

    def take(self, _: int) -> Sequence[Candle]:
        """One at a time; tell which."""
        self._at(self.given)
        self.given += 1
        number = self.given - 1
        return [Candle(T0 + number * MINUTE, 2.0, 3.0, 1.0, 2.0, float(number))]

    def rewind(self, after: int) -> None:
        """Go back to what follows."""
        self.given = max(0, (after - T0) // MINUTE + 1)


class Flicker(Store):
    """A store whose Redis has no memory left for one append, and room again right after it."""

    def append_all(self, appends: Sequence[Append]) -> list[Appended | InvalidValue]:
        """Append with no memory where the fifth candle comes for the first time."""
        if appends[0].candles[0].volume == 5 and not self.failed:
            self.failed = True
            self.link.redis.config_set("maxmemory", 1)
        try:
            return super().append_all(appends)
        finally:
            self.link.redis.config_set("maxmemory", 0)

    failed = False


def test_memory_that_is_back_before_anybody_asks(url: str) -> None:
    """A command that failed for want of memory is sent again, though Redis has room by then."""
    store = Flicker.connect(url)

    totals = Push(store, [Numbered(lambda _: None)]).run()

    assert store.failed
    assert totals.accepted == 10
    assert volumes(store) == list(range(10))


def test_an_append_without_memory_is_one_to_be_tried_again(url: str) -> None:
    """Whoever calls the store can tell it from a command that will always fail."""
    store = Store.connect(url)
    client: Any = redis.Redis.from_url(url)
    client.config_set("maxmemory", 1)

    with pytest.raises(StoreUnavailable, match="maxmemory"):
        store.append(SERIES, Numbered(lambda _: None).take(1))

    assert store.end(SERIES) is None


def test_the_name_of_redis_may_lead_to_another_server(
    url: str, folder: Path, tmp_path: Path
) -> None:
    """After a failover by name the old server still answers those who are connected to it."""
    with redis_server(tmp_path / "new", "test") as new:
        proxy = Proxy(int((folder / "port").read_text()))
        place, _, database = url.rpartition(":")
        store = Store.connect(f"{place}:{proxy.port}/{database.partition('/')[2]}")

        def fail_over(number: int) -> None:
            if number == 5:
                replica(redis.Redis.from_url(url), folder)
                proxy._target = int((tmp_path / "new" / "port").read_text())

        try:
            Push(store, [Numbered(fail_over)], patience_s=5).run()
        finally:
            store.link.redis.close()
            proxy.close()

        assert volumes(Store.connect(new)) == list(range(10))


class Other(Numbered):
    """The same of another series."""

    series = Series.parse("x:ETH/USDT:1m")


@pytest.mark.parametrize("when", [1, 3])
def test_scripts_that_are_gone_before_the_pipeline_runs(
    when: int, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where Redis is killed and started anew in between: it is tried again, all arrives once."""
    store = Store.connect(url)
    asked = [0]
    load: Any = Pipeline.load_scripts

    def load_and_lose(pipe: Any) -> None:
        load(pipe)
        asked[0] += 1
        if asked[0] == when:
            store.link.redis.script_flush()

    monkeypatch.setattr(Pipeline, "load_scripts", load_and_lose)
    Push(store, [Numbered(lambda _: None), Other(lambda _: None)]).run()

    assert asked[0] > when
    for series in (SERIES, Other.series):
        assert [candle.volume for candle in store.candles(series)] == list(range(10))
        assert store.model(series).lost == 0
