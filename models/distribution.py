"""What the quantiles of a return imply: other levels, standard deviation, chance of a rise.

All work on quantiles of the log return at the nine levels of `shared.forecast`, shape (n, 9),
non-decreasing, and take the quantile function as linear between them in the normal score of the
level, its ends going on straight: a normal distribution is met exactly, and tails fatter than
normal stay so.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import cache
from statistics import NormalDist

import numpy as np

from models.memory import Array
from shared.errors import InvalidValue
from shared.forecast import QUANTILE_LEVELS

_ROOT_2 = math.sqrt(2)
_FURTHEST = 4.0
# Quantiles on the close itself lie this near to it: see `models.ticks`.
_ZERO = 1e-8
_LEAST_PRICE, _MOST_PRICE = 1e-300, 1e300


@cache
def normal_scores(levels: tuple[float, ...]) -> Array:
    """Return the quantiles of the standard normal distribution at some levels.

    Raises
    ------
    InvalidValue
        When a level is not within (0, 1).
    """
    for level in levels:
        if not 0 < level < 1:
            raise InvalidValue("levels", level, "use probabilities within (0, 1)")
    scores = np.array([NormalDist().inv_cdf(level) for level in levels])
    scores.flags.writeable = False
    return scores


NORMAL_SCORES = normal_scores(QUANTILE_LEVELS)
_SCORES = NORMAL_SCORES.tolist()
# Between which levels zero lies, by the number of quantiles below it; beyond the ends go on.
_RIGHT = (1, *range(1, len(_SCORES)), len(_SCORES) - 1)


def _interpolation(scores: Array) -> Array:
    """Matrix (9, k) that carries quantiles at the nine levels to normal scores (k,)."""
    right = np.searchsorted(NORMAL_SCORES, scores).clip(1, len(NORMAL_SCORES) - 1)
    low, high = NORMAL_SCORES[right - 1], NORMAL_SCORES[right]
    share = (scores - low) / (high - low)
    matrix = np.zeros((len(NORMAL_SCORES), len(scores)))
    columns = np.arange(len(scores))
    matrix[right - 1, columns] = 1 - share
    matrix[right, columns] = share
    return matrix


def _covariance() -> Array:
    """Matrix (9, 9) whose quadratic form in the quantiles is the variance of the distribution."""
    # Equally likely points of the distribution, in the middle of slices of probability.
    points = _interpolation(normal_scores(tuple((i + 0.5) / 1000 for i in range(1000))))
    return np.cov(points, bias=True)


_COVARIANCE = _covariance()


def at_levels(quantiles: Array, levels: Sequence[float]) -> Array:
    """Return the quantiles at other levels, shape (n, len(levels)).

    Raises
    ------
    InvalidValue
        When a level is not within (0, 1).
    """
    if tuple(levels) == QUANTILE_LEVELS:
        return quantiles
    return np.asarray(quantiles @ _interpolation(normal_scores(tuple(levels))))


def deviation(quantiles: Array) -> Array:
    """Return the standard deviation of the log return, shape (n,)."""
    variance = np.vecdot(np.matmul(quantiles, _COVARIANCE), quantiles)
    return np.asarray(np.sqrt(np.maximum(variance, 0)))


def chance_of_rise(quantiles: Array) -> Array:
    """Return the probability of a positive log return plus half that of none, shape (n,)."""
    rows = quantiles.reshape(-1, len(_SCORES)).tolist()
    return np.array([_chance_of_rise(row) for row in rows]).reshape(quantiles.shape[:-1])


def _chance_of_rise(quantiles: list[float]) -> float:
    below = bisect_left(quantiles, -_ZERO)
    if below < len(quantiles) and quantiles[below] <= _ZERO:
        # The chance of a fall or half of none: the middle of the levels at zero.
        through = bisect_right(quantiles, _ZERO)
        return 1 - (QUANTILE_LEVELS[below] + QUANTILE_LEVELS[through - 1]) / 2
    right = _RIGHT[below]
    low, high = quantiles[right - 1], quantiles[right]
    share = low / (low - high) if low < high else 0.5
    score = _SCORES[right - 1] + share * (_SCORES[right] - _SCORES[right - 1])
    if not -_FURTHEST <= score <= _FURTHEST:
        score = math.copysign(_FURTHEST, score)
    return math.erfc(score / _ROOT_2) / 2


def to_prices(returns: Array, close: float | Array) -> Array:
    """Turn log returns from ``close`` into prices, kept positive and finite."""
    with np.errstate(over="ignore", under="ignore"):
        prices = close * np.exp(returns)
    return np.minimum(np.maximum(prices, _LEAST_PRICE), _MOST_PRICE)
