"""Push: feeds into the candle logs, in batches, at the pace that the logs can take."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import Protocol, Self

import structlog

from producers.feed import Feed
from producers.lane import Lane, grown
from producers.room import Room
from shared.candle import Candle, Series
from shared.errors import InvalidValue, StoreUnavailable
from shared.records import Append, Appended, DeadLetter
from shared.wire import encode_candle

BATCH = 500
# So much goes in one round trip: the workers begin with it while the next is on its way.
_MOST_LANES, _MOST_CANDLES = 64, 1_000
_DOWN_WAIT_S = (0.25, 2.0)
_IDLE_S = (0.005, 0.5)
_FAR_MS = 86_400_000  # no clock is a day wrong: further ahead than that is not waited for

log = structlog.get_logger(__name__)


class Letters(Protocol):
    """What `Push` needs of `shared.dead_letters.DeadLetters`."""

    def put(self, series: Series, letter: DeadLetter) -> None:
        """Set a candle aside."""
        ...


class CandleStore(Protocol):
    """What `Push` needs of `shared.store.Store`."""

    @property
    def dead_letters(self) -> Letters:
        """Where candles go that can never be appended."""
        ...

    def append_all(self, appends: Sequence[Append]) -> list[Appended | InvalidValue]:
        """Append closed candles to the logs of some series."""
        ...

    def used_memory_share(self) -> float:
        """Share of Redis's memory limit in use."""
        ...


@dataclass(slots=True)
class Totals:
    """What became of the candles of all feeds so far.

    ``holes`` counts how often a log goes on after times for which its source has nothing,
    ``set_aside`` the candles far ahead that are now dead letters, ``behind`` those that workers
    have yet to learn, and ``unsent`` those that were taken from their feeds but not dealt with
    when the push was stopped.
    """

    accepted: int = 0
    duplicates: int = 0
    revised: int = 0
    refused: int = 0
    holes: int = 0
    set_aside: int = 0
    behind: int | None = 0
    unsent: int = 0

    @classmethod
    def of(cls, parts: Iterable["Totals"]) -> Self:
        """Return the sum of several."""
        found = [astuple(part) for part in parts]
        return cls(*map(sum, zip(*found, strict=True)))

    @property
    def taken(self) -> int:
        """Candles dealt with."""
        return self.accepted + self.duplicates + self.revised + self.refused


