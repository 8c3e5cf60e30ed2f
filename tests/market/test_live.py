"""Producers on exchanges that misbehave: the log is the exchange's own history in the end."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from shared.candle import Series
from shared.store import Store
from tests.conftest import Server as Redis
from tests.market.clock import Clock
from tests.market.market import Market
from tests.market.process import ROOT, served
from tests.market.producer import HISTORY
from tests.market.script import Script, load

pytestmark = pytest.mark.timeout(180)

# Seconds of the market's time; the faults come three times as fast unless `make faults` runs it.
SPAN = 3_600 if os.environ.get("FAULTS") == "long" else 1_200

MINUTE = 60_000
NAMES = ("binance:BTC/USDT:1m", "bybit:ETH/USDT:1m", "kraken:BTC/USDT:1m", "kraken:BTC/USDT:5m")
FAULTS = [
    # Every exchange, at a time of its own.
    {"fault": "Twice", "from_s": 300, "until_s": 600},
    {
        "fault": "Twice",
        "other": True,
        "by": ["ws"],
        "exchange": "kraken",
        "from_s": 600,
        "until_s": 900,
    },
    {"fault": "WrongFlag", "closed": True, "from_s": 600, "until_s": 900},
    {"fault": "Hole", "exchange": "binance", "from_s": 900, "until_s": 1_080},
    {"fault": "Hole", "exchange": "kraken", "from_s": 1_500, "until_s": 1_560},
    {
        "fault": "Disconnect",
        "how": "reset",
        "exchange": "binance",
        "from_s": 1_200,
        "until_s": 1_290,
    },
    {"fault": "Disconnect", "how": "close", "exchange": "bybit", "from_s": 1_230, "until_s": 1_300},
    {
        "fault": "Disconnect",
        "how": "silence",
        "exchange": "bybit",
        "from_s": 2_000,
        "until_s": 2_100,
    },
    {
        "fault": "Refusal",
        "kind": "rate_limit",
        "exchange": "binance",
        "from_s": 1_800,
        "until_s": 1_980,
    },
    {
        "fault": "Refusal",
        "kind": "maintenance",
        "exchange": "kraken",
        "from_s": 1_700,
        "until_s": 1_950,
    },
    {"fault": "Refusal", "kind": "error", "exchange": "bybit", "from_s": 2_400, "until_s": 2_500},
    {"fault": "Empty", "exchange": "kraken", "from_s": 2_200, "until_s": 2_500},
    {"fault": "Lag", "by_s": 5, "from_s": 2_600, "until_s": 2_900},
    {"fault": "Revised", "after_s": 1.5, "exchange": "kraken", "from_s": 3_000, "until_s": 3_200},
    {"fault": "Late", "by_s": 3, "exchange": "kraken", "from_s": 3_300, "until_s": 3_500},
    {"fault": "Skew", "by_s": 1.5, "exchange": "bybit", "from_s": 3_000, "until_s": 3_300},
]
SCRIPT = json.dumps(
    [
        fault | {at: fault[at] * SPAN / 3_600 for at in ("from_s", "until_s")}  # type: ignore[operator]
        for fault in FAULTS
    ]
)


class Producer:
    """One of two processes that push the same markets, whose machine's clock is wrong."""

    def __init__(
        self,
        url: str,
        clock: Clock,
        ahead_s: int,
        redis: Redis,
        log: Path,
        names: Sequence[str] = NAMES,
    ) -> None:
        self._command = [sys.executable, "-m", "tests.market.producer", url]
        self._command += [json.dumps(clock.as_json()), str(1_000 * ahead_s), *names]
        self._env, self._log = redis.env, log
        self.start()

    def start(self) -> None:
        """Begin, or begin again."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=ROOT, env=self._env, stdout=log, stderr=log
            )

    def kill(self) -> None:
        """End it at once."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(10)

    def terminate(self) -> int:
        """End it in good order."""
        self._process.terminate()
        return self._process.wait(20)


@pytest.mark.parametrize(
    "fault", [{"fault": "Revised", "after_s": 1.5}, {"fault": "Late", "by_s": 3}]
)
def test_a_stream_that_is_final_must_show_it_first(
    server: Redis, store: Store, tmp_path: Path, fault: dict[str, object]
) -> None:
    """One whose candles come late, or are others a moment after their close, is never believed."""
    names = ("binance:BTC/USDT:1m", "bybit:ETH/USDT:1m")
    with served("--ago-s", "3900", "--factor", "40", "--script", json.dumps([fault])) as (
        url,
        clock,
    ):
        until = clock.start_ms + 8 * MINUTE
        one = Producer(url, clock, 0, server, tmp_path / "one.log", names)
        while clock.now_ms() < until + 30_000:
            time.sleep(0.1)
        one.terminate()

    script = Script(load(json.dumps([fault])), clock.start_ms)
    for name in names:
        series = Series.parse(name)
        found = store.candles(series)
        market = Market(series.exchange, script, clock.start_ms)
        wanted = market.history(series.symbol, series.timeframe, until, found[0].open_time)
        assert found[: len(wanted)] == wanted, name


@pytest.mark.at_length
def test_an_hour_of_misbehaviour_ends_with_the_exchange_s_own_history(
    server: Redis, store: Store, tmp_path: Path
) -> None:
    """Two producers, killed again and again: nothing is missing, doubled, early or made up."""
    rng = np.random.default_rng(7)
    with served("--ago-s", "3900", "--factor", "60", "--script", SCRIPT) as (
        url,
        clock,
    ):
        start_ms = clock.start_ms
        logs = [tmp_path / f"{name}.log" for name in ("one", "other")]
        both = [
            Producer(url, clock, ahead_s, server, log)
            for ahead_s, log in zip((20, -20), logs, strict=True)
        ]
        until = start_ms + 1_000 * SPAN
        while clock.now_ms() < until:
            time.sleep(float(rng.uniform(4.0, 8.0)))
            unlucky = both[int(rng.integers(2))]
            unlucky.kill()
            time.sleep(float(rng.uniform(0.0, 1.0)))
            unlucky.start()
        time.sleep(8)
        ended = [one.terminate() for one in both]

    assert ended == [0, 0], logs[0].read_text()[-2_000:]
    told = [json.loads(log.read_text().splitlines()[-1])["told"] for log in logs]
    # Kraken's word is not taken: its stream is asked about by REST.
    assert {name for one in told for name, count in one.items() if count} == {"binance", "bybit"}
    script = Script(load(SCRIPT), start_ms)
    for name in NAMES:
        series = Series.parse(name)
        found = store.candles(series)
        market = Market(series.exchange, script, start_ms)
        wanted = market.history(series.symbol, series.timeframe, until, found[0].open_time)
        assert found[: len(wanted)] == wanted, name
        record = store.model(series)
        assert (record.revised, record.dead_letters) == (0, 0), name
        # A producer takes some minutes of such a market to begin.
        assert found[0].open_time <= start_ms - HISTORY // 2 * series.timeframe.ms, name
