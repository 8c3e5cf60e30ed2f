"""Where alerts are told in Redis: a stream, what is raised now, what is to be delivered."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from typing import Any

from pydantic import ValidationError

from shared.alert import Alert
from shared.link import Link
from shared.records import text

# An outage of all series is told of each, and delivered one by one.
_KEPT = 50_000
_GROUP = "webhook"
_BLOCK_MS = 2_000
_AT_ONCE = 100
# Whoever has the right and is killed keeps it for so long.
_TURN_S = 15.0
_FIELD = "alert"


class Alerts:
    """The alerts of one prefix.

    Parameters
    ----------
    link
        The connection.

    Raises
    ------
    StoreError
        From every method, when Redis fails.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._stream = link.keys.alerts
        self._raised = link.keys.alerts_raised

    def tell(self, alert: Alert) -> bool:
        """Tell that a rule holds for a series, or no more; False where somebody has said so."""
        place, is_raised = f"{alert.rule}|{alert.series}", alert.state == "raised"
        entry = alert.model_dump_json(by_alias=True)

        def told(pipe: Any) -> bool:
            if bool(pipe.hexists(self._raised, place)) == is_raised:
                return False
            pipe.multi()
            if is_raised:
                pipe.hset(self._raised, place, entry)
            else:
                pipe.hdel(self._raised, place)
            pipe.xadd(self._stream, {_FIELD: entry}, maxlen=_KEPT, approximate=True)
            return True

        with self._link.translated() as redis:
            return bool(redis.transaction(told, self._raised, value_from_callable=True))

    def raised(self) -> list[Alert]:
        """Return what is raised now, the newest first."""
        with self._link.translated() as redis:
            found = redis.hgetall(self._raised)
        alerts = [alert for entry in found.values() if (alert := _read(entry))]
        return sorted(alerts, key=lambda alert: (-alert.at, alert.series, alert.rule))

    def newest(self, count: int) -> list[Alert]:
        """Return what was told last, the newest first."""
        with self._link.translated() as redis:
            found = redis.xrevrange(self._stream, count=count)
        return [alert for _, fields in found if (alert := _read(fields.get(_FIELD.encode())))]

    def join(self, *, anew: bool = True) -> None:
        """Have everything that is told from now on kept for delivery, if it is not yet.

        ``anew=False`` takes what is told already too: for one who had joined, and is forgotten.
        """
        with self._link.translated() as redis:
            known = redis.exists(self._stream) and redis.xinfo_groups(self._stream)
            if all(group["name"] != _GROUP.encode() for group in known or ()):
                redis.xgroup_create(self._stream, _GROUP, id="$" if anew else "0", mkstream=True)

    def judging(self) -> AbstractContextManager[Callable[[], bool] | None]:
        """Hold the right to judge: see `Link.lock`."""
        return self._link.lock(self._link.keys.alerts_judge, _TURN_S, 0)

    def are_judged(self) -> bool:
        """Whether somebody holds that right."""
        with self._link.translated() as redis:
            return bool(redis.exists(self._link.keys.alerts_judge))

    def delivering(self) -> AbstractContextManager[Callable[[], bool] | None]:
        """Hold the right to deliver: see `Link.lock`."""
        return self._link.lock(self._link.keys.alerts_webhook, _TURN_S, 0)

    def undelivered(self) -> Iterator[tuple[str, Alert | None]]:
        """Yield ids and alerts that are to be delivered, in their order; wait for some a while.

        What was begun and not delivered comes first, whoever had begun. None in place of an alert:
        it is no longer kept, or nobody of ours wrote it.
        """
        with self._link.translated() as redis:
            begun = redis.xreadgroup(_GROUP, _GROUP, {self._stream: "0"}, count=_AT_ONCE)
            found = begun[0][1] if begun else []
            if not found:
                new = redis.xreadgroup(
                    _GROUP, _GROUP, {self._stream: ">"}, count=_AT_ONCE, block=_BLOCK_MS
                )
                found = new[0][1] if new else []
        for entry_id, fields in found:
            yield text(entry_id) or "", _read((fields or {}).get(_FIELD.encode()))

    def delivered(self, entry_id: str) -> None:
        """Note that one was delivered."""
        with self._link.translated() as redis:
            redis.xack(self._stream, _GROUP, entry_id)


def _read(entry: bytes | None) -> Alert | None:
    """Return an alert; None of what nobody of ours wrote."""
    with suppress(ValidationError):
        return Alert.model_validate_json(entry or b"")
    return None
