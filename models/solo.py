"""The scale experts one by one, to see what their mixture is worth."""

import numpy as np

from models.forecaster import ScaleMixtureForecaster
from models.memory import Array
from models.pending import Pending
from models.quantiles import LEVELS, QuantileTracker


class ExpertsAlone:
    """Each expert of a forecaster as if it were the only one, with quantiles tracked for it.

    Parameters
    ----------
    forecaster
        Whose experts are asked: after each candle that it learns, and before the next.

    Attributes
    ----------
    names
        Of the experts, n of them, with their parameters where two are of a kind.
    """

    def __init__(self, forecaster: ScaleMixtureForecaster) -> None:
        self._forecaster = forecaster
        self.names = tuple(_name(expert) for expert in forecaster.experts)
        count = len(self.names)
        horizons = forecaster.knots * count
        start = np.tile(forecaster.tracker.sizes, (count, 1))
        self._tracker = QuantileTracker(horizons, start)
        self._pending = Pending(horizons, 2)
        self._roots = np.sqrt(horizons)

    def learn_one(self, open_time: int, close: float) -> Array:
        """Learn from the candle that the forecaster has just learned, and forecast.

        Returns
        -------
        Quantiles of the log return from the close to each of the forecaster's knots, shape
        (n, m, 9), non-decreasing.
        """
        forecaster, log_close = self._forecaster, np.log(close)
        slots = self._pending.slots(forecaster.hours.position)
        rows, known = self._pending.due(slots, open_time)
        z = (log_close - rows[:, 0]) / (np.exp(rows[:, 1] / 2) * self._roots)
        self._tracker.learn_one(z, known)
        scale = forecaster.opinions.T.ravel()
        targets = np.tile(forecaster.hours.path[np.array(forecaster.knots) - 1], len(self.names))
        rows = np.column_stack((np.full(len(scale), log_close), scale))
        self._pending.put(slots, targets, rows)
        quantiles = self._tracker.predict_one() * (np.exp(scale / 2) * self._roots)[:, None]
        np.maximum.accumulate(quantiles, axis=1, out=quantiles)
        quantiles = forecaster.ticks.transform_one(quantiles)
        return quantiles.reshape(len(self.names), -1, len(LEVELS))


def _name(expert: object) -> str:
    span = getattr(expert, "span", None)
    return type(expert).__name__ + (f"({span})" if span else "")
