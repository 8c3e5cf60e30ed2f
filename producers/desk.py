"""Desk: one exchange, followed in a thread of its own."""

import math
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

import structlog

from producers.lane import regrown, spread
from producers.pause import Pause, monotonic
from producers.polling import ExchangeFeed
from producers.push import CandleStore, Push, Totals
from producers.rows import CandleSource, ExchangeError, Unreachable
from producers.standing import Standing
from producers.stream import Stream
from shared.candle import Series
from shared.errors import CandlecastError, InvalidValue, StoreUnavailable
from shared.records import DeadLetter

_BACKOFF_S = (1.0, 60.0)
_LOOK_AGAIN_S = 3_600.0

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
class Order:
    """What is wanted of an exchange.

    Attributes
    ----------
    series
        Which series.
    history
        Candles of a series that has none yet.
    bridge
        Holes of so many candles at most are filled, see `producers.bridge`.
    """

    series: Sequence[Series]
    history: int
    bridge: int = 0


class Desk(threading.Thread):
    """One exchange: connects, and pushes its candles until it is told to stop.

    Where the exchange or Redis cannot be reached, it tries again after a while, longer each time.

    Parameters
    ----------
    order
        What is wanted of it.
    open_venue
        Connects to it.
    open_store
        Connects to where candles go.
    pause
        The pauses that the exchange has asked for.
    clock
        Seconds, monotonic; of the exchange's time where that is made to run faster.

    Attributes
    ----------
    fault
        What has ended it for good.
    has_caught_up
        See `Standing`.
    """

    def __init__(
        self,
        name: str,
        order: Order,
        open_venue: Callable[[], Venue],
        open_store: Callable[[], Store],
        pause: Pause,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self.fault: CandlecastError | None = None
        self._pushed: list[Totals] = []
        self.bad = self.history = 0
        # With all its keys from the beginning: others add it up meanwhile.
        self._counted = _counts((), None)
        self._error = self._unknown = ""
        self._known: list[Series] = []
        self._feeds: list[ExchangeFeed] = []
        self._stream: Stream | None = None
        self._open_venue = open_venue
        self._open_store = open_store
        self._order = order
        self._pause = pause
        self._look_at = math.inf
        self.has_caught_up = False
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
            began = self._clock()
            event, is_known = "exchange_unreachable", True
            try:
                self._push(self._opened())
                continue
            except StoreUnavailable as error:
                event, self._error = "redis_unavailable", str(error)
            except CandlecastError as error:
                self._error = str(error)
                if not _may_pass(error):
                    log.error("exchange_ended", exchange=self.name, error=str(error))  # noqa: TRY400
                    self.fault = error
                    return
            except Exception as error:  # noqa: BLE001 -- no other exchange has to do with it
                self._error, is_known = f"{type(error).__name__}: {error}", False
            delay = regrown(delay, self._clock() - began, _BACKOFF_S)
            if (left_s := self._pause.left_s) >= delay:
                log.warning("exchange_paused", exchange=self.name, error=self._error, next_s=left_s)
                self._pause.sit_out(self._stopped)
                continue
            self._counted["retries"] += event == "exchange_unreachable"
            facts = {"exchange": self.name, "error": self._error, "next_s": delay}
            log.warning(event, **facts, exc_info=not is_known)
            self._stopped.wait(spread(delay))

    def _opened(self) -> Venue:
        """Connect, and see which markets there are; others are left out, unless none is left.

        One that is no more, or misspelt in the settings, is no reason to let the others wait.
        """
        self._store = self._open_store()
        venue, faults = self._open_venue(), []
        self._known, self._unknown = [], ""
        for series in self._order.series:
            try:
                self._known.append(venue.series(series))
            except InvalidValue as error:
                faults.append(error)
                log.error("no_such_market", series=str(series), error=str(error))  # noqa: TRY400
        if not self._known and self._pushed:
            raise Unreachable(str(faults[0]))  # there was one before: it may come back
        if not self._known:
            raise faults[0]
        self._unknown = str(faults[0]) if faults else ""
        self._look_at = self._clock() + _LOOK_AGAIN_S if faults else math.inf
        if self._error:
            log.info("exchange_back", exchange=self.name)
        self._error = ""
        return venue

    def _push(self, venue: Venue) -> None:
        with ExitStack() as stack:
            stack.callback(self._close)
            self._stream = venue.stream(self._known, self._bell.set)
            if self._stream is not None:
                self._stream.is_distrusted = self._counted["corrected"] > 0
                stack.enter_context(self._stream)
            self._feeds = [self._feed(venue, series) for series in self._known]
            if not self._pushed:
                self.history = sum(feed.behind for feed in self._feeds)
            push = Push(self._store, self._feeds, progress=self._after_round, sleep=self._sleep)
            # What the one before could not send, this one fetches again.
            for before in self._pushed:
                before.unsent = before.behind = 0
            self._pushed.append(push.totals)
            push.run(self._is_over)

    def _is_over(self) -> bool:
        """Whether to stop, or to look again for markets that were not there."""
        return self._stopped.is_set() or self._clock() >= self._look_at

    def _after_round(self, totals: Totals) -> None:
        self.has_caught_up = not totals.unsent and all(
            feed.has_caught_up or feed.is_refused for feed in self._feeds
        )

    def _close(self) -> None:
        """Keep the counts of what ends here."""
        ended, stream = self._feeds, self._stream
        self._feeds, self._stream = [], None
        self._counted.update(_counts(ended, stream))

    def _feed(self, venue: Venue, series: Series) -> ExchangeFeed:
        def refuse(row: str, error: str) -> None:
            letter = DeadLetter(candle=row, reason="invalid", error=error)
            self._store.dead_letters.put(series, letter)
            self.bad += 1

        frame = series.timeframe
        since = frame.floor(venue.source.now_ms()) - self._order.history * frame.ms
        feed = ExchangeFeed(
            venue.source,
            series,
            since,
            refuse,
            self._clock,
            self._stream,
            self._order.bridge,
        )
        if (end := self._store.end(series)) is not None:
            feed.rewind(end)
        return feed

    @property
    def totals(self) -> Totals:
        """What became of its candles so far."""
        return Totals.of(self._pushed)

    @property
    def standing(self) -> Standing:
        """How it is doing now."""
        feeds, stream, wanted = self._feeds, self._stream, len(self._order.series)
        faults = [feed.error for feed in feeds if feed.error]
        missing = wanted - len(self._known) if feeds else 0
        counts = self._counted + _counts(feeds, stream)
        return Standing(
            series=wanted,
            streaming=stream.live if stream else 0,
            failing=wanted if self._error else len(faults) + missing,
            reconnects=counts["reconnects"],
            corrected=counts["corrected"],
            bad=self.bad,
            told=counts["told"],
            retries=counts["retries"],
            pauses=self._pause.count,
            holes=self.totals.holes,
            bridged=counts["bridged"],
            has_caught_up=self.has_caught_up,
            error=self._error or next(iter(faults), "") or self._unknown,
        )

    def _sleep(self, seconds: float) -> None:
        """Wait, or until there is news."""
        self._bell.wait(seconds)
        self._bell.clear()


def _may_pass(error: CandlecastError) -> bool:
    """Whether trying again may help: all but what the settings, or Redis's rights, forbid."""
    is_clock = isinstance(error, InvalidValue) and error.field == "open_time"
    return is_clock or isinstance(error, ExchangeError)


def _counts(feeds: Iterable[ExchangeFeed], stream: Stream | None) -> Counter[str]:
    names = ("reconnects", "corrected", "told", "retries", "bridged")
    found = Counter(dict.fromkeys(names, 0))
    if stream:
        found.update(reconnects=stream.reconnects, corrected=stream.corrected)
    for feed in feeds:
        found.update(told=feed.told, retries=feed.retries, bridged=feed.bridged)
    return found
