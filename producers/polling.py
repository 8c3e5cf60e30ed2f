"""The closed candles of an exchange's market as a feed."""

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from producers.exchange import Exchange, ExchangeError, Unreachable
from shared.candle import Candle, Series
from shared.errors import InvalidValue
from shared.records import BEFORE_ALL

_BACKOFF_S = (1.0, 60.0)
_LATE_WAIT_S = (1.0, 30.0)
# Exchanges correct a candle for a moment after its close, and a revised candle is never learned.
_GRACE_MS = 2_000
# How far an empty answer is believed to reach: the shortest pages of known exchanges.
_EMPTY_STEP = 100

log = structlog.get_logger(__name__)


class ExchangeFeed:
    """The closed candles of one market as a feed: history in pages, then each one as it closes.

    A candle counts as closed two seconds after its close by the exchange's clock. While the network
    or the exchange fails, the feed waits, longer each time; it never skips what it has not seen.

    Parameters
    ----------
    exchange
        The exchange.
    series
        One of its markets, see `Exchange.series`.
    since
        Start of the history, UTC milliseconds.
    refuse
        Called with a row (JSON) that is no valid candle and the reason; the row is left out.
    clock
        Seconds, monotonic.
    """

    def __init__(
        self,
        exchange: Exchange,
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
        self._refused_until = -1

    def wait_s(self) -> float:
        """Seconds until the exchange is asked next."""
        return max(0.0, self._resume_at - self._clock())

    def take(self, count: int) -> list[Candle]:
        """Ask for the next closed candles; none when they are late or the exchange fails."""
        frame_ms = self.series.timeframe.ms
        last_closed = self.series.timeframe.floor(self._exchange.now_ms() - _GRACE_MS) - frame_ms
        if self._next > last_closed:
            self._wait(0.0)
            return []
        try:
            rows = self._exchange.rows(self.series, self._next)
        except ExchangeError as error:
            self._back_off(error)
            return []
        self._note_answer()
        closed = [row for row in rows if row[0] <= last_closed][:count]
        if closed:
            self._next = int(closed[-1][0]) + frame_ms
        elif self._next + _EMPTY_STEP * frame_ms <= last_closed:
            # Nothing was traded there, and what is so long past comes no more.
            self._next += _EMPTY_STEP * frame_ms
        else:
            self._delay = _grown(self._delay, _LATE_WAIT_S)
            self._wait(self._delay)
            return []
        self._delay = 0.0
        if self._next > last_closed:
            self._wait(0.0)
        return [candle for row in closed if (candle := self._read(row))]

    def rewind(self, after: int) -> None:
        """Go on with the first candle after ``after``, and ask for it at once."""
        self._next = self._start if after == BEFORE_ALL else after + self.series.timeframe.ms
        self._resume_at = self._clock()

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

    def _read(self, row: Sequence[Any]) -> Candle | None:
        open_time = int(row[0])
        try:
            self.series.timeframe.check_open_time(open_time)
            _, open_, high, low, close, volume = row[:6]
            # Markets without trades of their own (indices) have no volume.
            numbers = map(float, (open_, high, low, close, volume or 0.0))
            return Candle(open_time, *numbers)
        except (InvalidValue, TypeError, ValueError) as error:
            # Asked for again after a rewind, a bad row is still the same one.
            if open_time > self._refused_until:
                self._refused_until = open_time
                self._refuse(json.dumps(row, default=str), str(error))
            return None


def _grown(delay: float, bounds: tuple[float, float]) -> float:
    return min(max(2 * delay, bounds[0]), bounds[1])
