"""Bands that hold what they claim, around whatever says where the price will be."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from models.calendar import Seasonality
from models.distribution import at_levels, to_prices
from models.ewma import Ewma
from models.features import Features
from models.hours import HOUR_MS, TradingHours
from models.memory import Array, bounded
from models.moves import Move, measure
from models.pending import Pending, Slots, between, knots
from models.prices import PriceForecaster
from models.quantiles import QuantileTracker
from models.ticks import TickGrid
from shared.errors import InvalidValue

_LOG_CLOSE, _CENTRE, _DEVIATION, _BIAS, INPUTS = 0, 1, 2, 3, 4
_SPAN = 32
# Errors of many candles ahead overlap: as many more of them say as much.
_FIRST, _BIAS_SPAN = 100, 2_000
_LEAST_VARIANCE = 1e-10
_OUTLIER, _LARGEST_LABEL = 2.0, 8.0
_LONGEST_FAULT = 200
# Candles for which a model rests: twice as many each time, unless it was awake for long between.
_RESTED, _MOST_DOUBLED, _LONG = 16, 6, 1_000
# One slow candle may be the machine's fault; one more within as many as this is the model's.
_PATIENCE = 16
_VARIANCE_AN_HOUR = 1e-4
_LARGEST_RETURN = 100.0
# So many standard deviations away lies no close that somebody has reason to expect.
_ABSURD = 1_000.0


class Stopwatch:
    """Tells how long estimators take; it stands still until somebody gives it a clock."""

    def __init__(self) -> None:
        self.read: Callable[[], float] = float


STOPWATCH = Stopwatch()


def told_of(error: BaseException) -> str:
    """Return what an error of anybody's says, as text that can be kept anywhere."""
    try:
        text = f"{type(error).__name__}: {error}"
    except (MemoryError, KeyboardInterrupt):
        raise
    except BaseException:  # noqa: BLE001 -- its text is the user's too
        text = type(error).__name__
    # Nobody's terminal or log is to be written to by it.
    text = text.encode(errors="replace").decode()
    return "".join(one if one.isprintable() else " " for one in text)


