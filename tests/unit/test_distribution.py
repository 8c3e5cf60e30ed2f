"""What the quantiles of a return imply."""

import numpy as np
import pytest

from models.distribution import (
    NORMAL_SCORES,
    at_levels,
    chance_of_rise,
    deviation,
    normal_scores,
    to_prices,
)
from models.ticks import TickGrid
from shared.errors import InvalidValue
from shared.forecast import QUANTILE_LEVELS

NORMAL = np.array([0.01, 0.02])[:, None] * NORMAL_SCORES + 0.005


def test_normal_quantiles_give_their_deviation() -> None:
    """The standard deviation of a normal distribution is met."""
    assert deviation(NORMAL) == pytest.approx([0.01, 0.02], rel=0.005)


def test_fat_tails_widen_the_deviation() -> None:
    """Tails further out than normal raise the deviation; a point has none."""
    fat = NORMAL.copy()
    fat[0, [0, 8]] = (-0.1, 0.1)

    assert deviation(fat)[0] > 1.5 * deviation(NORMAL)[0]
    assert deviation(np.zeros((1, 9))).tolist() == [0]


def test_chance_of_rise_of_a_normal_distribution() -> None:
    """A median half a deviation above zero rises with 69 %."""
    assert chance_of_rise(NORMAL) == pytest.approx([0.6915, 0.5987], abs=0.001)


def test_chance_of_rise_with_quantiles_at_zero() -> None:
    """Where several quantiles are zero, no change counts half."""
    rows = np.array([[-2.0, -1, -1, 0, 0, 0, 0, 0, 1], [0.0] * 9, [0.0, 0, 0, 1, 1, 1, 1, 1, 1]])

    assert chance_of_rise(rows) == pytest.approx([1 - 0.6, 0.5, 1 - 0.0625])
    assert chance_of_rise(rows)[1] == 0.5


def test_chance_of_rise_stays_a_probability() -> None:
    """Quantiles all on one side of zero leave a small chance for the other."""
    up, down = chance_of_rise(np.array([[1e9 + i for i in range(9)], [-1e9 + i for i in range(9)]]))

    assert 0.99 < up < 1
    assert 0 < down < 0.01


def test_levels_between_and_beyond() -> None:
    """Other levels are interpolated in the normal score, and the tails go straight on."""
    levels = (0.01, 0.4, 0.5, 0.99)

    expected = 0.01 * normal_scores(levels) + 0.005
    assert at_levels(NORMAL, levels)[0] == pytest.approx(expected)


def test_tracked_levels_are_not_touched() -> None:
    """The nine levels come back to the last bit."""
    assert (at_levels(NORMAL, QUANTILE_LEVELS) == NORMAL).all()


def test_prices_are_positive_and_finite() -> None:
    """However far the return: the price stays a price, and no return is exactly the close."""
    prices = to_prices(np.array([-1e5, -1.0, 0.0, 1.0, 1e5]), 250.0)

    assert np.isfinite(prices).all()
    assert (np.diff(prices) > 0).all()
    assert prices[0] > 0
    assert prices[2] == 250


@pytest.mark.parametrize(
    ("ticks", "chance"),
    [
        ([-2, -1, -1, 0, 0, 0, 0, 1, 1], 1 - (0.25 + 0.9) / 2),
        ([-1, -1, 0, 0, 0, 1, 1, 1, 2], 1 - (0.1 + 0.5) / 2),
        ([0, 0, 0, 0, 0, 0, 0, 0, 0], 0.5),
    ],
)
def test_chance_of_rise_on_coarse_ticks(ticks: list[int], chance: float) -> None:
    """Quantiles a hair beside zero are on the close: the middle of their levels counts."""
    grid = TickGrid()
    for close in (100.5, 100.0):
        grid.learn_one(close)

    snapped = grid.transform_one(np.log1p(np.array([ticks]) * 0.005))

    assert (snapped[0, [3, 5]] != 0).all()
    assert chance_of_rise(snapped) == pytest.approx([chance])


@pytest.mark.parametrize("levels", [(0.0, 0.5), (0.5, 1.0), (-0.1,), (float("nan"),)])
def test_levels_are_probabilities(levels: tuple[float, ...]) -> None:
    """What is no level is named, with what would be one."""
    with pytest.raises(InvalidValue, match=r"use probabilities within \(0, 1\)"):
        at_levels(np.zeros((1, 9)), levels)
