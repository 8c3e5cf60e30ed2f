"""Other markets made of real ones."""

import math
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pytest

from models import twins
from models.hours import DAY_MS, HOUR_MS, MONDAY_MS
from shared.candle import Candle, Timeframe


def walk(count: int, *, step_ms: int = HOUR_MS, seed: int = 1) -> list[Candle]:
    """Draw candles of a random walk from a Monday on."""
    rng = np.random.default_rng(seed)
    closes = (100 * np.exp(np.cumsum(0.005 * rng.standard_t(5, count + 1)))).tolist()
    wicks = (1 + 0.001 * rng.exponential(1, count)).tolist()
    return [
        Candle(MONDAY_MS + n * step_ms, o, max(o, c) * wick, min(o, c) / wick, c, n + wick)
        for n, ((o, c), wick) in enumerate(zip(pairwise(closes), wicks, strict=True))
    ]


@pytest.mark.parametrize("name", ["2h", "4h", "1d", "1w"])
def test_longer_candles_are_those_of_their_hours(name: str) -> None:
    """First open, highest high, lowest low, last close, all of the volume, on the grid."""
    timeframe, candles = Timeframe(name), walk(500)
    del candles[97:103], candles[0]  # holes at the beginning, and over a candle's open time
    inside: dict[int, list[Candle]] = {}
    for candle in candles:
        opened = MONDAY_MS + (candle.open_time - MONDAY_MS) // timeframe.ms * timeframe.ms
        inside.setdefault(opened, []).append(candle)

    longer = twins.longer(candles, timeframe)

    assert [candle.open_time for candle in longer] == list(inside)
    for candle, hours in zip(longer, inside.values(), strict=True):
        timeframe.check_open_time(candle.open_time)
        assert (candle.open, candle.close) == (hours[0].open, hours[-1].close)
        assert candle.high == max(hour.high for hour in hours)
        assert candle.low == min(hour.low for hour in hours)
        assert candle.volume == math.fsum(hour.volume for hour in hours)


@pytest.mark.parametrize("step_ms", [HOUR_MS, HOUR_MS // 4])
def test_sessions_are_the_afternoons_of_workdays(step_ms: int) -> None:
    """From 13:00 to 20:59 UTC, Monday to Friday, each candle as it was."""
    candles = walk(21 * DAY_MS // step_ms, step_ms=step_ms)

    kept = twins.sessions(candles)

    opened = [datetime.fromtimestamp(candle.open_time / 1_000, UTC) for candle in candles]
    assert kept == [
        candle
        for candle, time in zip(candles, opened, strict=True)
        if time.isoweekday() <= 5 and 13 <= time.hour <= 20
    ]
    assert len(kept) == 3 * 5 * 8 * HOUR_MS // step_ms


def test_thinned_candles_trade_seldom() -> None:
    """What is not traded stands still at the close before, without volume; the rest has a share."""
    candles = walk(2000)

    thin = twins.thinned(candles, 5)

    assert [candle.open_time for candle in thin] == [candle.open_time for candle in candles]
    traded = [candle for candle in thin if candle.volume > 0]
    assert 0.1 * 2000 < len(traded) < 0.7 * 2000
    for before, candle in pairwise(thin):
        if candle.volume == 0:
            assert {candle.open, candle.high, candle.low, candle.close} == {before.close}
        assert candle.high == max(candle.open, candle.close)
        assert candle.low == min(candle.open, candle.close)
    shares = [
        thin_one.volume / whole.volume
        for thin_one, whole in zip(thin, candles, strict=True)
        if thin_one.volume > 0
    ]
    assert shares == pytest.approx([len(traded) / 2000] * len(traded), abs=0.04)
    assert max(shares) == pytest.approx(min(shares))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_thinned_prices_are_on_a_coarse_grid(seed: int) -> None:
    """All are powers of one ratio, .3 to 1.5 of the usual move, and one step off at most."""
    candles = walk(2000)
    usual = np.median([abs(math.log(candle.close / candle.open)) for candle in candles])

    thin = twins.thinned(candles, seed)

    logs = np.log([price for candle in thin for price in (candle.open, candle.close)])
    apart = np.diff(np.unique(logs.round(12)))
    tick = apart[apart > 1e-9].min()
    assert logs / tick == pytest.approx(np.round(logs / tick), abs=1e-4)
    assert 0.3 * usual < tick < 1.5 * usual
    away = [
        math.log(thin_one.close / whole.close) / tick
        for thin_one, whole in zip(thin, candles, strict=True)
        if thin_one.volume > 0
    ]
    assert max(map(abs, away)) <= 1 + 1e-6
    # The bid about as often as the ask.
    assert 0.4 < np.mean([one > 0 for one in away]) < 0.6


def test_thinned_the_same_by_the_same_seed() -> None:
    """Another seed makes another market of the same candles."""
    candles = walk(300)

    assert twins.thinned(candles, 4) == twins.thinned(list(candles), 4)
    assert twins.thinned(candles, 4) != twins.thinned(candles, 6)


def test_a_market_at_rest_is_thinned_too() -> None:
    """Where no close ever moved the grid is as fine as can be, and the candles are valid."""
    still = [Candle(MONDAY_MS + n * HOUR_MS, 7.0, 7.0, 7.0, 7.0, 1.0) for n in range(50)]

    thin = twins.thinned(still, 1)

    assert [candle.close for candle in thin] == pytest.approx([7.0] * 50, rel=1e-6)
