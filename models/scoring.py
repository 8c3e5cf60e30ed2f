"""Scoring rules: what one forecast is worth once its candle is there."""

import numpy as np

from models.distribution import NORMAL_SCORES, chance_of_rise, deviation
from models.memory import Array
from models.quantiles import LEVELS
from shared.forecast import MEDIAN

BANDS = (50, 80, 90, 95)

# What is summed up for each horizon, one row each.
SUMS = (
    *("candles", "crps", "crps_baseline", "excess_squared"),
    *(f"inside_{band}" for band in BANDS),
    *("error", "error_naive", "percentage_error", "moves", "moves_right"),
    *("brier", "settled", "qlike", "qlike_baseline"),
)
ROW = {name: row for row, name in enumerate(SUMS)}

# Columns of what waits for its target.
LOG_CLOSE, NAIVE, LEAST, QUANTILES = 0, 1, 2, 3

LEAST_VARIANCE = 1e-16


def scores_of(rows: Array, close: float | Array) -> Array:
    """Score waiting rows (..., m, width) against the close they waited for (..., 1): sums' parts.

    Returns
    -------
    Shape (..., scores, m).
    """
    origin, naive, quantiles = rows[..., LOG_CLOSE], rows[..., NAIVE], rows[..., QUANTILES:]
    change, median, least = np.log(close) - origin, quantiles[..., MEDIAN], rows[..., LEAST]
    column, direction = change[..., None], np.sign(change)
    # Beside every forecast its baseline: shape (2, ..., m, levels).
    both, deviations = np.empty((2, *quantiles.shape)), np.empty((2, *naive.shape))
    both[0], both[1] = quantiles, naive[..., None] * NORMAL_SCORES
    deviations[0], deviations[1] = deviation(quantiles), naive
    loss = crps(column, both)
    errors = abs(np.exp(origin + both[..., MEDIAN]) - close)
    # The bands from the inside out: 25-75 %, 10-90 %, ...
    inside = (quantiles[..., 3::-1] <= column) & (column <= quantiles[..., 5:])
    scores = np.empty((*naive.shape[:-1], len(SUMS), naive.shape[-1]))
    scores[..., 0, :] = 1
    scores[..., 1, :], scores[..., 2, :] = loss
    scores[..., 3, :] = (loss[0] - loss[1]) ** 2
    scores[..., 4:8, :] = inside.swapaxes(-1, -2)
    scores[..., 8, :], scores[..., 9, :] = errors
    scores[..., 10, :] = errors[0] / close
    moves = abs(direction)
    scores[..., 11, :] = moves
    scores[..., 12, :] = (moves + np.sign(median) * direction) / 2
    scores[..., 13, :] = (chance_of_rise(quantiles) - (1 + direction) / 2) ** 2
    settled = least > 0
    scores[..., 14, :] = settled
    scores[..., 15, :], scores[..., 16, :] = _qlike(change, deviations, least) * settled
    return scores


def crps(change: Array, quantiles: Array) -> Array:
    """Return twice the mean pinball loss over the levels: (m, 1) and (n, m, 9) give (n, m)."""
    distance = change - quantiles
    pinball: Array = np.vecdot(distance, LEVELS - (distance < 0))
    return pinball * (2 / len(LEVELS))


def _qlike(change: Array, deviation: Array, least: Array) -> Array:
    """Loss of forecast variances (n, m) against squared returns (m,), Patton (2011): (n, m)."""
    variance = np.maximum(deviation * deviation, np.maximum(least, LEAST_VARIANCE))
    return np.log(variance) + change * change / variance
