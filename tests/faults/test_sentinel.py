"""A failover in the midst of it all: the primary dies or hangs, and a replica takes its place."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from shared.candle import Series
from tests.faults.outcome import Outcome, Row
from tests.faults.sentinels import Sentinels
from tests.faults.sources import LONG, Source
from tests.faults.stage import Stage

# From the promotion on: each connection, one after another, notices within two seconds.
_GOES_ON_S = 12.0

pytestmark = pytest.mark.timeout(600 if LONG else 120)


@pytest.fixture
def behind_sentinels(tmp_path: Path, sources: list[Source]) -> Iterator[Stage]:
    """A scenario whose server is one of two."""
    stage = Stage(tmp_path, sources, Sentinels(tmp_path / "redis"))
    yield stage
    stage.close()


@pytest.mark.at_length
def test_a_failover(
    behind_sentinels: Stage,
    chance: np.random.Generator,
    fault_free: dict[Series, Outcome],
    table: list[Row],
) -> None:
    """What the replica has not got is sent again by its producers: the same result as without."""
    stage, servers = behind_sentinels, behind_sentinels.server
    stage.start_workers(2)
    feed, lost = stage.feed(180 if LONG else 14), 0
    for number in stage.strikes(10 if LONG else 2, (0.5, 1.5), chance):
        if number % 2 == 0:
            servers.cut_off()
            time.sleep(chance.uniform(0.1, 0.5))
        since = time.monotonic()
        lost += servers.fail_over()
        stage.wait_until_under_way(since, feed=feed)
        servers.start_again()
    assert lost, "the replica had all each time: nothing was to be repaired"
    # A file that has ended cannot notice what is forgotten later: it is replayed.
    stage.wait_for_producers()
    stage.feed()
    stage.settle("failover to a replica", fault_free, table)


@pytest.mark.at_length
def test_a_primary_that_hangs(
    behind_sentinels: Stage,
    chance: np.random.Generator,
    fault_free: dict[Series, Outcome],
    table: list[Row],
) -> None:
    """Nobody waits for it once it has lost its place, nor when it is back as a replica."""
    stage, servers = behind_sentinels, behind_sentinels.server
    stage.start_workers(2)
    feed, lost = stage.feed(120 if LONG else 14), 0
    for _ in stage.strikes(6 if LONG else 1, (0.5, 1.5), chance):
        bystander = stage.store()
        servers.cut_off()
        time.sleep(chance.uniform(0.1, 0.5))
        lost += servers.hang()
        promoted = time.monotonic()
        stage.wait_until_under_way(promoted, _GOES_ON_S, feed=feed)
        servers.wake()
        with servers.deaf_sentinel():
            since = time.monotonic()
            bystander.link.redis.set("said", "by who was connected to the demoted one")
            assert time.monotonic() - since < 3, "a sentinel that hangs holds it up"
        assert str(servers.primary) in bystander.link.address
    assert lost, "the replica had all: nothing was to be repaired"
    stage.wait_for_producers()
    stage.feed()
    stage.settle("primary hangs", fault_free, table)
