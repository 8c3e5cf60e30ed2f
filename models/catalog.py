"""The models by name: the one place to add one."""

import sys
import traceback
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name
from types import MappingProxyType
from typing import Any

from models import constants
from models.baseline import RandomWalk
from models.calibrated import calibrated
from models.conformal import told_of
from models.entry import Model
from models.forecaster import QuantileForecaster, ScaleMixtureForecaster
from shared.candle import Timeframe
from shared.errors import InvalidValue

_INSTALLED = ("site-packages", "dist-packages")
_OURS = ("api", "candlecast", "config", "models", "producers", "shared", "worker")
_AT, _AND = "@", "+"


def _scale_mixture(timeframe: Timeframe, horizon: int, **prior: Any) -> ScaleMixtureForecaster:
    return ScaleMixtureForecaster(timeframe.ms, horizon, **prior)


MODELS: Mapping[str, Model] = MappingProxyType(
    {
        "default": Model(version=5, create=_scale_mixture, pooled=True),
        "random-walk": Model(version=1, create=lambda _timeframe, _horizon: RandomWalk()),
    }
)
# River's own forecasters take a second to import: only those have to who name them.
_EXAMPLES = {
    "snarimax": "models.examples.snarimax",
    "holt-winters": "models.examples.holt_winters",
    "regression": "models.examples.regression",
}


def model(name: str) -> Model:
    """Return the model of this name, with its prior.

    Parameters
    ----------
    name
        ``default`` begins with the shipped prior, ``default@none`` without any,
        ``default@<digest>`` with one of a user's own: see `with_prior`. ``package.module.name``
        is a River model of one's own, or what `calibrated` has made of one.

    Raises
    ------
    InvalidValue
        When there is none, or no prior of that digest.
    """
    base, _, which = name.partition(_AT)
    entry = MODELS.get(base) or _own(_EXAMPLES.get(base, base))
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


def roles(name: str) -> tuple[str, str]:
    """Return the model that speaks and its challenger, which may be none, of ``A+B`` or ``A``."""
    speaker, _, challenger = name.partition(_AND)
    return speaker, challenger


def paired(speaker: str, challenger: str) -> str:
    """Return the name of a model with a challenger, which may be none.

    Raises
    ------
    InvalidValue
        When both are the same.
    """
    if speaker == challenger:
        raise InvalidValue("challenger", challenger, "it is the model that speaks: name another")
    return speaker + (_AND + challenger if challenger else "")


def stand_in(name: str) -> str:
    """Return the model that speaks where this one cannot, if there is one but the baseline."""
    return "" if name.partition(_AT)[0] in MODELS else "default"


def has_river(name: str) -> bool:
    """Whether a model, or its challenger, is a River model: ours hold nothing but plain data."""
    return any(role and stand_in(role) for role in roles(name))


def is_own(name: str) -> bool:
    """Whether a model, or its challenger, is named by the path of a River model."""
    return any("." in role.partition(_AT)[0] for role in roles(name))


def paths(name: str) -> list[str]:
    """Return the paths of the user's models that a name holds."""
    return [role.partition(_AT)[0] for role in roles(name) if is_own(role)]


def sources(name: str) -> list[Path]:
    """Return the files or folders of a user's models, to travel with what they have learned.

    With a model goes what was imported from beside it, as a rule by it; what is installed stays.
    """
    tops = {path.replace(":", ".").partition(".")[0] for path in paths(name)}
    homes = {own.parent for top in tops if (own := _source(top)) and top not in _OURS}
    found = {_source(module.partition(".")[0]) for module in [*sys.modules]}
    return sorted(
        one
        for one in found
        if one
        and one.parent in homes
        and one.parent.name not in _INSTALLED
        and one.stem not in _OURS
    )


@cache
def _source(top: str) -> Path | None:
    """Return the file or the folder of a module at the top."""
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return None
    places = spec and [*(spec.submodule_search_locations or []), spec.origin or ""]
    return Path(places[0]) if places and Path(places[0]).exists() else None


@cache
def _own(path: str) -> Model:
    """Import the River model at a dotted path.

    Raises
    ------
    InvalidValue
        When there is none, or two processes would not agree that it is the same.
    """
    if not is_own(path):
        names = ", ".join((*MODELS, *_EXAMPLES))
        raise InvalidValue("model", path, f"use one of {names}, or package.module.name")
    try:
        found = resolve_name(path)
        return found if isinstance(found, Model) else calibrated(found)
    except InvalidValue:
        raise
    except ImportError as error:
        remedy = f"{error}: install its package, or set PYTHONPATH to its folder"
        raise InvalidValue("model", path, remedy) from error
    except (Exception, SystemExit) as error:  # whatever a module makes of being imported
        raise InvalidValue("model", path, f"{told_of(error)} ({_place(error)})") from error


def _place(error: BaseException) -> str:
    """Return the file and line at which something was raised."""
    *_, last = traceback.extract_tb(error.__traceback__)
    return f"{Path(last.filename).name}, line {last.lineno}"


def prior_of(name: str) -> str:
    """Return what follows the @ of a model's name: ``none``, a digest, or nothing."""
    return name.partition(_AND)[0].partition(_AT)[2]


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
