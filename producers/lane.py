"""Lane: one feed with the candles that Redis has not taken yet."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from producers.feed import Feed
from shared.candle import Candle
from shared.records import BEFORE_ALL, Append, Appended

_FULL_WAIT_S = (0.05, 2.0)
_SLOW_S = 0.001
_STEADY_S = 60.0


@dataclass(slots=True)
class Lane:
    """A feed on its way into its log; it is paused without the others.

    Attributes
    ----------
    waiting
        Candles that were taken from the feed and not dealt with by Redis.
    after
        Open time of the candle that the feed has right before them.
    slow
        Whether the feed let others wait when it was last asked: an exchange, not a file.
    """

    feed: Feed
    waiting: list[Candle] = field(default_factory=list)
    after: int = BEFORE_ALL
    resume_at: float = 0.0
    delay: float = 0.0
    behind: int = 0
    early_since: float | None = None
    ended: bool = False
    slow: bool = False

    def fill(self, count: int, clock: Callable[[], float]) -> bool:
        """Take candles from the feed if none wait; return whether there are some to be sent."""
        now = clock()
        if self.ended or self.resume_at > now:
            return False
        if not self.waiting:
            wait = self.feed.wait_s()
            self.ended = wait is None
            if wait is None or wait > 0:
                return False
            self.waiting = list(self.feed.take(count))
            self.slow = clock() - now > _SLOW_S
        return bool(self.waiting)

    def wait_s(self, now: float) -> float:
        """Seconds until there may be something to send."""
        paused = self.resume_at - now
        return paused if self.waiting else max(paused, self.feed.wait_s() or 0.0)

    def request(self) -> Append:
        """Return what is to be sent."""
        return Append(self.feed.series, self.waiting, self.after)

    def settle(self, answer: Appended) -> bool:
        """Let go of what Redis dealt with, at a gap of all; return whether that is anything."""
        self.early_since = None
        self.behind = answer.behind
        if answer.taken:
            self.after = self.waiting[answer.taken - 1].open_time
            del self.waiting[: answer.taken]
        if answer.stopped != "full":
            self.delay = 0.0
        if answer.stopped == "gap":
            end = answer.last_open_time
            self.after = BEFORE_ALL if end is None else end
            self.waiting.clear()
            self.feed.rewind(self.after)
        return answer.taken > 0 or answer.stopped == "gap"

    def give_back(self, open_time: int) -> None:
        """Let the feed give the candles from that time (UTC milliseconds) on once more."""
        self.waiting = [candle for candle in self.waiting if candle.open_time < open_time]
        self.feed.rewind(self.waiting[-1].open_time if self.waiting else self.after)

    def pause(self, now: float) -> bool:
        """Wait, longer each time; return whether the longest wait was reached by this one."""
        shorter = self.delay < _FULL_WAIT_S[1]
        self.delay = grown(self.delay, _FULL_WAIT_S)
        self.resume_at = now + self.delay
        return shorter and self.delay == _FULL_WAIT_S[1]


def spread(delay: float) -> float:
    """Return a wait of about that long: not all who have lost the same come back at once."""
    return delay * random.uniform(0.5, 1.0)  # noqa: S311 -- no secret


def regrown(delay: float, held_s: float, bounds: tuple[float, float]) -> float:
    """Return the next of such waits; after what has held for a minute they begin anew."""
    return grown(0.0 if held_s >= _STEADY_S else delay, bounds)


def grown(delay: float, bounds: tuple[float, float]) -> float:
    """Return the next of waits that double between two bounds."""
    return min(max(2 * delay, bounds[0]), bounds[1])
