"""What one candle says about its market."""

import math

import pytest

from models.moves import measure


def candle(o: float, h: float, low: float, c: float) -> dict[str, float]:
    """Make the fields of a candle."""
    return {"open": o, "high": h, "low": low, "close": c, "volume": 3.0}


def test_first_candle_has_no_return() -> None:
    """Nothing is known of the close before the first."""
    move = measure(candle(100, 110, 95, 105), None)

    assert move.log_return == 0
    assert move.variance == pytest.approx(
        0.5 * math.log(110 / 95) ** 2 - (2 * math.log(2) - 1) * math.log(1.05) ** 2
    )


def test_gap_counts_as_variance() -> None:
    """An opening away from the close before is movement, though the candle itself is flat."""
    move = measure(candle(101, 101, 101, 101), math.log(100))

    assert move.variance == pytest.approx(math.log(1.01) ** 2)
    assert move.log_return == pytest.approx(math.log(1.01))


def test_location_is_the_close_within_the_range() -> None:
    """A close at the high is half a range above the middle."""
    move = measure(candle(100, 121, 100, 121), None)

    assert move.location == pytest.approx(math.log(1.21) / 2)
    assert move.volume == 3
