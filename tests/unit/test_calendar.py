"""The calendar of the variance."""

import math
import pickle

import numpy as np
import pytest

from models.calendar import Seasonality
from models.constants import Prior
from models.hours import DAY_MS, HOUR_MS, MONDAY_MS
from models.memory import Array
from tests.priors import draw_prior

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


def tables(prior: Prior | None, parts: int) -> tuple[Array, ...]:
    """Return the four tables and the hours seen of each, as a series begins with them."""
    if prior is None:
        sizes = 24, 7, 168, parts
        return *map(np.zeros, sizes), *map(np.zeros, sizes)
    part = prior.part.reshape(parts, -1).mean(axis=1) if parts > 1 else np.zeros(1)
    seasons = [x.astype(float) for x in (prior.hour, prior.weekday, prior.week, part)]
    seen = (20, 160, 10, 20 if parts > 1 else 0)
    return *seasons, *(np.full(len(x), float(n)) for x, n in zip(seasons, seen, strict=True))


@pytest.mark.parametrize("anew", [None, 150])
@pytest.mark.parametrize("prior", [None, draw_prior()], ids=["none", "prior"])
@pytest.mark.parametrize("parts", [1, 4])
def test_season_is_that_of_the_recipe(parts: int, prior: Prior | None, anew: int | None) -> None:
    """Weeks of candles leave the seasons of a plain transcription of the recipe, part 1."""
    rng, length = np.random.default_rng(5), HOUR_MS // parts
    calendar, span, w = Seasonality(length, prior), 24 * parts, 1 / parts
    hour, weekday, week, part, hours, weekdays, weeks, seen = tables(prior, parts)
    usual, b, lb = week.copy(), list[float](), list[float]()
    for n in range(400 * parts):
        time, variance = MONDAY_MS + n * length, 1e-4 * rng.gamma(0.5)
        a, d, c, f = n // parts % 24, n // parts // 24 % 7, n // parts % 168, n % parts
        if n == anew:
            calendar.start_anew()
            for table in (hour, weekday, week, part, usual, hours, weekdays, weeks, seen):
                table[:] = 0
        calendar.learn_one(time, variance)
        b.append(variance + 1e-9)
        lb.append(math.log(max(b[-1], 0.02 * mean(b, max(span, 72)))))
        assert calendar.height == pytest.approx(lb[-1] - mean(lb, span), abs=1e-9)
        if n >= 25:
            e = lb[-1] - mean(lb, span) - hour[a] - weekday[d] - week[c] - part[f]
            e = max(-4, min(4, e))
            for counts, index in ((hours, a), (weekdays, d), (weeks, c), (seen, f)):
                counts[index] += w
            hour[a] += w * e / (hours[a] + 10)
            weekday[d] += w * e / 2 / (weekdays[d] + 80)
            week[c] += w * (e - 0.02 * (week[c] - usual[c])) / (weeks[c] + 60)
            part[f] += (parts > 1) * w * e / (seen[f] + 20)
        assert calendar.now == pytest.approx(hour[a] + weekday[d] + week[c] + part[f], rel=1e-9)

    assert calendar.week[0] == pytest.approx(week, rel=1e-9)


@pytest.mark.parametrize("parts", [1, 2, 4, 12, 60])
def test_first_season_is_that_of_the_prior(parts: int) -> None:
    """Hour, weekday, hour of the week and part of the hour add up, before any lesson."""
    prior, length = draw_prior(), HOUR_MS // parts
    calendar = Seasonality(length, prior)
    for number in (0, 5, 9 * parts, 77 * parts + parts - 1, 167 * parts):
        time = MONDAY_MS + number * length
        hour, minute = number // parts, number % parts * 60 // parts
        season = prior.hour[hour % 24] + prior.weekday[hour // 24] + prior.week[hour]
        if parts > 1:
            fives = 12 // min(parts, 12)  # so many of the prior's parts are one of this timeframe
            first = minute // 5 // fives * fives
            season += prior.part[first : first + fives].mean()
        assert calendar.ahead(np.array([time]))[0] == pytest.approx(season, abs=1e-6)

        fresh = Seasonality(length, prior)
        fresh.learn_one(time, 1e-4)
        assert fresh.now == pytest.approx(season, abs=1e-6)


@pytest.mark.parametrize("timeframe_ms", [DAY_MS, 3 * DAY_MS, 7 * DAY_MS])
def test_first_season_of_days_is_that_of_the_priors_days(timeframe_ms: int) -> None:
    """Daily and longer candles have a table of their own, and no other."""
    prior = draw_prior()
    calendar = Seasonality(timeframe_ms, prior)

    seasons = [calendar.ahead(np.array([MONDAY_MS + day * DAY_MS]))[0] for day in range(7)]

    assert seasons == pytest.approx(prior.day.tolist(), abs=1e-6)
    assert not np.concatenate([calendar.hour[0], calendar.week[0], calendar.part[0]]).any()


def test_days_learn_from_the_priors_as_if_twenty_had_been_seen() -> None:
    """The first lesson of a weekday moves it by half of a fiftieth of the error or so."""
    prior, calendar = draw_prior(), Seasonality(DAY_MS, draw_prior())
    logs = [math.log(1e-4)] * 25 + [math.log(1e-4) + 2]
    for day, log_variance in enumerate(logs):
        calendar.learn_one(MONDAY_MS + day * DAY_MS, math.exp(log_variance) - 1e-9)

    error = logs[-1] - mean(logs, 24) - prior.day[25 % 7]
    assert calendar.now == pytest.approx(prior.day[25 % 7] + error / 2 / (20 + 1 + 30), abs=1e-6)


def test_started_anew_it_knows_nothing_of_the_prior() -> None:
    """All tables and counts are zero; what it learns then is pulled to zero, not to the prior."""
    prior = draw_prior()
    loud = Prior(**{**vars(prior), "week": np.full(168, 3.0, np.float32)})
    calendars = [Seasonality(HOUR_MS, one) for one in (prior, loud)]
    plain = Seasonality(HOUR_MS)
    for calendar in calendars:
        calendar.start_anew()
        assert not calendar.buffer.any()
        assert calendar.starts_anew

    for n, variance in enumerate(np.random.default_rng(2).gamma(0.5, 1e-4, 24 * 30).tolist()):
        for calendar in (*calendars, plain):
            calendar.learn_one(MONDAY_MS + n * HOUR_MS, variance)

    for calendar in calendars:
        assert calendar.memory()[0] == plain.memory()[0]


def test_still_starting_anew_after_it_was_saved() -> None:
    """A copy through pickle is pulled to zero too, though its prior is at hand."""
    calendar = Seasonality(HOUR_MS, draw_prior())
    calendar.start_anew()
    copy = pickle.loads(pickle.dumps(calendar))

    for one in (calendar, copy):
        for n in range(24 * 10):
            one.learn_one(MONDAY_MS + n * HOUR_MS, 1e-4 * (1 + n % 3))

    assert calendar.week[0].any()
    assert copy.memory() == calendar.memory()
