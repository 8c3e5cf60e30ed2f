"""The scripts of ``shared/scripts`` as pure functions over a small value: what Redis holds.

A candle is a small integer whose last two digits are its open time, so that 2 and 102 are two
contents of one time. `test_conformance` walks these functions and the scripts side by side.
"""

from collections.abc import Sequence
from typing import NamedTuple

DUE, LEASED, AHEAD = 1, 2, 3
"""A mark's score: not after now, at most a lease after now, further than any lease."""
BATCH_FAILURES, ALONE_FAILURES = 2, 3
MOST_ATTEMPTS = 20
"""Beyond this it makes no difference; without a bound a search might never end."""


class State(NamedTuple):
    """What a model has learned, a buried candle as its negative; ``base`` says from where on."""

    base: int
    lineage: tuple[int, ...]


class Row(NamedTuple):
    """One series in Redis: log, model hash and mark; zero is none."""

    log: tuple[int, ...] = ()
    """Every candle ever appended; the first ``trimmed`` of them are only remembered here."""
    trimmed: int = 0
    cursor: int = 0
    etag: int = 0
    state: State | None = None
    """What has been learned, whoever has it."""
    written: State | None = None
    saved: int = 0
    """What Redis holds of it, and the cursor at which that was written."""
    attempts: int = 0
    until: int = 0
    suspect: int = 0
    published: int = 0
    sequence: int = 0
    settled: int = 0
    mark: int = 0
    paused: bool = False


class Redis(NamedTuple):
    """All that a failover takes back."""

    rows: tuple[Row, ...]
    queue: int = 0
    tick_stuck: bool = False
    """The tick's guard was set by a clock that has stepped back since."""


class Claim(NamedTuple):
    """What a worker holds of one series."""

    series: int
    etag: int
    cursor: int
    state: State | None
    condemned: bool
    entries: tuple[int, ...]
    alone: bool
    is_kept: bool = False
    """The worker has the state itself, and did not read it."""
    overdue: bool = False
    """Its lease ran out while the worker had it in hand."""


class Rules(NamedTuple):
    """Limits of the protocol, and the guards that are taken out."""

    off: frozenset[str] = frozenset()
    claim_series: int = 2
    claim_candles: int = 4
    series_candles: int = 2
    max_waiting: int = 10
    retention: int = 10
    state_every: int = 1


def time(candle: int) -> int:
    """Open time of a candle."""
    return abs(candle) % 100


def position(row: Row) -> int:
    """How many candles of the log, trimmed ones too, are not beyond the cursor."""
    return sum(time(candle) <= row.cursor for candle in row.log) if row.cursor else row.trimmed


def _put(redis: Redis, series: int, row: Row) -> Redis:
    return redis._replace(rows=(*redis.rows[:series], row, *redis.rows[series + 1 :]))


def _retained(row: Row, first: int, last: int) -> tuple[int, ...]:
    return tuple(candle for candle in row.log[row.trimmed :] if first <= time(candle) <= last)


