"""Breadth-first search of all that may happen, and the invariants it looks for."""

import time as clock
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain

from tests.protocol.faults import faults
from tests.protocol.rules import ALONE_FAILURES, BATCH_FAILURES, Row, position, time
from tests.protocol.world import Config, Step, World, steps

END = "the end can be reached"
LARGEST = 600_000


@dataclass(frozen=True)
class Breach:
    """An invariant and the shortest way to break it."""

    invariant: str
    trace: tuple[str, ...]

    def __str__(self) -> str:
        """One numbered line for each step."""
        lines = [f"{number:3}. {says}" for number, says in enumerate(self.trace, 1)]
        return "\n".join([f"broken: {self.invariant}", *lines])


@dataclass(frozen=True)
class Result:
    """What a search found."""

    states: int
    depth: int
    seconds: float
    breach: Breach | None


def _lineage(row: Row) -> bool:
    """Whether what was learned is the log in order, each candle once."""
    if row.state is None:
        return True
    learned = tuple(abs(candle) for candle in row.state.lineage)
    return learned == row.log[row.state.base : position(row)] and (
        not row.cursor or any(time(candle) == row.cursor for candle in row.log)
    )


def _counts(row: Row) -> bool:
    """Whether the public counters say what is."""
    learned = row.state is None or row.sequence == sum(c > 0 for c in row.state.lineage)
    return learned and row.settled == position(row)


def _excused(config: Config, world: World, series: int, candle: int) -> bool:
    """Whether a buried candle is poison, or was hit as often as the stated limit."""
    if candle in config.killers or candle in config.raisers:
        return True
    hits = [alone for where, alone in world.hits if where == series]
    beside_a_killer = any(other in config.killers for other in config.sources[series])
    return (
        config.excuses
        and hits.count(candle) >= ALONE_FAILURES
        and (len(hits) >= ALONE_FAILURES + BATCH_FAILURES or beside_a_killer)
    )


def _moved_wrong(config: Config, step: Step, old: Row, new: Row) -> str | None:
    """Name the invariant that a change of one series breaks, whatever it is now."""
    if step.kind not in {"failover", "retire"} and new.published < old.published:
        return "published never goes back"
    may_go_back = step.kind in {"failover", "restore", "retire"} or old.state is None
    if new.cursor < old.cursor and not may_go_back:
        return "only a missing state is rebuilt"
    if new.paused and new.mark and step.kind == "claim":
        return "a paused series is not handed out"
    unlearned = len(new.log) - position(new)
    if len(new.log) > len(old.log) and unlearned > config.rules.max_waiting:
        return "no more candles wait than allowed"
    return None


def _is_wrong(row: Row, source: tuple[int, ...]) -> str | None:
    """Name the invariant that a series does not keep."""
    if tuple(map(time, row.log)) != source[: len(row.log)]:
        return "no candle is left out of the log"
    if not row.log and row != Row(mark=row.mark):
        return "nothing is left of a retired series"
    if row.trimmed > position(row):
        return "no candle is trimmed unlearned"
    if not _lineage(row):
        return "learned is the log in order, each candle once"
    return None if _counts(row) else "the counters are true"


def _buried(config: Config, step: Step, series: int, new: Row) -> str | None:
    """Name the invariant that a dead letter breaks."""
    lineage = new.state.lineage if step.kind == "commit" and new.state else ()
    if lineage[-1:] < (0,) and lineage and not _excused(config, step.after, series, -lineage[-1]):
        return "no innocent candle is buried"
    return None


def breach(config: Config, before: World, step: Step) -> str | None:
    """Name the invariant that a step breaks."""
    if step.after.redis.queue > _most_jobs(config):
        return "the queue stays bounded"
    for series, old in enumerate(before.redis.rows):
        new = step.after.redis.rows[series]
        if new != old:
            found = (
                _moved_wrong(config, step, old, new)
                or _is_wrong(new, config.sources[series])
                or (new.cursor != old.cursor and _buried(config, step, series, new))
            )
            if found:
                return found
    return None


def _most_jobs(config: Config) -> int:
    """Each caller may have counted before the others enqueued; a rebuild rings by itself."""
    bells = -(-len(config.sources) // config.rules.claim_series)
    waiting = bells * (len(config.producers) + config.workers)
    more = config.faults.double + config.faults.restore + config.faults.lost_state
    more += config.faults.pause
    return waiting * (1 + config.faults.failover) + more


def _last_learned(row: Row) -> int:
    # A spoilt state of a series without news is found with its next candle.
    lineage = row.state.lineage if row.state else ()
    return max([0, *(time(candle) for candle in lineage if candle > 0)])


def is_end(config: Config, world: World) -> bool:
    """Whether everything is learned and published, and nothing pending."""
    return all(
        tuple(map(time, row.log)) == source
        and row.cursor == time(source[-1])
        and not row.mark
        and row.published >= _last_learned(row)
        for row, source in zip(world.redis.rows, config.sources, strict=True)
    )


class Search:
    """The graph of all states, found breadth first."""

    def __init__(self, config: Config) -> None:
        self.config = config
        start = config.start()
        self.index = {start: 0}
        self.worlds = [start]
        self.parents: list[tuple[int, str]] = [(0, "")]
        self.depths = [0]
        # For each state, those from which it is reached without a further fault.
        self.before: list[list[int]] = [[]]

    def run(self) -> Result:
        """Search until an invariant breaks or everything is seen."""
        began = clock.monotonic()
        found = self._safety() or self._liveness()
        seconds = clock.monotonic() - began
        return Result(len(self.worlds), self.depths[-1], seconds, found)

    def _safety(self) -> Breach | None:
        at = 0
        while at < len(self.worlds):
            world = self.worlds[at]
            for step in chain(steps(self.config, world), faults(self.config, world)):
                broken = breach(self.config, world, step)
                if broken:
                    return Breach(broken, (*self._trace(at), step.says))
                self._add(at, step)
            at += 1
            if at > LARGEST:
                raise MemoryError(f"more than {LARGEST} states: make the configuration smaller")
        return None

    def _add(self, at: int, step: Step) -> None:
        known = self.index.setdefault(step.after, len(self.worlds))
        if known == len(self.worlds):
            self.worlds.append(step.after)
            self.parents.append((at, step.says))
            self.depths.append(self.depths[at] + 1)
            self.before.append([])
        if not step.fault:
            self.before[known].append(at)

    def _liveness(self) -> Breach | None:
        todo = [at for at, world in enumerate(self.worlds) if is_end(self.config, world)]
        good = bytearray(len(self.worlds))
        for at in todo:
            good[at] = 1
        while todo:
            for earlier in self.before[todo.pop()]:
                if not good[earlier]:
                    good[earlier] = 1
                    todo.append(earlier)
        stuck = good.find(0)
        return None if stuck < 0 else Breach(END, tuple(self._trace(stuck)))

    def _trace(self, at: int) -> list[str]:
        return list(self._back(at))[::-1]

    def _back(self, at: int) -> Iterator[str]:
        while at:
            at, says = self.parents[at]
            yield says


def search(config: Config, off: frozenset[str] = frozenset()) -> Result:
    """Search a configuration with guards taken out."""
    rules = config.rules._replace(off=config.rules.off | off)
    return Search(replace(config, rules=rules)).run()
