"""Invariants of the published forecast, whatever the numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from models.learners import Outlook
from shared.candle import Candle, Series
from shared.forecast import QUANTILE_LEVELS, Forecast
from shared.wire import decode_forecast, encode_forecast
from worker.publish import forecast_of, significant

HOUR = 3_600_000
SERIES = Series.parse("test:BTC/USDT:1h")
prices = st.floats(min_value=1e-9, max_value=1e9)


def outlook(close: float, spreads: list[float]) -> Outlook:
    """An outlook around a close whose bands widen by ``spreads``."""
    steps = np.linspace(-1, 1, len(QUANTILE_LEVELS))
    quantiles = close * np.exp(np.outer(spreads, steps))
    horizon = len(spreads)
    return Outlook(
        target_times=tuple(HOUR * (h + 2) for h in range(horizon)),
        quantiles=quantiles,
        median=quantiles[:, 4],
        volatility=np.array(spreads),
        prob_up=np.full(horizon, 0.5),
        status="live",
        skill=(),
        drift=None,
        voice="model",
    )


def published(close: float, spreads: list[float]) -> Forecast:
    """The forecast of that outlook."""
    return forecast_of(
        SERIES,
        Candle(0, close, close, close, close, 0.0),
        outlook(close, spreads),
        model="default",
        fingerprint="f",
        snapshot=None,
        revision=1,
        sequence=1,
        since=0,
        issued_at=1,
        latency_ms=None,
    )


@given(prices, st.lists(st.floats(min_value=0, max_value=3), min_size=1, max_size=64))
def test_any_outlook_becomes_a_valid_forecast_and_reads_back(
    close: float, spreads: list[float]
) -> None:
    """Rounding never makes quantiles cross, and the JSON says the same as the value."""
    forecast = published(close, spreads)

    assert decode_forecast(encode_forecast(forecast)) == forecast
    assert forecast.horizons == len(spreads)
    assert forecast.target_times[0] == forecast.candle_close_time + HOUR
    assert forecast.valid_until > forecast.target_times[0]
    assert not forecast.is_stale(forecast.target_times[0])


@given(st.floats(min_value=1e-300, max_value=1e300))
def test_prices_have_ten_significant_digits(price: float) -> None:
    """Rounded prices are the floats nearest to ten-digit decimals."""
    (rounded,) = significant(np.array([price]))

    assert rounded == float(f"{price:.9e}")


@given(st.lists(prices, min_size=2))
def test_rounding_keeps_the_order(values: list[float]) -> None:
    """What was sorted stays sorted."""
    rounded = significant(np.array(sorted(values)))

    assert (np.diff(rounded) >= 0).all()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("quantiles", [[2.0, 1.0] + [3.0] * 7]),
        ("quantiles", [[1.0] * 8]),
        ("quantiles", [[float("nan")] * 9]),
        ("median", []),
        ("target_times", [HOUR]),
        ("prob_up", [1.5]),
        ("volatility", [float("inf")]),
        ("last_close", 0.0),
        ("status", "fine"),
    ],
)
def test_a_forecast_cannot_be_invalid(field: str, value: object) -> None:
    """Crossing quantiles, wrong lengths, wrong times and numbers that are none are refused."""
    fields = published(100.0, [0.1]).model_dump(by_alias=True)

    with pytest.raises(ValidationError):
        Forecast.model_validate(fields | {field: value})
