"""Any River model as a forecaster with calibrated bands."""

import math
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
        estimator.learn_one(y=_PER_CENT * move.log_close, x=_clock(open_time))

    def _expect(self, inputs: Array) -> Array:  # noqa: ARG002
        (estimator,) = self.estimators
        path = [_clock(int(time)) for time in self.hours.path]
        said = estimator.forecast(horizon=self.horizon, xs=path)
        return np.array(said, np.float64) / _PER_CENT - math.log(self.ticks.close)


class CalibratedRegressor(Conformal):
    """A regressor of River's, cloned for each of some horizons; interpolated between these.

    ``x`` are the features of an origin by name, and its clock (`models.features`), ``y`` is the log
    return from there to the horizon in standard deviations.
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
        for place in known:
            x = _named(due[place, INPUTS:])
            self.estimators[place].learn_one(x, float(returns[place]))

    def _expect(self, inputs: Array) -> Array:
        x = _named(inputs)
        said = np.array([estimator.predict_one(x) for estimator in self.estimators], np.float64)
        return np.asarray(self.between @ said * self.deviation)


def calibrated(estimator: Any, *, version: int = 1) -> Model:
    """Return a River model as an entry of the catalog, with calibrated bands.

    Parameters
    ----------
    estimator
        A forecaster of ``river.time_series``, or a regressor: of River's, or of one's own with its
        methods. What it is made of is part of its fingerprint, by its ``repr``.
    version
        To be raised where code of one's own changes so that saved states no longer continue.

    Raises
    ------
    InvalidValue
        When it is neither.
    """
    if not isinstance(estimator, base.Estimator):
        raise InvalidValue("model", repr(estimator), "it has to be an estimator of River's")
    steps = getattr(estimator, "steps", None)  # a pipeline has every method, what ends it not
    final = [*steps.values()][-1] if steps else estimator
    if isinstance(final, base.Regressor):
        kind: type[Conformal] = CalibratedRegressor
    elif hasattr(final, "forecast"):
        kind = CalibratedForecaster
    else:
        raise InvalidValue("model", repr(estimator), "it is neither a forecaster nor a regressor")

    def create(timeframe: Timeframe, horizon: int) -> Conformal:
        return kind(timeframe.ms, horizon, estimator)

    return Model(version=version, create=create, parameters={"estimator": repr(estimator)})


def _clock(open_time: int) -> dict[str, float]:
    return dict(zip(CLOCK, clock(open_time), strict=True))


def _named(inputs: Array) -> dict[str, float]:
    return dict(zip((*NAMES, *CLOCK), inputs.tolist(), strict=True))
