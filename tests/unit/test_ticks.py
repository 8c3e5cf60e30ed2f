"""The grid on which prices move."""

import numpy as np
import pytest

from models.distribution import NORMAL_SCORES
from models.ticks import TickGrid


def taught(*closes: float) -> TickGrid:
    """Learn closes."""
    ticks = TickGrid()
    for close in closes:
        ticks.learn_one(close)
    return ticks


def test_tick_is_the_smallest_step() -> None:
    """Closes that do not move say nothing; the smallest move is the tick."""
    assert taught(100, 100).tick == 0
    assert taught(100, 100.5, 100.4, 100.4).tick == pytest.approx(0.1)


def test_tick_grows_back_slowly() -> None:
    """After a market coarsens its grid, larger steps raise the tick, little by little."""
    ticks = taught(100, 100.1)
    for step in range(1000):
        ticks.learn_one(101 + step % 2)

    assert ticks.tick == pytest.approx(0.1 * 1.0001**1000, rel=0.01)


def test_coarse_quantiles_lie_on_ticks() -> None:
    """Where the spread is a few ticks, prices snap to whole ticks, a hair outward."""
    ticks = taught(101, 100)
    returns = 0.01 * NORMAL_SCORES[None]

    snapped = 100 * np.exp(ticks.transform_one(returns))[0]

    assert snapped == pytest.approx([98, 98, 99, 99, 100, 101, 101, 102, 102], abs=1e-6)
    assert snapped[4] == 100
    assert snapped[5] > 101
    assert snapped[3] < 99


def test_fine_quantiles_stay() -> None:
    """Where the spread is many ticks, nothing is touched."""
    returns = 0.01 * NORMAL_SCORES[None]

    assert (taught(100.01, 100).transform_one(returns) == returns).all()
    assert (taught(100).transform_one(returns) == returns).all()


def test_rows_are_judged_apart() -> None:
    """A short horizon is snapped while a long one is wide enough."""
    ticks = taught(100.1, 100)
    returns = np.array([0.001, 0.02])[:, None] * NORMAL_SCORES

    snapped = ticks.transform_one(returns)

    assert (snapped[0] != returns[0]).any()
    assert (snapped[1] == returns[1]).all()


def test_prices_stay_positive() -> None:
    """A grid as coarse as the price itself gives no price of zero."""
    snapped = taught(3.0, 1.0).transform_one(2 * NORMAL_SCORES[None])

    assert np.isfinite(snapped).all()
    assert (np.diff(snapped) >= 0).all()
