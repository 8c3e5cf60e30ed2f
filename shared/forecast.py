"""Forecast and Skill: what is published for each series, version 1 of the public contract."""

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.errors import InvalidValue

if TYPE_CHECKING:
    import pandas as pd

QUANTILE_LEVELS = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)
MEDIAN = QUANTILE_LEVELS.index(0.5)
"""Place of the median among the levels."""

Status = Literal["warming_up", "live", "fallback"]
Price = Annotated[float, Field(gt=0, allow_inf_nan=False)]
TimeMs = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="constants")


class Skill(_Value):
    """How the forecasts at one horizon did, scored before each candle was learned.

    ``crps`` and ``mae`` are 1 - score / score of the baseline (positive is better than naive),
    ``coverage_90`` is the share of closes inside the 90 % band; all recency-weighted over
    ``candles`` scored candles, and null before the first one.
    """

    horizon: int = Field(ge=1)
    candles: int = Field(ge=0)
    crps: Finite | None
    coverage_90: Share | None
    mae: Finite | None


class Drift(_Value):
    """The newest change in how the model errs, and how many were found so far.

    Of the forecasts for the next candle. ``signal`` is what changed: ``error``, the distance of
    the median from the close in forecast standard deviations, or ``score``, the CRPS in the same
    unit. ``before`` and ``after`` are its means on both sides,
    ``since`` is the open time of the first candle after it, ``found_at`` that of the candle that
    showed it.
    """

    count: int = Field(ge=1)
    signal: Literal["error", "score"]
    since: TimeMs
    found_at: TimeMs
    before: Finite
    after: Finite


class Snapshot(_Value):
    """The newest MLflow version of the series' model."""

    version: int = Field(ge=1)
    alias: str | None


class ModelName(_Value):
    """Which model spoke."""

    name: str
    fingerprint: str
    snapshot: Snapshot | None


class Forecast(_Value):
    """The probabilistic forecast of one series after one candle.

    Times are UTC milliseconds, prices are in the quote currency. ``quantiles[h][l]`` is the price
    that the close at ``target_times[h]`` stays below with probability ``quantile_levels[l]``;
    ``volatility[h]`` is the standard deviation of the log return from ``last_close`` to it.

    Raises
    ------
    pydantic.ValidationError
        When a value is not finite, quantiles cross, or the lengths disagree.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    series: str
    exchange: str
    symbol: str
    timeframe: str
    revision: int = Field(ge=1)
    sequence: int = Field(ge=0)
    since: TimeMs
    candle_open_time: TimeMs
    candle_close_time: TimeMs
    last_close: Price
    issued_at: TimeMs
    latency_ms: int | None = Field(ge=0)
    valid_until: TimeMs
    target_times: tuple[TimeMs, ...] = Field(min_length=1)
    quantile_levels: tuple[Share, ...] = Field(min_length=1)
    quantiles: tuple[tuple[Price, ...], ...]
    median: tuple[Price, ...]
    volatility: tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)], ...]
    prob_up: tuple[Share, ...]
    skill: tuple[Skill, ...]
    drift: Drift | None = None
    status: Status
    model: ModelName

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        horizons = len(self.target_times)
        for name in ("quantiles", "median", "volatility", "prob_up"):
            if len(getattr(self, name)) != horizons:
                raise ValueError(f"{name} must have one entry for each of {horizons} target times")
        if any(b <= a for a, b in pairwise((self.candle_close_time, *self.target_times))):
            raise ValueError("target_times must rise from candle_close_time on")
        for row in self.quantiles:
            if len(row) != len(self.quantile_levels):
                raise ValueError("each row of quantiles must have one entry for each level")
            if list(row) != sorted(row):
                raise ValueError("quantiles must not cross")
        return self

    @property
    def horizons(self) -> int:
        """Number of candles ahead."""
        return len(self.target_times)

    def quantile(self, level: float, horizon: int) -> float:
        """Return the price that the close so many candles ahead stays below with a probability.

        Raises
        ------
        InvalidValue
            When the level is none of ``quantile_levels``, or the horizon is not 1 to ``horizons``.
        """
        if level not in self.quantile_levels:
            known = ", ".join(f"{each:g}" for each in self.quantile_levels)
            raise InvalidValue("level", level, f"use one of {known}")
        if not 1 <= horizon <= self.horizons:
            raise InvalidValue("horizon", horizon, f"use 1 to {self.horizons} candles ahead")
        return self.quantiles[horizon - 1][self.quantile_levels.index(level)]

    def to_frame(self) -> "pd.DataFrame":
        """Return a row for each horizon; needs pandas (the extra ``files``).

        Columns: ``target_time`` (UTC), a price for each level as ``q0.025`` …, ``median``,
        ``volatility`` and ``prob_up``; the index is the horizon, 1 for the next candle.
        """
        import pandas as pd  # noqa: PLC0415 -- an extra

        columns = {
            f"q{level:g}": prices
            for level, prices in zip(
                self.quantile_levels, zip(*self.quantiles, strict=True), strict=True
            )
        }
        return pd.DataFrame(
            {
                "target_time": pd.to_datetime(list(self.target_times), unit="ms", utc=True),
                **columns,
                "median": self.median,
                "volatility": self.volatility,
                "prob_up": self.prob_up,
            },
            index=pd.RangeIndex(1, self.horizons + 1, name="horizon"),
        )

    def is_stale(self, now_ms: int) -> bool:
        """Whether a newer candle should have been forecast by ``now_ms``."""
        return now_ms > self.valid_until
