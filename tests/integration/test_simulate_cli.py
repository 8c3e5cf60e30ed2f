"""The simulated market and exchanges through the real command line and a real server."""

import re
import subprocess
from collections.abc import Callable

from producers.simulated import SimulatedMarket
from shared.candle import Series, Timeframe
from shared.store import Store

SIMULATED = Series.parse("simulated:BTC/USDT:1m")
Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., subprocess.Popen[bytes]]


def counts(summary: str) -> dict[str, int]:
    """The numbers of the last line."""
    found = re.findall(r"(\d+) (accepted|duplicates|revised|refused)", summary)
    return {name: int(number) for number, name in found}


def test_an_unknown_exchange_names_the_nearest(candlecast: Run) -> None:
    """``live`` needs no network to refuse a misspelt exchange."""
    done = candlecast("live", "binanse", "BTC/USDT")

    assert done.returncode == 2
    assert re.search("exchange='binanse'.*binance", done.stderr)


def test_simulate_goes_on_where_its_log_ends(candlecast: Run, store: Store) -> None:
    """A restart continues the same path without a gap, a duplicate or another price."""
    options = ("BTC/USDT", "--history-candles", "1000", "--count", "400", "--seed", "9")
    first = candlecast("simulate", *options)
    second = candlecast("simulate", *options)

    assert counts(first.stdout)["accepted"] == counts(second.stdout)["accepted"] == 400
    assert counts(second.stdout)["duplicates"] == 0
    found = store.candles(SIMULATED)
    start = found[0].open_time
    assert found == SimulatedMarket("BTC/USDT", 9).candles(Timeframe("1m"), start, 800)


def test_simulate_refuses_a_log_of_another_seed(candlecast: Run, store: Store) -> None:
    """One line names the seed, and the log stays as it was."""
    options = ("BTC/USDT", "ETH/USDT", "--history-candles", "100", "--count", "50")
    candlecast("simulate", *options, "--seed", "9")
    before = store.candles(SIMULATED)

    done = candlecast("simulate", *options, "--seed", "8")

    assert (done.returncode, done.stdout) == (2, "")
    assert "seed=8: the log of simulated:BTC/USDT:1m" in done.stderr
    assert done.stderr.count("\n") == 1
    assert store.candles(SIMULATED) == before


def test_two_simulators_side_by_side_are_as_good_as_one(start: Start, store: Store) -> None:
    """Two producers of the same series make one log, each candle in it once, none revised."""
    options = ("BTC/USDT", "--history-candles", "9000", "--seconds", "3")

    pair = [start("simulate", *options) for _ in range(2)]

    assert [process.wait(timeout=40) for process in pair] == [0, 0]
    found = store.candles(SIMULATED)
    market = SimulatedMarket("BTC/USDT")
    assert len(found) >= 9_000
    assert found == market.candles(Timeframe("1m"), found[0].open_time, len(found))
    assert store.model(SIMULATED).revised == 0


def test_simulate_several_series_ends_in_time(candlecast: Run, store: Store) -> None:
    """Symbols times timeframes become series, and ``--seconds`` ends the run cleanly."""
    done = candlecast(
        *("simulate", "BTC/USDT", "EUR/USD", "--timeframe", "1m", "--timeframe", "1h"),
        *("--history-candles", "50", "--seconds", "3"),
    )

    assert done.returncode == 0
    assert counts(done.stdout)["accepted"] >= 200
    assert [str(series) for series in store.series()] == [
        "simulated:BTC/USDT:1h",
        "simulated:BTC/USDT:1m",
        "simulated:EUR/USD:1h",
        "simulated:EUR/USD:1m",
    ]
