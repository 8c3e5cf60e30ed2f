"""Mixing of the scale experts by what each would have gained in CRPS."""

import numpy as np

from models.memory import Array, Memory, bounded

_DECAY = 0.9999
_STILL_FROM = 0.2
_CLIP = 3.0


class GradientMixture(Memory):
    """Weighted mean of log variances, the weights learned by exponentiated gradient.

    The gradient of the CRPS with respect to the log scale says how much an expert's deviation
    from the mixture would have helped; its discounted sum, over the root of its own scale, moves
    the weights away from where they started.

    Parameters
    ----------
    horizons
        Numbers of candles ahead, m of them; each has weights of its own.
    prior
        Weights of the experts to start from, n of them; their sum does not matter.
    rate
        Speed of learning.
    still
        Index of the expert to trust the more, the more often prices stand still.

    References
    ----------
    Berrisch & Ziel, "CRPS Learning", Journal of Econometrics 237 (2021).
    """

    def __init__(
        self,
        horizons: tuple[int, ...] = (1,),
        prior: tuple[float, ...] = (1.0,),
        rate: float = 0.3,
        still: int = 0,
    ) -> None:
        self.horizons = horizons
        self.prior = prior
        self.rate = rate
        self.still = still
        shape = (len(horizons), len(prior))
        # Discounted sums of each expert's gain and of the mean squared gain, and the weights.
        self._remember(gains=shape, squares=shape[:1], weights=shape)
        self.gains: Array
        self.squares: Array
        self.weights: Array
        self._prior = np.array(prior) / sum(prior)
        self.weights[:] = self._prior
        self._is_still = np.eye(len(prior))[still]
        self._roots = np.sqrt(horizons)

    def predict_one(self, experts: Array) -> Array:
        """Mix the experts' log variances, shape (m, n), by the weights in force: (m,)."""
        mixed: Array = np.vecdot(self.weights, experts)
        return mixed

    def learn_one(self, experts: Array, mixed: Array, gradient: Array, known: Array) -> None:
        """Credit each expert.

        Parameters
        ----------
        experts
            Log variances the experts gave at the origin, shape (m, n).
        mixed
            Mixture that was in force there, shape (m,).
        gradient
            CRPS gradient in the log scale, standardised for the scale, shape (m,).
        known
            1 where the horizon's target is known, else 0, shape (m,).
        """
        gain = bounded(experts - mixed[..., None], _CLIP)
        gain *= (gradient * known / self._roots)[..., None]
        decay = 1 - (1 - _DECAY) * known
        self.gains *= decay[..., None]
        self.gains += gain
        self.squares *= decay
        self.squares += np.vecdot(self.weights, gain * gain)

    def weigh(self, stillness: float | Array) -> None:
        """Set the weights from the gains and the share of candles whose close did not move."""
        prior = self._prior
        if (stillness if isinstance(stillness, float) else stillness.max()) > _STILL_FROM:
            beyond = np.maximum(stillness - _STILL_FROM, 0.0)
            prior = (prior + 2 * beyond * beyond * self._is_still)[..., None, :]
        scores = self.gains * (self.rate / np.sqrt(self.squares + 0.02))[..., None]
        scores -= np.maximum.reduce(scores, -1)[..., None]
        np.multiply(np.exp(scores), prior, out=self.weights)
        self.weights /= np.add.reduce(self.weights, -1)[..., None]
