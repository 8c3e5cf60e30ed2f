"""Other markets made of real ones: longer candles, sessions, and thin trade on a coarse grid."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np

from models.hours import HOUR_MS, MONDAY_MS, WEEK_MS
from shared.candle import Candle, Timeframe

_SESSION_HOURS = range(13, 21)
_WORKDAYS = 5


def longer(candles: Iterable[Candle], timeframe: Timeframe) -> list[Candle]:
    """Return the candles of a longer timeframe, each of those that opened in it."""
    groups = groupby(candles, key=lambda candle: timeframe.floor(candle.open_time))
    return [_joined(open_time, list(group)) for open_time, group in groups]


def sessions(candles: Iterable[Candle]) -> list[Candle]:
    """Return the candles that open from 13:00 to 20:59 UTC on workdays."""
    return [
        candle
        for candle in candles
        if (candle.open_time - MONDAY_MS) % WEEK_MS // (24 * HOUR_MS) < _WORKDAYS
        and candle.open_time // HOUR_MS % 24 in _SESSION_HOURS
    ]


def thinned(candles: Sequence[Candle], seed: int) -> list[Candle]:
    """Return the same market with few trades, on a grid of prices that is coarse for its moves.

    A candle is traded with a probability of .1 to .7, drawn once for all; then it opens and closes
    on the grid, each at the bid or the ask by chance. All others stand still, without volume.
    """
    chance = np.random.default_rng(seed)
    share = chance.uniform(0.1, 0.7)
    logs = np.log([(candle.open, candle.close) for candle in candles])
    tick = max(float(np.median(abs(logs[:, 1] - logs[:, 0]))), 1e-8) * chance.uniform(0.3, 1.5)
    prices = np.exp((np.floor(logs / tick) + chance.integers(0, 2, logs.shape)) * tick).tolist()
    traded = chance.random(len(candles)) < share
    last, out = prices[0][0], []
    for candle, met, trades in zip(candles, prices, traded.tolist(), strict=True):
        first, close = met if trades else (last, last)
        volume = candle.volume * share if trades else 0.0
        high, low = max(first, close), min(first, close)
        out.append(Candle(candle.open_time, first, high, low, close, volume))
        last = close
    return out


def _joined(open_time: int, candles: Sequence[Candle]) -> Candle:
    return replace(
        candles[0],
        open_time=open_time,
        high=max(candle.high for candle in candles),
        low=min(candle.low for candle in candles),
        close=candles[-1].close,
        volume=math.fsum(candle.volume for candle in candles),
    )
