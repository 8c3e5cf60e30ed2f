"""Fit of the calendar's start to the candles of several markets at once."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.calendar import Seasonality
from models.hours import DAY_MS, HOUR_MS
from models.memory import Array
from models.moves import fields_of, measure
from shared.candle import Candle, Timeframe

Market = tuple[Sequence[Candle], Timeframe]
Tables = dict[str, NDArray[np.float32]]

_PART_MS = HOUR_MS // 12
_ROWS_AT_ONCE = 50_000
# Tables, their sizes, and the pull of each to zero: what two could explain falls to the first.
_TABLES = {"hour": (24, 5e-4), "weekday": (7, 5e-4), "week": (168, 0.015), "part": (12, 5e-4)}


def fit(markets: Sequence[Market]) -> Tables:
    """Regress what the log variance has above its slow mean on the calendar.

    Parameters
    ----------
    markets
        Candles in order and their timeframe, of markets that trade around the clock; each counts
        the same.

    Returns
    -------
    The tables as `models.constants.Prior` names them, log variance; zeros where no market tells.
    """
    sizes, pulls = zip(*_TABLES.values(), strict=True)
    intraday = [market for market in markets if market[1].ms < DAY_MS]
    found = _solve(intraday, np.repeat(pulls, sizes))
    tables = dict(zip(_TABLES, np.split(found, np.cumsum(sizes)[:-1]), strict=True))
    daily = [market for market in markets if market[1].ms == DAY_MS]
    tables["day"] = _solve(daily, np.full(7, _TABLES["weekday"][1]))
    return {name: table.astype(np.float32) for name, table in tables.items()}


def _solve(markets: Sequence[Market], pull: Array) -> Array:
    """Ridge regression; what is summed up is a mean for each market."""
    squares, products = np.diag(pull), np.zeros(len(pull))
    for candles, timeframe in markets:
        times = np.array([candle.open_time for candle in candles])
        heights = _heights(candles, timeframe.ms)
        for rows in np.array_split(np.arange(len(times)), -(-len(times) // _ROWS_AT_ONCE)):
            design = _design(times[rows], timeframe.ms)
            squares += design.T @ design / len(times)
            products += design.T @ heights[rows] / len(times)
    return np.asarray(np.linalg.solve(squares, products), np.float64)


def _design(times: NDArray[np.int64], timeframe_ms: int) -> Array:
    """Which entries of the tables a candle belongs to, shape (n, 211), or of daily ones (n, 7)."""
    rows, week = np.arange(len(times)), (times // HOUR_MS + 72) % 168
    if timeframe_ms >= DAY_MS:
        return np.eye(7)[week // 24]
    design = np.zeros((len(times), sum(size for size, _ in _TABLES.values())))
    for start, at in ((0, week % 24), (24, week // 24), (31, week)):
        design[rows, start + at] = 1
    if timeframe_ms < HOUR_MS:
        parts = max(1, timeframe_ms // _PART_MS)
        first = times % HOUR_MS // _PART_MS
        for part in range(parts):
            design[rows, 199 + first + part] += 1 / parts
    return design


def _heights(candles: Sequence[Candle], timeframe_ms: int) -> Array:
    """Return what the calendar is to explain: log variance of each candle above its slow mean."""
    calendar, log_close = Seasonality(timeframe_ms), None
    heights = np.empty(len(candles))
    for row, candle in enumerate(candles):
        move = measure(fields_of(candle), log_close)
        calendar.learn_one(candle.open_time, move.variance)
        heights[row], log_close = calendar.height, move.log_close
    return heights
