"""Producers wait while Redis has little memory left, and go on by themselves."""

import itertools
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from shared.candle import Series
from shared.store import Store
from worker.embedded import redis_server

ROWS = 3_000
SERIES = Series.parse("x:BTC/USDT:1m")
Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A server of the test's own, whose memory it may take away."""
    with redis_server(tmp_path / "redis", "test") as address:
        yield address


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Candles of some days."""
    lines = [f"{1_700_000_040 + 60 * i},2,3,1,2,{i}" for i in range(ROWS)]
    path = tmp_path / "x-BTCUSDT-1m.csv"
    path.write_text("\n".join(["open_time,open,high,low,close,volume", *lines]))
    return path


def test_a_replay_pauses_at_nine_tenths_of_the_memory(
    url: str, file: Path, tmp_path: Path, start: Start, eventually: Callable[..., None]
) -> None:
    """It says so, appends nothing more, and ends with every candle once when there is room."""
    client: Any = redis.Redis.from_url(url)
    store = Store.connect(url)
    replay = start("replay", str(file), "--speed", "500", CANDLECAST_REDIS_URL=url)

    def said(word: str) -> bool:
        return word in (tmp_path / "replay-0.log").read_text()

    asked = itertools.count(1)

    def looks() -> int:
        """How often the replay has asked for the memory, this test's own questions left out."""
        calls = int(client.info("commandstats")["cmdstat_info"]["calls"])
        return calls - next(asked)

    eventually(lambda: store.end(SERIES), "the first candles")
    client.config_set("maxmemory", int(client.info("memory")["used_memory"] / 0.95))
    eventually(lambda: said("memory_short"), "the pause")
    held, before = store.end(SERIES), looks()
    eventually(lambda: looks() >= before + 2, "further looks at the memory")
    assert store.end(SERIES) == held

    client.config_set("maxmemory", 0)

    assert replay.wait(30) == 0
    assert said("memory_back")
    assert said(f"{ROWS} accepted, 0 duplicates, 0 revised, 0 refused")
    assert [candle.volume for candle in store.candles(SERIES)] == list(range(ROWS))
    assert store.model(SERIES).lost == 0
