"""The server dies, forgets, runs out of memory, or its clock steps back."""

import signal
import time

import numpy as np
import pytest

from shared.candle import Series
from shared.keys import Keys
from tests.faults.outcome import Outcome, Row
from tests.faults.sources import LONG
from tests.faults.stage import BIN, Process, Stage, children, send, wait_for

pytestmark = pytest.mark.timeout(600 if LONG else 90)

KEYS = Keys()
STEP_MS = 3_600_000


def test_sigkill_of_the_server(
    stage: Stage,
    chance: np.random.Generator,
    fault_free: dict[Series, Outcome],
    table: list[Row],
) -> None:
    """Killed under load and started on its append-only file: everybody goes on by himself."""
    stage.start_workers(2)
    stage.feed(120 if LONG else 4)
    for number in stage.strikes(15 if LONG else 2, (0.3, 1.5), chance):
        stage.server.kill()
        if number % 2:
            # Long enough for waits that double to have grown beyond what is allowed below.
            _wait_for_tries(stage, 4)
        since = time.monotonic()
        stage.server.start_again()
        stage.wait_until_under_way(since, seconds=10)
    stage.settle("Redis killed", fault_free, table)


@pytest.mark.at_length
def test_an_outage_longer_than_the_fleets_life(
    stage: Stage,
    chance: np.random.Generator,
    fault_free: dict[Series, Outcome],
    table: list[Row],
) -> None:
    """The field is empty when the server is back; who waited for it must not take it first."""
    learning = stage.start_workers(2)
    stage.feed(90 if LONG else 4)
    stage.wait_until_under_way()
    others = {"CANDLECAST_HORIZONS": "1m=2,5m=2,15m=2,1h=2"}
    waiting = stage.start("waiting", BIN / "candlecast", "worker", "--processes", "2", **others)
    wait_for(lambda: stage.log("waiting").count("waiting: another model") >= 2, "two wait")
    for number in stage.strikes(10 if LONG else 2, (0.3, 1.0), chance):
        # A worker that was started in the outage before has ended, and comes back after a pause.
        wait_for(
            lambda: len(children(learning)) == len(children(waiting)) == 2, "all workers are back"
        )
        stage.server.kill()
        # One or all of those who learn and one who waits are started anew meanwhile, and have never
        # seen who held the field.
        anew = children(learning) if number % 2 else children(learning)[:1]
        for pid in (*anew, children(waiting)[0]):
            send(pid, signal.SIGKILL)
        stage.server.lose(KEYS.fleet)
        _wait_for_tries(stage, 2, "waiting")
        since = time.monotonic()
        stage.server.start_again()
        stage.wait_until_under_way(since, seconds=10)
    stage.settle("outage outlives the fleet", fault_free, table)


def _wait_for_tries(stage: Stage, times: int, of: str = "worker") -> None:
    """Wait until workers have looked for the server so many times."""

    def tries() -> int:
        log = stage.log(of)
        return sum(map(log.count, ("could not connect", "tick failed", "cannot go on")))

    before = tries()
    wait_for(lambda: tries() >= before + times, "workers keep trying")


def test_a_cut_append_only_file(
    stage: Stage,
    chance: np.random.Generator,
    fault_free: dict[Series, Outcome],
    table: list[Row],
) -> None:
    """Killed, its file cut at a random place: producers send again what is forgotten."""
    stage.start_workers(2)
    feed = stage.feed(90 if LONG else 6)
    for number in stage.strikes(15 if LONG else 2, (0.3, 1.5), chance):
        since = time.monotonic()
        stage.server.kill()
        # At any place, and once in a while all of it.
        stage.server.cut(chance.uniform() if number % 5 else 0.0)
        stage.server.start_again()
        stage.wait_until_under_way(since, feed=feed)
    # A file that has ended cannot notice what is forgotten later: it is replayed.
    stage.wait_for_producers()
    stage.feed()
    stage.settle("append-only file cut", fault_free, table)


