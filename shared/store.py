"""The only Redis commands: append, claim, commit, release, restore, tick, and what is read.

The rules are in the Lua scripts beside this file; here they are called and their answers typed.
"""

import contextlib
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self

from pydantic_core import to_json

from shared import doorbell
from shared.candle import Candle, Series
from shared.errors import InvalidValue, StoreError
from shared.keys import DEFAULT_PREFIX, Keys
from shared.link import Link
from shared.records import (
    MODEL_FIELDS,
    Appended,
    Batch,
    Claim,
    Commit,
    Limits,
    ModelRecord,
    Tick,
    parsed_series,
)
from shared.wire import decode_candle, encode_candle, slice_digest

APPEND_LIMIT = 500
_FORECAST_TTL_MS = 86_400_000
# How much is read at once: Redis does nothing else meanwhile.
_PAGE = 64
_SNAPSHOT_LOCK_S = 30


class Store:
    """The candle logs, models and marks of one prefix in one Redis.

    Raises
    ------
    StoreUnavailable
        From every method, when Redis cannot be reached or refuses the password.
    StoreError
        From every method, when Redis fails a command.
    """

    def __init__(self, link: Link, limits: Limits | None = None) -> None:
        self.link = link
        self.keys = link.keys
        self.limits = limits or Limits()

    @classmethod
    def connect(
        cls, url: str, *, prefix: str = DEFAULT_PREFIX, limits: Mapping[str, int] | None = None
    ) -> Self:
        """Connect and ping; ``limits`` are fields of `Limits`."""
        return cls(Link.open(url, Keys(prefix)), Limits(**limits or {}))

    # ---------------------------------------------------------------- producers

    def append(
        self, series: Series, candles: Sequence[Candle], *, gap_ok: bool = False
    ) -> Appended:
        """Append up to 500 closed candles, oldest first, and ring the doorbell.

        Raises
        ------
        InvalidValue
            When a candle is off the timeframe's grid or not closed yet; nothing is appended.
        """
        if len(candles) > APPEND_LIMIT:
            raise InvalidValue("candles", len(candles), f"append at most {APPEND_LIMIT} at once")
        frame, limits = series.timeframe, self.limits
        answer = self.link.run(
            "append",
            *(limits.claim_series, str(series), frame.ms, frame.origin_ms, int(gap_ok)),
            *(limits.max_waiting, limits.unclosed_grace_ms, limits.dead_letters),
            *(text for candle in candles for text in encode_candle(candle)),
        )
        if answer[0] == b"off_grid":
            frame.check_open_time(candles[answer[1]].open_time)
        if answer[0] == b"unclosed":
            frame.check_closed(candles[answer[1]].open_time, int(answer[2]))
        self.ring(answer[-1])
        return Appended.read(answer[1:-1])

    def dead_letter(self, series: str, candle: str, reason: str, error: str) -> None:
        """Set a refused candle aside with its reason."""
        letter = {"series": series, "candle": candle, "reason": reason, "error": error}
        with self.link.translated() as redis, redis.pipeline(transaction=True) as pipe:
            pipe.xadd(self.keys.dead_letters, letter, maxlen=self.limits.dead_letters)
            pipe.hincrby(self.keys.model(series), "dead_letters", 1)
            pipe.execute()

    def used_memory_share(self) -> float:
        """Share of ``maxmemory`` in use; 0 where Redis has no such limit."""
        with self.link.translated() as redis:
            info = redis.info("memory")
        limit = info.get("maxmemory", 0)
        return info["used_memory"] / limit if limit else 0.0

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

    def claim(self, fleet: str) -> Batch:
        """Take due series for the lease; nothing while another fleet holds the field."""
        limits = self.limits
        now, holder, rows = self.link.run(
            "claim",
            *(limits.claim_series, limits.claim_candles, limits.series_candles),
            *(limits.lease_ms, fleet, uuid.uuid4().hex, limits.fleet_ttl_ms),
        )
        claims = [Claim.read(row) for row in rows if parsed_series(row[0])]
        return Batch(now=int(now), holder=holder.decode(), claims=claims)

    def commit(self, commits: Sequence[Commit]) -> tuple[list[bool], int]:
        """Commit each, in one pipeline; return which won, and the doorbells still missing."""
        with self.link.translated() as redis, redis.pipeline(transaction=False) as pipe:
            for commit in commits:
                self.link.run("commit", *self._commit_args(commit), pipe=pipe)
            answers = pipe.execute()
        return [bool(won) for won, _ in answers], answers[-1][1]

    def _commit_args(self, commit: Commit) -> list[Any]:
        claim, limits, dead = commit.claim, self.limits, commit.dead_letter
        frame_ms = claim.series.timeframe.ms
        return [
            *(limits.claim_series, str(claim.series), claim.etag, uuid.uuid4().hex),
            *(_or_empty(claim.cursor), commit.entries[-1][0].partition(b"-")[0]),
            *(slice_digest(commit.entries), commit.learned, commit.state, commit.fingerprint),
            *(to_json(commit.scores), _or_empty(commit.since), commit.forecast or b""),
            *(max(3 * frame_ms, _FORECAST_TTL_MS), limits.history),
            *((limits.retention - 1) * frame_ms, limits.dead_letters),
            *((dead.candle, dead.reason, dead.error) if dead else ("", "", "")),
        ]

    def release(self, claims: Sequence[Claim]) -> int:
        """Give untouched claims back; return the doorbells missing."""
        pairs = [text for claim in claims for text in (str(claim.series), claim.etag)]
        return int(self.link.run("release", self.limits.claim_series, *pairs))

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
    ) -> str:
        """Put a state back in force: ``ok``, ``lost`` (another etag) or ``hole``.

        ``etag=None`` overrides whatever is there, ``cursor=None`` starts before the first
        retained candle.
        """
        answer, ring = self.link.run(
            "restore",
            *(self.limits.claim_series, str(series), etag or "", uuid.uuid4().hex),
            *(_or_empty(cursor), state, fingerprint, to_json(scores)),
            *(sequence, _or_empty(since), int(accept_hole)),
        )
        self.ring(ring)
        return str(answer.decode())

    def tick(self, fleet: str, *, take_over: bool = False) -> Tick:
        """Keep the fleet's name alive, repair marks and say what is to be rung."""
        limits = self.limits
        now, holder, ring, housekeeping = self.link.run(
            "tick",
            *(limits.claim_series, fleet, limits.fleet_ttl_ms, int(take_over)),
            *(limits.tick_guard_ms, limits.lease_ms, limits.snapshot_period_ms),
        )
        return Tick(
            now=int(now), holder=holder.decode(), ring=ring, housekeeping=bool(housekeeping)
        )

    # ---------------------------------------------------------------- reading

    def series(self) -> list[Series]:
        """Return every known series, sorted by name; names of a newer version are left out."""
        with self.link.translated() as redis:
            names = redis.smembers(self.keys.series)
        found = (parsed_series(name) for name in sorted(names))
        return [series for series in found if series]

    def end(self, series: Series) -> int | None:
        """Open time of the log's last candle."""
        with self.link.translated() as redis:
            entries = redis.xrevrange(self.keys.candles(str(series)), count=1)
        return int(entries[0][0].partition(b"-")[0]) if entries else None

    def candles(
        self, series: Series, *, after: int | None = None, count: int | None = None
    ) -> list[Candle]:
        """Return retained candles, oldest first."""
        start = "-" if after is None else f"({after}-0"
        with self.link.translated() as redis:
            entries = redis.xrange(self.keys.candles(str(series)), min=start, count=count)
        return [decode_candle(entry_id, numbers) for entry_id, numbers in entries]

    def forecasts(self, names: Sequence[Series]) -> list[bytes | None]:
        """Return the published JSON of each series, or None."""
        keys = [self.keys.forecast(str(series)) for series in names]
        with self.link.translated() as redis:
            pages = (redis.mget(keys[at : at + _PAGE]) for at in range(0, len(keys), _PAGE))
            return [raw for page in pages for raw in page]

    def models(self, names: Sequence[Series]) -> list[ModelRecord]:
        """Return the records of many series, each of one moment, without their states."""
        pages = range(0, len(names), _PAGE)
        return [record for at in pages for record in self._records(names[at : at + _PAGE])]

    def model(self, series: Series) -> ModelRecord:
        """Return one series' record, with its state."""
        return self._records([series], "state")[0]

    def _records(self, names: Sequence[Series], *more: str) -> list[ModelRecord]:
        fields = [*MODEL_FIELDS, *more]
        with self.link.translated() as redis, redis.pipeline(transaction=True) as pipe:
            self.link.run("waiting", *map(str, names), pipe=pipe)
            for series in names:
                pipe.hmget(self.keys.model(str(series)), fields)
            waiting, *rows = pipe.execute()
        return [
            ModelRecord.read(series, dict(zip(fields, row, strict=True)), last, count)
            for series, row, (last, count) in zip(names, rows, waiting, strict=True)
        ]

    def set_snapshot(
        self, series: Series, *, version: int, alias: str | None, revision: int
    ) -> None:
        """Note the newest MLflow version and the revision it holds."""
        fields = {
            "snapshot_version": version,
            "snapshot_alias": alias or "",
            "snapshot_revision": revision,
        }
        with self.link.translated() as redis:
            redis.hset(self.keys.model(str(series)), mapping=fields)

    @contextlib.contextmanager
    def snapshot_lock(self, *, wait_s: float = 0) -> Iterator[Callable[[], object] | None]:
        """Hold the one right to take snapshots; yield what renews it, or None where it is taken.

        It lives for half a minute, so that a killed round does not hold up the next.
        """
        with self.link.translated() as redis:
            lock = redis.lock(self.keys.snapshot_lock, timeout=_SNAPSHOT_LOCK_S)
            held = lock.acquire(blocking=wait_s > 0, blocking_timeout=wait_s)
        try:
            yield lock.reacquire if held else None
        finally:
            if held:
                # Lost to another round, which does no harm: both have written whole versions.
                with contextlib.suppress(StoreError), self.link.translated():
                    lock.release()

    def overview(self) -> dict[str, Any]:
        """Return what concerns all series: the fleet, marks, jobs and dead letters."""
        with self.link.translated() as redis, redis.pipeline(transaction=True) as pipe:
            pipe.get(self.keys.fleet)
            pipe.zcard(self.keys.pending)
            pipe.xlen(self.keys.dead_letters)
            for name in doorbell.QUEUES:
                pipe.llen(self.keys.rq_queue(name))
            fleet, pending, dead_letters, *jobs = pipe.execute()
        return {
            "redis": self.link.address,
            "fleet": fleet.decode() if fleet else None,
            "pending": pending,
            "dead_letters": dead_letters,
            "jobs": dict(zip(doorbell.QUEUES, jobs, strict=True)),
        }


def _or_empty(number: int | None) -> int | str:
    return "" if number is None else number
