"""Learners that a worker keeps between claims, so that it need not read them again."""

import time
from collections.abc import Callable
from typing import NamedTuple

from shared.candle import Series

# A series that has not come back after so many of its candles has another worker, or none.
_GONE_AFTER = 3


class _Kept(NamedTuple):
    etag: str
    body: bytes
    until: float


class KeptLearners:
    """Learners as they were last committed, each with the token that its commit gave the series.

    A token is given once. So what is found under the token that a claim names is just what Redis
    would say, were it written there.

    Parameters
    ----------
    most
        How many; a mature one has 38 KB. Beyond that none is taken, rather than let others go: all
        series come in turn, and the one that has waited longest is the next to be wanted.
    clock
        Seconds that only rise.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._kept: dict[Series, _Kept] = {}
        # What is kept again is kept for longer: nobody goes before the time of the first at a look.
        self._nobody_before = 0.0

    def find(self, series: Series, etag: str) -> bytes | None:
        """Return the learner that was kept under this token."""
        kept = self._kept.get(series)
        return kept.body if kept and kept.etag == etag else None

    def keep(self, series: Series, etag: str, body: bytes) -> bool:
        """Keep a learner in place of the one before; return whether there was room for it."""
        now = self._clock()
        if series not in self._kept and len(self._kept) >= self._most and not self._let_go(now):
            return False
        until = now + _GONE_AFTER * series.timeframe.ms / 1_000
        self._kept[series] = _Kept(etag, body, until)
        return True

    def _let_go(self, now: float) -> bool:
        """Let one go that is not to come back; whether there was one."""
        if now < self._nobody_before or not self._kept:
            return False
        first = min(self._kept, key=lambda series: self._kept[series].until)
        self._nobody_before = self._kept[first].until
        if self._nobody_before > now:
            return False
        del self._kept[first]
        return True
