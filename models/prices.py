"""What forecasters of prices have in common: how they are asked, and how time passes for them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from models.calendar import Seasonality
from models.hours import TradingHours
from models.memory import Array, Memory
from shared.errors import InvalidValue


class PriceForecaster(Memory):
    """A forecaster of closes, with River's method and quantiles.

    Attributes
    ----------
    horizon
        Number of candles ahead that it can be asked for.
    candles
        Candles learned.
    hours, calendar
        When the market trades, and how lively it is by the time of the week.
    """

    horizon: int
    candles: int
    hours: TradingHours
    calendar: Seasonality

    def forecast(
        self,
        horizon: int,
        xs: Sequence[Mapping[str, Any]] | None = None,  # noqa: ARG002 - River's signature
    ) -> list[float]:
        """Return the median close price of each of the next ``horizon`` candles."""
        return [float(price) for price in self.forecast_quantiles(horizon, (0.5,))[:, 0]]

    def forecast_quantiles(self, horizon: int, levels: Sequence[float]) -> Array:
        """Return quantiles of the close prices.

        Parameters
        ----------
        horizon
            Number of candles ahead, up to the forecaster's own.
        levels
            Probabilities within (0, 1), rising; the nine of `shared.forecast` are tracked, others
            interpolated.

        Returns
        -------
        Prices, shape (horizon, len(levels)): positive and non-decreasing along the levels; finite,
        or NaN where a model of the user's says nothing.

        Raises
        ------
        InvalidValue
            When the horizon is too long, a level is not within (0, 1), or no candle has been
            learned yet.
        """
        if not 1 <= horizon <= self.horizon:
            raise InvalidValue("horizon", horizon, f"use 1 to {self.horizon}")
        if not self.candles:
            raise InvalidValue("candles", 0, "learn a candle before forecasting")
        return np.asarray(self._quantiles(levels)[:horizon])

    def _quantiles(self, levels: Sequence[float]) -> Array:
        """Return quantiles of all closes that can be asked for."""
        raise NotImplementedError

    def _pass_time(self, open_time: int, variance: float) -> None:
        """Take in when a candle opened, and what variance it showed."""
        self.hours.learn_one(open_time)
        if self.hours.is_session and not self.calendar.starts_anew:
            self.calendar.start_anew()
        self.calendar.learn_one(open_time, variance)
