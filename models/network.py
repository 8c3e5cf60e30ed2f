"""The pooled expert: a small network that many other series have taught."""

import numpy as np

from models.constants import Prior
from models.features import SIZE
from models.memory import Array, Memory
from models.scale import Origin


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
        between = prior.between(horizons)
        spread = prior.spread.astype(np.float64)
        # The standardisation of the inputs is folded into what reads them, rows first for speed.
        self._first = np.ascontiguousarray(prior.weights_1.T / spread)
        self._first_bias = prior.bias_1 - self._first @ prior.center
        self._second = np.ascontiguousarray(prior.weights_2.T, np.float64)
        self._second_bias = prior.bias_2.astype(np.float64)
        self._third = between @ prior.weights_3.T
        self._skip = between @ (prior.skip.T / spread)
        self._bias = between @ prior.bias_3 - self._skip @ prior.center

    def observe(self, origin: Origin) -> None:
        """Take in nothing: the features are all it needs."""

    def predict_one(self, origin: Origin) -> Array:
        """Return the log variance a candle up to each horizon, shape (m,)."""
        features = origin.inputs[1 : 1 + SIZE]
        wide = np.tanh(self._first @ features + self._first_bias)
        narrow = np.tanh(self._second @ wide + self._second_bias)
        log_variance: Array = self._third @ narrow + self._skip @ features
        log_variance += self._bias
        log_variance += origin.expected
        return log_variance

    def learn_one(self, y: Array, position: int, known: Array) -> None:
        """Learn nothing."""
