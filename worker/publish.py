"""What a learner says, as the published forecast."""

import numpy as np
from numpy.typing import NDArray

from models.learners import Outlook
from shared.candle import Candle, Series
from shared.forecast import MEDIAN, QUANTILE_LEVELS, Forecast, ModelName, Snapshot

GRACE_MS = 10_000
"""How long after the close of the next candle a forecast is not yet called stale."""

_EXACT_POWER = 22


def significant(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round to ten significant digits; monotone, so that quantiles stay in order.

    >>> significant(np.array([64123.456789012, 0.000012345678905]))
    array([6.41234568e+04, 1.23456789e-05])
    """
    exponent = 9 - np.floor(np.log10(values))
    # Powers of ten up to 22 are exact, which makes the quotient the float nearest to the decimal.
    exact = abs(exponent) <= _EXACT_POWER
    scale = 10.0 ** np.where(exact, abs(exponent), 0)
    up, down = np.rint(values * scale) / scale, np.rint(values / scale) * scale
    rounded = np.where(exponent >= 0, up, down)
    if not exact.all():
        rounded[~exact] = [float(f"{value:.9e}") for value in values[~exact].tolist()]
    return rounded


def forecast_of(  # noqa: PLR0913 -- a forecast says where all of it comes from
    series: Series,
    candle: Candle,
    outlook: Outlook,
    *,
    model: str,
    fingerprint: str,
    snapshot: tuple[int, str | None] | None,
    revision: int,
    sequence: int,
    since: int,
    issued_at: int,
    latency_ms: int | None,
) -> Forecast:
    """Return the forecast after ``candle``."""
    quantiles = significant(outlook.quantiles).tolist()
    return Forecast(
        series=str(series),
        exchange=series.exchange,
        symbol=series.symbol,
        timeframe=str(series.timeframe),
        revision=revision,
        sequence=sequence,
        since=since,
        candle_open_time=candle.open_time,
        candle_close_time=candle.open_time + series.timeframe.ms,
        last_close=candle.close,
        issued_at=issued_at,
        latency_ms=latency_ms,
        valid_until=outlook.target_times[0] + GRACE_MS,
        target_times=outlook.target_times,
        quantile_levels=QUANTILE_LEVELS,
        quantiles=quantiles,
        median=tuple(row[MEDIAN] for row in quantiles),
        volatility=outlook.volatility.tolist(),
        prob_up=outlook.prob_up.tolist(),
        skill=outlook.skill,
        drift=outlook.drift,
        status=outlook.status,
        model=ModelName(
            name=model,
            fingerprint=fingerprint,
            snapshot=Snapshot(version=snapshot[0], alias=snapshot[1]) if snapshot else None,
        ),
    )
