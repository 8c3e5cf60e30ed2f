"""The closed candles of an exchange's market as a feed."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import structlog

from producers import certain, checks
from producers.bridge import Bridge
from producers.lane import grown, spread
from producers.pause import monotonic
from producers.rows import CandleSource, CandleStream, ExchangeError, Paused, Row, Rows, Unreachable
from shared.candle import Candle, Series
from shared.records import BEFORE_ALL

_BACKOFF_S = (1.0, 60.0)
_LATE_WAIT_S = (1.0, 30.0)
# An exchange may fill up what it has missed once an outage is over.
_DOUBT_S = (1.0, 16.0)
# How far an empty answer is believed to reach: the shortest pages of known exchanges.
_EMPTY_STEP = 100
# So far a clock that was measured may be off.
_EARLY_MS = 1_000
_LEAST_ROWS = 10

log = structlog.get_logger(__name__)


class ExchangeFeed:
    """The closed candles of one market as a feed: history in pages, then each one as it closes.

    A candle counts as closed two seconds after its close by the exchange's clock, or once a stream
    has told of a later one. What a stream tells is taken where it is right behind what came last;
    all else is asked for. While the network or the exchange fails, the feed waits, longer each
    time; it never skips what it has not seen.

    Some things it does not take at the exchange's first word:

    - Rows that open later than the clock says, or are no candles otherwise: refused, each once.
    - A jump of more than a hundred candles inside an answer: asked about again from there, so that
      one row with a wrong time hides no others.
    - Nothing at all, which an outage may look like: when candles come again, what was passed over
      is asked for once more.
    - A hole right behind an outage: asked about for half a minute more.
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
    stream
        Tells of candles sooner; None where the exchange has no such thing.
    bridge
        Holes of so many candles at most are filled, see `producers.bridge`.

    Attributes
    ----------
    error
        Why the exchange was not heard when it was asked last; empty where it was.
    is_refused
        Whether the exchange has never answered, and says that it will not.
    has_caught_up
        Whether it has given all that had closed, once since it was made or rewound.
    told
        How many candles it has taken at the stream's word.
    retries
        How often it has asked again because the exchange failed, or had just failed.
    """

    def __init__(
        self,
        exchange: CandleSource,
        series: Series,
        since: int,
        refuse: Callable[[str, str], object] = lambda *_: None,
        clock: Callable[[], float] = monotonic,
        stream: CandleStream | None = None,
        bridge: int = 0,
    ) -> None:
        self.series = series
        self._stream = stream
        self._exchange = exchange
        self._rows = Rows(series, refuse)
        self._bridge = Bridge(series.timeframe, bridge)
        self._clock = clock
        self._start = self._next = series.timeframe.floor(since - 1) + series.timeframe.ms
        self._resume_at = clock()
        self._delay, self._close_ms = 0.0, math.inf
        self._answered = False
        self.error = ""
        self.is_refused = self.has_caught_up = False
        self.retries = self.told = 0
        # Where the feed began to pass over empty answers, and up to where they came twice.
        self._empty_from: int | None = None
        self._sure_to = self._next
        # Since when candles may be missing through an outage, and how long to wait until a hole
        # there is asked about again; 0.0 where it is believed.
        self._outage_ms, self._doubt_s = exchange.now_ms(), 0.0

    @property
    def bridged(self) -> int:
        """How many candles it has made where the exchange has none."""
        return self._bridge.count

    @property
    def behind(self) -> int:
        """How many candles have closed behind what it has given."""
        frame = self.series.timeframe
        return max(0, (frame.floor(self._exchange.now_ms()) - self._next) // frame.ms)

    def wait_s(self) -> float:
        """Seconds until the exchange is asked next, or has told already."""
        if self._told(self._next):
            return 0.0
        # A machine that has slept may have slept through the close.
        until_close = (self._close_ms - self._exchange.now_ms()) / 1_000
        return max(0.0, min(self._resume_at - self._clock(), until_close))

    def take(self, count: int) -> list[Candle]:
        """Return what was told, else ask; none when candles are late or the exchange fails."""
        if told := self._take_told(count):
            return told
        frame, now_ms = self.series.timeframe, self._exchange.now_ms()
        last_closed = certain.newest_closed(frame, now_ms)
        if self._next > last_closed:
            self.has_caught_up = True
            self._wait(0.0)
            return []
        try:
            rows = self._ask(now_ms)
        except ExchangeError as error:
            self._back_off(error)
            return []
        self._note_answer()
        # The answer may say that the clock was ahead, or behind.
        latest_ms = max(now_ms, heard_ms := self._exchange.now_ms())
        now_ms = min(now_ms, heard_ms)
        last_closed = certain.newest_closed(frame, now_ms)
        closed = self._believed(certain.closed(rows, frame, last_closed, now_ms))
        if closed is None:
            return []
        # Before the feed moves on: what could not be set aside has to come again.
        if not self._exchange.is_unsure:
            self._rows.refuse_ahead(rows, latest_ms)
        read = ((int(row[0]), self._rows.read(row)) for row in closed)
        candles = self._bridge.over(read, count)
        if self._stream and closed and int(closed[-1][0]) == last_closed:
            self._stream.compare(self.series, closed[-1])
        dealt_with = int(closed[-1][0]) if closed else None
        was_late = self._delay > 0
        is_late = not self._move(
            candles[-1].open_time if len(candles) == count else dealt_with, last_closed
        )
        # For a while after its close the last one may be on its way; one answer may be wrong.
        is_sure = was_late and now_ms - last_closed - frame.ms >= certain.SURE_MS
        self.has_caught_up |= self._next > last_closed or (is_late and is_sure)
        return candles

    def _take_told(self, count: int) -> list[Candle]:
        candles: list[Candle] = []
        while len(candles) < count and (candle := self._told(self._next)):
            candles.append(candle)
            self.told += 1
            self._bridge.stand_on(candle)
            self._next += self.series.timeframe.ms
            self._delay, self.error = 0.0, ""
            self._wait(0.0)
        return candles

    def _told(self, open_time: int) -> Candle | None:
        """Return a candle that the stream has told of, where it is certain and comes next.

        What is told of and is no candle is asked for: the answer may know better.
        """
        if self._stream is None or self._empty_from is not None:
            return None
        latest = self._exchange.now_ms() + _EARLY_MS
        row = self._stream.closed(self.series, open_time, latest)
        return self._rows.candle(row) if row else None

    def rewind(self, after: int) -> None:
        """Go on with the first candle after ``after``, and ask for it at once."""
        self._next = self._start if after == BEFORE_ALL else after + self.series.timeframe.ms
        self._empty_from, self._sure_to = None, self._next
        self.has_caught_up = False
        self._bridge.stand_on(None)
        self._resume_at = self._clock()

    def _believed(self, closed: list[Row]) -> list[Row] | None:
        """Return the rows up to where they have to be asked about again; None where that is now."""
        step_ms = self.series.timeframe.ms
        closed = certain.up_to_jump(closed, _EMPTY_STEP * step_ms)
        if closed and self._empty_from is not None and self._sure_to < self._next:
            again = max(self._empty_from, self._sure_to)
            self._sure_to, self._next, self._empty_from = self._next, again, None
            return None
        if not (closed and self._doubt_s):
            return closed
        before = [row for row in closed if row[0] < self._outage_ms]
        after = int(before[-1][0]) if before else self._next - step_ms
        sound = before + certain.up_to_jump(closed[len(before) :], step_ms, after)
        if sound:
            return sound
        self.retries += 1
        self._wait(self._doubt_s)
        self._doubt_s = 2 * self._doubt_s if self._doubt_s < _DOUBT_S[1] else 0.0
        return None

    def _ask(self, now_ms: int) -> Sequence[Row]:
        rows = self._fetch()
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

    def _fetch(self) -> Sequence[Row]:
        """Ask for the rows from the next candle on; before them, for one to bridge from."""
        reach_ms = self._bridge.reach_ms
        if not reach_ms or self._next == self._start:
            return self._exchange.rows(self.series, self._next)
        since = max(self._start, self._next - reach_ms)
        rows = self._exchange.rows(self.series, since)
        # A page may end before it reaches that candle.
        before = self._next - self.series.timeframe.ms
        while rows and since < (last := int(rows[-1][0])) < before:
            since, rows = last, self._exchange.rows(self.series, last)
        known = [row for row in rows if row[0] < self._next]
        self._bridge.stand_on(self._rows.read(known[-1]) if known else None, self._next)
        return rows[len(known) :]

    def _move(self, dealt_with: int | None, last_closed: int) -> bool:
        """Go on behind what is dealt with, or a long time without anything; False: wait for it."""
        frame = self.series.timeframe
        if dealt_with is not None:
            # A row off the grid must not carry the feed off it.
            self._next = frame.floor(dealt_with) + frame.ms
            self._empty_from = None
        elif self._next + _EMPTY_STEP * frame.ms <= last_closed:
            # Nothing was traded there, and what is so long past comes no more.
            self._empty_from = self._next if self._empty_from is None else self._empty_from
            self._next += _EMPTY_STEP * frame.ms
        else:
            self._delay = grown(self._delay, _LATE_WAIT_S)
            sure_s = (last_closed + frame.ms + certain.SURE_MS - self._exchange.now_ms()) / 1_000
            self._wait(min(self._delay, sure_s) if sure_s > 0 else self._delay)
            return False
        self._delay = 0.0
        if self._next > last_closed:
            self._doubt_s = 0.0
            self._wait(0.0)
        return True

    def _wait(self, seconds: float) -> None:
        """Wait until the next candle has closed, or less if ``seconds`` says so."""
        frame, now_ms = self.series.timeframe, self._exchange.now_ms()
        next_close_ms = frame.floor(now_ms - certain.GRACE_MS) + frame.ms + certain.GRACE_MS
        until_close, self._close_ms = (next_close_ms - now_ms) / 1_000, float(next_close_ms)
        self._resume_at = self._clock() + min(seconds or until_close, until_close)

    def _back_off(self, error: ExchangeError) -> None:
        self._close_ms = math.inf
        self.is_refused = not (self._answered or isinstance(error, Unreachable))
        if not self.error:
            log.warning("exchange_failing", series=str(self.series), error=str(error))
            self._delay, self._doubt_s = 0.0, _DOUBT_S[0]
        self.error = str(error)
        if isinstance(error, Paused):
            self._resume_at = self._clock() + error.left_s + spread(_BACKOFF_S[0])
            return
        self.retries += 1
        self._delay = grown(self._delay, _BACKOFF_S)
        self._resume_at = self._clock() + spread(self._delay)

    def _note_answer(self) -> None:
        if self.error:
            log.info("exchange_back", series=str(self.series))
            self._delay = 0.0
        if not self._doubt_s:
            self._outage_ms = self._exchange.now_ms()
        self._answered, self.is_refused, self.error = True, False, ""
