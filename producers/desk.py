"""Desk: one exchange, followed in a thread of its own."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

import structlog

from producers.lane import grown, spread
from producers.polling import ExchangeFeed
from producers.push import CandleStore, Push, Totals
from producers.rows import CandleSource, ExchangeError
from producers.stream import Stream
from shared.candle import Series
from shared.errors import CandlecastError, InvalidValue, StoreUnavailable
from shared.records import DeadLetter

_BACKOFF_S = (1.0, 60.0)

log = structlog.get_logger(__name__)


class Store(CandleStore, Protocol):
    """What a `Desk` needs of `shared.store.Store`."""

    def end(self, series: Series) -> int | None:
        """Return the open time of a log's last candle; None where there is none."""
        ...


class Venue(Protocol):
    """An exchange, or a data service, whose markets are known."""

    @property
    def source(self) -> CandleSource:
        """Where candles are asked for."""
        ...

    def series(self, wanted: Series) -> Series:
        """Return a series, if there is such a market.

        Raises
        ------
        InvalidValue
            When there is not.
        """
        ...

    def stream(self, series: Iterable[Series], ring: Callable[[], object]) -> Stream | None:
        """Return what follows series; None where they are only polled."""
        ...


@dataclass(frozen=True, slots=True)
class Standing:
    """How one exchange is doing.

    Attributes
    ----------
    series, streaming, failing
        How many are wanted, of how many of them a stream tells now, and how many get no answer.
    reconnects, corrected
        Of the stream: how often it broke, and how many of its candles were others by REST.
    bad
        Rows that were no candles.
    told
        Candles that were taken at the stream's word.
    retries, pauses
        How often a market was asked for again because the exchange failed or had just failed, and
        how often the exchange has asked to be left alone.
    holes, bridged
        How often it has had no candle for some times, and how many were made for such times.
    is_current
        Whether Redis has all that the exchange has by now, as far as anybody knows.
    error
        Why nothing comes, of all series or of one of those that fail.
    """

    series: int
    streaming: int
    failing: int
    reconnects: int
    corrected: int
    bad: int
    told: int
    retries: int
    pauses: int
    holes: int
    bridged: int
    is_current: bool
    error: str


