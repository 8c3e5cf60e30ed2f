"""Fit of the calendar's start to several markets."""

import math
from itertools import pairwise

import numpy as np
import pytest

from models import seasons
from models.hours import DAY_MS, HOUR_MS, MONDAY_MS
from models.memory import Array
from models.moves import fields_of, measure
from models.seasons import Market
from shared.candle import Candle, Timeframe

SIZES = {"hour": 24, "weekday": 7, "week": 168, "part": 12}
PULLS = {"hour": 5e-4, "weekday": 5e-4, "week": 0.015, "part": 5e-4}


def market(name: str, count: int, *, seed: int = 1, busy: int = -1, quiet: int = -1) -> Market:
    """Draw a random walk of four times the variance at one hour, a quarter on one weekday."""
    timeframe, rng = Timeframe(name), np.random.default_rng(seed)
    close, candles = 100.0, []
    for time in range(MONDAY_MS, MONDAY_MS + count * timeframe.ms, timeframe.ms):
        scale = 0.004 * (2 if time % DAY_MS // HOUR_MS == busy else 1)
        scale *= 0.5 if (time - MONDAY_MS) // DAY_MS % 7 == quiet else 1
        path = close * np.exp(np.cumsum(rng.normal(0, scale, 8)))
        o, close = close, float(path[-1])
        candles.append(Candle(time, o, float(max(o, *path)), float(min(o, *path)), close, 1.0))
    return candles, timeframe


def mean(values: list[float], span: float) -> float:
    """Return the debiased exponentially weighted mean."""
    return float(np.average(values, weights=(1 - 2 / (span + 1)) ** np.arange(len(values))[::-1]))


def heights(given: Market) -> list[float]:
    """Log variance above its slow mean, by the recipe of the calendar."""
    candles, timeframe = given
    span = max(24, min(DAY_MS // timeframe.ms, 288)) if timeframe.ms < DAY_MS else 24
    before = [None, *(math.log(candle.close) for candle in candles[:-1])]
    b, lb, found = list[float](), list[float](), list[float]()
    for candle, log_close in zip(candles, before, strict=True):
        b.append(measure(fields_of(candle), log_close).variance + 1e-9)
        lb.append(math.log(max(b[-1], 0.02 * mean(b, max(span, 72)))))
        found.append(lb[-1] - mean(lb, span))
    return found


def rows(given: Market) -> Array:
    """What tables say of a candle: one entry of each, and the mean of the parts it covers."""
    candles, timeframe = given
    design = []
    for candle in candles:
        week = (candle.open_time - MONDAY_MS) // HOUR_MS % 168
        row = {name: np.zeros(size) for name, size in SIZES.items()}
        row["hour"][week % 24] = row["weekday"][week // 24] = row["week"][week] = 1
        if timeframe.ms < HOUR_MS:
            fives = max(timeframe.ms // 300_000, 1)
            first = candle.open_time % HOUR_MS // 300_000
            row["part"][first : first + fives] = 1 / fives
        design.append(np.concatenate(list(row.values())))
    return np.array(design)


def test_tables_are_those_of_the_ridge_regression() -> None:
    """Each market counts the same, however long; the hour of the week is pulled hardest to zero."""
    markets = [market("1h", 400), market("15m", 300, seed=2), market("10m", 150, seed=3)]
    pulls = np.concatenate([np.full(size, PULLS[name]) for name, size in SIZES.items()])
    squares, products = np.diag(pulls), np.zeros(len(pulls))
    for one in markets:
        x, y = rows(one), np.array(heights(one))
        squares += x.T @ x / len(x)
        products += x.T @ y / len(x)
    solved = np.split(np.linalg.solve(squares, products), np.cumsum(list(SIZES.values()))[:-1])

    fitted = seasons.fit(markets)

    for name, table in zip(SIZES, solved, strict=True):
        assert fitted[name] == pytest.approx(table, abs=1e-5)
        assert table.any()
    assert not fitted["day"].any()


def test_days_have_a_table_of_their_own() -> None:
    """Daily candles tell their weekdays, apart from the hours; those of weeks tell nothing."""
    days, weeks = market("1d", 200, quiet=6), market("1w", 90)
    y = np.array(heights(days))
    weekdays = np.arange(200) % 7
    found = [y[weekdays == day].sum() / 200 for day in range(7)]
    counts = [(weekdays == day).sum() / 200 + 5e-4 for day in range(7)]

    fitted = seasons.fit([weeks, days])

    assert fitted["day"] == pytest.approx(np.array(found) / counts, abs=1e-5)
    assert [name for name, table in fitted.items() if table.any()] == ["day"]
    assert seasons.fit([days])["day"].tolist() == fitted["day"].tolist()


def test_the_busy_hour_and_the_quiet_day_are_found() -> None:
    """Four times the variance is 1.4 in the logarithm, a quarter as much less."""
    fitted = seasons.fit([market("1h", 24 * 7 * 12, busy=15, quiet=6)])

    hours = np.delete(fitted["hour"], 15)
    assert fitted["hour"][15] - hours.mean() == pytest.approx(math.log(4), abs=0.25)
    assert abs(hours - hours.mean()).max() < 0.4
    assert fitted["weekday"].argmin() == 6
    assert fitted["week"][15:168:24].mean() == pytest.approx(0, abs=0.2)


def test_without_a_market_there_is_no_season() -> None:
    """Every table of a prior is there all the same, and zero."""
    tables = seasons.fit([])

    assert {name: table.shape for name, table in tables.items()} == {
        **{name: (size,) for name, size in SIZES.items()},
        "day": (7,),
    }
    assert not any(table.any() for table in tables.values())


def test_the_order_of_markets_does_not_count() -> None:
    """It makes a difference in rounding; fives of a quarter are not told from one another."""
    pair = market("1h", 24 * 7 * 3), market("15m", 600, seed=2)

    one, two = seasons.fit(pair), seasons.fit(pair[::-1])

    assert all(one[name] == pytest.approx(two[name], abs=1e-5) for name in one)
    fives = one["part"].reshape(4, 3).T
    assert all(a == pytest.approx(b, abs=1e-6) for a, b in pairwise(fives))