def test_out_of_memory(
    stage: Stage,
    chance: np.random.Generator,
    fault_free: dict[Series, Outcome],
    table: list[Row],
) -> None:
    """Producers say it and wait, whatever fails fails whole, and all go on with the memory."""
    client = stage.server.client
    client.config_set("maxmemory-policy", "noeviction")
    stage.start_workers(2)
    producer = stage.feed(90 if LONG else 3)
    for number in stage.strikes(10 if LONG else 2, (0.3, 1.0), chance):
        used = client.info("memory")["used_memory"]
        # Once all of it is gone, once a little is left.
        client.config_set("maxmemory", used + (100_000 if number % 2 else -100_000))
        try:
            _wait_for_word(stage, producer, "memory_short", number + 1)
        finally:
            client.config_set("maxmemory", 0)
        _wait_for_word(stage, producer, "memory_back", number + 1)
        stage.wait_until_under_way(time.monotonic())
    stage.settle("Redis out of memory", fault_free, table)


def test_a_read_only_redis(
    stage: Stage,
    chance: np.random.Generator,
    fault_free: dict[Series, Outcome],
    table: list[Row],
) -> None:
    """A failover has made it a replica: producers say so and wait until it is the primary again."""
    client = stage.server.client
    stage.start_workers(2)
    producer = stage.feed(90 if LONG else 3)
    for number in stage.strikes(10 if LONG else 2, (0.3, 1.0), chance):
        client.execute_command("REPLICAOF", "127.0.0.1", "1")
        try:
            _wait_for_word(stage, producer, "redis_unavailable", number + 1)
            if number % 2:
                # RQ's own commands fail too, and end the workers: until their restarts are slow.
                _wait_for_restarts(stage, 6)
        finally:
            client.execute_command("REPLICAOF", "NO", "ONE")
        since = time.monotonic()
        _wait_for_word(stage, producer, "redis_back", number + 1)
        stage.wait_until_under_way(since)
    stage.settle("Redis read-only", fault_free, table)


def _wait_for_restarts(stage: Stage, times: int) -> None:
    """Wait until the supervisor has restarted so many workers."""
    before = stage.log("worker").count("worker ended")
    wait_for(
        lambda: stage.log("worker").count("worker ended") >= before + times, "workers are restarted"
    )


def _wait_for_word(stage: Stage, producer: Process, word: str, times: int) -> None:
    says = f"the producer has said {word} {times} times"
    ended = producer.poll
    wait_for(lambda: ended() is not None or stage.log("producer").count(word) >= times, says)
    assert not ended(), f"the producer gave up: {stage.log('producer')[-500:]}"


def test_the_clock_steps_back(
    stage: Stage,
    chance: np.random.Generator,
    fault_free: dict[Series, Outcome],
    table: list[Row],
) -> None:
    """Marks and guards lie an hour ahead: the next tick mends them.

    Setting the clock needs root, so what is stored is moved forward instead. To the scripts this
    is the same: they compare what is stored with what Redis calls now.
    """
    client = stage.server.client
    supervisor = stage.start_workers(2)
    stage.feed(40 if LONG else 2)
    for _ in stage.strikes(15 if LONG else 1, (0.3, 1.0), chance):
        since = time.monotonic()
        # Whoever lives commits what it has in hand, and that mends the mark too.
        stage.kill(supervisor)
        with client.pipeline(transaction=True) as pipe:
            for series in client.zrange(KEYS.pending, 0, -1):
                pipe.zincrby(KEYS.pending, STEP_MS, series)
            pipe.pexpire(KEYS.fleet, STEP_MS)
            for guard in (KEYS.tick, KEYS.housekeeping):
                pipe.set(guard, 1, px=STEP_MS)
            pipe.execute()
        supervisor = stage.start_workers(2)
        stage.wait_until_under_way(since)
    stage.settle("clock stepped back", fault_free, table)
