"""Any River model as a forecaster with calibrated bands."""

import hashlib
import json
import math
from collections import deque
from collections.abc import Mapping
from functools import singledispatch
from inspect import signature
from typing import Any

import numpy as np
from river import base

from models.conformal import INPUTS, Conformal
from models.entry import Model
from models.features import CLOCK, NAMES, clock
from models.memory import Array
from models.moves import Move
from models.pending import Slots
from shared.candle import Timeframe
from shared.errors import InvalidValue

_PER_CENT = 100.0


class CalibratedForecaster(Conformal):
    """A model of ``river.time_series``, asked for all horizons at once.

    ``y`` is 100 times the logarithm of the close, ``x`` the clock at which its candle opened
    (`models.features.CLOCK`).
    """

    def _inputs(self, move: Move, open_time: int, ahead: Array) -> Array:  # noqa: ARG002
        return np.zeros(0)

    def _teach(
        self,
        move: Move,
        open_time: int,
        returns: Array,  # noqa: ARG002
        known: Slots,  # noqa: ARG002
        due: Array,  # noqa: ARG002
    ) -> None:
        (estimator,) = self.estimators
        y = _PER_CENT * move.log_close
        self.attempt(lambda: estimator.learn_one(y=y, x=_clock(open_time)))

    def _expect(self, inputs: Array) -> Array:  # noqa: ARG002
        (estimator,) = self.estimators
        path = [_clock(int(time)) for time in self.hours.path]
        said = np.array(estimator.forecast(horizon=self.horizon, xs=path), np.float64)
        if said.shape != (self.horizon,):
            raise ValueError(f"it forecasts {said.shape} for {self.horizon} candles")
        return said / _PER_CENT - math.log(self.ticks.close)


class CalibratedRegressor(Conformal):
    """A regressor of River's, cloned for each of some horizons; interpolated between these.

    ``x`` are the features of an origin by name, and its clock (`models.features`), ``y`` is the log
    return from there to the horizon in standard deviations, eight at most.
    """

    _width = INPUTS + len(NAMES) + len(CLOCK)

    def _new_estimators(self) -> list[Any]:
        return [self.estimator.clone() for _ in self.knots]

    def _inputs(self, move: Move, open_time: int, ahead: Array) -> Array:
        features = self.features.transform_one(move, self.calendar.now, ahead)
        return np.concatenate((features, clock(open_time)))

    def _teach(
        self,
        move: Move,  # noqa: ARG002
        open_time: int,  # noqa: ARG002
        returns: Array,
        known: Slots,
        due: Array,
    ) -> None:
        for place in known:  # each by itself: one that raises holds up no other
            x, y = _named(due[place, INPUTS:]), float(returns[place])
            self.attempt(self.estimators[place].learn_one, x, y)

    def _expect(self, inputs: Array) -> Array:
        said = [estimator.predict_one(_named(inputs)) for estimator in self.estimators]
        return np.asarray(self.between @ np.array(said, np.float64) * self.deviation)


def calibrated(estimator: Any, *, version: int = 1) -> Model:
    """Return a River model as an entry of the catalog, with calibrated bands.

    Its parameters are part of its fingerprint, to the last bit.

    Parameters
    ----------
    estimator
        A forecaster of ``river.time_series``, or a regressor: of River's, or of one's own with its
        methods.
    version
        To be raised where code of one's own changes so that saved states no longer continue.

    Raises
    ------
    InvalidValue
        When it is neither.
    """
    _order_selections()
    if not isinstance(estimator, base.Estimator):
        remedy = "it has to be an estimator of River's: inherit from one of its base classes"
        if isinstance(estimator, type):
            remedy = "it has to be an instance: write Momentum(), not Momentum"
        raise InvalidValue("model", _shown(estimator), remedy)
    steps = getattr(estimator, "steps", None)  # a pipeline has every method, what ends it not
    final = [*steps.values()][-1] if steps else estimator
    if isinstance(final, base.Regressor):
        kind: type[Conformal] = CalibratedRegressor
    elif hasattr(final, "forecast"):
        kind = CalibratedForecaster
    else:
        raise InvalidValue("model", _shown(estimator), "it is neither a forecaster nor a regressor")

    def create(timeframe: Timeframe, horizon: int) -> Conformal:
        return kind(timeframe.ms, horizon, estimator)

    return Model(version=version, create=create, parameters={"estimator": _digest(estimator)})


def _order_selections() -> None:
    """Have River's `Select` take what it selects in the order of its names.

    By itself it goes through a set, whose order is another in each process: so would be what is
    added up in it, by a bit.
    """
    from river import compose  # noqa: PLC0415 -- it brings SciPy along, which others do without

    def transform_one(self: compose.Select, x: dict[Any, Any]) -> dict[Any, Any]:
        return {name: x[name] for name in sorted(self.keys, key=str)}

    compose.Select.transform_one = transform_one  # type: ignore[method-assign]


def _shown(estimator: Any) -> str:
    return repr(estimator)[:100] if isinstance(estimator, type) else type(estimator).__name__


def _digest(estimator: base.Estimator) -> str:
    """Return what tells an estimator from others of other parameters, to the last bit."""
    return hashlib.sha256(json.dumps(_spelled(estimator)).encode()).hexdigest()


@singledispatch
def _spelled(value: Any) -> Any:
    """Spell a parameter the same in every process."""
    if callable(value):
        return _name_of(value)
    remedy = "a parameter has to be a number, a text, a collection of such, or of River's"
    raise InvalidValue("model", repr(value), remedy)


@_spelled.register
def _(value: bool | int | str | None) -> Any:  # noqa: FBT001
    return value


@_spelled.register
def _(value: float | np.floating) -> Any:
    return float(value).hex()


@_spelled.register
def _(value: np.integer | np.bool_) -> Any:
    return value.item()


@_spelled.register
def _(value: list | tuple | deque) -> Any:  # type: ignore[type-arg]
    return [_spelled(one) for one in value]


@_spelled.register
def _(value: set | frozenset) -> Any:  # type: ignore[type-arg]
    return sorted(json.dumps(_spelled(one)) for one in value)


@_spelled.register
def _(value: np.ndarray) -> Any:
    return [str(value.dtype), value.shape, hashlib.sha256(value.tobytes()).hexdigest()]


@_spelled.register
def _(value: Mapping) -> Any:  # type: ignore[type-arg]
    return [[_spelled(name), _spelled(one)] for name, one in value.items()]


@_spelled.register
def _(value: base.Base) -> Any:
    spelled = {}
    for name in signature(type(value)).parameters:
        try:
            spelled[name] = _spelled(getattr(value, name))
        except InvalidValue as error:
            where = f"{type(value).__name__}.{name}: {error.value}"
            raise InvalidValue("model", where, error.remedy) from None
    return [_name_of(type(value)), spelled]


def _name_of(value: Any) -> str:
    name = getattr(value, "__qualname__", None)
    if name is None:
        raise InvalidValue("model", repr(value), "a parameter has to be a value, or have a name")
    return f"{value.__module__}.{name}"


def _clock(open_time: int) -> dict[str, float]:
    return dict(zip(CLOCK, clock(open_time), strict=True))


def _named(inputs: Array) -> dict[str, float]:
    return dict(zip((*NAMES, *CLOCK), inputs.tolist(), strict=True))
