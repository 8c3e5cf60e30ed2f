"""Push: feeds into the candle logs, in batches, at the pace that the logs can take."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from producers.feed import Feed
from producers.room import Room
from shared.candle import Candle, Series
from shared.errors import InvalidValue, StoreUnavailable
from shared.records import BEFORE_ALL, Appended, DeadLetter
from shared.wire import encode_candle

BATCH = 500
_FULL_WAIT_S = (0.05, 2.0)
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

    def append(
        self, series: Series, candles: Sequence[Candle], *, after: int = BEFORE_ALL
    ) -> Appended:
        """Append closed candles to the series' log."""
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
    behind: int = 0
    unsent: int = 0

    @property
    def taken(self) -> int:
        """Candles dealt with."""
        return self.accepted + self.duplicates + self.revised + self.refused


@dataclass(slots=True)
class _Lane:
    """One feed with the candles that Redis has not taken yet; it is paused without the others."""

    feed: Feed
    waiting: list[Candle] = field(default_factory=list)
    after: int = BEFORE_ALL
    resume_at: float = 0.0
    delay: float = 0.0
    behind: int = 0
    early_since: float | None = None
    ended: bool = False

    def pause(self, now: float) -> None:
        self.delay = _grown(self.delay, _FULL_WAIT_S)
        self.resume_at = now + self.delay


class Push:
    """Move candles from feeds to the store until the feeds end or it is told to stop.

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
        One for each series.
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
        self._lanes = [_Lane(feed) for feed in feeds]
        self._progress = progress
        self._patience_s = patience_s
        self._clock = clock
        self._sleep = sleep
        self._now_ms = now_ms
        self._room = Room(store.used_memory_share, clock)
        self._down_since: float | None = None
        self.totals = Totals()

    def run(self, stop: Callable[[], bool] = lambda: False) -> Totals:
        """Push until every feed has ended or ``stop()`` holds.

        Raises
        ------
        StoreUnavailable
            When Redis stays away, or takes no writes, longer than the patience.
        InvalidValue
            When Redis's clock stays so far behind that it takes candles for open ones; at once when
            it refuses a candle for another reason, such as a time off the timeframe's grid.
        """
        down_delay = 0.0
        while not stop() and not all(lane.ended for lane in self._lanes):
            try:
                idle = self._room.wait_s() or self._round(stop)
            except StoreUnavailable as error:
                self._check_patience(error)
                down_delay = idle = _grown(down_delay, _DOWN_WAIT_S)
            else:
                down_delay = 0.0
                self._note_recovery()
            self._sum_up()
            if idle:
                self._sleep(idle)
        return self.totals

    def _round(self, stop: Callable[[], bool]) -> float:
        """Give every lane its turn; return the seconds until one can move again."""
        moved = False
        for lane in self._lanes:
            if stop():
                return 0.0
            moved |= self._turn(lane)
        if moved or all(lane.ended for lane in self._lanes):
            return 0.0
        now = self._clock()
        waits = [self._wait_of(lane, now) for lane in self._lanes if not lane.ended]
        return min(max(min(waits), _IDLE_S[0]), _IDLE_S[1])

    def _wait_of(self, lane: _Lane, now: float) -> float:
        paused = lane.resume_at - now
        return paused if lane.waiting else max(paused, lane.feed.wait_s() or 0.0)

    def _turn(self, lane: _Lane) -> bool:
        if lane.ended or lane.resume_at > self._clock():
            return False
        if not lane.waiting:
            wait = lane.feed.wait_s()
            lane.ended = wait is None
            if wait is None or wait > 0:
                return False
            lane.waiting = list(lane.feed.take(BATCH))
        return bool(lane.waiting) and self._append(lane)

    def _append(self, lane: _Lane) -> bool:
        try:
            answer = self._store.append(lane.feed.series, lane.waiting, after=lane.after)
        except InvalidValue as error:
            if not _may_be_early(error, lane.feed.series):
                raise
            return self._wait_for_clock(lane, error)
        lane.early_since = None
        self._count(lane, answer)
        if answer.taken:
            lane.after = lane.waiting[answer.taken - 1].open_time
            del lane.waiting[: answer.taken]
        if answer.stopped == "full":
            self._wait_for_workers(lane, answer)
        else:
            lane.delay = 0.0
        if answer.stopped == "gap":
            end = answer.last_open_time
            lane.after = BEFORE_ALL if end is None else end
            lane.waiting.clear()
            lane.feed.rewind(lane.after)
        return answer.taken > 0 or answer.stopped == "gap"

    def _count(self, lane: _Lane, answer: Appended) -> None:
        totals = self.totals
        totals.accepted += answer.accepted
        totals.duplicates += answer.duplicates
        totals.revised += answer.revised
        totals.refused += answer.refused
        totals.holes += answer.holes
        lane.behind = answer.behind

    def _sum_up(self) -> None:
        self.totals.behind = sum(lane.behind for lane in self._lanes)
        self.totals.unsent = sum(len(lane.waiting) for lane in self._lanes)
        self._progress(self.totals)

    def _wait_for_workers(self, lane: _Lane, answer: Appended) -> None:
        shorter = lane.delay < _FULL_WAIT_S[1]
        lane.pause(self._clock())
        if not answer.taken and shorter and lane.delay == _FULL_WAIT_S[1]:
            log.warning("log_full", series=str(lane.feed.series), behind=answer.behind)

    def _wait_for_clock(self, lane: _Lane, error: InvalidValue) -> bool:
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
        lane.pause(now)
        return False

    def _set_aside(self, lane: _Lane, candle: Candle, error: InvalidValue) -> None:
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


def _may_be_early(error: InvalidValue, series: Series) -> bool:
    """Whether what was refused can be a candle that has not closed yet: a time on the grid."""
    time_ms = error.value
    return (
        error.field == "open_time"
        and isinstance(time_ms, int)
        and series.timeframe.floor(time_ms) == time_ms
    )


def _grown(delay: float, bounds: tuple[float, float]) -> float:
    return min(max(2 * delay, bounds[0]), bounds[1])
