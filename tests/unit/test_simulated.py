"""The simulated market: deterministic, consistent across timeframes, and shaped like a market."""

import dataclasses
import itertools
import json
import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from producers.simulated import SimulatedFeed, SimulatedMarket, first_open_time
from shared.candle import Candle, Series, Timeframe
from shared.errors import InvalidValue

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
START = 1_750_032_000_000  # Monday 2025-06-16
ONE_MINUTE = Timeframe("1m")
Floats = NDArray[np.float64]


def market(symbol: str = "BTC/USDT", seed: int = 3) -> SimulatedMarket:
    """A fresh market without anything cached."""
    return SimulatedMarket(symbol, seed)


@pytest.fixture(scope="module")
def minutes() -> list[Candle]:
    """Sixty days of minutes."""
    return market().candles(ONE_MINUTE, START, 60 * 1_440)


@pytest.fixture(scope="module")
def returns(minutes: list[Candle]) -> Floats:
    """Their log returns, from one close to the next."""
    return np.diff(np.log([candle.close for candle in minutes]))


def autocorrelation(values: Floats, lag: int) -> float:
    """Correlation of a sequence with itself ``lag`` steps later."""
    return float(np.corrcoef(values[lag:], values[:-lag])[0, 1])


def kurtosis(values: Floats) -> float:
    """Fourth standardised moment: 3 for the normal distribution."""
    return float(np.mean(((values - values.mean()) / values.std()) ** 4))


def test_same_seed_gives_the_same_candles_whatever_was_asked_before() -> None:
    """A candle depends on symbol, seed and time alone: not on order, chunk or start."""
    whole = market().candles(ONE_MINUTE, START, 4_000)
    piecemeal = market()
    late = piecemeal.candles(ONE_MINUTE, START + 3_000 * MINUTE, 1_000)
    early = [
        candle
        for first in range(0, 3_000, 7)
        for candle in piecemeal.candles(ONE_MINUTE, START + first * MINUTE, min(7, 3_000 - first))
    ]

    assert early + late == whole


