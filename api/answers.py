"""What the HTTP interface answers, beside forecasts and candles as they are in Redis."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.alert import Alert
from shared.forecast import Drift, Forecast, Skill, Status

TimeMs = Annotated[int, Field(description="UTC milliseconds")]


class Problem(BaseModel):
    """What went wrong, by RFC 9457 (``application/problem+json``)."""

    type: str = "about:blank"
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(
        description="what was wrong, and the remedy",
        examples=["no series='binance:BTC/USD:1h'; series that exist: binance:BTC/USDT:1h"],
    )
    instance: str = Field(description="the path that was asked for", examples=["/v1/candles"])


class SeriesRow(BaseModel):
    """How one series stands."""

    series: str
    exchange: str
    symbol: str
    timeframe: str
    paused: bool
    learned: int = Field(description="candles that its model has learned")
    waiting: int = Field(description="candles that it has yet to learn")
    status: Status | None = Field(description="of its newest forecast; null where there is none")
    stale: bool | None = Field(description="whether a newer candle should have been forecast")
    last_close: float | None
    candle_close_time: TimeMs | None
    issued_at: TimeMs | None
    valid_until: TimeMs | None
    skill: list[Skill]
    drift: Drift | None = Field(description="the newest, and how many there were; null if none")
    below_champion_since: TimeMs | None = Field(
        description="when the model was first seen to do worse than its champion; null if it is not"
    )


EXAMPLE: dict[str, Any] = {
    "schema": 1,
    "series": "binance:BTC/USDT:1h",
    "exchange": "binance",
    "symbol": "BTC/USDT",
    "timeframe": "1h",
    "revision": 2_161,
    "sequence": 2_160,
    "since": 1_726_502_400_000,
    "candle_open_time": 1_734_274_800_000,
    "candle_close_time": 1_734_278_400_000,
    "last_close": 102_480.5,
    "issued_at": 1_734_278_403_021,
    "latency_ms": 4,
    "valid_until": 1_734_282_060_000,
    "target_times": [1_734_282_000_000],
    "quantile_levels": [0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975],
    "quantiles": [
        [101_520, 101_700, 101_905, 102_220, 102_482.3, 102_745, 103_058, 103_266, 103_450]
    ],
    "median": [102_482.3],
    "volatility": [0.00467],
    "prob_up": [0.502],
    "skill": [{"horizon": 1, "candles": 999, "crps": 0.031, "coverage_90": 0.902, "mae": 0.001}],
    "drift": {
        "count": 2,
        "signal": "error",
        "since": 1_729_728_000_000,
        "found_at": 1_730_188_800_000,
        "before": 0.742,
        "after": 0.951,
    },
    "status": "live",
    "model": {
        "name": "default",
        "fingerprint": "5c1f",
        "snapshot": {"version": 12, "alias": "champion"},
    },
    "stale": False,
}
"""A forecast of one candle ahead, as it is answered."""


class Said(Forecast):
    """A forecast, and whether it is stale by the clock of whoever answers."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    stale: bool


class CandleRow(BaseModel):
    """A closed candle; prices in the quote currency."""

    open_time: TimeMs
    open: float
    high: float
    low: float
    close: float
    volume: float


class Step(BaseModel):
    """What was said of one candle so many candles ahead, and what came."""

    candle_open_time: TimeMs = Field(description="of the last candle that was known then")
    target_time: TimeMs = Field(description="close of the candle that was forecast")
    median: float
    quantiles: list[float] = Field(description="prices, at the levels of the answer")
    close: float | None = Field(description="what came; null where it has not yet, or never did")
    inside_90: bool | None = Field(description="whether that lies in the 90 % band")


class Overlay(BaseModel):
    """Forecasts of the past beside what then happened."""

    series: str
    horizon: int = Field(description="candles ahead")
    quantile_levels: list[float]
    coverage_90: float | None = Field(description="share of the known closes inside the 90 % band")
    steps: list[Step]


class Outlook(BaseModel):
    """One market by hours and by days."""

    market: str
    hours: Said | None = Field(description="of its series of 1h, at most 24 steps ahead")
    days: Said | None = Field(description="of its series of 1d, at most 7 steps ahead")


class ModelRow(BaseModel):
    """The model behind a series."""

    series: str
    fingerprint: str | None
    learned: int
    since: TimeMs | None = Field(description="open time of the first candle that it has learned")
    revision: int
    rebuilds: int
    restores: int
    rollbacks: int
    snapshot: dict[str, Any] | None = Field(description="newest version and alias in MLflow")
    champion: dict[str, Any] | None = Field(description="the version others are held against")


class AlertsRow(BaseModel):
    """What `candlecast notify` tells."""

    raised: list[Alert] = Field(description="what holds now, the newest first")
    newest: list[Alert] = Field(description="what was told last, the newest first")
    judged: bool = Field(description="whether `candlecast notify` runs")


class Health(BaseModel):
    """Whether this process can answer."""

    status: Literal["ok"] = "ok"
