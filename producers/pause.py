"""Pause: a source that finds itself asked too often is left alone, for all its series."""

import threading
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime

from producers.lane import grown, spread
from producers.rows import Paused

_UNSAID_S = (5.0, 300.0)
_LONGEST_S = 3_600.0
_NAP_S = 0.5


def monotonic() -> float:
    """Return seconds that nobody can set."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Pause:
    """The pauses that one source has asked for: to go on asking would get this address banned.

    Parameters
    ----------
    name
        What errors call the source.
    clock
        Seconds, monotonic; where the system can tell, also those that the machine sleeps.

    Attributes
    ----------
    clock
        The same.
    count
        How many there were.
    """

    def __init__(self, name: str, clock: Callable[[], float] = monotonic) -> None:
        self._name = name
        self.clock = clock
        self._until = clock()
        self._last_s = 0.0
        self.count = 0

    def begin(self, seconds: float | None) -> float:
        """Begin one of so many seconds, an hour at most; longer each time where nothing is said.

        Returns its length.
        """
        unsaid = grown(self._last_s, _UNSAID_S)
        self._last_s = unsaid if seconds is None else min(seconds, _LONGEST_S)
        self._until = self.clock() + self._last_s
        self.count += 1
        return self._last_s

    def check(self) -> None:
        """Say whether the source may be asked.

        Raises
        ------
        Paused
            When not yet.
        """
        if (left := self.left_s) > 0:
            raise Paused(
                f"{self._name} has asked for a pause, of which {left:.0f} s are left", left
            )

    @property
    def left_s(self) -> float:
        """Seconds until the source may be asked; 0.0 where that is now."""
        return max(0.0, self._until - self.clock())

    def sit_out(self, stopped: threading.Event) -> None:
        """Wait until the source may be asked, and not by all at once; or until one is stopped."""
        while self.left_s and not stopped.is_set():
            stopped.wait(min(self.left_s, _NAP_S))
        stopped.wait(spread(_NAP_S))

    def forget(self) -> None:
        """Note that it answers again: the next pause is a short one."""
        self._last_s = 0.0


def asked_s(retry_after: str) -> float | None:
    """Return the seconds that a Retry-After asks for, by a number or a date; None by neither."""
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
