"""States that stand by: of a model that is to hold the field, or of that which held it before.

A series has one at most. While workers of another model wait for the field (design rule 11), they
teach their model what the series have retained but for the newest candle, and keep the states here.
When they have the field, each series goes on from there at once, and what was in force until then
stands by in turn: those who held the field may come back, and lose nothing.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from shared.candle import Series
from shared.errors import StoreError, StoreUnavailable
from shared.limits import Limits, life_ms
from shared.link import Link
from shared.records import Entry, entries, whole

_BEGUN = "begun:{}:{}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a model that waits stands with a series."""

    series: Series
    head: bytes
    """How the state in force begins: its header is in there."""
    cursor: int | None
    """Up to where a state of the model's stands by; None where there is none of any use."""
    seen: str
    """What stands by now, whosever it is: to be told when it is replaced."""
    ahead: int
    """Candles that the log has beyond the cursor, as far as they were counted."""
    reserved: bool
    """Whether what stands by is not to be replaced: those who have the field will go on from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A state that stands by, and what it has learned."""

    series: Series
    cursor: int
    sequence: int
    since: int | None
    state: bytes


class Standby:
    """What stands by in one installation.

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

    def name_heir(
        self, fleet: str, ready: int, series: int, *, rolls: bool = False, first: bool = False
    ) -> str:
        """Say that a fleet prepares, and of how many series it is ready for how many; return which.

        It ``rolls`` where it is to take the field once it is ready. Where another one prepares
        already, it is that one, unless this one is to come ``first``.
        """
        told = (self._limits.fleet_ttl_ms, int(first), int(rolls), ready, series)
        answer = self._link.run("heir", fleet, *told)
        return str(answer.decode(errors="replace"))

    def heir(self) -> dict[str, Any] | None:
        """Return which ``fleet`` prepares, and of how many ``series`` it is ``ready`` for.

        It ``rolls`` where it takes the field as soon as it is ready for all.
        """
        found: list[bytes | None] = [None] * 4
        with suppress(StoreError), self._link.translated() as redis:
            found = redis.hmget(self._link.keys.heir, "fleet", "rolls", "ready", "series")
        fleet, rolls, ready, series = found
        if fleet is None:
            return None
        counts = {"ready": whole(ready) or 0, "series": whole(series) or 0}
        return {"fleet": fleet.decode(errors="replace"), "rolls": rolls == b"1", **counts}

    def look(self, names: Sequence[Series], identities: Sequence[str]) -> list[Standing]:
        """Say where the models of these identities stand with their series."""
        most = self._limits.state_every + 2
        pairs = zip(map(str, names), identities, strict=True)
        answers = self._link.run("standing", most, *(text for pair in pairs for text in pair))
        return [
            Standing(
                series=series,
                head=head,
                cursor=whole(cursor) if is_there else None,
                seen=seen.decode(errors="replace"),
                ahead=ahead,
                reserved=bool(reserved),
            )
            for series, (head, cursor, is_there, ahead, seen, reserved) in zip(
                names, answers, strict=True
            )
        ]

    def entries(self, standing: Standing, most: int) -> list[Entry]:
        """Return the next entries of the log, at most so many, and never its newest."""
        cursor = "" if standing.cursor is None else standing.cursor
        return entries(self._link.run("lesson", str(standing.series), cursor, most))

    def find(self, series: Series, identity: str) -> Prepared | None:
        """Return what stands by of a series, if it is of this identity and sound."""
        fields = ("id", "cursor", "sequence", "since", "state")
        try:
            with self._link.translated() as redis:
                held_by, *numbers, state = redis.hmget(self._link.keys.standby(str(series)), fields)
        except StoreUnavailable:
            raise
        except StoreError:  # a key of another type is nobody's state
            return None
        cursor, sequence, since = map(whole, numbers)
        if held_by != identity.encode() or cursor is None or sequence is None or not state:
            return None
        return Prepared(series=series, cursor=cursor, sequence=sequence, since=since, state=state)

    def prepare(self, fleet: str, rows: Sequence[tuple[Prepared, str, str]]) -> None:
        """Have states stand by, each with its identity and what was `Standing.seen`.

        Those are passed over whose series has got another one meanwhile, is reserved or is gone,
        and all of them where the fleet is not the heir any more.
        """
        calls = [
            [
                *(fleet, str(one.series), life_ms(one.series.timeframe.ms), identity, seen),
                *(one.cursor, one.sequence, "" if one.since is None else one.since, one.state),
            ]
            for one, identity, seen in rows
        ]
        if calls:
            self._link.run_each("prepare", calls)

    def begun(self, fleet: str, names: Sequence[Series]) -> list[tuple[int, int]]:
        """Return how often each was begun to be prepared and not ended, and how long ago in ms.

        Below zero where Redis's clock has stepped back since.
        """
        fields = [_BEGUN.format(fleet, series) for series in names]
        with self._link.translated() as redis:
            found = redis.hmget(self._link.keys.heir, fields)
        now_ms = self._link.now_ms()
        told = [(raw or b"").partition(b" ") for raw in found]
        return [(whole(times) or 0, now_ms - (whole(at) or 0)) for times, _, at in told]

    def begin(self, fleet: str, names: Sequence[Series]) -> None:
        """Note that series are being prepared, once more where that was not ended."""
        told, now_ms = self.begun(fleet, names), self._link.now_ms()
        fields = {
            _BEGUN.format(fleet, series): f"{times + 1} {now_ms}"
            for series, (times, _) in zip(names, told, strict=True)
        }
        with self._link.translated() as redis:
            redis.hset(self._link.keys.heir, mapping=fields)

    def end(self, fleet: str, names: Sequence[Series]) -> None:
        """Note that nobody has died of preparing these."""
        with self._link.translated() as redis:
            redis.hdel(self._link.keys.heir, *(_BEGUN.format(fleet, name) for name in names))

    def drop(self, series: Series, identity: str, cursor: int | None) -> None:
        """Forget what stands by of a series, if it is of this identity and cursor still."""
        self._link.run("drop", str(series), f"{identity}{cursor}")
