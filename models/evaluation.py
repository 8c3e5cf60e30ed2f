"""Forecasts against what then happened: scores of whole columns, and whether they differ."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

from models.memory import Array
from models.scoring import BANDS, crps

# Quantiles on a tick lie this near to it.
_ON_IT = 1e-8
_ORIGINS_A_STEP = 10
_LEAST_ORIGINS = 30
# A mean difference that is surer than this share of the losses is surer than their rounding allows.
_ROUNDING = 1e-9


class Difference(NamedTuple):
    """How one forecaster's losses compare with another's.

    Attributes
    ----------
    ratio
        Mean loss over the other's: below 1 is better.
    statistic
        Of Diebold and Mariano: negative is better.
    p_value
        Two-sided probability of such a difference between equally good forecasters.
    """

    ratio: float
    statistic: float
    p_value: float


def changes(open_times: NDArray[np.int64], closes: Array, targets: NDArray[np.int64]) -> Array:
    """Return the log return from each origin to its target candle, by time.

    Parameters
    ----------
    open_times, closes
        Of the candles, rising, shape (n,).
    targets
        Open times of each origin's target candles, shape (n, m).

    Returns
    -------
    Shape (n, m); NaN where there is no candle of that time.
    """
    at = np.searchsorted(open_times, targets).clip(max=len(open_times) - 1)
    logs = np.log(closes)
    return np.where(open_times[at] == targets, logs[at] - logs[:, None], np.nan)


def losses(changes: Array, quantiles: Array) -> Array:
    """Return the CRPS of each forecast: (n, m) against (n, m, 9) gives (n, m), NaN stays."""
    return crps(changes[..., None], quantiles)


def inside(changes: Array, quantiles: Array) -> Array:
    """Say of each return in which bands it is: 1 inside (or on an end), 0 outside, NaN unknown.

    Parameters
    ----------
    changes, quantiles
        Shape (n, m) and (n, m, 9).

    Returns
    -------
    Shape (n, m, 4), by the bands of `models.skill`.
    """
    column = changes[..., None]
    hits = (quantiles[..., 3::-1] <= column) & (column <= quantiles[..., 5:])
    return np.where(np.isnan(column), np.nan, hits)


def below(changes: Array, quantiles: Array) -> Array:
    """Say of each return whether it is below each quantile: 1 if so, 0 if not, NaN unknown.

    A return on the quantile itself counts half: where prices stand still many do, and neither all
    nor none of them is what the level claims.

    Parameters
    ----------
    changes, quantiles
        Shape (n, m) and (n, m, 9).

    Returns
    -------
    Shape (n, m, 9).
    """
    distance = changes[..., None] - quantiles
    marks = (distance < -_ON_IT) + 0.5 * (abs(distance) <= _ON_IT)
    return np.where(np.isnan(distance), np.nan, marks)


def shares(marks: NDArray[np.floating]) -> list[list[float | None]]:
    """Return the means of marks (n, m, k) over the origins at which they are known, m lists."""
    with np.errstate(invalid="ignore"):
        means = np.nansum(marks, 0, dtype=np.float64) / np.isfinite(marks).sum(0)
    return [[None if math.isnan(mean) else mean for mean in row] for row in means.tolist()]


def coverage(marks: NDArray[np.floating]) -> dict[str, list[float | None]]:
    """Return for each band (in percent) the share of returns inside it, by horizon.

    Parameters
    ----------
    marks
        What `inside` says, shape (n, m, 4).
    """
    columns = zip(*shares(marks), strict=True)
    return {str(band): list(column) for band, column in zip(BANDS, columns, strict=True)}


def diebold_mariano(loss: Array, other: Array, horizon: int) -> Difference:
    """Test whether two series of losses have the same mean.

    The variance of the mean difference allows for the overlap of forecasts ``horizon`` ahead
    (Bartlett weights, twice as many lags), with the small-sample correction and Student's t. Fewer
    than thirty origins, or ten for each candle ahead, tell nothing; with few more the test finds a
    difference somewhat too often (about one in ten at 5 %). Losses that differ by the same at every
    origin have no statistic.

    Parameters
    ----------
    loss, other
        Losses at the same origins, shape (n,); origins where one is NaN are left out.

    References
    ----------
    Diebold & Mariano, "Comparing Predictive Accuracy", JBES 13 (1995); Harvey, Leybourne &
    Newbold, "Testing the Equality of Prediction Mean Squared Errors", IJF 13 (1997).
    """
    both = np.isfinite(loss) & np.isfinite(other)
    loss, other = loss[both], other[both]
    count, lags = len(loss), 2 * horizon - 1
    if count < max(_ORIGINS_A_STEP * horizon, _LEAST_ORIGINS) or not other.any():
        return Difference(math.nan, math.nan, math.nan)
    ratio = float(loss.mean() / other.mean())
    apart = loss - other
    mean = float(apart.mean())
    apart = apart - mean
    covariances = [float(apart[lag:] @ apart[: count - lag]) / count for lag in range(lags + 1)]
    weights = [1 - lag / (lags + 1) for lag in range(lags + 1)]
    variance = 2 * math.fsum(map(math.prod, zip(weights, covariances, strict=True)))
    variance = (variance - covariances[0]) / count
    if variance <= (_ROUNDING * float(abs(other).mean())) ** 2:
        # Equal at every origin, or different by the same at every one: of that the test knows
        # nothing.
        return Difference(ratio, *((0.0, 1.0) if mean == 0 else (math.nan, math.nan)))
    small = (count + 1 - 2 * horizon + horizon * (horizon - 1) / count) / count
    statistic = mean / math.sqrt(variance) * math.sqrt(small)
    return Difference(ratio, statistic, float(2 * stdtr(count - 1, -abs(statistic))))
