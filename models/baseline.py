"""The naive forecast that skill is measured against."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from models.distribution import normal_scores, to_prices
from models.ewma import Ewma
from models.memory import Array, Memory

_LEAST_VARIANCE = 1e-12


class RandomWalk(Memory):
    """Random walk with an exponentially weighted volatility and normal quantiles.

    The median is the last close, the variance of the log return to horizon h is h times the
    exponentially weighted mean of squared returns.

    Parameters
    ----------
    decay
        Weight of the past at each candle.

    References
    ----------
    J.P. Morgan/Reuters, "RiskMetrics Technical Document" (1996).
    """

    _learned = ("close", "_square")

    def __init__(self, decay: float = 0.97) -> None:
        self.decay = decay
        self.close = 0.0
        self._square = Ewma(2 / (1 - decay) - 1)

    @property
    def volatility(self) -> float:
        """Standard deviation of the log return of one candle."""
        return math.sqrt(max(self._square.get(), _LEAST_VARIANCE))

    def learn_one(
        self,
        y: float,
        x: Mapping[str, Any] | None = None,  # noqa: ARG002 - River's signature
    ) -> None:
        """Take in a close price."""
        if self.close:
            self._square.update((math.log(y) - math.log(self.close)) ** 2)
        self.close = y

    def forecast(
        self,
        horizon: int,
        xs: Sequence[Mapping[str, Any]] | None = None,  # noqa: ARG002 - River's signature
    ) -> list[float]:
        """Return the last close ``horizon`` times."""
        return [self.close] * horizon

    def forecast_quantiles(self, horizon: int, levels: Sequence[float]) -> Array:
        """Return price quantiles, shape (horizon, len(levels))."""
        deviations = self.volatility * np.sqrt(np.arange(1, horizon + 1))
        return to_prices(deviations[:, None] * normal_scores(tuple(levels)), self.close)
