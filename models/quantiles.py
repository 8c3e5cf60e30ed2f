"""Tracking of the quantiles of the standardised error."""

import numpy as np

from models.memory import Array, Memory
from shared.forecast import QUANTILE_LEVELS

LEVELS = np.array(QUANTILE_LEVELS)

# Quantiles of |z|, which serve both tails: how often z exceeds them, their speeds, and their
# values for a normal z.
_EXCEEDED = 1 - np.array((0.5, 0.8, 0.9, 0.95))
_SPEEDS = 1.5 * (1 + 0.8 * np.arange(4))
_NORMAL = (0.6745, 1.2816, 1.6449, 1.9600)
# Carries them to the nine levels: the largest is that of 97.5 %, and its opposite that of 2.5 %.
_TAILS = np.hstack((-np.eye(4)[:, ::-1], np.zeros((4, 1)), np.eye(4)))
_LEAST_RATIO = 1.02
# Steps are in proportion to the sizes: what a market at rest wore down could not grow back.
_LEAST_SHARE = 0.5
_LEAST_SIZES = _LEAST_SHARE * np.array(_NORMAL)
_TILT_SPEEDS = 0.3 * np.array((2, 2, 2, 1, 1, 1, 2, 2, 2))
_TILT_LEAK = 0.3


class QuantileTracker(Memory):
    r"""Quantiles of z, a return divided by its forecast scale, followed one error at a time.

    Four quantiles of \|z\| serve both tails (half the noise); a slower signed tilt at each level
    makes room for skew. Each step raises a quantile that was exceeded and lowers one that was
    not, in proportion to its size, so that coverage is right in the long run whatever the market
    does; no size falls below half its normal value, from where it could not come back in time.

    Parameters
    ----------
    horizons
        Numbers of candles ahead, m of them.
    start
        Sizes to start from, shape (m, 4); those of a normal z by default.

    Attributes
    ----------
    sizes
        Quantiles of \|z\|, shape (m, 4).
    tilts
        Signed offsets, shape (m, 9).
    gradient
        Gradient of the CRPS in the log scale at the last lesson, shape (m,).

    References
    ----------
    Gibbs & Candès, "Adaptive Conformal Inference Under Distribution Shift", NeurIPS 2021.
    """

    def __init__(self, horizons: tuple[int, ...] = (1,), start: Array | None = None) -> None:
        self.horizons = horizons
        self.start = start
        count = len(horizons)
        self._remember(sizes=(count, 4), tilts=(count, len(LEVELS)), candles=(1,))
        self.sizes: Array
        self.tilts: Array
        self.candles: Array
        self.sizes[:] = _NORMAL if start is None else start
        self.gradient = np.zeros(count)
        self._caution = np.array(horizons) ** -0.75

    def recalled(self) -> None:
        """Of the newest candle nothing is known."""
        self.gradient = np.zeros(len(self.horizons))

    def predict_one(self) -> Array:
        """Return the quantiles of z at the nine levels, shape (m, 9); they may cross."""
        return np.asarray(np.matmul(self.sizes, _TAILS) + self.tilts)

    def learn_one(self, z: Array, known: Array) -> None:
        """Learn standardised errors.

        Parameters
        ----------
        z
            Return from the origin over its forecast standard deviation, shape (m,).
        known
            1 where the horizon's target is known, else 0, shape (m,).
        """
        self.candles += 1
        quantiles = self.predict_one()
        above = LEVELS - (z[..., None] < quantiles)
        self.gradient = np.vecdot(above, quantiles) / len(LEVELS)
        step = self._caution * np.maximum((self.candles + 500) ** -0.7, 0.0007)
        step = (step * known)[..., None]
        exceeded = (abs(z)[..., None] > self.sizes) - _EXCEEDED
        self.tilts *= 1 - _TILT_LEAK * step
        self.tilts += above * _TILT_SPEEDS * (step * self.sizes[..., 1:2])
        self.sizes += exceeded * _SPEEDS * step * self.sizes
        np.maximum(self.sizes, _LEAST_SIZES, out=self.sizes)
        floor = self.sizes[..., :-1] * _LEAST_RATIO
        np.maximum(self.sizes[..., 1:], floor, out=self.sizes[..., 1:])
