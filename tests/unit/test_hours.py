"""When a market trades: the expected path, and what makes a session market."""

import numpy as np
import pytest

from models.hours import DAY_MS, HOUR_MS, MONDAY_MS, TradingHours


def learn(hours: TradingHours, *times: int) -> TradingHours:
    """Teach open times in hours since a Monday."""
    for time in times:
        hours.learn_one(MONDAY_MS + time * HOUR_MS)
    return hours


def ahead(hours: TradingHours) -> list[int]:
    """Return the expected path in hours since that Monday."""
    return [(time - MONDAY_MS) // HOUR_MS for time in hours.path.tolist()]


def weeks(count: int, *, last_hour: int = 118) -> list[int]:
    """Hours of weeks that trade from Monday to Friday."""
    return [week * 168 + hour for week in range(count) for hour in range(last_hour)]


def test_path_is_the_grid_at_first() -> None:
    """A market trades around the clock until its candles say otherwise."""
    hours = learn(TradingHours(HOUR_MS, 3), 5)

    assert ahead(hours) == [6, 7, 8]


def test_position_counts_missing_candles() -> None:
    """A hole moves the market's clock on by what should have come."""
    hours = learn(TradingHours(HOUR_MS, 24), 0, 1, 5)

    assert hours.position == 5


def test_position_passes_every_horizon_in_a_long_outage() -> None:
    """After an outage longer than the horizon nothing that waits can be mistaken for due."""
    hours = learn(TradingHours(HOUR_MS, 3), 0, 3)
    assert hours.position == 3

    learn(hours, 50)

    assert hours.position > 3 + 3


def test_one_outage_makes_no_session_market() -> None:
    """Forty hours missing once leave a market around the clock."""
    hours = learn(TradingHours(HOUR_MS, 4), *range(300), *range(340, 345))

    assert not hours.is_session
    assert ahead(hours) == [345, 346, 347, 348]


def test_repeated_weekends_make_a_session_market() -> None:
    """After two weekends without candles Friday's last candle is followed by Monday's first."""
    hours = learn(TradingHours(HOUR_MS, 3), *weeks(2), *range(336, 336 + 117))

    assert hours.is_session
    assert ahead(hours) == [336 + 117, 336 + 168, 336 + 169]


def test_session_position_skips_closed_hours() -> None:
    """Over a known weekend the market's clock moves one step."""
    hours = learn(TradingHours(HOUR_MS, 3), *weeks(3))
    before = hours.position

    learn(hours, 3 * 168)

    assert hours.position == before + 1


def test_session_market_that_stays_open_is_one_no_more() -> None:
    """A market that begins to trade through its weekends gets its grid back."""
    hours = learn(TradingHours(HOUR_MS, 3), *weeks(3), *range(3 * 168, 4 * 168))

    assert not hours.is_session
    assert ahead(hours) == [4 * 168, 4 * 168 + 1, 4 * 168 + 2]


@pytest.mark.parametrize("missing", [0.2, 0.5, 0.7])
def test_random_holes_close_nothing(missing: float) -> None:
    """An illiquid market around the clock is never taken for a session market."""
    there = np.random.default_rng(1).random(8 * 168) > missing
    hours = TradingHours(HOUR_MS, 3)

    for hour in np.flatnonzero(there).tolist():
        assert not learn(hours, hour).is_session


def test_a_week_of_holidays_undoes_no_session_market() -> None:
    """What is closed for a week is missed once; the hours stay as they are known."""
    hours = learn(TradingHours(HOUR_MS, 3), *weeks(4))

    learn(hours, *(4 * 168 + hour for hour in range(24)))
    learn(hours, *(4 * 168 + hour for hour in range(96, 119)))

    assert hours.is_session


def test_weekday_only_days_are_a_session_market() -> None:
    """Daily candles without weekends: Friday is followed by Monday."""
    hours = learn(TradingHours(DAY_MS, 2), *(24 * (7 * w + d) for w in range(4) for d in range(5)))

    assert hours.is_session
    assert ahead(hours) == [24 * 28, 24 * 29]


def test_sessions_open_within_the_hour() -> None:
    """Quarter-hour candles of 13:30 to 20:00: the last one is followed by 13:30 next day."""
    quarter = HOUR_MS // 4
    hours = TradingHours(quarter, 1)
    for day in (week * 7 + weekday for week in range(3) for weekday in range(4)):
        for candle in range(54, 80):
            hours.learn_one(MONDAY_MS + day * DAY_MS + candle * quarter)
    last = MONDAY_MS + 17 * DAY_MS + 79 * quarter
    assert hours.is_session

    assert hours.path[0] == last + 4 * DAY_MS + (54 - 79) * quarter
