"""Operators empty the queue, and delete, fail and requeue jobs in rq-dashboard."""

import json
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from typing import Any

import numpy as np
import pytest

from shared.candle import Series
from shared.keys import CANDLES_QUEUE, Keys
from tests.faults.outcome import Outcome, Row
from tests.faults.sources import LONG
from tests.faults.stage import BIN, Process, Stage, children, send, wait_for

pytestmark = pytest.mark.timeout(600 if LONG else 90)

QUEUE = Keys().rq_queue(CANDLES_QUEUE)
STARTED = f"rq:wip:{CANDLES_QUEUE}"


class Dashboard:
    """The real rq-dashboard on the loopback address, and the requests that its pages make."""

    def __init__(self, stage: Stage) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        options = ("--bind", "127.0.0.1", "--port", str(port), "--json")
        command = (BIN / "rq-dashboard", *options, "--config", "worker.dashboard")
        stage.start("dashboard", *command, RQ_DASHBOARD_REDIS_URL=stage.url)
        self._url = f"http://127.0.0.1:{port}"
        wait_for(self._answers, "rq-dashboard answers")

    def jobs(self, registry: str) -> list[str]:
        """Ids of the jobs that a page of the queue shows."""
        page = f"/0/data/jobs/{CANDLES_QUEUE}/{registry}/100/dsc/1.json"
        return [job["id"] for job in self._read(page)["jobs"]]

    def count(self) -> dict[str, Any]:
        """The line of the queue in the overview; counting has RQ clean its registries."""
        queues = self._read("/0/data/queues.json")["queues"]
        return next((queue for queue in queues if queue["name"] == CANDLES_QUEUE), {})

    def delete(self, job: str) -> None:
        """Press *Delete* of a job, which may have run meanwhile."""
        assert self._post(f"/job/{job}/delete")["status"] in {"OK", "ERROR"}

    def empty(self) -> None:
        """Press *Empty* of the queue."""
        assert self._post(f"/queue/{CANDLES_QUEUE}/queued/empty")["status"] == "OK"

    def requeue(self, job: str) -> None:
        """Press *Requeue* of a failed job."""
        assert self._post(f"/job/{job}/requeue")["status"] == "OK"

    def _answers(self) -> bool:
        try:
            self.count()
        except urllib.error.URLError:
            return False
        return True

    def _read(self, path: str) -> dict[str, Any]:
        with urllib.request.urlopen(self._url + path, timeout=10) as answer:
            return dict(json.load(answer))

    def _post(self, path: str) -> dict[str, Any]:
        request = urllib.request.Request(self._url + path, method="POST")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return dict(json.load(answer))


def test_the_queue_emptied_by_hand(
    stage: Stage,
    chance: np.random.Generator,
    fault_free: dict[Series, Outcome],
    table: list[Row],
) -> None:
    """Doorbells are lost by DEL and by `rq empty`: the next tick of any worker rings again."""
    stage.feed()
    stage.wait_for_producers()
    # Nobody is left to ring but ticks.
    stage.server.client.delete(QUEUE)
    stage.start_workers(2)
    for number in stage.strikes(100 if LONG else 15, (0.0, 0.2), chance):
        if number % 10 == 9:
            command = [str(BIN / "rq"), "empty", CANDLES_QUEUE, "-u", stage.url, "-S", "json"]
            subprocess.run(command, check=True, capture_output=True)
        else:
            stage.server.client.delete(QUEUE)
    stage.settle("queue emptied", fault_free, table)


def test_jobs_deleted_in_rq_dashboard(
    stage: Stage,
    chance: np.random.Generator,
    fault_free: dict[Series, Outcome],
    table: list[Row],
) -> None:
    """Queued and started ones, one by one and all at once."""
    dashboard = Dashboard(stage)
    supervisor = stage.start_workers(2)
    stage.feed(40 if LONG else 3)
    deleted = 0
    for number in stage.strikes(20 if LONG else 3, (0.1, 0.5), chance):
        workers = children(supervisor)
        for pid in workers:
            send(pid, signal.SIGSTOP)
        # Not for ever: the stopped ones may have taken the only job, and nobody else rings.
        stage.until(lambda: stage.server.client.llen(QUEUE), 1.0)
        jobs = [*dashboard.jobs("queued"), *dashboard.jobs("started")]
        deleted += len(jobs)
        for job in jobs:
            dashboard.delete(job)
        if number % 3 == 2:
            dashboard.empty()
        for pid in workers:
            send(pid, signal.SIGCONT)
    stage.settle("jobs deleted in rq-dashboard", fault_free, table)
    assert deleted > 0


def test_jobs_failed_and_requeued_in_rq_dashboard(
    stage: Stage,
    chance: np.random.Generator,
    fault_free: dict[Series, Outcome],
    table: list[Row],
) -> None:
    """The jobs of killed workers fail when RQ cleans up; requeued, they are doorbells again.

    RQ would wait more than a minute before it calls them abandoned: their time is moved back.
    """
    dashboard = Dashboard(stage)
    supervisor = stage.start_workers(2)
    stage.feed(40 if LONG else 2)
    requeued = 0
    for _ in stage.strikes(10 if LONG else 1, (0.1, 0.5), chance):
        since = time.monotonic()
        supervisor = _kill_in_mid_job(stage, supervisor)
        client = stage.server.client
        for execution in client.zrange(STARTED, 0, -1):
            client.zadd(STARTED, {execution: 1}, xx=True)
        wait_for(lambda: dashboard.count()["failed_job_registry_count"], "the job has failed")
        for job in dashboard.jobs("failed"):
            dashboard.requeue(job)
            requeued += 1
        stage.wait_until_under_way(since)
    stage.settle("jobs failed, requeued in rq-dashboard", fault_free, table)
    assert requeued > 0


def _kill_in_mid_job(stage: Stage, supervisor: Process) -> Process:
    """Kill all workers at a moment when one is in a job, and start others."""
    wait_for(lambda: stage.server.client.zcard(STARTED), "a job runs")
    for pid in children(supervisor):
        send(pid, signal.SIGSTOP)
    stage.kill(supervisor)
    return stage.start_workers(2)
