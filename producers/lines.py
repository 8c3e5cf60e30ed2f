"""Candles as JSON lines from a pipe: read as they come, and given out by a feed for each series."""

import math
import os
import select
import time
from collections import deque
from collections.abc import Callable, Sequence

import structlog

from producers.feed import Feed
from producers.json_candles import Rules, read_object
from shared.candle import Candle, Series
from shared.errors import CandlecastError, InvalidValue
from shared.records import BEFORE_ALL, DeadLetter

# One read of a pipe gives no more than that, some hundred candles; a round sends those of some.
_CHUNK = 65_536
_READS = 16
_LONGEST_LINE = 65_536
# So many candles are read ahead of full logs, for the sake of the series that go on.
_READ_AHEAD = 50_000
# More than a failover forgets of a live series, and little where there are thousands.
_REMEMBERED = 100
# Whoever stops a process that has no more than this to say grants it ten seconds.
_LEAVE_S = 8.0

log = structlog.get_logger(__name__)


class LineFeed:
    """The candles of one series among the lines, as a feed.

    The lines are the word of their source that there is nothing between two of them. A pipe cannot
    be asked again: the feed gives the newest candles again that it has given out, and where the log
    lacks older ones it ends the intake, saying from when on to send again.

    Attributes
    ----------
    letters
        Bad lines, to be set aside when candles are taken.
    """

    def __init__(self, intake: "Intake", series: Series) -> None:
        self.series = series
        self.letters: deque[DeadLetter] = deque()
        self._intake = intake
        self._queue: deque[Candle] = deque()
        self._given: list[Candle] = []
        # It has every candle of its source that opens after this time.
        self._complete_after = math.inf
        self._has_forgotten = False

    def __len__(self) -> int:
        """Candles that were not taken yet."""
        return len(self._queue)

    def put(self, candle: Candle) -> None:
        """Add the candle of one more line."""
        if self._complete_after == math.inf:
            self._complete_after = BEFORE_ALL if self._intake.gap_ok else candle.open_time
        self._queue.append(candle)

    def wait_s(self) -> float | None:
        """Whether a line is there: 0.0, and None after the last one."""
        if self._queue or self.letters:
            return 0.0
        return math.inf if self._intake.is_open else None

    def take(self, count: int) -> list[Candle]:
        """Return the next candles, at most ``count``."""
        while self.letters:
            self._intake.set_aside(self.series, self.letters[0])
            # Only now: where Redis fails, it is tried again.
            self.letters.popleft()
        self._forget(len(self._given) - _REMEMBERED)
        batch = [self._queue.popleft() for _ in range(min(count, len(self._queue)))]
        self._given += batch
        return batch

    def rewind(self, after: int) -> None:
        """Give the candles after ``after`` again, or end the intake where some are gone."""
        begins_anew = after == BEFORE_ALL and not self._has_forgotten
        if not begins_anew and after < self._complete_after:
            self._intake.end(self._gap(after))
            self._queue.clear()
            return
        self._queue.extendleft(c for c in reversed(self._given) if c.open_time > after)
        self._given = [candle for candle in self._given if candle.open_time <= after]

    def _forget(self, count: int) -> None:
        if count > 0:
            times = (candle.open_time for candle in self._given[:count])
            self._complete_after = max(self._complete_after, *times)
            self._has_forgotten = True
            del self._given[:count]

    def _gap(self, after: int) -> CandlecastError:
        if after == BEFORE_ALL:
            return CandlecastError(f"{self.series}: the log has lost all candles: send all again")
        again = after + self.series.timeframe.ms
        text = f"{self.series}: the log ends with the candle of {after}: send again from {again} on"
        if self._has_forgotten:
            return CandlecastError(f"{text}, since Redis has lost what was sent")
        first = next(c.open_time for c in (*self._given, *self._queue) if c.open_time > after)
        return CandlecastError(
            f"{text}, since the lines go on with {first} only; where the source has nothing "
            "between, say --gap-ok"
        )


