"""The forecasters' common interface, and the default one, composed of the estimators beside it."""

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from models.calendar import Seasonality
from models.cohort import CODE, EXPERTS, LABEL_FLOOR, LOG_CLOSE, MIXED, Cohort
from models.constants import HORIZONS, Prior
from models.ewma import Ewma
from models.features import Features
from models.hours import HOUR_MS, TradingHours
from models.memory import Array
from models.mixture import GradientMixture
from models.moves import Move, measure
from models.network import PooledNetwork
from models.pending import Pending, between, knots
from models.prices import PriceForecaster
from models.quantiles import QuantileTracker
from models.scale import RecursiveLeastSquares, ScaleExpert, SlowLevel
from models.stillness import SETTLED, TickHistogram
from models.ticks import TickGrid
from shared.errors import InvalidValue
from shared.forecast import MEDIAN


class QuantileForecaster(Protocol):
    """What every forecaster can do: River's ``Forecaster``, and quantiles.

    ``y`` is the close price of a candle; ``x`` holds its ``open_time`` (UTC milliseconds),
    ``open``, ``high``, ``low``, ``close`` and ``volume``.
    """

    def learn_one(self, y: float, x: Mapping[str, Any] | None = None) -> None:
        """Learn the next candle."""

    def forecast(self, horizon: int, xs: Sequence[Mapping[str, Any]] | None = None) -> list[float]:
        """Return the median close price of each of the next ``horizon`` candles."""

    def forecast_quantiles(self, horizon: int, levels: Sequence[float]) -> Array:
        """Return quantiles of the close prices, shape (horizon, len(levels)), non-decreasing."""


# The usual variance is known from here on; a series is young up to there.
_WICK_FROM, _YOUNG = 24, 500
# Index of the expert to trust where little moves: the slowest.
_STILL = 0
# The guess for a series without candles, 1 % an hour, fades within ten candles.
_VARIANCE_AN_HOUR = 1e-4


