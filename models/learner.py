"""One series' learner: forecaster, baseline, prequential skill and fallback."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from models import catalog
from models.baseline import RandomWalk
from models.distribution import chance_of_rise, deviation
from models.forecaster import QuantileForecaster
from models.hours import TradingHours
from models.memory import Array, Memory
from models.moves import fields_of
from models.skill import Prequential
from shared.candle import Candle, Timeframe
from shared.errors import InvalidValue
from shared.forecast import MEDIAN, QUANTILE_LEVELS, Skill, Status

LONGEST_HORIZON = 64
_WARM = 100


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a learner says after its last candle, for H candles ahead and L levels.

    Attributes
    ----------
    target_times
        Close times (UTC ms) of the candles that are forecast, H of them.
    quantiles
        Prices, shape (H, L), non-decreasing along the levels of `shared.forecast`.
    median
        Prices, shape (H,).
    volatility
        Standard deviation of the log return from the last close, shape (H,).
    prob_up
        Probability of a close above the last one (plus half that of no change), shape (H,).
    status
        ``warming_up`` during the first candles, ``fallback`` while the baseline speaks.
    skill
        Recent skill of the model (never of the fallback) at the scored horizons: of what it said,
        forecasts that are not finite left out.
    """

    target_times: tuple[int, ...]
    quantiles: Array
    median: Array
    volatility: Array
    prob_up: Array
    status: Status
    skill: tuple[Skill, ...]


class Learner(Memory):
    """All that a series' state holds.

    Parameters
    ----------
    timeframe
        Length of the candles.
    horizon
        Number of candles to forecast, 1 to 64.
    model
        Name in the catalog.

    Attributes
    ----------
    sequence
        Candles learned.

    Raises
    ------
    InvalidValue
        When the horizon or the model is none that exists.
    """

    _learned = ("sequence", "close", "hours", "forecaster", "baseline", "prequential")

    def __init__(self, timeframe: Timeframe, horizon: int, model: str = "default") -> None:
        if not 1 <= horizon <= LONGEST_HORIZON:
            raise InvalidValue("horizon", horizon, f"use 1 to {LONGEST_HORIZON} candles ahead")
        self.timeframe = timeframe
        self.horizon = horizon
        self.model = model
        self.sequence = 0
        self.close = 0.0
        self.hours = TradingHours(timeframe.ms, horizon)
        self.forecaster: QuantileForecaster = catalog.model(model).create(timeframe, horizon)
        self.baseline = RandomWalk()
        self.prequential = Prequential(horizon)
        # What the model says is asked for twice a candle: to be scored, and to be published.
        self._said: Array | None = None
        self._said_after = -1
        self.gather()

    def recalled(self) -> None:
        """Forget what was said before."""
        self._said, self._said_after = None, -1

    def learn_one(self, candle: Candle) -> None:
        """Score what was forecast for a candle, then learn it.

        Raises whatever the model raises; the learner is of no use after that.
        """
        self.hours.learn_one(candle.open_time)
        position = self.hours.position
        self.prequential.learn_one(position, candle.open_time, candle.close)
        self.baseline.learn_one(candle.close)
        self.forecaster.learn_one(candle.close, fields_of(candle))
        self.close = candle.close
        self.sequence += 1
        quantiles = self._model_says()
        if quantiles is not None:
            volatility = self.baseline.volatility
            self.prequential.put(position, self.hours.path, candle.close, quantiles, volatility)

    def outlook(self) -> Outlook:
        """Return what is to be said now; defined from the first candle on."""
        if not self.sequence:
            raise InvalidValue("sequence", 0, "learn a candle before asking for an outlook")
        model_says = None if self.prequential.is_worse else self._model_says()
        quantiles = self._baseline_says() if model_says is None else model_says
        returns = np.log(quantiles) - math.log(self.close)
        return Outlook(
            target_times=tuple((self.hours.path + self.timeframe.ms).tolist()),
            quantiles=quantiles,
            median=quantiles[:, MEDIAN].copy(),
            volatility=deviation(returns),
            prob_up=chance_of_rise(returns),
            status=self._status(is_fallback=model_says is None),
            skill=self.prequential.skill(),
        )

    def scores(self) -> dict[str, Any]:
        """Return everything about skill, ready for JSON.

        ``horizons`` maps each scored horizon to its scores, ``recent`` (the last thousand candles
        or so) and ``total``: candles, crps (of the log return), coverage, mae (price), mape,
        direction_accuracy, brier, qlike (of forecasts from the hundredth candle on), and those of
        the baseline; null where nothing counts.
        """
        return {
            "sequence": self.sequence,
            "worse_than_baseline": self.prequential.is_worse,
            "horizons": self.prequential.scores(),
        }

    def _model_says(self) -> Array | None:
        """Return the model's price quantiles (H, L), or None where they are not finite."""
        if self._said_after != self.sequence:
            quantiles = self.forecaster.forecast_quantiles(self.horizon, QUANTILE_LEVELS)
            # One sum tells: it is finite only if all are (prices cannot cancel).
            self._said = quantiles if np.isfinite(quantiles.sum()) else None
            self._said_after = self.sequence
        return self._said

    def _baseline_says(self) -> Array:
        return self.baseline.forecast_quantiles(self.horizon, QUANTILE_LEVELS)

    def _status(self, *, is_fallback: bool) -> Status:
        if is_fallback:
            return "fallback"
        return "live" if self.sequence >= _WARM else "warming_up"
