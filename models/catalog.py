"""The models by name: the one place to add one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from models.baseline import RandomWalk
from models.forecaster import QuantileForecaster, ScaleMixtureForecaster
from shared.candle import Timeframe
from shared.errors import InvalidValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """How to make a forecaster, and what tells it from others.

    Attributes
    ----------
    version
        Raised with every change after which saved states no longer continue.
    create
        Returns a new forecaster for a timeframe and a number of candles ahead.
    parameters
        What else was chosen, where that may change.
    constants
        Hash of the constants that are shipped with the model, if any.
    """

    version: int
    create: Callable[[Timeframe, int], QuantileForecaster]
    parameters: Mapping[str, float | str] = field(default_factory=dict)
    constants: str = ""


MODELS: Mapping[str, Model] = MappingProxyType(
    {
        "default": Model(
            version=2,
            create=lambda timeframe, horizon: ScaleMixtureForecaster(timeframe.ms, horizon),
        ),
        "random-walk": Model(version=1, create=lambda _timeframe, _horizon: RandomWalk()),
    }
)


def model(name: str) -> Model:
    """Return the model of this name.

    Raises
    ------
    InvalidValue
        When there is none.
    """
    try:
        return MODELS[name]
    except KeyError:
        raise InvalidValue("model", name, f"use one of {', '.join(MODELS)}") from None