class ScaleMixtureForecaster(PriceForecaster):
    """The default forecaster: a scale from several experts, times tracked quantiles.

    The variance of the next h candles is forecast, not their direction, which in liquid markets
    is near chance. Everything is learned at the *knots* among the horizons and interpolated
    between them in the logarithm of the horizon; each label is learned when its candle arrives,
    from what was known at its origin.

    Parameters
    ----------
    timeframe_ms
        Length of a candle in milliseconds.
    horizon
        Number of candles ahead, 1 to 64.
    wick
        A candle's variance counts up to this many times the usual one, or up to its squared
        return.
    doubt
        The variance of a young series is forecast 1 + doubt / candles times as large.
    prior
        What other series have taught: a fourth expert, and where seasons and quantiles start.
    panel
        Scale experts of one's own in place of these, each with the weight it starts from; the first
        is trusted the more, the more often prices stand still. They are taught in place: give new
        ones to each forecaster, for a clone begins with what these have learned by then.

    Attributes
    ----------
    hours, calendar, features, experts, mixture, tracker, ticks, counts
        The parts, in the order in which a candle passes them.
    opinions
        Log variance a candle that each expert gives up to each knot, from the newest candle
        learned here, shape (m, n).
    """

    _learned = (
        *("hours", "calendar", "features", "experts", "mixture", "tracker", "ticks"),
        *("counts", "pending", "usual", "candles", "log_close"),
    )

    def __init__(
        self,
        timeframe_ms: int = HOUR_MS,
        horizon: int = 24,
        wick: float = 100.0,
        doubt: float = 1.0,
        prior: Prior | None = None,
        panel: tuple[tuple[ScaleExpert, float], ...] | None = None,
    ) -> None:
        self.timeframe_ms = timeframe_ms
        self.horizon = horizon
        self.wick = wick
        self.doubt = doubt
        self.prior = prior
        self.knots = knots(horizon)
        self.hours = TradingHours(timeframe_ms, horizon)
        self.calendar = Seasonality(timeframe_ms, prior)
        self.features = Features(timeframe_ms)
        self.panel = panel
        experts, weights = zip(*(panel or _panel(self.knots, prior)), strict=True)
        self.experts: tuple[ScaleExpert, ...] = experts
        self.mixture = GradientMixture(self.knots, prior=weights, still=_STILL)
        self.tracker = QuantileTracker(
            self.knots, None if prior is None else between(HORIZONS, self.knots) @ prior.sizes
        )
        self.ticks = TickGrid()
        self.counts = TickHistogram(self.knots)
        self.pending = Pending(self.knots, EXPERTS + len(self.experts))
        self.opinions = np.zeros((len(self.knots), len(self.experts)))
        self.usual = Ewma(72)
        self.candles = 0
        self.log_close: float | None = None
        self._remember(scale=(len(self.knots),))
        self.scale: Array
        self.steps = np.array(self.knots, np.float64)
        self.last = np.array(self.knots) - 1
        self.roots = np.sqrt(self.steps)
        self.all_roots = np.sqrt(np.arange(1, horizon + 1))
        self.between = between(self.knots, tuple(range(1, horizon + 1)))

    def recalled(self) -> None:
        """Of the newest candle nothing is known."""
        self.opinions = np.zeros((len(self.knots), len(self.experts)))

    def learn_one(self, y: float, x: Mapping[str, Any] | None = None) -> None:
        """Learn the next candle: first the labels it completes, then what it says itself."""
        if x is None:
            raise InvalidValue("x", x, "pass the candle's open_time, open, high, low and volume")
        self.alone.learn((y,), (x,))

    def _quantiles(self, levels: Sequence[float]) -> Array:
        return self.alone.forecast_quantiles(levels)

    @cached_property
    def alone(self) -> Cohort:
        """Return the cohort of this one: all that is learned in step is written once."""
        return Cohort((self,))

    def lie_in(self, buffer: Array) -> None:
        """Make the arrays views into a buffer; the parts' may be moving too."""
        super().lie_in(buffer)
        self.__dict__.pop("alone", None)

    def begin(self, x: Mapping[str, Any]) -> Move:
        """Take in when a candle opened and how lively it was."""
        open_time = x["open_time"]
        move = self._tempered(measure(x, self.log_close))
        self._pass_time(open_time, move.variance)
        return move

    def end(self, y: float, move: Move) -> None:
        """Take in the close: from here on the candle is the newest."""
        before = self.ticks.close
        self.ticks.learn_one(y)
        if self.ticks.tick:
            self.counts.observe((y - before) / self.ticks.tick, move.volume)
        self.candles += 1
        self.log_close = move.log_close

    def inherit(self, other: "ScaleMixtureForecaster") -> None:
        """Begin with what another series of the timeframe has taught, not with what it is like.

        Seasons, regression, trust in the experts and quantiles are taken over; level, ticks, hours
        and all that waits for its target are the market's own.
        """
        for own, its in (
            *((self.calendar, other.calendar), (self.mixture, other.mixture)),
            (self.tracker, other.tracker),
        ):
            own.buffer[:] = its.buffer
        self.calendar.starts_anew = other.calendar.starts_anew
        for expert, taught in zip(self.experts, other.experts, strict=True):
            if isinstance(expert, RecursiveLeastSquares) and isinstance(taught, type(expert)):
                expert.inherit(taught)

    @property
    def is_settled(self) -> bool:
        """Whether it is known how often closes stand still, and by which ticks they move."""
        return self.ticks.tick > 0 and self.candles >= SETTLED

    def learn_counts(self, rows: Array, log_close: float, known: Array) -> None:
        """Count the moves that a candle ends, in ticks, from what was known at their origins."""
        origins = np.exp(rows[:, LOG_CLOSE])
        moves = np.round((math.exp(log_close) - origins) / self.ticks.tick)
        deviations = np.exp(rows[:, MIXED] / 2) * self.roots * origins / self.ticks.tick
        others = np.round(self.tracker.predict_one() * deviations[:, None])
        self.counts.learn_one(moves, rows[:, CODE], others, known)

    def count_in(self, returns: Array) -> None:
        """Move quantiles of the return to what the counts of ticks say, as far as these hold."""
        tick = self.ticks.tick / self.ticks.close
        ticks = self.between @ self.counts.predict_one()
        counted = np.log1p(np.maximum(ticks * tick, -0.99))
        counted -= returns
        # To and fro says where the price may be, not which way it goes: the median stays.
        counted[:, MEDIAN] = 0
        counted *= (self.between @ self.counts.share)[:, None]
        returns += counted
        median = returns[:, MEDIAN, None]
        np.minimum(returns[:, :MEDIAN], median, out=returns[:, :MEDIAN])
        np.maximum(returns[:, MEDIAN + 1 :], median, out=returns[:, MEDIAN + 1 :])

    def widened(self, scale: Array) -> Array:
        """Widen the log variance of a young series, of which a few candles say little."""
        if self.candles >= _YOUNG:
            return scale
        guess = math.log(_VARIANCE_AN_HOUR * self.timeframe_ms / HOUR_MS)
        guess -= self.candles * math.log(4)
        return np.logaddexp(scale + math.log1p(self.doubt / self.candles), guess)

    def _tempered(self, move: Move) -> Move:
        """Bound what a lone wick can say: one bad print must not widen a week of forecasts."""
        most = max(move.log_return**2, self.wick * self.usual.get())
        if move.variance > most and self.candles >= _WICK_FROM:
            move = move._replace(variance=most)
        self.usual.update(move.variance + LABEL_FLOOR)
        return move


def _panel(horizons: tuple[int, ...], prior: Prior | None) -> tuple[tuple[ScaleExpert, float], ...]:
    """Return the scale experts, each with the weight it starts from."""
    online: tuple[tuple[ScaleExpert, float], ...] = (
        (SlowLevel(2000), 0.05),
        (RecursiveLeastSquares(horizons), 0.35),
        (SlowLevel(66), 0.02),
    )
    return online if prior is None else (*online, (PooledNetwork(horizons, prior), 0.58))
