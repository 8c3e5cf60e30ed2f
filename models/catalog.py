"""The models by name: the one place to add one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from models import constants
from models.baseline import RandomWalk
from models.forecaster import QuantileForecaster, ScaleMixtureForecaster
from shared.candle import Timeframe
from shared.errors import InvalidValue

_AT = "@"


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """How to make a forecaster, and what tells it from others.

    Attributes
    ----------
    version
        Raised with every change after which saved states no longer continue.
    create
        Returns a new forecaster for a timeframe and a number of candles ahead; one that is
        pooled takes a prior as well.
    parameters
        What else was chosen, where that may change.
    pooled
        Whether it begins with what other series have taught.
    constants
        Digest of the prior; empty without one.
    """

    version: int
    create: Callable[..., QuantileForecaster]
    parameters: Mapping[str, float | str] = field(default_factory=dict)
    pooled: bool = False
    constants: str = ""


def _scale_mixture(timeframe: Timeframe, horizon: int, **prior: Any) -> ScaleMixtureForecaster:
    return ScaleMixtureForecaster(timeframe.ms, horizon, **prior)


MODELS: Mapping[str, Model] = MappingProxyType(
    {
        "default": Model(version=5, create=_scale_mixture, pooled=True),
        "random-walk": Model(version=1, create=lambda _timeframe, _horizon: RandomWalk()),
    }
)


def model(name: str) -> Model:
    """Return the model of this name, with its prior.

    Parameters
    ----------
    name
        ``default`` begins with the shipped prior, ``default@none`` without any,
        ``default@<digest>`` with one of a user's own: see `with_prior`.

    Raises
    ------
    InvalidValue
        When there is none, or no prior of that digest.
    """
    base, _, which = name.partition(_AT)
    if base not in MODELS:
        raise InvalidValue("model", name, f"use one of {', '.join(MODELS)}")
    entry = MODELS[base]
    if not entry.pooled:
        if which:
            raise InvalidValue("prior", which, f"the model {base} takes none")
        return entry
    prior = constants.prior(which or constants.SHIPPED)
    if prior is None:
        return entry

    def create(timeframe: Timeframe, horizon: int) -> QuantileForecaster:
        return entry.create(timeframe, horizon, prior=prior)

    return replace(entry, create=create, constants=prior.digest)


def prior_of(name: str) -> str:
    """Return what follows the @ of a model's name: ``none``, a digest, or nothing."""
    return name.partition(_AT)[2]


def with_prior(name: str, prior: str) -> str:
    """Return the name of a model that begins with a prior of one's own, or without any.

    Parameters
    ----------
    name
        Of a model; one that names its prior itself stays as it is.
    prior
        ``shipped``, ``none``, or a file that ``candlecast pretrain`` has made.

    Raises
    ------
    InvalidValue
        When the model takes none, or the file holds none.
    """
    begins_without = prior == constants.NONE and not model(name).pooled
    if prior != constants.SHIPPED and not begins_without and not prior_of(name):
        name += _AT + (prior if prior == constants.NONE else constants.know(Path(prior)))
    model(name)
    return name
