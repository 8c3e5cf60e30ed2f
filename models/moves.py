"""What one candle says about its market, in log prices."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from shared.candle import Candle

_LN4_LESS_1 = 2 * math.log(2) - 1


class Move(NamedTuple):
    """One candle seen from the close before it; logarithms of prices, variances per candle.

    Attributes
    ----------
    log_close
        Logarithm of the close.
    log_return
        Change of ``log_close`` since the candle before; 0 for the first candle.
    variance
        Variance that the candle itself shows: its range (Garman & Klass) and its opening gap.
    location
        Log distance of the close from the middle of the range.
    volume
        Volume, in the market's own unit.
    """

    log_close: float
    log_return: float
    variance: float
    location: float
    volume: float


def fields_of(candle: Candle) -> dict[str, float]:
    """Return a candle as the ``x`` of a forecaster."""
    return {
        "open_time": candle.open_time,
        "open": candle.open,
        "high": candle.high,
        "low": candle.low,
        "close": candle.close,
        "volume": candle.volume,
    }


def measure(x: Mapping[str, float], last_log_close: float | None) -> Move:
    """Measure a candle.

    Parameters
    ----------
    x
        Open, high, low, close (positive) and volume (not negative).
    last_log_close
        Logarithm of the close before; None for the first candle, whose return and gap are 0.

    References
    ----------
    Garman & Klass, "On the Estimation of Security Price Volatilities from Historical Data",
    Journal of Business 53 (1980).
    """
    log_open, log_close = math.log(x["open"]), math.log(x["close"])
    log_high, log_low = math.log(x["high"]), math.log(x["low"])
    before = log_open if last_log_close is None else last_log_close
    spread, body, gap = log_high - log_low, log_close - log_open, log_open - before
    garman_klass = max(spread * spread / 2 - _LN4_LESS_1 * body * body, 0.0)
    return Move(
        log_close=log_close,
        log_return=0.0 if last_log_close is None else log_close - before,
        variance=garman_klass + gap * gap,
        location=log_close - (log_high + log_low) / 2,
        volume=x["volume"],
    )