class Push:
    """Move candles from feeds to the store until the feeds end or it is told to stop.

    - The candles of up to 64 series go in one round trip.
    - A full log is waited for, longer each time, while the other series go on. Taking and appending
      block: one thread does all, so that a slow answer of an exchange holds up every series.
    - Each append says which candle its source has right before, so that Redis takes a hole of the
      source and answers ``gap`` where the log lacks a candle. At a gap the feed goes back to the
      end of the log, or to its start where there is no log. So a Redis that has forgotten candles
      gets them again from any source that still has them.
    - Everything waits while Redis uses more than 90 % of its memory, cannot be reached, or takes no
      writes: candles leave the lane only with Redis's answer, and sending one twice only counts a
      duplicate.
    - A candle that Redis takes for an open one is waited for, as Redis's clock must be behind; one
      that opens more than a day ahead by this machine's clock too becomes a dead letter.

    Parameters
    ----------
    store
        Where the candles go.
    feeds
        One for each series; `run` may be given more.
    progress
        Called with the totals after each round.
    patience_s
        How long a Redis that is away or takes no writes is waited for before `StoreUnavailable`
        is raised.
    clock, sleep
        Seconds, monotonic; ``sleep`` may return early (when a signal arrives).
    now_ms
        The time of day, UTC milliseconds.
    """

    def __init__(
        self,
        store: CandleStore,
        feeds: Iterable[Feed],
        *,
        progress: Callable[[Totals], None] = lambda _: None,
        patience_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._store = store
        self._lanes = [Lane(feed) for feed in feeds]
        self._progress = progress
        self._patience_s = patience_s
        self._clock = clock
        self._sleep = sleep
        self._now_ms = now_ms
        self._room = Room(store.used_memory_share, clock)
        self._down_since: float | None = None
        self.totals = Totals()

    def run(
        self,
        stop: Callable[[], bool] = lambda: False,
        more: Callable[[], Iterable[Feed] | None] = lambda: None,
    ) -> Totals:
        """Push until every feed has ended or ``stop()`` holds.

        Before each round ``more()`` gives the feeds of new series; None says that there come none.

        Raises
        ------
        StoreUnavailable
            When Redis stays away, or takes no writes, longer than the patience.
        InvalidValue
            When Redis's clock stays so far behind that it takes candles for open ones; at once when
            it refuses a candle for another reason, such as a time off the timeframe's grid.
        """
        down_delay = 0.0
        while not stop() and (self._grows(more) or not self._is_through()):
            try:
                idle = self._room.wait_s() or self._round(stop)
            except StoreUnavailable as error:
                self._check_patience(error)
                down_delay = idle = grown(down_delay, _DOWN_WAIT_S)
            else:
                down_delay = 0.0
                self._note_recovery()
            self._sum_up()
            if idle:
                self._sleep(idle)
        return self.totals

    def _grows(self, more: Callable[[], Iterable[Feed] | None]) -> bool:
        """Take new feeds along; return whether others may come yet."""
        feeds = more()
        self._lanes += map(Lane, feeds or ())
        return feeds is not None

    def _is_through(self) -> bool:
        return all(lane.ended for lane in self._lanes)

    def _round(self, stop: Callable[[], bool]) -> float:
        """Give every lane its turn; return the seconds until one can move again."""
        moved = False
        for group in self._groups(stop):
            moved |= self._send(group)
        now = self._clock()
        waits = [lane.wait_s(now) for lane in self._lanes if not lane.ended]
        if moved or stop() or (self._lanes and not waits):
            return 0.0
        return min(max(min(waits, default=_IDLE_S[1]), _IDLE_S[0]), _IDLE_S[1])

    def _groups(self, stop: Callable[[], bool]) -> Iterator[list[Lane]]:
        """Give lanes with candles, as many as go in one round trip; none waits for a slow feed."""
        group: list[Lane] = []
        candles = 0
        for lane in self._lanes:
            if stop():
                break
            if group and (lane.slow or len(group) >= _MOST_LANES or candles >= _MOST_CANDLES):
                yield group
                group, candles = [], 0
            if lane.fill(BATCH, self._clock):
                group.append(lane)
                candles += len(lane.waiting)
        if group:
            yield group

    def _send(self, group: Sequence[Lane]) -> bool:
        answers = self._store.append_all([lane.request() for lane in group])
        moved, refused = False, []
        for lane, answer in zip(group, answers, strict=True):
            if isinstance(answer, InvalidValue):
                refused.append((lane, answer))
            else:
                moved |= self._settle(lane, answer)
        for lane, error in refused:
            early = _early_time(error, lane.feed.series)
            if early is None:
                raise error
            moved |= self._wait_for_clock(lane, early, error)
        return moved

    def _settle(self, lane: Lane, answer: Appended) -> bool:
        self._count(answer)
        moved = lane.settle(answer)
        is_full = answer.stopped == "full"
        if is_full and lane.pause(self._clock()) and not answer.taken:
            log.warning("log_full", series=str(lane.feed.series), behind=answer.behind)
        return moved

    def _count(self, answer: Appended) -> None:
        totals = self.totals
        totals.accepted += answer.accepted
        totals.duplicates += answer.duplicates
        totals.revised += answer.revised
        totals.refused += answer.refused
        totals.holes += answer.holes

    def _sum_up(self) -> None:
        self.totals.behind = sum(lane.behind for lane in self._lanes)
        self.totals.unsent = sum(len(lane.waiting) for lane in self._lanes)
        self._progress(self.totals)

    def _wait_for_clock(self, lane: Lane, early: int, error: InvalidValue) -> bool:
        """Wait a while: feeds give out closed candles only, so Redis's clock must be behind."""
        far = [c for c in lane.waiting if c.open_time > self._now_ms() + _FAR_MS]
        for candle in far:
            self._set_aside(lane, candle, error)
        if far:
            return True
        now = self._clock()
        if lane.early_since is None:
            lane.early_since = now
            log.warning("clock_behind", series=str(lane.feed.series), error=str(error))
        elif now - lane.early_since > self._patience_s:
            raise error
        # It may have been open in truth: then it is another one by now.
        lane.give_back(early)
        lane.pause(now)
        return False

    def _set_aside(self, lane: Lane, candle: Candle, error: InvalidValue) -> None:
        """Give up a candle that no clock can make a closed one; its feed goes on without it."""
        text = " ".join(encode_candle(candle))
        letter = DeadLetter(candle=text, reason="invalid", error=str(error))
        self._store.dead_letters.put(lane.feed.series, letter)
        lane.waiting.remove(candle)
        self.totals.set_aside += 1

    def _check_patience(self, error: StoreUnavailable) -> None:
        now = self._clock()
        if self._down_since is None:
            self._down_since = now
            log.warning("redis_unavailable", error=str(error), retrying_for_s=self._patience_s)
        elif now - self._down_since > self._patience_s:
            raise error

    def _note_recovery(self) -> None:
        if self._down_since is not None:
            self._down_since = None
            log.info("redis_back")


def _early_time(error: InvalidValue, series: Series) -> int | None:
    """Return the open time, UTC milliseconds, of what can be a candle that has not closed yet.

    None where it was refused for another reason, such as a time off the grid.
    """
    time_ms = error.value
    if error.field != "open_time" or not isinstance(time_ms, int):
        return None
    return time_ms if series.timeframe.floor(time_ms) == time_ms else None
