"""What the surroundings do to Redis, as often as a configuration allows."""

from collections.abc import Iterator

from tests.protocol import rules
from tests.protocol.rules import Snapshot
from tests.protocol.world import Config, Step, World, fresh_tokens


def faults(config: Config, world: World) -> Iterator[Step]:
    """Yield every fault that may come next; those of workers and producers are their steps."""
    redis, left, row = world.redis, world.left, world.redis.rows[0]
    if left.queue and redis.queue:
        emptied = world._replace(redis=redis._replace(queue=0))
        yield _fault("queue", "the queue is emptied", emptied)
    if left.double and redis.queue:
        doubled = world._replace(redis=redis._replace(queue=redis.queue + 1))
        yield _fault("double", "a job is doubled", doubled)
    if left.clock and any(row.mark for row in redis.rows):
        for stuck in (False, True):
            says = "Redis's clock steps back" + " just after a tick" * stuck
            stepped = world._replace(redis=rules.clock_back(redis, stuck=stuck))
            yield _fault("clock", says, stepped)
    if left.lost_state and row.state is not None:
        rows = (row._replace(state=None, written=None), *redis.rows[1:])
        spoilt = world._replace(redis=redis._replace(rows=rows))
        yield _fault("lost_state", "the state is spoilt", spoilt)
    yield from _operator(config, world)
    yield from _failover(world)


def _fault(kind: str, says: str, after: World) -> Step:
    """Return the step, one such fault fewer being left."""
    left = after.left._replace(**{kind: getattr(after.left, kind) - 1})
    return Step(kind, says, fault=True, after=after._replace(left=left))


def _operator(config: Config, world: World) -> Iterator[Step]:
    redis, left, row = world.redis, world.left, world.redis.rows[0]
    if left.snapshot and row.cursor and row.state is not None:
        taken = Snapshot(row.cursor, row.state, row.sequence)
        says = f"a snapshot is taken at {row.cursor}"
        yield _fault("snapshot", says, world._replace(snapshot=taken))
    if left.pause and row.log and not row.paused:
        paused = world._replace(redis=rules.pause(config.rules, redis, 0, paused=True))
        yield _fault("pause", "the series is paused", paused)
    if left.retire and row.log:
        yield _fault(
            "retire", "the series is retired", world._replace(redis=rules.retire(redis, 0))
        )
    if row.paused:
        after = rules.pause(config.rules, redis, 0, paused=False)
        after = after._replace(queue=after.queue + rules.ring(config.rules, after))
        resumed = world._replace(redis=after)
        yield Step("resume", "the series is resumed", fault=False, after=resumed)
    if not left.restore:
        return
    for snapshot in filter(None, (world.snapshot, Snapshot(0, None, 0))):
        after, answer = rules.restore(
            config.rules, redis, 0, snapshot, etag=None, fresh=fresh_tokens(world)[0]
        )
        if answer == "ok":
            after = after._replace(queue=after.queue + rules.ring(config.rules, after))
            what = f"restore of {snapshot.cursor}" if snapshot.cursor else "rebuild"
            yield _fault("restore", f"an operator's {what}", world._replace(redis=after))


def _failover(world: World) -> Iterator[Step]:
    """The replica falls behind at some moment, and is the master at a later one."""
    if not world.left.failover:
        return
    if world.copy is None:
        after = world._replace(copy=world.redis)
        yield Step("copy", "the replica falls behind here", fault=True, after=after)
    elif world.copy != world.redis:
        after = world._replace(redis=world.copy, copy=None)
        yield _fault("failover", "Redis fails over to that replica", after)