class Desk(threading.Thread):
    """One exchange: connects, and pushes its candles until it is told to stop.

    Where the exchange or Redis cannot be reached, it tries again after a while, longer each time.

    Parameters
    ----------
    open_venue
        Connects to it.
    open_store
        Connects to where candles go.
    wanted
        Its series.
    history
        Candles of a series that has none yet.
    bridge
        Holes of so many candles at most are filled, see `producers.bridge`.
    clock
        Seconds, monotonic; of the exchange's time where that is made to run faster.
    """

    def __init__(
        self,
        name: str,
        open_venue: Callable[[], Venue],
        open_store: Callable[[], Store],
        wanted: Sequence[Series],
        history: int,
        bridge: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self.fault: CandlecastError | None = None
        self._pushed: list[Totals] = []
        self.bad = self.history = 0
        self._counted: Counter[str] = Counter()
        self._error = self._unknown = ""
        self._known: list[Series] = []
        self._venue: Venue | None = None
        self._feeds: list[ExchangeFeed] = []
        self._stream: Stream | None = None
        self._open_venue = open_venue
        self._open_store = open_store
        self._wanted = wanted
        self._history = history
        self._bridge = bridge
        self._clock = clock
        self._bell = threading.Event()
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End after the candles that are in hand."""
        self._stopped.set()
        self._bell.set()

    def run(self) -> None:
        """Push until told to stop; what ends it otherwise is in ``fault``."""
        delay = 0.0
        while not self._stopped.is_set():
            try:
                self._push(self._opened())
            except (ExchangeError, StoreUnavailable) as error:
                self._error, known = str(error), True
            except CandlecastError as error:
                log.error("exchange_ended", exchange=self.name, error=str(error))  # noqa: TRY400
                self._error, self.fault = str(error), error
                return
            except Exception as error:  # noqa: BLE001 -- no other exchange has to do with it
                self._error, known = f"{type(error).__name__}: {error}", False
            else:
                return
            self._counted["retries"] += 1
            delay = grown(delay, _BACKOFF_S)
            facts = {"exchange": self.name, "error": self._error, "next_s": delay}
            log.warning("exchange_unreachable", **facts, exc_info=not known)
            self._stopped.wait(spread(delay))

    def _opened(self) -> Venue:
        """Connect, and see which markets there are; others are left out, unless none is left.

        One that is no more, or misspelt in the settings, is no reason to let the others wait.
        """
        self._store = self._open_store()
        venue, faults = self._open_venue(), []
        self._known, self._unknown = [], ""
        for series in self._wanted:
            try:
                self._known.append(venue.series(series))
            except InvalidValue as error:
                faults.append(error)
                log.error("no_such_market", series=str(series), error=str(error))  # noqa: TRY400
        if not self._known:
            raise faults[0]
        self._unknown = str(faults[0]) if faults else ""
        self._error = ""
        return venue

    def _push(self, venue: Venue) -> None:
        with ExitStack() as stack:
            stack.callback(self._close)
            self._venue = venue
            self._stream = venue.stream(self._known, self._bell.set)
            if self._stream is not None:
                stack.enter_context(self._stream)
            self._feeds = [self._feed(venue, series) for series in self._known]
            push = Push(self._store, self._feeds, sleep=self._sleep)
            self._pushed.append(push.totals)
            push.run(self._stopped.is_set)

    def _close(self) -> None:
        """Keep the counts of what ends here."""
        self._counted = self._counts()
        self._venue, self._feeds = None, []

    def _counts(self) -> Counter[str]:
        now = Counter[str](pauses=self._venue.source.pauses if self._venue else 0)
        for feed in self._feeds:
            now.update(told=feed.told, retries=feed.retries, bridged=feed.bridged)
        return self._counted + now

    def _feed(self, venue: Venue, series: Series) -> ExchangeFeed:
        def refuse(row: str, error: str) -> None:
            letter = DeadLetter(candle=row, reason="invalid", error=error)
            self._store.dead_letters.put(series, letter)
            self.bad += 1

        frame = series.timeframe
        since = frame.floor(venue.source.now_ms()) - self._history * frame.ms
        feed = ExchangeFeed(
            venue.source,
            series,
            since,
            refuse,
            self._clock,
            self._stream,
            self._bridge,
        )
        if (end := self._store.end(series)) is not None:
            feed.rewind(end)
        self.history += feed.behind
        return feed

    @property
    def totals(self) -> Totals:
        """What became of its candles so far."""
        return Totals.of(self._pushed)

    @property
    def standing(self) -> Standing:
        """How it is doing now."""
        faults = [feed.error for feed in self._feeds if feed.error]
        missing = len(self._wanted) - len(self._known) if self._feeds else 0
        stream, counts = self._stream, self._counts()
        return Standing(
            series=len(self._wanted),
            streaming=stream.live if stream else 0,
            failing=len(self._wanted) if self._error else len(faults) + missing,
            reconnects=stream.reconnects if stream else 0,
            corrected=stream.corrected if stream else 0,
            bad=self.bad,
            told=counts["told"],
            retries=counts["retries"],
            pauses=counts["pauses"],
            holes=self.totals.holes,
            bridged=counts["bridged"],
            is_current=self.is_current,
            error=self._error or next(iter(faults), "") or self._unknown,
        )

    @property
    def is_current(self) -> bool:
        """Whether Redis has all that the exchange has by now, as far as anybody knows."""
        unsent = any(one.unsent for one in self._pushed)
        return bool(self._feeds) and not unsent and all(one.is_current for one in self._feeds)

    def _sleep(self, seconds: float) -> None:
        """Wait, or until there is news."""
        self._bell.wait(seconds)
        self._bell.clear()
