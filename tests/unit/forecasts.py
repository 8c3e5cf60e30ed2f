"""A forecast by hand."""

from typing import Any

from shared.forecast import QUANTILE_LEVELS, Forecast, ModelName

HOUR = 3_600_000
T0 = 1_700_000_000_000 // HOUR * HOUR


def forecast(hour: int = 0, revision: int = 1, **other: Any) -> Forecast:
    """What is said after the candle of that hour, for two candles ahead."""
    opened = T0 + hour * HOUR
    fields: dict[str, Any] = {
        "series": "x:BTC/USDT:1h",
        "exchange": "x",
        "symbol": "BTC/USDT",
        "timeframe": "1h",
        "revision": revision,
        "sequence": hour + 1,
        "since": T0,
        "candle_open_time": opened,
        "candle_close_time": opened + HOUR,
        "last_close": 100.0,
        "issued_at": opened + HOUR,
        "latency_ms": 5,
        "valid_until": opened + 2 * HOUR + 5_000,
        "target_times": (opened + 2 * HOUR, opened + 3 * HOUR),
        "quantile_levels": QUANTILE_LEVELS,
        "quantiles": tuple(
            tuple(100.0 + step * (place - 4) for place in range(9)) for step in (1, 2)
        ),
        "median": (100.0, 100.0),
        "volatility": (0.01, 0.02),
        "prob_up": (0.5, 0.5),
        "skill": (),
        "status": "live",
        "model": ModelName(name="default", fingerprint="f", snapshot=None),
    }
    return Forecast(**fields | other)