class Intake:
    """The lines of a pipe, shared out to a feed for each series.

    Lines are read as far as they are there, and not while tens of thousands of candles wait for
    full logs. What is no valid candle ends the intake, unless ``set_aside`` takes it.

    Parameters
    ----------
    descriptor
        The pipe's file descriptor.
    rules
        What makes a line a candle.
    set_aside
        Called with bad lines, their series known; others are logged.
    gap_ok
        The source has nothing between the end of a log and the first line of its series.
    clock
        Seconds, monotonic.

    Attributes
    ----------
    is_open
        Whether lines may come.
    fault
        What ended it, if not the end of the lines.
    bad, unplaced
        Bad lines that go to the dead letters, and those that name no series that is allowed.
    """

    def __init__(
        self,
        descriptor: int,
        rules: Rules,
        set_aside: Callable[[Series, DeadLetter], object] | None = None,
        *,
        gap_ok: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.gap_ok = gap_ok
        self.is_open = True
        self.fault: CandlecastError | None = None
        self.bad = self.unplaced = 0
        self._descriptor = descriptor
        self._rules = rules
        self._set_aside = set_aside
        self._clock = clock
        self._leave_at = math.inf
        self._feeds: dict[Series, LineFeed] = {}
        self._line = 0
        self._begun = b""

    @property
    def waiting(self) -> int:
        """Candles that were read and not taken yet."""
        return sum(map(len, self._feeds.values()))

    def more(self) -> Sequence[Feed] | None:
        """Read the lines that are there; return the feeds of new series, None after the end."""
        if not self.is_open:
            return None
        known = len(self._feeds)
        for _ in range(_READS):
            if not (self._has_room() and self._is_readable(0.0)):
                break
            self._read(os.read(self._descriptor, _CHUNK))
        return list(self._feeds.values())[known:]

    def wait(self, seconds: float) -> None:
        """Wait for lines, but no longer than that."""
        if self._has_room():
            self._is_readable(seconds)
        else:
            time.sleep(seconds)

    def end(self, fault: CandlecastError | None = None) -> None:
        """Read no more; what was read has some seconds to be sent."""
        self.fault = self.fault or fault
        self.is_open = False
        self._leave_at = min(self._leave_at, self._clock() + _LEAVE_S)

    def is_overdue(self) -> bool:
        """Whether these seconds are over."""
        return self._clock() >= self._leave_at

    def set_aside(self, series: Series, letter: DeadLetter) -> None:
        """Hand a bad line on."""
        if self._set_aside is not None:
            self._set_aside(series, letter)

    def _has_room(self) -> bool:
        return self.is_open and self.waiting < _READ_AHEAD

    def _is_readable(self, seconds: float) -> bool:
        return bool(select.select([self._descriptor], [], [], seconds)[0])

    def _read(self, data: bytes) -> None:
        *lines, self._begun = (self._begun + data).split(b"\n")
        if not data:
            # The last line may lack its end.
            self.is_open, lines = False, [self._begun]
        for line in lines:
            self._line += 1
            if line.strip():
                self._read_line(line)
            if self.fault:
                return
        if len(self._begun) > _LONGEST_LINE:
            fault = f"line {self._line + 1} is longer than {_LONGEST_LINE} bytes"
            self.end(CandlecastError(f"{fault}: end each candle with a line feed"))

    def _read_line(self, line: bytes) -> None:
        feed = None
        try:
            found = read_object(line)
            series = self._rules.read_series(found)
            feed = self._feeds.setdefault(series, LineFeed(self, series))
            feed.put(self._rules.read_candle(series, found))
        except InvalidValue as error:
            self._refuse(feed, line, f"line {self._line}: {error}")

    def _refuse(self, feed: LineFeed | None, line: bytes, why: str) -> None:
        if self._set_aside is None:
            self.end(CandlecastError(why))
        elif feed is None:
            self.unplaced += 1
            log.warning("bad_line", error=why)
        else:
            self.bad += 1
            text = line.decode(errors="replace").strip()
            feed.letters.append(DeadLetter(candle=text, reason="invalid", error=why))
