"""Alerts: what somebody wants to be told of series, and what is told (contract, version 1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from shared.errors import InvalidValue
from shared.forecast import QUANTILE_LEVELS, Forecast

Level = Annotated[float, Field(gt=0, lt=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is known of a series when its rules are judged.

    Attributes
    ----------
    forecast
        The newest.
    earlier
        Those before it, as far as they are kept.
    now_ms
        UTC milliseconds, by Redis's clock.
    below_since
        When its model was first seen to do worse than its champion, UTC milliseconds.
    """

    forecast: Forecast
    earlier: Sequence[Forecast] = ()
    now_ms: int
    below_since: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a rule has something to tell, and of which number and limit."""

    is_raised: bool
    text: str
    value: float | None = None
    limit: float | None = None


class _Rule(BaseModel):
    """A rule: for which series it is, and what it is called."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    judges_the_past: ClassVar[bool] = False
    name: str = Field(default="", max_length=100)
    series: str = "*"

    def concerns(self, series: str) -> bool:
        """Whether it is for this series: a name, or a pattern such as ``binance:*:1h``."""
        return fnmatchcase(series, self.series)


class PriceRule(_Rule):
    """A quantile of the price some candles ahead is beyond a price."""

    kind: Literal["price"]
    horizon: int = Field(default=1, ge=1, le=64)
    quantile: Level = 0.5
    above: float | None = None
    below: float | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_level("quantile", self.quantile)
        if (self.above is None) == (self.below is None):
            raise ValueError("say either above or below")
        return self

    def judge(self, seen: Seen) -> Verdict | None:
        """Judge the newest forecast; None where it does not reach so far."""
        if self.horizon > seen.forecast.horizons:
            return None
        price = seen.forecast.quantile(self.quantile, self.horizon)
        limit, side = (self.above, "above") if self.above is not None else (self.below, "below")
        is_raised = price > limit if side == "above" else price < limit  # type: ignore[operator]
        what = f"{self.quantile:g} quantile {self.horizon} ahead is {price:g}"
        return Verdict(is_raised, f"{what}; told where {side} {limit:g}", price, limit)


class OutsideRule(_Rule):
    """The close that came is beyond what was said of it some candles before."""

    kind: Literal["outside"]
    horizon: int = Field(default=1, ge=1, le=64)
    low: Level = 0.025
    high: Level = 0.975

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("low", "high"):
            _check_level(name, getattr(self, name))
        if self.low >= self.high:
            raise ValueError("low must be below high")
        return self

    def judge(self, seen: Seen) -> Verdict | None:
        """Judge the last close; None where nothing was said of it so long before."""
        close_time, close = seen.forecast.candle_close_time, seen.forecast.last_close
        for said in seen.earlier:
            if said.horizons >= self.horizon and said.target_times[self.horizon - 1] == close_time:
                low, high = (said.quantile(level, self.horizon) for level in (self.low, self.high))
                text = (
                    f"close {close:g}, of which {low:g} to {high:g} was said {self.horizon} before"
                )
                limit = low if close < low else high
                return Verdict(not low <= close <= high, text, close, limit)
        return None


class VolatilityRule(_Rule):
    """The standard deviation of the log return some candles ahead is above a level."""

    kind: Literal["volatility"]
    horizon: int = Field(default=1, ge=1, le=64)
    above: float = Field(gt=0)

    def judge(self, seen: Seen) -> Verdict | None:
        """Judge the newest forecast; None where it does not reach so far."""
        if self.horizon > seen.forecast.horizons:
            return None
        value = seen.forecast.volatility[self.horizon - 1]
        text = f"volatility {self.horizon} ahead is {value:g}; told where above {self.above:g}"
        return Verdict(value > self.above, text, value, self.above)


class StaleRule(_Rule):
    """The newest forecast should have been followed by another."""

    judges_the_past: ClassVar[bool] = True
    kind: Literal["stale"]
    for_s: float = Field(default=0, ge=0, description="seconds that it may be late")

    def judge(self, seen: Seen) -> Verdict:
        """Judge the newest forecast by the clock."""
        late_s = (seen.now_ms - seen.forecast.valid_until) / 1_000
        text = f"stale for {timedelta(seconds=round(late_s))}" if late_s > 0 else "fresh"
        return Verdict(late_s > self.for_s, text, late_s, self.for_s)


class DriftRule(_Rule):
    """The model errs otherwise than it did, as some of the newest candles have shown."""

    kind: Literal["drift"]
    candles: int = Field(default=24, ge=1)

    def judge(self, seen: Seen) -> Verdict:
        """Judge the newest forecast."""
        drift = seen.forecast.drift
        if drift is None:
            return Verdict(is_raised=False, text="no drift so far")
        candle, close = seen.forecast.candle_open_time, seen.forecast.candle_close_time
        text = f"{drift.signal} from {drift.before:.3g} to {drift.after:.3g}, {drift.count} so far"
        is_raised = candle - drift.found_at < self.candles * (close - candle)
        return Verdict(is_raised, text, drift.after, drift.before)


class BelowChampionRule(_Rule):
    """The model does worse than its champion did."""

    judges_the_past: ClassVar[bool] = True
    kind: Literal["below-champion"]

    def judge(self, seen: Seen) -> Verdict:
        """Judge the model."""
        is_raised = seen.below_since is not None
        return Verdict(is_raised, f"the model does {'worse' if is_raised else 'as well'} as before")


class FallbackRule(_Rule):
    """The baseline speaks in place of the model, which did worse."""

    kind: Literal["fallback"]

    def judge(self, seen: Seen) -> Verdict:
        """Judge the newest forecast."""
        return Verdict(seen.forecast.status == "fallback", f"{seen.forecast.status} speaks")


Rule = (
    PriceRule
    | OutsideRule
    | VolatilityRule
    | StaleRule
    | DriftRule
    | BelowChampionRule
    | FallbackRule
)
_RULES: TypeAdapter[list[Rule]] = TypeAdapter(list[Annotated[Rule, Field(discriminator="kind")]])


def read_rules(found: Sequence[dict[str, Any]]) -> list[Rule]:
    """Return rules as the settings spell them; one without a name has that of its kind.

    Raises
    ------
    InvalidValue
        Where one is none, or two have one name.
    """
    try:
        rules = _RULES.validate_python(found)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(str(part) for part in fault["loc"])
        raise InvalidValue(f"alerts.{place}", str(fault["input"]), fault["msg"]) from error
    named = [rule.model_copy(update={"name": rule.name or rule.kind}) for rule in rules]
    names = [rule.name for rule in named]
    for name in names:
        if names.count(name) > 1:
            raise InvalidValue("alerts", name, "two rules are called that: give each a name")
    return named


class Alert(BaseModel):
    """What is told: a rule has begun to hold for a series, or holds no more."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    schema_version: Literal[1] = Field(default=1, alias="schema")
    rule: str
    kind: str
    series: str
    state: Literal["raised", "cleared"]
    at: int = Field(ge=0, description="UTC milliseconds, by Redis's clock")
    text: str
    value: float | None = None
    limit: float | None = None
    revision: int | None = Field(default=None, description="of the forecast that was judged")


def _check_level(name: str, level: float) -> None:
    if level not in QUANTILE_LEVELS:
        known = ", ".join(f"{each:g}" for each in QUANTILE_LEVELS)
        raise ValueError(f"{name} must be one of {known}")
