"""The closed candles of an exchange's market as a feed."""

import json
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import structlog

from producers import checks
from producers.exchange import ExchangeError, Unreachable
from shared.candle import Candle, Series
from shared.errors import InvalidValue
from shared.records import BEFORE_ALL

_BACKOFF_S = (1.0, 60.0)
_LATE_WAIT_S = (1.0, 30.0)
# Exchanges correct a candle for a moment after its close, and a revised candle is never learned.
_GRACE_MS = 2_000
# How far an empty answer is believed to reach: the shortest pages of known exchanges.
_EMPTY_STEP = 100
# Clocks of machines differ, and the exchange's may not be known.
_AHEAD_MS = 600_000
_LEAST_ROWS = 10
_REMEMBERED = 1_000

Row = Sequence[Any]

log = structlog.get_logger(__name__)


class CandleSource(Protocol):
    """What `ExchangeFeed` needs of an exchange or a data service."""

    @property
    def name(self) -> str:
        """What errors call it."""
        ...

    def now_ms(self) -> int:
        """Return the time by which its candles close, UTC milliseconds."""
        ...

    def rows(self, series: Series, since: int) -> Sequence[Row]:
        """Fetch rows of open time (UTC milliseconds), open, high, low, close and volume.

        They open at ``since`` or later and are in order, the first ones that there are.

        Raises
        ------
        Unreachable
            When asking again may help.
        ExchangeError
            When it may not.
        """
        ...


