"""The naive forecast that skill is measured against."""

import math

import numpy as np
import pytest

from models.baseline import RandomWalk
from models.distribution import NORMAL_SCORES
from shared.errors import InvalidValue
from shared.forecast import QUANTILE_LEVELS


def taught(*closes: float) -> RandomWalk:
    """Learn closes."""
    walk = RandomWalk()
    for close in closes:
        walk.learn_one(close)
    return walk


def test_median_is_the_last_close() -> None:
    """A random walk expects no change."""
    assert taught(100, 103).forecast(3) == [103, 103, 103]


def test_volatility_is_the_weighted_root_mean_square() -> None:
    """RiskMetrics: weights 1 and 0.97 for the last two returns, none for the first candle."""
    walk = taught(100, 101, 100)

    square = math.log(1.01) ** 2
    assert walk.volatility == pytest.approx(math.sqrt(square))
    walk.learn_one(100.0)
    weights = np.array([0.97**2, 0.97, 1])
    assert walk.volatility == pytest.approx(math.sqrt(square * weights[:2].sum() / weights.sum()))


def test_width_grows_with_the_root_of_the_horizon() -> None:
    """Quantiles are normal, with the variance of h steps."""
    walk = taught(100, 101)

    returns = np.log(walk.forecast_quantiles(4, QUANTILE_LEVELS) / 101)

    assert returns[3] == pytest.approx(2 * walk.volatility * NORMAL_SCORES)


def test_flat_market_has_some_width() -> None:
    """Without any return yet the quantiles rise all the same."""
    quantiles = taught(100).forecast_quantiles(2, QUANTILE_LEVELS)

    assert (np.diff(quantiles, axis=1) > 0).all()


def test_levels_are_probabilities() -> None:
    """As for every forecaster, what is none is refused by name."""
    naive = RandomWalk()
    naive.learn_one(100.0)

    with pytest.raises(InvalidValue, match=r"use probabilities within \(0, 1\)"):
        naive.forecast_quantiles(2, (0.0, 0.5))
