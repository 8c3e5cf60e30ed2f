"""Forecasts of the past, so many candles ahead, against what then happened."""

from collections.abc import Iterable, Mapping

from api.answers import Overlay, Step
from shared.forecast import Forecast

_LOW, _HIGH = 0.05, 0.95


def overlay(
    series: str, history: Iterable[Forecast], closes: Mapping[int, float], horizon: int
) -> Overlay:
    """Lay what was said over what came.

    Parameters
    ----------
    history
        Forecasts of the series, by revision; of those after the same candle the last one counts.
    closes
        Prices by close time, UTC milliseconds.
    horizon
        Candles ahead; forecasts that do not reach so far are left out.
    """
    said = {one.candle_open_time: one for one in history if one.horizons >= horizon}
    steps = [_step(one, closes, horizon) for _, one in sorted(said.items())]
    known = [step.inside_90 for step in steps if step.inside_90 is not None]
    return Overlay(
        series=series,
        horizon=horizon,
        quantile_levels=next((list(one.quantile_levels) for one in said.values()), []),
        coverage_90=sum(known) / len(known) if known else None,
        steps=steps,
    )


def _step(said: Forecast, closes: Mapping[int, float], horizon: int) -> Step:
    target = said.target_times[horizon - 1]
    close = closes.get(target)
    low, high = (said.quantile(level, horizon) for level in (_LOW, _HIGH))
    return Step(
        candle_open_time=said.candle_open_time,
        target_time=target,
        median=said.median[horizon - 1],
        quantiles=list(said.quantiles[horizon - 1]),
        close=close,
        inside_90=None if close is None else low <= close <= high,
    )
