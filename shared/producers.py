"""How the live producers of an installation are doing: noted by them, for those who look."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from shared.link import Link
from shared.records import text

# Longer ago, a producer that has not said good-bye is nobody's any more.
_REMEMBERED_MS = 3_600_000


class Producers:
    """What is known of the live producers.

    Parameters
    ----------
    link
        Of the store.

    Raises
    ------
    StoreError
        From every method, when Redis fails.
    """

    def __init__(self, link: Link) -> None:
        self._link = link

    def note(self, name: str, exchanges: Mapping[str, Mapping[str, Any]]) -> None:
        """Say how a producer's exchanges are doing now, and forget those that are long gone."""
        gone = [other for other, one in self.read().items() if one["silent_ms"] > _REMEMBERED_MS]
        with self._link.translated() as redis, redis.pipeline(transaction=False) as pipe:
            told = json.dumps({"seen_at": self._link.now_ms(), "exchanges": exchanges})
            pipe.hset(self._link.keys.producers, name, told)
            if gone:
                pipe.hdel(self._link.keys.producers, *gone)
            pipe.execute()

    def leave(self, name: str) -> None:
        """Forget a producer that has ended."""
        with self._link.translated() as redis:
            redis.hdel(self._link.keys.producers, name)

    def read(self) -> dict[str, dict[str, Any]]:
        """Return what each one has told last, by name.

        ``exchanges`` by their name, and for how many milliseconds it has been silent since. What
        nobody of ours wrote is left out.
        """
        with self._link.translated() as redis:
            found = redis.hgetall(self._link.keys.producers)
        now_ms = self._link.now_ms()
        read: dict[str, dict[str, Any]] = {}
        for name, raw in found.items():
            with suppress(ValueError, KeyError, TypeError):
                told = json.loads(raw)
                exchanges = {str(one): dict(how) for one, how in dict(told["exchanges"]).items()}
                silent_ms = now_ms - int(told["seen_at"])
                read[text(name) or ""] = {"silent_ms": silent_ms, "exchanges": exchanges}
        return dict(sorted(read.items()))
