"""How the rounds of snapshots go: noted for those who look, and for when the next one is due."""

from contextlib import suppress
from typing import Any

from shared.candle import Series
from shared.errors import StoreError
from shared.limits import Limits
from shared.link import Link
from shared.records import text, whole

_FIRST_WAIT_MS = 30_000
_LONGEST_TEXT = 500


class Rounds:
    """What is known of the rounds of one installation.

    Parameters
    ----------
    link, limits
        Of the store.

    Raises
    ------
    StoreError
        From every method, when Redis fails.
    """

    def __init__(self, link: Link, limits: Limits) -> None:
        self._link = link
        self._limits = limits

    def went_well(self) -> None:
        """Note that a round has come to its end."""
        with self._link.translated() as redis:
            now = self._link.now_ms()
            with redis.pipeline(transaction=True) as pipe:
                pipe.delete(self._link.keys.rounds)
                pipe.hset(self._link.keys.rounds, "ended_at", now)
                pipe.hincrby(self._link.keys.totals, "rounds", 1)
                pipe.execute()

    def failed(self, error: str) -> int:
        """Note that MLflow has failed a round; return the seconds until the next one is rung.

        It is rung sooner than the others, and later each time that it fails again.
        """
        key = self._link.keys.rounds
        with self._link.translated() as redis:
            tries, now = redis.hincrby(key, "tries", 1), self._link.now_ms()
            wait_ms = min(_FIRST_WAIT_MS << min(tries - 1, 16), self._limits.snapshot_period_ms)
            with redis.pipeline(transaction=True) as pipe:
                pipe.hincrby(self._link.keys.totals, "rounds_failed", 1)
                pipe.hsetnx(key, "failing_since", now)
                pipe.hset(key, mapping={"error": error[:_LONGEST_TEXT], "next_at": now + wait_ms})
                # While this is there, no tick rings.
                pipe.set(self._link.keys.housekeeping, 1, px=wait_ms)
                pipe.execute()
        return int(wait_ms) // 1_000

    def is_undrawn(self, series: Series, every_ms: float) -> bool:
        """Whether pictures of a series were not drawn for so long, or never."""
        with self._link.translated() as redis:
            last = whole(redis.hget(self._link.keys.drawn, str(series)))
            return last is None or self._link.now_ms() - last >= every_ms

    def note_drawn(self, series: Series) -> None:
        """Note that pictures of a series are drawn now."""
        with self._link.translated() as redis:
            redis.hset(self._link.keys.drawn, str(series), self._link.now_ms())

    def read(self) -> dict[str, Any]:
        """Return what is known: times in UTC milliseconds, each None where it was not noted.

        ``ended_at`` of the last round that went well; ``failing_since``, ``tries``, ``next_at`` and
        ``error`` while MLflow fails them.
        """
        found: dict[bytes, bytes] = {}
        with suppress(StoreError), self._link.translated() as redis:
            found = redis.hgetall(self._link.keys.rounds)  # of another type it tells nothing
        names = ("ended_at", "failing_since", "tries", "next_at")
        return {
            **{name: whole(found.get(name.encode())) for name in names},
            "error": text(found.get(b"error")),
        }
