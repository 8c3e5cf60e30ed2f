"""`candlecast update`: once, for cron, with a Redis of its own where none is set."""

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import COMMAND, STATE_KEY
from tests.conftest import Server as Redis
from tests.market.clock import Clock
from tests.market.script import Hole, Refusal
from tests.market.server import Server, options

pytestmark = pytest.mark.timeout(180)

Run = Callable[..., "subprocess.CompletedProcess[str]"]
MINUTE = 60_000


def half_past_a_minute() -> int:
    """A time at which no candle may be on its way; the exchanges' clocks stand still."""
    return time.time_ns() // 1_000_000 // MINUTE * MINUTE + 30_000


@pytest.mark.at_length
@pytest.mark.usefixtures("furnished")
def test_twice_from_cron_without_a_redis(server: Redis, tmp_path: Path) -> None:
    """It goes on where it has ended, and nothing runs in between; who fails is named.

    A full log is learned while the rest is fetched, and a time without trades is filled.
    """
    then_ms = half_past_a_minute() - 2 * 3_600_000
    env = {name: text for name, text in server.env.items() if name != "CANDLECAST_REDIS_URL"}
    env |= {"CANDLECAST_DATA_DIR": str(tmp_path / "data"), "CANDLECAST_STATE_KEY": STATE_KEY}
    env |= {"CANDLECAST_MAX_WAITING": "500", "CANDLECAST_BRIDGE": "3"}
    script = [
        Refusal(exchange="bybit", kind="error"),
        Hole(exchange="kraken", from_s=-3_600, until_s=-3_420),
    ]
    with Server(Clock(then_ms, 0.0), script) as exchange:
        told = {name: options(name, exchange.url) for name in ("kraken", "bybit")}
        env["CANDLECAST_EXCHANGES"] = json.dumps(told)
        first = [COMMAND, "update", "kraken", "BTC/USDT", "--timeframe", "1m", "--history", "700"]
        ran = [subprocess.run(first, env=env, capture_output=True, text=True, check=False)]
        exchange.clock.set(then_ms + 10 * MINUTE)
        env["CANDLECAST_MARKETS"] = "kraken:BTC/USDT:1m,bybit:BTC/USDT:1m"
        second = [COMMAND, "update", "--wait", "12"]
        ran += [subprocess.run(second, env=env, capture_output=True, text=True, check=False)]

    assert [done.returncode for done in ran] == [0, 1], ran[0].stderr + ran[1].stderr
    assert "candlecast: bybit: bybit " in ran[1].stderr
    assert "candlecast: kraken" not in ran[1].stderr
    kept = "candles learned, 1 models kept in MLflow"
    assert f"700 {kept}" in ran[0].stdout
    assert f"10 {kept}" in ran[1].stdout
    assert "kraken:BTC/USDT:1m  learned 710 " in ran[1].stdout
    assert not (tmp_path / "data" / "redis" / "redis.pid").exists()
