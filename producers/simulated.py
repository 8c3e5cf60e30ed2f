"""The simulated market as feeds: any timeframe of a symbol's minute path, history and live."""

import math
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from producers.process import DAY_MINUTES, FIRST_DAY, MinuteProcess
from shared.candle import Candle, Series, Timeframe
from shared.errors import InvalidValue
from shared.records import BEFORE_ALL

EXCHANGE = "simulated"
MINUTE_MS = 60_000
DAY_MS = 86_400_000
_FIRST_MS = FIRST_DAY * DAY_MS
# Minutes aggregated at once: bounds the memory of long timeframes to some megabytes.
_CHUNK_MINUTES = 30 * DAY_MINUTES
_SAME = 1e-4


class SimulatedMarket:
    """Candles of one simulated symbol; longer timeframes are aggregates of the same minutes.

    Candles are a pure function of symbol, seed, timeframe and open time (with one NumPy release on
    one kind of processor): a restart goes on with the same path, and two processes make identical
    candles. `producers.process` documents the process.

    Each symbol is a path of its own: BTC and ETH are independent here, where real ones move
    together, and so are BTC/USDT and BTC/USD.

    Parameters
    ----------
    symbol
        Any symbol; the base currency decides the price level and how much it moves.
    seed
        Another seed is another path.
    """

    def __init__(self, symbol: str, seed: int = 0) -> None:
        self._process = MinuteProcess(symbol, seed)
        self._seed = seed

    def candles(self, timeframe: Timeframe, start: int, count: int) -> list[Candle]:
        """Return ``count`` candles from the one that opens at ``start`` (UTC milliseconds) on.

        Raises
        ------
        InvalidValue
            When no candle of the timeframe opens then, or it is before the first one (2017).
        """
        timeframe.check_open_time(start)
        if start < (first := first_open_time(timeframe)):
            raise InvalidValue("open_time", start, f"the simulated market opened at {first}")
        length = timeframe.ms // MINUTE_MS
        at_once = max(1, _CHUNK_MINUTES // length)
        found: list[Candle] = []
        while len(found) < count:
            number = min(at_once, count - len(found))
            first = start // MINUTE_MS + len(found) * length
            times = (first + np.arange(number) * length) * MINUTE_MS
            rows = _aggregate(self._minutes(first, number * length), length)
            found.extend(map(Candle, times.tolist(), *rows.T.tolist()))
        return found

    def check_own(self, series: Series, candle: Candle) -> None:
        """Refuse to go on after a candle that is not of this path.

        Raises
        ------
        InvalidValue
            When the candle is another one than this market's at that time.
        """
        if candle.open_time < first_open_time(series.timeframe):
            return
        (own,) = self.candles(series.timeframe, candle.open_time, 1)
        # Another kind of processor may round a last digit differently.
        if not math.isclose(own.close, candle.close, rel_tol=_SAME):
            raise InvalidValue(
                "seed",
                self._seed,
                f"the log of {series} ends with a candle of another path (close {candle.close}, "
                f"here {own.close}): use the seed (and the NumPy release) that it began with, or "
                "another CANDLECAST_PREFIX",
            )

    def _minutes(self, first: int, count: int) -> NDArray[np.float64]:
        """Return open, high, low, close and volume of minutes since the epoch, shape (count, 5)."""
        first_day, last_day = first // DAY_MINUTES, (first + count - 1) // DAY_MINUTES
        days = [self._process.day(day) for day in range(first_day, last_day + 1)]
        skip = first - first_day * DAY_MINUTES
        return np.concatenate(days)[skip : skip + count]


def _aggregate(minutes: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    if length == 1:
        return minutes
    open_, high, low, close, volume = (column.reshape(-1, length) for column in minutes.T.copy())
    return np.column_stack(
        [
            open_[:, 0],
            high.max(axis=1),
            low.min(axis=1),
            close[:, -1],
            volume.sum(axis=1).round(5),
        ]
    )


def first_open_time(timeframe: Timeframe) -> int:
    """Open time of the oldest simulated candle."""
    return timeframe.floor(_FIRST_MS - 1) + timeframe.ms


class SimulatedFeed:
    """One simulated series as a feed: its history at once, then each candle as it closes.

    Parameters
    ----------
    market
        The symbol's market, shared by its timeframes.
    series
        The series; its exchange is ``simulated``.
    start
        Open time of the first candle, UTC milliseconds.
    count
        The feed ends after this many candles from ``start``; never by default.
    now_ms
        The clock, UTC milliseconds.
    """

    def __init__(
        self,
        market: SimulatedMarket,
        series: Series,
        start: int,
        count: int | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self.series = series
        self._market = market
        self._now_ms = now_ms
        self._start = self._next = start
        self._end = None if count is None else start + count * series.timeframe.ms

    def wait_s(self) -> float | None:
        """Seconds until the next candle closes; None after the last one."""
        if self._end is not None and self._next >= self._end:
            return None
        return max(0.0, (self._next + self.series.timeframe.ms - self._now_ms()) / 1_000)

    def take(self, count: int) -> list[Candle]:
        """Return the next candles that have closed, at most ``count``."""
        end = self.series.timeframe.floor(self._now_ms())
        if self._end is not None:
            end = min(end, self._end)
        count = max(0, min(count, (end - self._next) // self.series.timeframe.ms))
        batch = self._market.candles(self.series.timeframe, self._next, count)
        self._next += count * self.series.timeframe.ms
        return batch

    def rewind(self, after: int) -> None:
        """Go on with the candle after ``after``."""
        frame = self.series.timeframe
        self._next = max(after + frame.ms, first_open_time(frame))
        if after == BEFORE_ALL:
            self._next = self._start
