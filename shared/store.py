"""What changes Redis: append, claim, commit, release, restore, tick, pause, retire.

The rules are in the Lua scripts beside this file; here they are called and their answers typed.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from typing import Any, Literal

from pydantic_core import to_json

from shared import doorbell
from shared.allowed import check_allowed, one_too_many
from shared.candle import Candle, Series
from shared.errors import InvalidValue, StoreFull
from shared.limits import Limits, life_ms
from shared.model_record import Champion
from shared.records import (
    BEFORE_ALL,
    Append,
    Appended,
    Batch,
    Claim,
    Commit,
    Event,
    Tick,
    parsed_series,
)
from shared.view import View
from shared.wire import encode_candle, slice_digest

APPEND_LIMIT = 500
_SNAPSHOT_LOCK_S = 30


class Store(View):
    """The candle logs, models and marks of one prefix in one Redis, to be read and changed.

    Raises
    ------
    StoreUnavailable
        From every method, when Redis cannot be reached or refuses the password.
    StoreError
        From every method, when Redis fails a command.
    """

    # ---------------------------------------------------------------- producers

    def append(
        self, series: Series, candles: Sequence[Candle], *, after: int = BEFORE_ALL
    ) -> Appended:
        """Append closed candles of one series, as `Append` has them, and ring the doorbell.

        Raises
        ------
        InvalidValue
            When a candle is off the timeframe's grid or not closed yet, or the series is not
            allowed or one too many; nothing is appended.
        """
        (answer,) = self.append_all([Append(series, candles, after)])
        if isinstance(answer, InvalidValue):
            raise answer
        return answer

    def append_all(self, appends: Sequence[Append]) -> list[Appended | InvalidValue]:
        """Append to the logs of several series in one round trip, and ring the doorbell.

        A hole of the source is told from a candle that the log lacks: only a candle that the source
        has right behind the log's end, or the very next one, is taken; another is answered ``gap``,
        and what follows ``last_open_time`` has to be appended first. Where candles are refused
        (see `append`), that is the answer for their series; nothing of it is appended.

        Raises
        ------
        InvalidValue
            When there are too many candles, or a series is not allowed; nothing is sent.
        """
        answers = self.link.run_each("append", [self._append_args(one) for one in appends])
        read = [_appended(*pair, self.limits) for pair in zip(appends, answers, strict=True)]
        rings = [answer[-1] for answer in answers if answer[0] == b"ok"]
        self.ring(rings[-1] if rings else 0)
        return read

    def _append_args(self, append: Append) -> list[Any]:
        series, limits, count = append.series, self.limits, len(append.candles)
        if count > APPEND_LIMIT:
            raise InvalidValue("candles", count, f"append at most {APPEND_LIMIT} at once")
        check_allowed(series, limits)
        return [
            *(limits.claim_series, str(series), limits.max_series),
            *(series.timeframe.ms, series.timeframe.origin_ms, append.after),
            *(limits.max_waiting, limits.unclosed_grace_ms, limits.dead_letters),
            *(text for candle in append.candles for text in encode_candle(candle)),
        ]

    # ---------------------------------------------------------------- workers

    def ring(self, doorbells: int) -> None:
        """Wake that many workers."""
        if doorbells > 0:
            with self.link.translated() as redis:
                doorbell.ring_candles(redis, self.keys, doorbells)

    def ring_housekeeping(self) -> None:
        """Wake the housekeeping worker."""
        with self.link.translated() as redis:
            doorbell.ring_housekeeping(redis, self.keys)

    def claim(self, fleet: str, worker: str = "") -> Batch:
        """Take due series for the lease; nothing unless this fleet holds the field (see `tick`).

        ``worker`` is the name under which `abandon` gives them back. What a worker of this name has
        committed last comes first, and without its state, which it has: see `with_state`.
        """
        limits = self.limits
        while True:
            now, holder, rows = self.link.run(
                "claim",
                *(limits.claim_series, limits.claim_candles, limits.series_candles),
                *(limits.lease_ms, fleet, uuid.uuid4().hex, worker),
            )
            claims = [Claim.read(row) for row in rows if parsed_series(row[0])]
            # What only a newer version can name is left to its workers: it rests, and costs nobody
            # his turn.
            if unknown := [text for row in rows if not parsed_series(row[0]) for text in row[:2]]:
                self.link.run("release", limits.claim_series, 1, *unknown)
            if claims or not rows:
                return Batch(now=int(now), holder=holder.decode(errors="replace"), claims=claims)

    def commit(self, commits: Sequence[Commit]) -> tuple[list[bool], int]:
        """Commit each, in one pipeline; return which won, and the doorbells still missing."""
        answers = self.link.run_each("commit", [self._commit_args(commit) for commit in commits])
        return [bool(won) for won, _ in answers], answers[-1][1]

    def _commit_args(self, commit: Commit) -> list[Any]:
        claim, limits, dead = commit.claim, self.limits, commit.dead_letter
        frame_ms = claim.series.timeframe.ms
        return [
            *(limits.claim_series, str(claim.series), claim.etag, commit.etag),
            *(_or_empty(claim.cursor), commit.entries[-1][0].partition(b"-")[0]),
            *(
                slice_digest(commit.entries),
                commit.learned,
                commit.state or b"",
                commit.fingerprint,
            ),
            b"" if commit.scores is None else to_json(commit.scores),
            *(_or_empty(commit.since), commit.forecast or b""),
            *(life_ms(frame_ms), limits.history),
            *((limits.retention - 1) * frame_ms, limits.dead_letters),
            *(dead.fields.values() if dead else ("", "", "")),
            *(commit.keeper, int(commit.state is not None)),
            *(part for pair in commit.counts.items() for part in pair),
        ]

    def with_state(self, claim: Claim) -> Claim:
        """Return a claim with the state that was not handed out, as it is by now."""
        record = self.model(claim.series)
        missing = "state" if claim.cursor is not None and record.state is None else None
        return replace(
            claim,
            state=record.state,
            behind=record.behind,
            spoilt=claim.spoilt or missing,
            is_kept=False,
        )

    def release(self, claims: Sequence[Claim]) -> int:
        """Give untouched claims back; return the doorbells missing."""
        pairs = [text for claim in claims for text in (str(claim.series), claim.etag)]
        return int(self.link.run("release", self.limits.claim_series, 0, *pairs))

    def abandon(self, worker: str) -> None:
        """Make due what a worker had in hand that is known to be dead: its lease need not end."""
        self.ring(self.link.run("abandon", self.limits.claim_series, worker))

    def restore(  # noqa: PLR0913 -- a state and all that identifies it
        self,
        series: Series,
        *,
        etag: str | None,
        cursor: int | None,
        state: bytes,
        fingerprint: str,
        scores: Mapping[str, Any],
        sequence: int,
        since: int | None,
        accept_hole: bool = False,
        event: Event | None = None,
        put_by: str = "",
    ) -> str:
        """Put a state back in force: ``ok``, ``lost`` (another etag), ``unknown`` or ``hole``.

        ``etag=None`` overrides whatever is there, ``cursor=None`` starts before the first
        retained candle. With ``accept_hole`` neither candle nor series need be there yet. Without
        an ``event`` it is told as restored, or as rebuilt where it starts before all. ``put_by``
        names the model whose state it replaces, if that may come back: `shared.standby`.
        """
        told = event or Event(event="rebuilt" if cursor is None else "restored")
        answer, ring = self.link.run(
            "restore",
            *(self.limits.claim_series, str(series), etag or "", uuid.uuid4().hex),
            *(_or_empty(cursor), state, fingerprint, to_json(scores)),
            *(sequence, _or_empty(since), int(accept_hole)),
            *(told.counter, told.event, _or_empty(told.version), told.why, told.origin),
            *(put_by, life_ms(series.timeframe.ms)),
        )
        self.ring(ring)
        return str(answer.decode())

    def tick(self, fleet: str, how: Literal["", "look", "relieve", "take over"] = "") -> Tick:
        """Keep the fleet's name alive, repair marks and say what is to be rung.

        An empty field is taken. By ``take over`` another's is too, and by ``relieve`` if this one
        is the heir, and has not lost it within two minutes. With ``look`` even an empty one is
        left, and the holder's name is empty then.
        """
        limits = self.limits
        now, holder, ring, housekeeping = self.link.run(
            "tick",
            *(limits.claim_series, fleet, limits.fleet_ttl_ms, how),
            *(limits.tick_guard_ms, limits.lease_ms, limits.snapshot_period_ms),
        )
        return Tick(
            now=int(now),
            holder=holder.decode(errors="replace"),
            ring=ring,
            housekeeping=bool(housekeeping),
        )

    # ---------------------------------------------------------------- operators

    def pause(self, series: Series, *, paused: bool = True) -> bool:
        """Let a series rest, its candles kept, or go on; return whether there is such a series."""
        known, ring = self.link.run("pause", self.limits.claim_series, str(series), int(paused))
        # It is done; a full Redis takes no doorbell, but workers ring again by themselves.
        with suppress(StoreFull):
            self.ring(ring)
        return bool(known)

    def retire(self, series: Series, *, revision: int) -> bool:
        """Remove every key of a series, unless its model has moved on from this revision.

        Its dead letters stay. A producer that goes on begins the series anew.
        """
        return bool(self.link.run("retire", str(series), revision) == b"ok")

    # ---------------------------------------------------------------- snapshots

    def set_snapshot(
        self,
        series: Series,
        *,
        version: int,
        alias: str | None,
        revision: int,
        champion: Champion | None = None,
    ) -> None:
        """Note the newest MLflow version and the revision it holds; nothing of what is retired.

        The champion is noted with it; None: there is none.
        """
        told = champion.to_json() if champion else ""
        self.link.run("snapshot", str(series), version, alias or "", revision, told)

    def note_below(self, series: Series, since: int | None) -> None:
        """Note since when a model has shown less skill than its champion; None: it does not."""
        self.link.run("below", str(series), _or_empty(since))

    def snapshot_lock(
        self, *, wait_s: float = 0
    ) -> AbstractContextManager[Callable[[], bool] | None]:
        """Hold the one right to take snapshots; yield what renews it, or None where it is taken.

        It lives for half a minute, so that a killed round does not hold up the next; what renews
        it answers False where another round has begun meanwhile.
        """
        return self.link.lock(self.keys.snapshot_lock, _SNAPSHOT_LOCK_S, wait_s)


def _appended(append: Append, answer: list[Any], limits: Limits) -> Appended | InvalidValue:
    """Type the answer of the append script."""
    if answer[0] == b"ok":
        return Appended.read(answer[1:-1])
    if answer[0] == b"too_many":
        return one_too_many(append.series, limits)
    candle = append.candles[answer[1]]
    try:
        append.series.timeframe.check_open_time(candle.open_time)
        if answer[0] == b"unclosed":
            append.series.timeframe.check_closed(candle.open_time, int(answer[2]))
    except InvalidValue as error:
        return error
    return InvalidValue("candles", answer[1], "a number has at most 32 characters")


def _or_empty(number: int | None) -> int | str:
    return "" if number is None else number
