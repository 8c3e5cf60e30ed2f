"""What the catalog knows of a model."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from models.forecaster import QuantileForecaster


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
