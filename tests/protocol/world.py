"""Workers, producers and faults around the rules: every step that may come next."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import permutations
from typing import NamedTuple, TypeAlias

from tests.protocol import rules
from tests.protocol.rules import DUE, LEASED, Claim, Redis, Row, Rules, Snapshot, State, time

IDLE, JOB, WORK, OWES = "idle", "job", "work", "owes"


Kept: TypeAlias = tuple[tuple[int, int, State], ...]
"""What a worker has committed: series, the token from then on, and the state."""


class Worker(NamedTuple):
    """One worker: idle, about to claim, with claims in hand, or with doorbells to enqueue."""

    phase: str = IDLE
    claims: tuple[Claim, ...] = ()
    began: bool = False
    ring: int = 0
    kept: Kept = ()


class Producer(NamedTuple):
    """One producer: its next candle, the one that its source has before that, its doorbells."""

    place: int = 0
    after: int = 0
    ring: int = 0


class Faults(NamedTuple):
    """How often each fault may still happen."""

    crash: int = 0
    disconnect: int = 0
    producer_crash: int = 0
    torn: int = 0
    queue: int = 0
    double: int = 0
    clock: int = 0
    lost_state: int = 0
    restore: int = 0
    snapshot: int = 0
    failover: int = 0
    pause: int = 0
    retire: int = 0


class World(NamedTuple):
    """Everything there is at one moment."""

    redis: Redis
    workers: tuple[Worker, ...]
    producers: tuple[Producer, ...]
    left: Faults
    copy: Redis | None = None
    snapshot: Snapshot | None = None
    hits: tuple[tuple[int, int], ...] = ()
    """Claims that died by chance or outlived their lease: series, and the candle if alone."""


@dataclass(frozen=True)
class Config:
    """A small world to be searched whole; producers as (series, their candles)."""

    sources: tuple[tuple[int, ...], ...] = ((1, 2, 3),)
    producers: tuple[tuple[int, tuple[int, ...]], ...] = ((0, (1, 2, 3)),)
    workers: int = 2
    batch: int = 2
    killers: frozenset[int] = frozenset()
    raisers: frozenset[int] = frozenset()
    faults: Faults = field(default_factory=Faults)
    rules: Rules = field(default_factory=Rules)
    excuses: bool = True
    """Whether an innocent candle may be buried after five such claims, three of it alone."""

    @property
    def counts_hits(self) -> bool:
        """Whether chance may hit one candle often enough to bury it."""
        return self.faults.crash > 1

    def start(self) -> World:
        """Nothing has happened yet."""
        return World(
            Redis((Row(),) * len(self.sources)),
            (Worker(),) * self.workers,
            (Producer(),) * len(self.producers),
            self.faults,
        )


class Step(NamedTuple):
    """One step: a word that invariants ask for, what a trace says, and whether it is a fault."""

    kind: str
    says: str
    fault: bool
    after: World


def steps(config: Config, world: World) -> Iterator[Step]:
    """Yield every step that may come next without a fault of the surroundings."""
    for number in range(len(world.producers)):
        yield from _Producing(config, world, number).steps()
    for number in range(len(world.workers)):
        yield from _Working(config, world, number).steps()
    for series, row in enumerate(world.redis.rows):
        if row.mark == LEASED:
            yield _lease_over(config, world, series)


def _lease_over(config: Config, world: World, series: int) -> Step:
    after = world._replace(redis=rules.lease_over(world.redis, series))
    if config.counts_hits:
        late = [
            held
            for worker in world.workers
            for held in worker.claims
            if held.series == series and not held.overdue
        ]
        workers = (
            worker._replace(
                claims=tuple(
                    held._replace(overdue=held.overdue or held.series == series)
                    for held in worker.claims
                )
            )
            for worker in world.workers
        )
        after = _hit(after._replace(workers=tuple(workers)), late)
    says = f"the lease of {_name(config, series)} runs out"
    return Step("time", says, fault=False, after=after)


def _hit(world: World, claims: list[Claim]) -> World:
    """Note claims that died or outlived their lease."""
    hits = [(held.series, held.entries[0] if held.alone else 0) for held in claims]
    return world._replace(hits=tuple(sorted((*world.hits, *hits))))


def _name(config: Config, series: int) -> str:
    return "the series" if len(config.sources) == 1 else "AB"[series]


def _shown(config: Config, series: int, candles: tuple[int, ...]) -> str:
    letter = "" if len(config.sources) == 1 else "AB"[series]
    names = [f"{letter}{time(candle)}" + "'" * (candle // 100) for candle in candles]
    return " ".join(names)


def fresh_tokens(world: World) -> list[int]:
    """Return tokens that nobody holds: the smallest numbers, to keep equal worlds equal."""
    used = {row.etag for row in world.redis.rows}
    used |= {row.etag for row in world.copy.rows} if world.copy else set()
    used |= {held.etag for worker in world.workers for held in worker.claims}
    used |= {etag for worker in world.workers for _, etag, _ in worker.kept}
    return [number for number in range(1, len(used) + 4) if number not in used]


@dataclass(frozen=True)
class _Producing:
    config: Config
    world: World
    number: int

    def steps(self) -> Iterator[Step]:
        own, (series, candles) = (
            self.world.producers[self.number],
            self.config.producers[self.number],
        )
        log = self.world.redis.rows[series].log
        end = time(log[-1]) if log else 0
        if own.ring:
            redis = self.world.redis._replace(queue=self.world.redis.queue + own.ring)
            yield self._step("rings", own._replace(ring=0), redis)
        elif own.place < len(candles):
            yield self._append(own, series, candles[own.place :][: self.config.batch])
        elif "gap answer" not in self.config.rules.off and time(candles[-1]) > end:
            # A source goes on for ever: the next candle finds the log shorter than it was.
            yield self._after_gap(own, end, "notices by its next candle")
        if self.world.left.producer_crash and (own.place or own.ring):
            place = sum(time(candle) <= end for candle in candles)
            left = self.world.left._replace(producer_crash=self.world.left.producer_crash - 1)
            world = self._with(Producer(place), self.world.redis)
            says = f"{self._name()} is killed and starts again"
            yield Step("producer", says, fault=True, after=world._replace(left=left))
        if self.world.left.torn and own.place < len(candles) and not own.ring:
            yield from self._torn(own, series, candles[own.place])

    def _name(self) -> str:
        if len(self.world.producers) == 1:
            return "the producer"
        return f"producer {self.number + 1}"

    def _with(self, own: Producer, redis: Redis) -> World:
        others = self.world.producers
        producers = (*others[: self.number], own, *others[self.number + 1 :])
        return self.world._replace(producers=producers, redis=redis)

    def _step(self, does: str, own: Producer, redis: Redis) -> Step:
        return Step("append", f"{self._name()} {does}", fault=False, after=self._with(own, redis))

    def _after_gap(self, own: Producer, last: int, does: str) -> Step:
        _, candles = self.config.producers[self.number]
        place = sum(time(candle) <= last for candle in candles)
        return self._step(
            f"{does} and goes back to {last}",
            own._replace(place=place, after=last),
            self.world.redis,
        )

    def _append(self, own: Producer, series: int, candles: tuple[int, ...]) -> Step:
        config = self.config
        redis, answer = rules.append(config.rules, self.world.redis, series, candles, own.after)
        bells = rules.ring(config.rules, redis)
        shown = f"appends {_shown(config, series, candles)}"
        if answer.stopped == "gap" and not answer.taken:
            return self._after_gap(own, answer.last, f"{shown}, is answered gap")
        after = time(candles[answer.taken - 1]) if answer.taken else own.after
        own = Producer(own.place + answer.taken, after, bells)
        if answer.stopped:
            shown += f", of which {answer.taken} are taken ({answer.stopped})"
        if answer.stopped == "gap":
            place = sum(time(c) <= answer.last for c in self.config.producers[self.number][1])
            own = own._replace(place=place, after=answer.last)
        return self._step(shown, own, redis)

    def _torn(self, own: Producer, series: int, candle: int) -> Iterator[Step]:
        row = self.world.redis.rows[series]
        full = len(row.log) - rules.position(row) >= self.config.rules.max_waiting
        if full or time(candle) != (time(row.log[-1]) if row.log else 0) + 1:
            return
        redis = rules.torn_append(self.config.rules, self.world.redis, series, candle)
        left = self.world.left._replace(torn=self.world.left.torn - 1)
        says = f"{self._name()}'s append of {candle} fails between its two writes"
        world = self._with(own, redis)._replace(left=left)
        yield Step("append", says, fault=True, after=world)


@dataclass(frozen=True)
class _Working:
    config: Config
    world: World
    number: int

    def steps(self) -> Iterator[Step]:
        own, redis = self.world.workers[self.number], self.world.redis
        if own.phase == IDLE:
            if redis.queue:
                yield from self._claim(redis._replace(queue=redis.queue - 1), "hears a doorbell,")
            ticked, bells = rules.tick(self.config.rules, redis)
            if bells or ticked != redis:
                after = Worker(OWES, ring=bells) if bells else Worker()
                yield self._step("tick", "ticks", after, ticked)
        elif own.phase == JOB:
            yield from self._claim(redis, "goes on,")
        elif own.phase == OWES:
            redis = redis._replace(queue=redis.queue + own.ring)
            yield self._step("ring", "rings", Worker(), redis)
        else:
            yield from self._work(own)
        # Without claims a kill loses doorbells only: worlds of many kills do without.
        if self.world.left.crash and (
            own.claims or (own.phase != IDLE and not self.config.counts_hits)
        ):
            left = self.world.left._replace(crash=self.world.left.crash - 1)
            yield self._dies("is killed", left, stray=True)
        if self.world.left.disconnect and own.claims:
            left = self.world.left._replace(disconnect=self.world.left.disconnect - 1)
            given = rules.release(self.config.rules, redis, own.claims)
            step = self._step("release", "loses Redis, gives its claims back", Worker(), given)
            yield step._replace(fault=True, after=step.after._replace(left=left))

    def _step(self, kind: str, does: str, own: Worker, redis: Redis, kept: Kept = ()) -> Step:
        workers = self.world.workers
        own = own._replace(kept=kept or workers[self.number].kept)
        workers = (*workers[: self.number], own, *workers[self.number + 1 :])
        name = "the worker" if len(workers) == 1 else f"worker {self.number + 1}"
        world = self.world._replace(workers=workers, redis=redis)
        return Step(kind, f"{name} {does}", fault=False, after=world)

    def _claim(self, redis: Redis, does: str) -> Iterator[Step]:
        due = [series for series, row in enumerate(redis.rows) if row.mark == DUE]
        fresh = fresh_tokens(self.world)
        for order in permutations(due):
            after, claims = rules.claim(self.config.rules, redis, order, fresh)
            claims = tuple(map(self._with_kept, claims))
            shown = " ".join(_shown(self.config, held.series, held.entries) for held in claims)
            own = Worker(WORK, claims) if claims else Worker()
            yield self._step("claim", f"{does} claims {shown or 'nothing'}", own, after)

    def _with_kept(self, held: Claim) -> Claim:
        """Put what the worker keeps of a series in place of what it would have to read."""
        for series, etag, state in self.world.workers[self.number].kept:
            asks = "what is kept asks for the token" not in self.config.rules.off
            if series == held.series and (etag == held.etag or not asks):
                return held._replace(state=state, is_kept=True)
        return held

    def _keeping(self, held: Claim, redis: Redis) -> Kept:
        """Return what the worker keeps after a commit."""
        own, row = self.world.workers[self.number], redis.rows[held.series]
        if not row.state or self.config.rules.state_every == 1:
            return ()
        others = (kept for kept in own.kept if kept[0] != held.series)
        return (*others, (held.series, row.etag, row.state))

    def _work(self, own: Worker) -> Iterator[Step]:
        held = own.claims[0]
        if held.state is None:
            yield self._rebuild(own, held)
        elif held.condemned:
            yield from self._commit(own, held, 1, dead=True)
        else:
            yield from self._learn(own, held)
        if own.began:
            redis = rules.release(self.config.rules, self.world.redis, own.claims)
            yield from self._job_over(redis, (), "has no time left, releases the rest")

    def _learn(self, own: Worker, held: Claim) -> Iterator[Step]:
        for count, candle in enumerate(held.entries, 1):
            if candle in self.config.killers:
                shown = _shown(self.config, held.series, (candle,))
                yield self._dies(f"dies of {shown}", self.world.left, stray=False)
                return
            dead = candle in self.config.raisers
            yield from self._commit(own, held, count, dead=dead)
            if dead:
                return

    def _commit(self, own: Worker, held: Claim, count: int, *, dead: bool) -> Iterator[Step]:
        fresh = fresh_tokens(self.world)[0]
        written = rules.is_written(self.config.rules, self.world.redis, held, count, dead=dead)
        redis, won = rules.commit(
            *(self.config.rules, self.world.redis, held, count),
            dead=dead,
            fresh=fresh,
            written=written,
        )
        shown = _shown(self.config, held.series, held.entries[:count])
        does = f"commits {shown}{' as a dead letter' * dead}"
        if not won:
            does = f"loses its commit of {shown}"
        kept = self._keeping(held, redis) if won else ()
        yield from self._job_over(redis, own.claims[1:], does, kept)

    def _job_over(
        self, redis: Redis, rest: tuple[Claim, ...], does: str, kept: Kept = ()
    ) -> Iterator[Step]:
        """Go on with the rest, claim again, or end the job and leave doorbells."""
        bells = rules.ring(self.config.rules, redis)
        if rest:
            yield self._step("commit", does, Worker(WORK, rest, began=True), redis, kept)
        elif any(row.mark == DUE for row in redis.rows):
            yield self._step("commit", does, Worker(JOB), redis, kept)
            after = Worker(OWES, ring=bells) if bells else Worker()
            yield self._step("commit", f"{does}, its time is over", after, redis, kept)
        else:
            yield self._step("commit", does, Worker(), redis, kept)

    def _rebuild(self, own: Worker, held: Claim) -> Step:
        fresh = fresh_tokens(self.world)[0]
        empty = Snapshot(0, None, 0)
        redis, answer = rules.restore(
            self.config.rules, self.world.redis, held.series, empty, etag=held.etag, fresh=fresh
        )
        redis = redis._replace(queue=redis.queue + rules.ring(self.config.rules, redis))
        rest = own.claims[1:]
        after = Worker(WORK, rest, began=True) if rest else Worker()
        return self._step("rebuild", f"finds no state, its rebuild is {answer}", after, redis)

    def _dies(self, does: str, left: Faults, *, stray: bool) -> Step:
        step = self._step("death", does, Worker(), self.world.redis)
        workers = list(step.after.workers)
        workers[self.number] = Worker()
        after = step.after._replace(workers=tuple(workers))
        claims = self.world.workers[self.number].claims
        if stray and self.config.counts_hits:
            after = _hit(after, [held for held in claims if not held.overdue])
        return step._replace(after=after._replace(left=left), fault=stray)
