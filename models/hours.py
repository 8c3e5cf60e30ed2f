"""When a market trades: always, or in sessions learned from its own candles."""

import bisect
from itertools import accumulate, repeat

import numpy as np
from numpy.typing import NDArray

from models.memory import Memory

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
WEEK_MS = 7 * DAY_MS
MONDAY_MS = 4 * DAY_MS  # the first Monday after the epoch, which was a Thursday

_QUARTER_MS = HOUR_MS // 4
_LONGEST_CLOSURE_MS = 4 * DAY_MS
_CLOSED = 2
_SESSION_SHARE = 1 / 5
_DOUBTFUL_SHARE = 1 / 8


class TradingHours(Memory):
    """The times at which the next candles are expected.

    A market is taken to trade around the clock until its candles say otherwise: the week is cut
    into slots (a candle, at least a quarter of an hour), and a slot without a candle in two weeks
    running is *closed*. Once a fifth of the week is closed, and no more than an eighth of the rest
    was empty last time, the market is a *session market* and closed slots are stepped over. One
    outage, however long, closes nothing, and one candle opens its slot again; a gap of four days
    or more says nothing about hours.

    Parameters
    ----------
    timeframe_ms
        Length of a candle in milliseconds.
    horizon
        How many candles to look ahead.

    Attributes
    ----------
    path
        Open times (UTC ms) of the next ``horizon`` candles, shape (horizon,).
    position
        Number of the newest candle by the market's own clock: it counts the candles that
        should have come, whether or not they came.
    open_time
        Of the newest candle (UTC ms); None before the first.
    is_session
        Whether the market has regular closing hours.
    """

    _learned = ("absences", "position", "is_session", "open_time")

    def __init__(self, timeframe_ms: int = HOUR_MS, horizon: int = 24) -> None:
        self.timeframe_ms = timeframe_ms
        self.horizon = horizon
        self._slot_ms = -(-_QUARTER_MS // timeframe_ms) * timeframe_ms
        # Beyond a day a candle spans whole sessions: there are no hours to learn.
        self._has_hours = timeframe_ms <= DAY_MS
        self._steps = timeframe_ms * np.arange(1, horizon + 1)
        self.absences = bytearray(WEEK_MS // self._slot_ms if self._has_hours else 1)
        self.position = 0
        self.is_session = False
        self.path: NDArray[np.int64] = self._steps
        self.open_time: int | None = None

    def learn_one(self, open_time: int) -> None:
        """Take in the open time (UTC ms) of the next candle; times must rise."""
        before = self.open_time
        self.open_time = open_time
        self.position += 0 if before is None else self._steps_to(open_time)
        expected = open_time == self.path[0]
        moved = self._mark(before, open_time)
        if self.is_session and expected and not moved:
            self.path = np.append(self.path[1:], self._next(int(self.path[-1])))
        else:
            self.path = self._path_from(open_time)

    def recalled(self) -> None:
        """Find the path again, which follows from the rest."""
        self.path = self._steps if self.open_time is None else self._path_from(self.open_time)

    def _path_from(self, open_time: int) -> NDArray[np.int64]:
        if not self.is_session:
            return open_time + self._steps
        steps = accumulate(repeat(open_time, self.horizon + 1), lambda t, _: self._next(t))
        return np.fromiter(steps, np.int64, self.horizon + 1)[1:]

    def _steps_to(self, open_time: int) -> int:
        if open_time == self.path[0]:
            return 1
        # Beyond the path nothing is waited for: any step past the horizon will do.
        passed = bisect.bisect_right(self.path.tolist(), open_time)
        return max(passed, 1) + int(open_time > self.path[-1])

    def _slot(self, time: int) -> int:
        return (time - MONDAY_MS) % WEEK_MS // self._slot_ms

    def _mark(self, before: int | None, open_time: int) -> bool:
        """Count who was absent and who is back; return whether a slot opened or closed."""
        if not self._has_hours:
            return False
        slot, absences = self._slot(open_time), self.absences
        moved = absences[slot] >= _CLOSED
        absences[slot] = 0
        if before is not None and self.timeframe_ms < open_time - before < _LONGEST_CLOSURE_MS:
            for time in range(before + self._slot_ms, open_time, self._slot_ms):
                skipped = self._slot(time)
                if skipped != slot and absences[skipped] < _CLOSED:
                    absences[skipped] += 1
                    moved |= absences[skipped] == _CLOSED
        if moved:
            self.is_session = self._keeps_hours()
        return moved

    def _keeps_hours(self) -> bool:
        """Whether a good part of the week is closed, and the rest is not just as often empty.

        A market that trades little leaves slots empty by chance. Whether it is one is asked before
        it counts as a session market; afterwards a week of holidays must not undo it.
        """
        closed = self.absences.count(_CLOSED)
        if closed < _SESSION_SHARE * len(self.absences):
            return False
        doubtful = self.absences.count(1)
        return self.is_session or doubtful <= _DOUBTFUL_SHARE * (len(self.absences) - closed)

    def _next(self, open_time: int) -> int:
        """Open time of the candle after the one at ``open_time``."""
        time = open_time + self.timeframe_ms
        while self.absences[self._slot(time)] >= _CLOSED:
            time += self._slot_ms - (time - MONDAY_MS) % self._slot_ms
        return time
