"""Workers on several hosts, of which one is cut off in mid-job."""

import contextlib
import time
from collections.abc import Iterator

import numpy as np
import pytest

from shared.candle import Series
from tests.faults.hosts import Host, needs_hosts
from tests.faults.outcome import Outcome, Row
from tests.faults.sources import LONG
from tests.faults.stage import BIN, Process, Stage, children, wait_for

pytestmark = [needs_hosts, pytest.mark.timeout(600 if LONG else 120)]

# A lease is two seconds.
_OFF_S = 3.0


@pytest.fixture
def hosts() -> Iterator[list[Host]]:
    """Two of them."""
    with contextlib.ExitStack() as there:
        yield [there.enter_context(contextlib.closing(Host(number))) for number in range(2)]


def start_worker(stage: Stage, host: Host) -> Process:
    """Start a worker on a host, which reaches the server by its own address."""
    url = stage.server.url.replace("127.0.0.1", host.gateway)
    command = (*host.command, str(BIN / "candlecast"), "worker")
    return stage.start("worker", *command, CANDLECAST_REDIS_URL=url)


def test_a_host_that_is_cut_off_in_mid_job(
    stage: Stage,
    hosts: list[Host],
    chance: np.random.Generator,
    fault_free: dict[Series, Outcome],
    table: list[Row],
) -> None:
    """Others take its series up; what it learned meanwhile is refused when it is back."""
    stage.server.client.config_set("bind", " ".join(["127.0.0.1", *(h.gateway for h in hosts)]))
    supervisors = [start_worker(stage, host) for host in hosts]
    stage.feed(120 if LONG else 12)
    for number in stage.strikes(12 if LONG else 3, (0.2, 0.6), chance):
        off = number % 2
        (worker,) = children(supervisors[off])
        wait_for(lambda pid=worker: stage.in_hand(pid) or stage.watch.learned(), "it has a job")  # type: ignore[misc]
        since = time.monotonic()
        hosts[off].pull()
        time.sleep(_OFF_S)
        stage.wait_until_under_way(since)
        hosts[off].plug()
        wait_for(lambda: len(children(supervisors[off])) == 1, "its worker is there")  # noqa: B023
    stage.settle("host cut off", fault_free, table)
    conflicts = stage.store().totals.read().get("conflicts", 0)
    assert conflicts, "nothing was learned twice, and refused"
