"""The pooled expert: a small network that many other series have taught."""

import numpy as np

from models.constants import HORIZONS, MOST_SPREADS, Prior
from models.features import SIZE
from models.memory import Array, Memory, bounded
from models.pending import Whole, between
from models.scale import Origin

_CLIP = 7.0


class PooledNetwork(Memory):
    """Two layers of tanh units beside a linear map, from the features to the log variance.

    It learns nothing online: what it knows is the same for all series, so that a new one is
    forecast well from its first days on.

    Parameters
    ----------
    horizons
        Numbers of candles ahead, m of them.
    prior
        The weights.
    """

    def __init__(self, horizons: tuple[int, ...], prior: Prior) -> None:
        self.horizons = horizons
        self.prior = prior
        carried = between(HORIZONS, horizons)
        self._center = prior.center.astype(np.float64)
        self._per_spread = 1 / prior.spread.astype(np.float64)
        self._first = np.ascontiguousarray(prior.weights_1.T, np.float64)
        self._first_bias = prior.bias_1.astype(np.float64)
        self._second = np.ascontiguousarray(prior.weights_2.T, np.float64)
        self._second_bias = prior.bias_2.astype(np.float64)
        # The interpolation between its horizons is folded into the output.
        self._third = carried @ prior.weights_3.T
        self._skip = carried @ prior.skip.T
        self._bias = carried @ prior.bias_3

    def observe(self, origin: Origin) -> None:
        """Take in nothing: the features are all it needs."""

    def predict_one(self, origin: Origin) -> Array:
        """Return the log variance a candle up to each horizon, shape (m,)."""
        inputs = (origin.inputs[..., 1 : 1 + SIZE] - self._center) * self._per_spread
        inputs = bounded(inputs, MOST_SPREADS)
        wide = np.tanh(np.matvec(self._first, inputs) + self._first_bias)
        narrow = np.tanh(np.matvec(self._second, wide) + self._second_bias)
        log_variance: Array = np.matvec(self._third, narrow) + np.matvec(self._skip, inputs)
        log_variance += self._bias
        return bounded(log_variance, _CLIP) + origin.expected

    def learn_one(self, y: Array, position: Whole, known: Array) -> None:
        """Learn nothing."""