def ring(rules: Rules, redis: Redis) -> int:
    """How many doorbells are missing."""
    due = sum(row.mark == DUE for row in redis.rows)
    waiting = 0 if "ring less what waits" in rules.off else redis.queue
    return max(0, -(-due // rules.claim_series) - waiting)


class Appended(NamedTuple):
    """The answer to an append."""

    taken: int
    accepted: int
    stopped: str
    last: int


def _misses(rules: Rules, end: int, candle: int, after: int) -> bool:
    """Whether the log may lack a candle between its end and this one."""
    if "gap answer" in rules.off:
        return False
    if not end:
        return after != 0 and "gap answer on an empty log" not in rules.off
    named = after == end or (after and "the candle before is compared" in rules.off)
    return time(candle) != end + 1 and not named


def append(
    rules: Rules, redis: Redis, series: int, candles: Sequence[int], after: int = 0
) -> tuple[Redis, Appended]:
    """Append candles; ``after`` is the one that their source has right before them."""
    row = redis.rows[series]
    room = rules.max_waiting - (len(row.log) - position(row))
    accepted, stopped, taken = 0, "", 0
    for candle in candles:
        end = time(row.log[-1]) if row.log else 0
        if time(candle) > end:
            if accepted >= room and "full answer" not in rules.off:
                row = row._replace(mark=row.mark or DUE)
                stopped = "full"
                break
            if _misses(rules, end, candle, after):
                stopped = "gap"
                break
            row = row._replace(log=(*row.log, candle), mark=row.mark or DUE)
            if "append leaves a mark as it is" in rules.off:
                row = row._replace(mark=DUE)
            accepted += 1
        taken += 1
        after = time(candle)
    last = time(row.log[-1]) if row.log else 0
    return _put(redis, series, row), Appended(taken, accepted, stopped, last)


def torn_append(rules: Rules, redis: Redis, series: int, candle: int) -> Redis:
    """Append, but the script ends with an error after the first of its two writes."""
    row = redis.rows[series]
    if "mark before candle" in rules.off:
        return _put(redis, series, row._replace(log=(*row.log, candle)))
    return _put(redis, series, row._replace(mark=row.mark or DUE))


def claim(
    rules: Rules,
    redis: Redis,
    order: Sequence[int],
    fresh: Sequence[int],
    kept: Sequence[int] = (),
) -> tuple[Redis, tuple[Claim, ...]]:
    """Hand out due series, in the order of their scores; of those kept no state is to be read."""
    claims: list[Claim] = []
    left = rules.claim_candles
    for series in order[: rules.claim_series]:
        row = redis.rows[series]
        alone = bool(row.attempts or row.suspect) and "suspects are claimed alone" not in rules.off
        if left <= 0:
            break
        if row.paused and "a paused series is passed over" not in rules.off:
            redis = _put(redis, series, row._replace(mark=0))
            continue
        if alone and claims:
            continue
        row, entries = _look(rules, row, left)
        left -= len(entries) + len(lacking(row) if entries and series not in kept else ())
        if entries:
            row, handed = _hand_out(rules, row, series, entries, fresh[len(claims)])
            claims.append(handed)
        elif "a mark without candles goes" not in rules.off:
            row = row._replace(mark=0, attempts=0, until=0, suspect=0)
        redis = _put(redis, series, row)
        if alone and entries:
            break
    solo = len(claims) == 1
    return redis, tuple(held._replace(alone=solo and len(held.entries) == 1) for held in claims)


def _look(rules: Rules, row: Row, left: int) -> tuple[Row, tuple[int, ...]]:
    """Find a suspect where whole claims died, and the candles that may be handed out."""
    if row.attempts >= BATCH_FAILURES and not row.suspect and "suspects" not in rules.off:
        kept = row.attempts if "a suspect's count starts at zero" in rules.off else 0
        row = row._replace(suspect=row.until, attempts=kept)
    single = row.suspect and "suspects one candle at a time" not in rules.off
    count = 1 if single else min(rules.series_candles, left)
    return row, _retained(row, row.cursor + 1, 99)[:count]


def _hand_out(
    rules: Rules, row: Row, series: int, entries: tuple[int, ...], fresh: int
) -> tuple[Row, Claim]:
    condemned = bool(row.suspect) and row.attempts >= ALONE_FAILURES
    state = recalled(row)
    if state is None and not row.cursor:
        state = State(row.trimmed, ())
    row = row._replace(
        etag=row.etag or fresh,
        attempts=min(row.attempts + 1, MOST_ATTEMPTS),
        until=time(entries[-1]),
        mark=0 if "lease" in rules.off else LEASED,
    )
    return row, Claim(series, row.etag, row.cursor, state, condemned, entries, alone=False)


def lacking(row: Row) -> tuple[int, ...]:
    """Return the candles up to the cursor that the state in Redis has not learned."""
    return _retained(row, row.saved + 1, row.cursor) if row.saved else ()


def recalled(row: Row) -> State | None:
    """What can be learned again of a state and the log after it; None if it is not what it was."""
    if row.written is None:
        return None
    lineage = row.written.lineage + lacking(row)
    learned = sum(candle > 0 for candle in lineage)
    return State(row.written.base, lineage) if learned == row.sequence else None


def is_written(rules: Rules, redis: Redis, held: Claim, count: int, *, dead: bool) -> bool:
    """Whether a worker writes the state with this commit."""
    if dead and "a burial is written" not in rules.off:
        return True
    learned = redis.rows[held.series].sequence
    turns = [number // rules.state_every for number in (learned, learned + count - dead)]
    return not held.is_kept or turns[0] != turns[1]


def commit(
    rules: Rules,
    redis: Redis,
    held: Claim,
    count: int,
    *,
    dead: bool,
    fresh: int,
    written: bool = True,
) -> tuple[Redis, bool]:
    """Make the first ``count`` candles of a claim learned, the last of them buried if ``dead``."""
    row, entries = redis.rows[held.series], held.entries[:count]
    cursor = time(entries[-1])
    if row.etag != held.etag and "token" not in rules.off:
        return redis, False
    if _retained(row, held.cursor + 1, cursor) != entries and "slice" not in rules.off:
        return redis, False
    old = held.state or State(row.trimmed, ())
    taught = entries[:-1] + ((-entries[-1],) if dead else entries[-1:])
    state = State(old.base, old.lineage + taught)
    row = row._replace(
        etag=row.etag if "new token at each commit" in rules.off else fresh,
        cursor=cursor,
        state=state,
        written=state if written else row.written,
        saved=cursor if written else row.saved,
        attempts=row.attempts if "commit clears attempts" in rules.off else 0,
        until=0,
        suspect=row.suspect if cursor < row.suspect else 0,
        sequence=row.sequence + count - dead,
        settled=row.settled + len(_retained(row, held.cursor + 1, cursor)),
    )
    newest = cursor >= row.published or "published never goes back" in rules.off
    if newest and count > dead:
        row = row._replace(published=cursor)
    return _put(redis, held.series, _after_commit(rules, row)), True


def _after_commit(rules: Rules, row: Row) -> Row:
    """Trim the log, and keep the mark or take it away."""
    end = time(row.log[-1]) if row.log else 0
    oldest = row.cursor - (rules.retention - 1)
    if "retention spares what the state lacks" not in rules.off:
        oldest = min(oldest, row.saved + 1)
    if "retention spares the unlearned" in rules.off:
        oldest = end - (rules.retention - 1)
    trimmed = max(row.trimmed, sum(time(candle) < oldest for candle in row.log))
    mark = DUE if end > row.cursor else 0
    if mark and "due after a partial commit" in rules.off:
        mark = row.mark
    if "mark kept while candles wait" in rules.off:
        mark = 0
    return row._replace(trimmed=trimmed, mark=mark)


def release(rules: Rules, redis: Redis, claims: Sequence[Claim]) -> Redis:
    """Give claimed series back untouched."""
    for held in claims:
        row = redis.rows[held.series]
        if row.etag == held.etag or "release asks for the token" in rules.off:
            kept = row.attempts if "release clears attempts" in rules.off else 0
            row = row._replace(attempts=kept, until=0, mark=row.mark and DUE)
            redis = _put(redis, held.series, row)
    return redis


class Snapshot(NamedTuple):
    """A state that was put aside with its cursor and sequence; cursor 0 is a rebuild."""

    cursor: int
    state: State | None
    sequence: int


def restore(
    rules: Rules, redis: Redis, series: int, snapshot: Snapshot, *, etag: int | None, fresh: int
) -> tuple[Redis, str]:
    """Put a state back in force; ``etag=None`` overrides whatever is there."""
    row, cursor = redis.rows[series], snapshot.cursor
    if etag is not None and row.etag != etag and "rebuild asks for the token" not in rules.off:
        return redis, "lost"
    if etag is None and not row.log and "restore asks for the series" not in rules.off:
        return redis, "unknown"
    held = cursor == 0 or _retained(row, cursor, cursor) or "no hole at a restore" in rules.off
    if not held:
        return redis, "hole"
    again = len(_retained(row, 1, row.cursor)) - len(_retained(row, 1, cursor))
    if not row.cursor and "restore counts what it skips" in rules.off:
        again = 0
    unclean = "restore clears attempts and suspect" in rules.off
    state = snapshot.state or State(row.trimmed, ())
    row = row._replace(
        etag=row.etag if "new token at a restore" in rules.off else fresh,
        cursor=cursor,
        state=state,
        written=state,
        saved=row.saved if "restore says where its state stands" in rules.off else cursor,
        attempts=row.attempts if unclean else 0,
        until=row.until if unclean else 0,
        suspect=row.suspect if unclean else 0,
        sequence=snapshot.sequence,
        settled=row.settled - (0 if "restore counts what is learned again" in rules.off else again),
        mark=row.mark if "restore marks the series" in rules.off else DUE,
    )
    return _put(redis, series, row), "ok"


def pause(rules: Rules, redis: Redis, series: int, *, paused: bool) -> Redis:
    """Let a known series rest, or go on."""
    row = redis.rows[series]
    if not row.log:
        return redis
    mark = 0 if paused else row.mark or DUE
    if not paused and "resume marks the series" in rules.off:
        mark = row.mark
    return _put(redis, series, row._replace(paused=paused, mark=mark))


def retire(redis: Redis, series: int) -> Redis:
    """Remove everything of a series."""
    return _put(redis, series, Row())


def tick(rules: Rules, redis: Redis) -> tuple[Redis, int]:
    """Repair marks; answer the doorbells that are missing."""
    if redis.tick_stuck:
        if "the tick's guard survives no clock step" in rules.off:
            return redis, 0
        redis = redis._replace(tick_stuck=False)
    if "tick clamps scores" not in rules.off:
        rows = (row._replace(mark=DUE) if row.mark == AHEAD else row for row in redis.rows)
        redis = redis._replace(rows=tuple(rows))
    return redis, 0 if "tick rings" in rules.off else ring(rules, redis)


def lease_over(redis: Redis, series: int) -> Redis:
    """Time passes: a lease runs out."""
    return _put(redis, series, redis.rows[series]._replace(mark=DUE))


def abandon(redis: Redis) -> Redis:
    """The one worker that has all claims is known to be dead: its leases need not run out."""
    rows = (row._replace(mark=DUE) if row.mark and row.attempts else row for row in redis.rows)
    return redis._replace(rows=tuple(rows))


def clock_back(redis: Redis, *, stuck: bool) -> Redis:
    """Redis's clock steps back: every score is suddenly far ahead."""
    rows = tuple(row._replace(mark=row.mark and AHEAD) for row in redis.rows)
    return redis._replace(rows=rows, tick_stuck=stuck)
