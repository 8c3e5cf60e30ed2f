"""Workers are killed, stopped and ended while they learn."""

import signal
import time

import numpy as np
import pytest

from shared.candle import Series
from tests.faults.outcome import Outcome, Row
from tests.faults.sources import LONG
from tests.faults.stage import Stage, children, send

pytestmark = pytest.mark.timeout(600 if LONG else 90)


def test_sigkill_of_random_workers(
    stage: Stage,
    chance: np.random.Generator,
    fault_free: dict[Series, Outcome],
    table: list[Row],
) -> None:
    """One of four workers at a time, and now and then all of them or their supervisor alone."""
    supervisor = stage.start_workers(4)
    stage.feed(60 if LONG else 3)
    for number in stage.strikes(100 if LONG else 5, (0.3, 1.0), chance):
        if number % 5 == 4:
            stage.kill(supervisor, group=bool(number % 2))
            supervisor = stage.start_workers(4)
        elif workers := children(supervisor):
            send(int(chance.choice(workers)), signal.SIGKILL)
    stage.settle("workers killed", fault_free, table)


def test_a_stopped_worker_wakes_up_and_loses(
    stage: Stage,
    chance: np.random.Generator,
    fault_free: dict[Series, Outcome],
    table: list[Row],
) -> None:
    """SIGSTOP in mid-job, SIGCONT once others have gone on: its commit is refused."""
    wanted = 20 if LONG else 1
    supervisor = stage.start_workers(2)
    stage.feed(90 if LONG else 4)
    stage.wait_until_under_way()
    while _lost_commits(stage) < wanted and not stage.watch.learned():
        victim = int(chance.choice(children(supervisor)))
        send(victim, signal.SIGSTOP)
        try:
            if stage.in_hand(victim):
                # All move again when its lease is over.
                stage.wait_until_under_way(stage.watch.strike())
        finally:
            send(victim, signal.SIGCONT)
    stage.settle("worker stopped, woken up", fault_free, table)
    assert _lost_commits(stage) > 0, "no worker was stopped with a claim in hand"


def _lost_commits(stage: Stage) -> int:
    return stage.log("worker").count("commit lost to another worker")


def test_sigterm_lets_workers_finish(
    stage: Stage,
    chance: np.random.Generator,
    fault_free: dict[Series, Outcome],
    table: list[Row],
) -> None:
    """They finish their job, give nothing up, exit 0 within seconds, and others go on."""
    supervisor = stage.start_workers(2)
    stage.feed(60 if LONG else 2)
    store = stage.store()
    for _ in stage.strikes(20 if LONG else 1, (0.3, 1.0), chance):
        supervisor.terminate()
        assert supervisor.wait(5) == 0
        records = store.models([source.series for source in stage.sources])
        assert [record.attempts for record in records] == [0] * len(records)
        ended = time.monotonic()
        supervisor = stage.start_workers(2)
        stage.wait_until_under_way(ended)
    stage.settle("workers ended by SIGTERM", fault_free, table)
