"""Looks at the models all the time: when each series was committed, and how long the queue was."""

import threading
import time
from collections import defaultdict
from itertools import pairwise
from typing import Any

import redis

from shared.candle import Series
from shared.keys import CANDLES_QUEUE, Keys

_PERIOD_S = 0.01


class Watch:
    """A thread that polls cursors and etags.

    Attributes
    ----------
    longest_queue
        Most doorbells seen at once.
    model_keys
        Where the models are.
    strikes
        Moments at which faults were injected.
    """

    def __init__(self, client: Any, ends: dict[Series, int]) -> None:
        self._client = client
        self._ends = ends
        self._queue = Keys().rq_queue(CANDLES_QUEUE)
        self._etags: dict[Series, bytes | None] = {}
        self._cursors: dict[Series, int] = dict.fromkeys(ends, 0)
        self._commits: dict[Series, list[float]] = defaultdict(list)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.model_keys = [Keys().model(str(series)) for series in ends]
        self.longest_queue = 0
        self.strikes: list[float] = []
        self._thread.start()

    def learned(self) -> bool:
        """Whether every series has reached the end of its source."""
        return all(self._cursors[series] >= end for series, end in self._ends.items())

    def moved(self, since: float) -> list[Series]:
        """Return the series that were committed after a moment (monotonic)."""
        return [s for s in self._ends if any(at > since for at in self._commits[s][-1:])]

    def strike(self) -> float:
        """Note that a fault is injected now."""
        self.strikes.append(time.monotonic())
        return self.strikes[-1]

    def worst_recovery_s(self) -> float:
        """Longest time that any series stood still, counted from the first fault on.

        Candles come all the while, faster than this looks: without faults it is near zero.
        """
        if not self.strikes:
            return 0.0
        first = self.strikes[0]
        stretches = (
            after - max(before, first)
            for commits in self._commits.values()
            for before, after in pairwise([first, *commits])
            if after > first
        )
        return max(stretches, default=0.0)

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(_PERIOD_S):
            try:
                self._look()
            except redis.RedisError:
                # What comes back from a crash may be older: that is no commit.
                self._etags.clear()

    def _look(self) -> None:
        with self._client.pipeline(transaction=False) as pipe:
            pipe.llen(self._queue)
            for key in self.model_keys:
                pipe.hmget(key, "cursor", "etag")
            length, *rows = pipe.execute()
        self.longest_queue = max(self.longest_queue, length)
        now = time.monotonic()
        for series, (cursor, etag) in zip(self._ends, rows, strict=True):
            self._cursors[series] = int(cursor or 0)
            if cursor and self._etags.get(series, etag) != etag:
                self._commits[series].append(now)
            self._etags[series] = etag
