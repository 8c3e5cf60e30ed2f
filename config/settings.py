"""Every setting, read from the environment (``CANDLECAST_…``) and ``.env``."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import quote

from pydantic import (
    Field,
    FiniteFloat,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableSetting

from config import spelling
from config.state_key import development_key

_LONGEST_HORIZON = 64
_FromZero = Annotated[FiniteFloat, Field(ge=0)]
_Count = Annotated[int, Field(ge=1)]
_Skill = Annotated[FiniteFloat, Field(le=1)]
_LISTS = ("allowed_series", "markets", "state_modules", "api_tokens", "api_origins")
_PATIENCE = ("rollback_margin", "rollback_after_s")


class SettingsError(Exception):
    """A setting is wrong: names it and the remedy."""


class Settings(BaseSettings):
    """What can be set; the defaults suit one machine in development."""

    model_config = SettingsConfigDict(
        env_prefix="CANDLECAST_",
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    environment: Literal["development", "production"] = Field(
        default="development", description="production refuses to start without a state key"
    )
    redis_url: str = Field(
        default="redis://127.0.0.1:6379/0",
        repr=False,
        description="redis://default:password@host:6379/0, or by sentinels redis+sentinel://",
    )
    prefix: str = Field(default="candlecast:", description="put before every Redis key")
    data_dir: Path = Field(
        default=Path(".candlecast"), description="the demo's data and the development state key"
    )
    state_key: str | None = Field(
        default=None,
        min_length=32,
        repr=False,
        description="signs model states; 32 characters or more",
    )
    state_key_previous: str | None = Field(
        default=None,
        min_length=32,
        repr=False,
        description="accepted too while the state key is rotated",
    )
    state_modules: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="packages of one's own that states may name"
    )
    model: str = Field(
        default="default", description="name in the catalog, or path of a River model of one's own"
    )
    challenger: str = Field(default="", description="another, which learns in its shadow")
    prior: str = Field(
        default="shipped",
        min_length=1,
        description="what the model begins with: shipped, none, or a file made by pretrain",
    )
    horizons: Annotated[dict[str, int], NoDecode] = Field(
        default=spelling.HORIZONS, description="candles ahead by timeframe or series: 1m=30,1h=24"
    )
    retention: int = Field(default=2_000, ge=100, description="learned candles kept in each log")
    history: int = Field(default=100, ge=1, description="forecasts kept in each history stream")
    claim_series: int = Field(default=64, ge=1, description="series in one claim")
    lease_ms: int = Field(
        default=2_000, ge=1_500, description="milliseconds until an unfinished claim is due again"
    )
    state_every: int = Field(
        default=8, ge=1, le=32, description="candles after which a kept model's state is written"
    )
    kept_series: int = Field(
        default=10_000, ge=0, description="models that a worker keeps in memory, 38 KB each"
    )
    max_waiting: int = Field(
        default=10_000, ge=500, description="unlearned candles of a series before producers wait"
    )
    max_series: int = Field(
        default=20_000,
        ge=1,
        description="series in one installation; a producer of more is refused",
    )
    allowed_series: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("*",),
        min_length=1,
        description="patterns of the series that producers may push: binance:*:1h,kraken:*",
    )
    markets: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="series that `candlecast live` follows, read again on SIGHUP"
    )
    bridge: int = Field(
        default=0, ge=0, le=100, description="candles of the longest hole that is filled, flat"
    )
    exchanges: dict[str, dict[str, Any]] = Field(
        default={},
        repr=False,
        description="options of exchanges, and data services of one's own, as JSON",
    )
    gate_candles: Annotated[dict[str, _Count], NoDecode] = Field(
        default={"*": 500, "1d": 250, "3d": 120, "1w": 60},
        description="candles that a champion must have learned, by timeframe: *=500,1d=250",
    )
    gate_skill: Annotated[dict[str, _Skill], NoDecode] = Field(
        default={"*": 0.0},
        description="CRPS skill over the naive forecast that a champion must show, by timeframe",
    )
    gate_coverage: Annotated[dict[str, tuple[float, float]], NoDecode] = Field(
        default={"*": (0.85, 0.95)},
        description="from what to what a champion's 90 % band must cover: *=0.85-0.95",
    )
    rollback_margin: Annotated[dict[str, _FromZero], NoDecode] = Field(
        default={"*": 0.05},
        description="CRPS skill that a live model may lose to its champion, by timeframe",
    )
    rollback_after_s: Annotated[dict[str, _FromZero], NoDecode] = Field(
        default={"*": 3_600.0},
        description="seconds that it may stay below that before the champion is put back",
    )
    snapshot_period_s: int = Field(default=900, ge=1, description="seconds between snapshots")
    snapshot_budget_s: int = Field(
        default=300, ge=1, le=540, description="seconds that one snapshot job may take"
    )
    versions_kept: int = Field(
        default=10, ge=1, description="newest versions of a series in MLflow, besides its champion"
    )
    run_snapshots: int = Field(
        default=1_000, ge=10, description="snapshots whose metrics one MLflow run of a series holds"
    )
    pictures_every_s: float = Field(
        default=86_400.0,
        ge=0,
        description="seconds between pictures of one's champions; 0: none",
    )
    mlflow_tracking_uri: str = Field(
        default="", description="MLflow server or store; else MLFLOW_TRACKING_URI, or SQLite here"
    )
    api_host: str = Field(
        default="127.0.0.1", description="where the API listens; but for loopback it needs tokens"
    )
    api_port: int = Field(default=8000, ge=0, le=65_535, description="0: any that is free")
    api_tokens: Annotated[tuple[spelling.Sha256, ...], NoDecode] = Field(
        default=(), description="SHA-256 of the tokens of apps: candlecast api --new-token"
    )
    api_per_minute: int = Field(
        default=6_000, ge=0, description="requests of one address in a minute; 0: any number"
    )
    api_origins: Annotated[tuple[spelling.Origin, ...], NoDecode] = Field(
        default=(), description="origins whose pages may ask from a browser"
    )
    alerts: list[dict[str, Any]] = Field(
        default=[{"kind": "stale"}, {"kind": "fallback"}, {"kind": "below-champion"}],
        description="rules of `candlecast notify`, as JSON",
    )
    alerts_webhook: spelling.Url = Field(default="", repr=False, description="they go there too")
    alerts_secret: spelling.Secret = Field(default="", repr=False, description="signs: whsec_…")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="debug, info, warning or error"
    )
    log_format: Literal["auto", "console", "json"] = Field(
        default="auto", description="auto: console on a terminal, JSON otherwise"
    )

    @field_validator("horizons", mode="before")
    @classmethod
    def _read_horizons(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = (part.rpartition("=") for part in value.split(",") if part.strip())
        return spelling.HORIZONS | {name.strip(): horizon.strip() for name, _, horizon in pairs}

    @field_validator(*("gate_candles", "gate_skill", *_PATIENCE), mode="before")
    @classmethod
    def _read_by_timeframe(cls, value: object, info: ValidationInfo) -> object:
        if not isinstance(value, str):
            return value
        defaults = cls.model_fields[str(info.field_name)].default
        return defaults | dict(spelling.by_timeframe(value))

    @field_validator("gate_coverage", mode="before")
    @classmethod
    def _read_ranges(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return {"*": (0.85, 0.95)} | dict(spelling.ranges(value))

    @field_validator(*_LISTS, mode="before")
    @classmethod
    def _read_list(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(part.strip() for part in value.split(",") if part.strip())

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name, horizon in self.horizons.items():
            if not 1 <= horizon <= _LONGEST_HORIZON:
                raise ValueError(f"horizons: {name}={horizon} must be 1 to {_LONGEST_HORIZON}")
        for name in ("gate_candles", "gate_skill", "gate_coverage", *_PATIENCE):
            if unknown := getattr(self, name).keys() - {"*", *spelling.HORIZONS}:
                raise ValueError(f"{name}: {min(unknown)} is no timeframe, nor * for all")
        for name, (least, most) in self.gate_coverage.items():
            if not 0 <= least < most <= 1:
                raise ValueError(f"gate_coverage: {name}={least}-{most} must rise within 0 and 1")
        if self.environment == "production" and self.state_key is None:
            raise ValueError(
                "state_key: production needs CANDLECAST_STATE_KEY (openssl rand -hex 32)"
            )
        return self

    @model_validator(mode="after")
    def _check_webhook(self) -> Self:
        if self.alerts_webhook and not self.alerts_secret:
            raise ValueError("alerts_secret: a webhook needs CANDLECAST_ALERTS_SECRET")
        return self

    def horizon(self, series: str) -> int:
        """Candles ahead for a series: its own setting, else its timeframe's."""
        timeframe = series.rpartition(":")[2]
        return self.horizons.get(series) or self.horizons[timeframe]

    def gate(self, timeframe: str) -> tuple[int, float, tuple[float, float]]:
        """Candles, skill and coverage that are asked of the champion of a series."""
        asked: Any = (self.gate_candles, self.gate_skill, self.gate_coverage)
        candles, skill, coverage = (by.get(timeframe, by["*"]) for by in asked)
        return candles, skill, coverage

    def patience(self, timeframe: str) -> tuple[float, float]:
        """Skill that a live model may lose to its champion, and for how many seconds."""
        asked = (self.rollback_margin, self.rollback_after_s)
        margin, seconds = (by.get(timeframe, by["*"]) for by in asked)
        return margin, seconds

    def limits(self) -> dict[str, Any]:
        """Constants of the protocol that can be set."""
        names = (
            *("claim_series", "lease_ms", "state_every", "kept_series", "max_waiting"),
            *("max_series", "allowed_series", "retention", "history"),
        )
        found = {name: getattr(self, name) for name in names}
        return found | {"snapshot_period_ms": self.snapshot_period_s * 1_000}

    def signing_keys(self) -> tuple[bytes, bytes | None]:
        """Return the state key and the previous one; in development a missing key is made once."""
        previous = self.state_key_previous.encode() if self.state_key_previous else None
        key = self.state_key.encode() if self.state_key else development_key(self.data_dir)
        return key, previous

    def tracking_uri(self) -> str:
        """Where MLflow keeps runs and models."""
        beside = f"sqlite:///{quote(str(self.data_dir.resolve()))}/mlflow.db"
        return self.mlflow_tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or beside


def load() -> Settings:
    """Read the settings.

    Raises
    ------
    SettingsError
        Naming each wrong setting by its environment variable; values are not shown, some are
        secrets.
    """
    try:
        return Settings()
    except UnreadableSetting as error:
        # Its own text names no variable, and its cause shows the value.
        name = str(error).split('"')[1].upper()
        raise SettingsError(f"CANDLECAST_{name}: cannot be read: write JSON") from None
    except ValidationError as error:
        faults = (
            f"CANDLECAST_{str(fault['loc'][0]).upper()}: "
            f"{''.join(f'{part}: ' for part in fault['loc'][1:])}{fault['msg']}"
            if fault["loc"]
            else fault["msg"].removeprefix("Value error, ")
            for fault in error.errors()
        )
        raise SettingsError("; ".join(faults)) from error