class ExchangeFeed:
    """The closed candles of one market as a feed: history in pages, then each one as it closes.

    A candle counts as closed two seconds after its close by the exchange's clock. While the network
    or the exchange fails, the feed waits, longer each time; it never skips what it has not seen.

    Some things it does not take at the exchange's first word:

    - Rows that open later than the clock says, or are no candles otherwise: refused, each once.
    - A jump of more than a hundred candles inside an answer: asked about again from there, so that
      one row with a wrong time hides no others.
    - Nothing at all, which an outage may look like: when candles come again, what was passed over
      while the feed waited for them is asked for once more.
    - A first answer in the steps of another timeframe: an error.

    Parameters
    ----------
    exchange
        The exchange, or another source that is polled.
    series
        One of its markets, see `Exchange.series`.
    since
        Start of the history, UTC milliseconds.
    refuse
        Called with a row (JSON) that is no valid candle and the reason; the row is left out. Where
        it raises, the same rows are asked for again.
    clock
        Seconds, monotonic.
    """

    def __init__(
        self,
        exchange: CandleSource,
        series: Series,
        since: int,
        refuse: Callable[[str, str], object] = lambda *_: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.series = series
        self._exchange = exchange
        self._refuse = refuse
        self._clock = clock
        self._start = self._next = series.timeframe.floor(since - 1) + series.timeframe.ms
        self._resume_at = clock()
        self._delay = 0.0
        self._answered = False
        self._failing = False
        self._refused: set[int] = set()
        # Where the feed began to pass over empty answers; in doubt once it has waited behind them.
        self._empty_from: int | None = None
        self._doubted_from: int | None = None

    def wait_s(self) -> float:
        """Seconds until the exchange is asked next."""
        return max(0.0, self._resume_at - self._clock())

    def take(self, count: int) -> list[Candle]:
        """Ask for the next closed candles; none when they are late or the exchange fails."""
        frame, now_ms = self.series.timeframe, self._exchange.now_ms()
        last_closed = frame.floor(now_ms - _GRACE_MS) - frame.ms
        if self._next > last_closed:
            self._wait(0.0)
            return []
        try:
            rows = self._ask(now_ms)
        except ExchangeError as error:
            self._back_off(error)
            return []
        self._note_answer()
        closed = [row for row in rows if row[0] <= last_closed]
        closed = _up_to_jump(closed, _EMPTY_STEP * frame.ms)[:count]
        if closed and self._doubted_from is not None:
            self._next, self._empty_from, self._doubted_from = self._doubted_from, None, None
            return []
        # Before the feed moves on: what could not be set aside has to come again.
        self._refuse_ahead(rows, now_ms)
        candles = [candle for row in closed if (candle := self._read(row))]
        self._move(closed, last_closed)
        return candles

    def rewind(self, after: int) -> None:
        """Go on with the first candle after ``after``, and ask for it at once."""
        self._next = self._start if after == BEFORE_ALL else after + self.series.timeframe.ms
        self._empty_from = self._doubted_from = None
        self._resume_at = self._clock()

    def _ask(self, now_ms: int) -> Sequence[Row]:
        rows = self._exchange.rows(self.series, self._next)
        times = np.array([int(row[0]) for row in rows if row[0] <= now_ms], dtype=np.int64)
        if self._answered or len(times) < _LEAST_ROWS:
            return rows
        frame = self.series.timeframe
        if other := checks.other_timeframe(times, frame):
            raise ExchangeError(
                f"{self._exchange.name} answers with candles that are {other} apart where {frame} "
                f"was asked for {self.series.symbol}: choose another timeframe, look at the "
                "address that is asked, or update ccxt"
            )
        return rows

    def _move(self, closed: Sequence[Row], last_closed: int) -> None:
        """Go on behind the rows, or behind a long time without any; else wait for them."""
        frame = self.series.timeframe
        if closed:
            # A row off the grid must not carry the feed off it.
            self._next = frame.floor(int(closed[-1][0])) + frame.ms
            self._empty_from = None
        elif self._next + _EMPTY_STEP * frame.ms <= last_closed:
            # Nothing was traded there, and what is so long past comes no more.
            self._empty_from = self._next if self._empty_from is None else self._empty_from
            self._next += _EMPTY_STEP * frame.ms
        else:
            self._doubted_from = self._empty_from
            self._delay = _grown(self._delay, _LATE_WAIT_S)
            self._wait(self._delay)
            return
        self._delay = 0.0
        if self._next > last_closed:
            self._wait(0.0)

    def _wait(self, seconds: float) -> None:
        """Wait until the next candle has closed, or less if ``seconds`` says so."""
        frame, now_ms = self.series.timeframe, self._exchange.now_ms()
        next_close_ms = frame.floor(now_ms - _GRACE_MS) + frame.ms + _GRACE_MS
        until_close = (next_close_ms - now_ms) / 1_000
        self._resume_at = self._clock() + min(seconds or until_close, until_close)

    def _back_off(self, error: ExchangeError) -> None:
        if not (self._answered or isinstance(error, Unreachable)):
            raise error
        self._delay = _grown(self._delay, _BACKOFF_S)
        self._resume_at = self._clock() + self._delay
        if not self._failing:
            log.warning("exchange_failing", series=str(self.series), error=str(error))
        self._failing = True

    def _note_answer(self) -> None:
        if self._failing:
            log.info("exchange_back", series=str(self.series))
            self._delay = 0.0
        self._answered, self._failing = True, False

    def _refuse_ahead(self, rows: Sequence[Row], now_ms: int) -> None:
        for row in rows:
            if row[0] > now_ms + _AHEAD_MS:
                self._set_aside(row, f"opens long after now ({now_ms} by the exchange's clock)")

    def _read(self, row: Row) -> Candle | None:
        open_time = int(row[0])
        try:
            self.series.timeframe.check_open_time(open_time)
            _, open_, high, low, close, volume = row[:6]
            # Markets without trades of their own (indices) have no volume.
            numbers = map(float, (open_, high, low, close, volume or 0.0))
            return Candle(open_time, *numbers)
        except (InvalidValue, TypeError, ValueError) as error:
            self._set_aside(row, str(error))
            return None

    def _set_aside(self, row: Row, why: str) -> None:
        """Refuse a row once: asked for again, it is still the same one."""
        open_time = int(row[0])
        if open_time not in self._refused:
            self._refuse(json.dumps(row, default=str), why)
            if len(self._refused) >= _REMEMBERED:
                self._refused.clear()
            self._refused.add(open_time)


def _up_to_jump(rows: list[Row], most_ms: int) -> list[Row]:
    """Return the rows before the first one that lies further than that from the one before."""
    for at, (before, row) in enumerate(pairwise(rows), 1):
        if row[0] - before[0] > most_ms:
            return rows[:at]
    return rows


def _grown(delay: float, bounds: tuple[float, float]) -> float:
    return min(max(2 * delay, bounds[0]), bounds[1])