class Conformal(PriceForecaster):
    r"""A River model says where the price will be; how far it errs is learned around it.

    The error at each horizon is standardised by a scale (a short mean of the variance, with the
    season of the target times), and its quantiles are followed one error at a time: in the long run
    the bands hold what they claim, whatever the model says.

    An estimator that raises is asked again with the next candle; until then nothing is said, and
    so it is where what it says is not finite, or beyond all reason. One that rests is taught
    nothing, and not asked.

    Parameters
    ----------
    timeframe_ms
        Length of a candle in milliseconds.
    horizon
        Number of candles ahead, 1 to 64.
    estimator
        The River model; it stays as it is, clones of it learn.

    Attributes
    ----------
    fault
        What was wrong with the estimator at the newest candle; empty where nothing was.
    faults, last_fault, last_fault_at
        At how many candles something was, what was at the last of them, and when that opened.
    centre
        Log return that it expects to each of the next candles, shape (H,); NaN after a fault.
    deviation
        Scale of its errors, log return, shape (H,).
    bias
        Mean of its errors at the knots, in deviations, shape (m,): it is taken off.

    References
    ----------
    Gibbs & Candès, "Adaptive Conformal Inference Under Distribution Shift", NeurIPS 2021;
    Angelopoulos, Candès & Tibshirani, "Conformal PID Control for Time Series Prediction", NeurIPS
    2023.
    """

    _learned = (
        *("hours", "calendar", "tracker", "ticks", "pending", "features", "scale"),
        *("estimators", "fault", "faults", "last_fault", "last_fault_at", "candles", "log_close"),
        *("resting", "rests", "awake", "tired", "slow"),
    )
    _width = INPUTS

    def __init__(
        self, timeframe_ms: int = HOUR_MS, horizon: int = 24, estimator: Any = None
    ) -> None:
        self.timeframe_ms = timeframe_ms
        self.horizon = horizon
        self.estimator = estimator
        steps = getattr(estimator, "steps", None)  # of a pipeline what ends it says most
        self._name = type([*steps.values()][-1] if steps else estimator).__name__
        self.knots = knots(horizon)
        self.steps = np.array(self.knots)
        self.last = self.steps - 1
        self.roots = np.sqrt(np.arange(1, horizon + 1))
        self.between = between(self.knots, tuple(range(1, horizon + 1)))
        self.hours = TradingHours(timeframe_ms, horizon)
        self.calendar = Seasonality(timeframe_ms)
        self.tracker = QuantileTracker(self.knots)
        self.ticks = TickGrid()
        self.features = Features(timeframe_ms)
        self.pending = Pending(self.knots, self._width)
        self.scale = Ewma(_SPAN)
        self.scale.update(_VARIANCE_AN_HOUR * timeframe_ms / HOUR_MS)
        self.estimators = self._new_estimators()
        self.fault = ""
        self.faults = 0
        self.last_fault = ""
        self.last_fault_at: int | None = None
        self.resting = self.rests = self.awake = self.slow = 0
        self.tired = ""
        self.spent_s = 0.0
        self.is_news = False
        self.candles = 0
        self.log_close: float | None = None
        self._remember(centre=(horizon,), deviation=(horizon,), bias=(len(self.knots),))
        self.centre: Array
        self.deviation: Array
        self.bias: Array

    def learn_one(self, y: float, x: Mapping[str, Any] | None = None) -> None:
        """Learn the next candle: first the labels it completes, then what the model says now."""
        if x is None:
            raise InvalidValue("x", x, "pass the candle's open_time, open, high, low and volume")
        move, open_time = measure(x, self.log_close), x["open_time"]
        self._wake()
        self._take_in(open_time, move)
        slots = self.pending.slots(self.hours.position)
        due, known = self.pending.due(slots, open_time)
        completed = np.flatnonzero(known)
        deviations = np.where(known > 0, due[:, _DEVIATION], 1.0)
        returns = (move.log_close - due[:, _LOG_CLOSE]) / deviations
        errors = returns - due[:, _CENTRE] / deviations
        known = known * np.isfinite(errors)
        self.tracker.learn_one(errors - due[:, _BIAS], known)
        rates = known / np.minimum(self.candles + _FIRST * self.steps, _BIAS_SPAN * self.steps)
        # One error out of a still market may be a thousand times what is usual.
        most = _OUTLIER * self.tracker.sizes[:, -1]
        self.bias += rates * bounded(np.where(known > 0, errors, 0.0) - self.bias, most)
        self._teach(move, open_time, bounded(returns, _LARGEST_LABEL), completed, due)
        self.ticks.learn_one(y)
        self.log_close = move.log_close
        self.candles += 1
        self.pending.put(slots, self.hours.path[self.last], self._look_ahead(move, open_time))

    def _quantiles(self, levels: Sequence[float]) -> Array:
        errors = self.between @ (self.bias[:, None] + self.tracker.predict_one())
        returns = self.centre[:, None] + errors * self.deviation[:, None]
        np.maximum.accumulate(returns, axis=1, out=returns)
        returns = bounded(returns, _LARGEST_RETURN)
        self.ticks.snap(returns)
        return to_prices(at_levels(returns, levels), self.ticks.close)

    def recalled(self) -> None:
        """Nothing is news of what was recalled."""
        self.is_news = False

    def rest(self, why: str) -> bool:
        """Leave the estimators alone for some candles; return whether they were to be used."""
        if self.resting > 1:
            return False
        span = _RESTED << min(self.rests, _MOST_DOUBLED)
        self.resting, self.rests, self.awake = span + 1, self.rests + 1, 0
        self.is_news = True
        self._blame(f" rests for {span} candles: {why}")
        self.tired = self.last_fault
        return True

    def tire(self, limit_s: float) -> bool:
        """Rest where that many seconds were too few for two candles of a few; whether it was so."""
        is_slow = self.spent_s > limit_s
        self.slow = self.slow + _PATIENCE if is_slow else max(0, self.slow - 1)
        if self.slow <= _PATIENCE:
            return False
        self.slow = 0
        return self.rest(f"a candle took it {self.spent_s:.1f} s")

    def _wake(self) -> None:
        """Begin a candle: at rest, or with nothing wrong so far."""
        self.spent_s = 0.0
        self.resting = max(0, self.resting - 1)
        self.fault = self.tired if self.resting else ""
        self.awake += not self.resting
        if self.awake > _LONG:
            self.rests = 0

    def _blame(self, what: str) -> None:
        """Note what is wrong with the estimator: the first thing of a candle."""
        told = f"{self._name}{what}"[:_LONGEST_FAULT]
        self.faults += self.last_fault_at != self.hours.open_time
        self.last_fault, self.last_fault_at = told, self.hours.open_time
        if not self.fault or self.resting:
            self.fault = told

    def forget_unless(self, can_be_read: Callable[[Any], str]) -> None:
        """Begin anew with estimators that hold what could not be read back; say so."""
        if why := can_be_read(self.estimators):
            self.estimators = self._new_estimators()
            self.is_news = True
            self._blame(f" begins anew: {why}")

    def _take_in(self, open_time: int, move: Move) -> None:
        """Take in when the candle opened, and how lively it was."""
        self._pass_time(open_time, move.variance)
        self.features.learn_one(move, self.calendar.now)
        self.scale.update(move.variance * math.exp(-self.calendar.now) + _LEAST_VARIANCE)

    def _look_ahead(self, move: Move, open_time: int) -> Array:
        """Ask the model; return what is to be kept until the targets arrive."""
        ahead = self.calendar.ahead(self.hours.path)
        self.deviation[:] = np.sqrt(self.scale.get() * np.exp(ahead)) * self.roots
        kept = np.zeros((len(self.knots), self._width))
        kept[:, _LOG_CLOSE] = move.log_close
        kept[:, _DEVIATION] = self.deviation[self.last]
        kept[:, INPUTS:] = self._inputs(move, open_time, ahead)
        self.centre[:] = np.nan
        if not self.fault:  # one that could not learn does not know what it says
            self.attempt(self._hear, kept[0, INPUTS:])
        kept[:, _CENTRE] = self.centre[self.last]
        kept[:, _BIAS] = self.bias
        return kept

    def _hear(self, inputs: Array) -> None:
        centre = self._expect(inputs)
        if not np.all(abs(centre) < _ABSURD * self.deviation):
            worst = centre[np.argmax(abs(centre) / self.deviation)]
            raise ValueError(f"it expects a log return of {worst:g}")
        self.centre[:] = centre

    def attempt(self, work: Callable[..., None], *args: Any) -> None:
        """Do what is the user's; what goes wrong there is noted and harms nobody."""
        if self.resting:
            return
        began = STOPWATCH.read()
        try:
            work(*args)
        except (MemoryError, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 -- all that is done there is the user's
            self._blame(f": {told_of(error)}")
        self.spent_s += STOPWATCH.read() - began

    def _new_estimators(self) -> list[Any]:
        return [self.estimator.clone()]

    def _inputs(self, move: Move, open_time: int, ahead: Array) -> Array:
        """Return what has to be kept of an origin, shape (k,)."""
        raise NotImplementedError

    def _teach(self, move: Move, open_time: int, returns: Array, known: Slots, due: Array) -> None:
        """Teach the model the newest candle, or the returns (in deviations) that it completes."""
        raise NotImplementedError

    def _expect(self, inputs: Array) -> Array:
        """Return the log return that the model expects to each of the next candles, (H,)."""
        raise NotImplementedError
