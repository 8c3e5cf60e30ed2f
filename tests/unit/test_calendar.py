"""The calendar of the variance."""

import math

import numpy as np
import pytest

from models.calendar import Seasonality
from models.hours import DAY_MS, HOUR_MS, MONDAY_MS

BUSY = 15


def taught(timeframe_ms: int, candles: int, busy: float, *, step: int | None = None) -> Seasonality:
    """Learn a market whose variance is ``busy`` times the usual one from 15:00 to 16:00."""
    calendar = Seasonality(timeframe_ms)
    for candle in range(candles):
        time = MONDAY_MS + candle * (step or timeframe_ms)
        calendar.learn_one(time, 1e-4 * (busy if time // HOUR_MS % 24 == BUSY else 1))
    return calendar


@pytest.mark.parametrize("timeframe_ms", [HOUR_MS, HOUR_MS // 4, HOUR_MS // 60])
def test_learns_the_busy_hour(timeframe_ms: int) -> None:
    """An hour of eightfold variance is mostly told from the others within six weeks."""
    calendar = taught(timeframe_ms, 42 * DAY_MS // timeframe_ms, 8.0)
    monday = MONDAY_MS + 42 * DAY_MS

    busy, usual = (
        calendar.ahead(np.array([monday + hour * HOUR_MS]))[0] for hour in (BUSY, BUSY + 4)
    )

    assert 0.6 * math.log(8) < busy - usual < 1.1 * math.log(8)


def test_ahead_averages_the_variance() -> None:
    """Over k candles the season is the logarithm of their mean variance."""
    calendar = taught(HOUR_MS, 24 * 30, 8.0)
    path = MONDAY_MS + np.arange(13, 17) * HOUR_MS

    single = np.array([calendar.ahead(path[[i]])[0] for i in range(4)])

    mean = np.log(np.cumsum(np.exp(single)) / np.arange(1, 5))
    assert calendar.ahead(path) == pytest.approx(mean)


def test_learns_weekdays_of_daily_candles() -> None:
    """Quiet Sundays of a daily series are learned by weekday alone."""
    calendar = Seasonality(DAY_MS)
    for day in range(7 * 60):
        calendar.learn_one(MONDAY_MS + day * DAY_MS, 1e-4 if day % 7 < 6 else 2e-5)
    path = MONDAY_MS + np.array([5, 6]) * DAY_MS

    saturday, sunday = (calendar.ahead(path[[i]])[0] for i in range(2))

    assert 0.5 < saturday - sunday < math.log(5)
    assert not calendar.hour.any()


def test_says_nothing_before_the_26th_candle() -> None:
    """A day's worth of candles is no season yet."""
    calendar = taught(HOUR_MS, 25, 8.0)

    assert calendar.now == 0
    assert calendar.ahead(MONDAY_MS + np.arange(24) * HOUR_MS) == pytest.approx(0)


def test_now_is_the_season_of_the_newest_candle() -> None:
    """The newest candle is part of its own season."""
    calendar = taught(HOUR_MS, 24 * 20 + BUSY + 1, 8.0)

    newest = MONDAY_MS + (24 * 20 + BUSY) * HOUR_MS

    assert calendar.now == pytest.approx(calendar.ahead(np.array([newest]))[0])
    assert calendar.now > 1


def test_minutes_count_as_hours() -> None:
    """Sixty one-minute candles move the hour about as far as one hourly candle does."""
    hourly = taught(HOUR_MS, 24 * 14, 8.0)
    minutely = taught(HOUR_MS // 60, 24 * 14 * 60, 8.0)

    assert minutely.hour[1, 0] == pytest.approx(hourly.hour[1, 0], abs=2)


def mean(values: list[float], span: float) -> float:
    """Return the debiased exponentially weighted mean."""
    return float(np.average(values, weights=(1 - 2 / (span + 1)) ** np.arange(len(values))[::-1]))


@pytest.mark.parametrize("parts", [1, 4])
def test_season_is_that_of_the_recipe(parts: int) -> None:
    """Weeks of candles leave the seasons of a plain transcription of the recipe, part 1."""
    rng, length = np.random.default_rng(5), HOUR_MS // parts
    calendar, span, w = Seasonality(length), 24 * parts, 1 / parts
    hour, weekday, week, part = np.zeros(24), np.zeros(7), np.zeros(168), np.zeros(parts)
    hours, weekdays, weeks, seen = (np.zeros(len(x)) for x in (hour, weekday, week, part))
    b: list[float] = []
    lb: list[float] = []
    for n in range(400 * parts):
        time, variance = MONDAY_MS + n * length, 1e-4 * rng.gamma(0.5)
        a, d, c, f = n // parts % 24, n // parts // 24 % 7, n // parts % 168, n % parts
        calendar.learn_one(time, variance)
        b.append(variance + 1e-9)
        lb.append(math.log(max(b[-1], 0.02 * mean(b, max(span, 72)))))
        if n >= 25:
            e = lb[-1] - mean(lb, span) - hour[a] - weekday[d] - week[c] - part[f]
            e = max(-4, min(4, e))
            for counts, index in ((hours, a), (weekdays, d), (weeks, c), (seen, f)):
                counts[index] += w
            hour[a] += w * e / (hours[a] + 10)
            weekday[d] += w * e / 2 / (weekdays[d] + 80)
            week[c] += w * (e - 0.02 * week[c]) / (weeks[c] + 60)
            part[f] += (parts > 1) * w * e / (seen[f] + 20)
        assert calendar.now == pytest.approx(hour[a] + weekday[d] + week[c] + part[f], rel=1e-9)

    assert calendar.week[0] == pytest.approx(week, rel=1e-9)