def test_two_processes_make_identical_candles() -> None:
    """Another process with another hash seed makes the same candles to the last bit."""
    code = (
        "import json; from producers.simulated import SimulatedMarket as M;"
        "from shared.candle import Timeframe as T;"
        f"c = M('BTC/USDT', 3).candles(T('5m'), {START}, 600);"
        "print(json.dumps([[x.open, x.high, x.low, x.close, x.volume] for x in c]))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    ours = market().candles(Timeframe("5m"), START, 600)
    assert json.loads(out.stdout) == [[c.open, c.high, c.low, c.close, c.volume] for c in ours]


def test_seeds_and_symbols_have_paths_of_their_own() -> None:
    """Another seed or symbol is another market."""
    paths = [
        market(symbol, seed).candles(ONE_MINUTE, START, 2_000)
        for symbol, seed in [("BTC/USDT", 3), ("BTC/USDT", 4), ("ETH/USDT", 3)]
    ]
    moves = [np.diff(np.log([candle.close for candle in path])) for path in paths]

    for one, other in itertools.combinations(moves, 2):
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.1


@pytest.mark.parametrize("name", ["5m", "1h", "4h", "1d", "1w"])
def test_longer_candles_are_aggregates_of_the_minutes(name: str) -> None:
    """Open, high, low, close and volume of a longer candle are those of its minutes."""
    frame = Timeframe(name)
    length = frame.ms // MINUTE
    count = max(2, 1_000 // length)

    candles = market().candles(frame, START, count)

    parts = market().candles(ONE_MINUTE, START, count * length)
    for index, candle in enumerate(candles):
        inside = parts[index * length : (index + 1) * length]
        assert candle.open_time == inside[0].open_time
        assert (candle.open, candle.close) == (inside[0].open, inside[-1].close)
        assert candle.high == max(part.high for part in inside)
        assert candle.low == min(part.low for part in inside)
        assert candle.volume == pytest.approx(sum(part.volume for part in inside), abs=1e-4)


def test_long_timeframes_are_the_same_in_any_chunk() -> None:
    """Chunks bound the memory and change no candle."""
    frame = Timeframe("1d")
    whole = market().candles(frame, START, 70)

    other = market()
    single = [c for i in range(70) for c in other.candles(frame, START + i * DAY, 1)]

    assert single == whole


def test_prices_have_no_seams(minutes: list[Candle]) -> None:
    """Each minute opens where the last one closed, also from one day to the next."""
    assert all(a.close == b.open for a, b in itertools.pairwise(minutes))
    assert [candle.open_time for candle in minutes] == [
        START + i * MINUTE for i in range(len(minutes))
    ]


def test_candles_have_room_above_and_below(minutes: list[Candle]) -> None:
    """Highs and lows go beyond open and close, and every minute has volume."""
    beyond = [c.high > max(c.open, c.close) and c.low < min(c.open, c.close) for c in minutes]

    assert np.mean(beyond) > 0.9
    assert min(candle.volume for candle in minutes) > 0


def test_tails_are_fat(returns: Floats) -> None:
    """Minutes and hours have far more extreme returns than a normal distribution (3)."""
    hours = returns[: len(returns) // 60 * 60].reshape(-1, 60).sum(axis=1)

    assert kurtosis(returns) > 8
    assert kurtosis(hours) > 4


def test_volatility_clusters_and_returns_do_not(returns: Floats) -> None:
    """Sizes of returns are correlated for an hour and more; returns themselves are not."""
    capped = np.minimum(np.abs(returns), 6 * returns.std())

    for lag, least in ((1, 0.15), (10, 0.12), (60, 0.05)):
        assert autocorrelation(capped, lag) > least
        assert abs(autocorrelation(np.clip(returns, -6e-3, 6e-3), lag)) < 0.03


def test_day_has_a_season(minutes: list[Candle], returns: Floats) -> None:
    """Afternoons (UTC) move more than nights, and volume follows."""
    hour = np.array([candle.open_time // HOUR % 24 for candle in minutes[1:]])
    volume = np.array([candle.volume * candle.close for candle in minutes[1:]])
    busy, quiet = (hour >= 13) & (hour < 18), (hour >= 2) & (hour < 7)

    assert np.abs(returns[busy]).mean() > 1.25 * np.abs(returns[quiet]).mean()
    assert volume[busy].mean() > 1.25 * volume[quiet].mean()


def test_falls_raise_volatility_more_than_rises() -> None:
    """Leverage: the days after a fall move more than those after a rise."""
    first = first_open_time(Timeframe("1d"))
    moves = np.concatenate(
        [
            np.diff(
                np.log([c.close for c in market(seed=seed).candles(Timeframe("1d"), first, 400)])
            )
            for seed in range(8)
        ]
    )
    falls = moves[:-1] < 0

    assert np.abs(moves[1:][falls]).mean() > 1.08 * np.abs(moves[1:][~falls]).mean()


def test_days_are_a_random_walk_and_prices_stay_plausible() -> None:
    """Daily returns are uncorrelated, monthly variance adds up, and no price runs away."""
    first = first_open_time(Timeframe("1d"))
    paths = np.log(
        [
            [candle.close for candle in market(seed=seed).candles(Timeframe("1d"), first, 600)]
            for seed in range(6)
        ]
    )
    daily = np.diff(paths, axis=1)
    monthly = paths[:, 30::30] - paths[:, :-30:30]

    assert 0.02 < daily.std() < 0.04
    assert abs(autocorrelation(daily.ravel(), 1)) < 0.05
    assert 0.6 < monthly.var() / (30 * daily.var()) < 1.5
    assert np.all(np.abs(paths - np.log(60_000)) < np.log(20))


def test_nothing_before_the_first_day_or_off_the_grid() -> None:
    """Times that have no candle are refused with the field's name."""
    for start in (first_open_time(ONE_MINUTE) - MINUTE, START + 1):
        with pytest.raises(InvalidValue, match="open_time"):
            market().candles(ONE_MINUTE, start, 1)


def test_a_candle_of_another_path_is_refused() -> None:
    """What ends a log must be of this seed; a last digit may differ, and a time before 2017."""
    series = Series.parse("simulated:BTC/USDT:1m")
    (own,) = market().candles(ONE_MINUTE, START, 1)
    market().check_own(series, own)
    market().check_own(series, dataclasses.replace(own, high=own.high + 1, close=own.close + 0.1))
    market().check_own(series, dataclasses.replace(own, open_time=0))

    with pytest.raises(InvalidValue, match=r"seed=4: the log of simulated:BTC/USDT:1m"):
        market(seed=4).check_own(series, own)


def test_feed_gives_history_at_once_then_each_candle_at_its_close() -> None:
    """What has closed is there, the next candle exactly from its close on."""
    now = START + 10 * MINUTE + 500
    feed = SimulatedFeed(market(), Series.parse("simulated:BTC/USDT:1m"), START, now_ms=lambda: now)

    assert feed.wait_s() == 0.0
    assert [c.open_time for c in feed.take(4)] == [START + i * MINUTE for i in range(4)]
    assert len(feed.take(500)) == 6
    assert feed.wait_s() == pytest.approx(59.5)
    now = START + 11 * MINUTE - 1
    assert feed.take(500) == []
    now += 1
    assert feed.wait_s() == 0.0
    assert feed.take(500) == market().candles(ONE_MINUTE, START + 10 * MINUTE, 1)


def test_feed_ends_after_its_count_and_rewinds_without_loss() -> None:
    """A rewind gives the same candles again, and the feed still ends at the same one."""
    feed = SimulatedFeed(
        market(), Series.parse("simulated:BTC/USDT:1m"), START, 5, now_ms=lambda: START + DAY
    )
    taken = feed.take(500)
    assert len(taken) == 5
    assert feed.wait_s() is None

    feed.rewind(START + MINUTE)
    assert feed.wait_s() == 0.0
    assert feed.take(500) == taken[2:]
    assert feed.wait_s() is None
