"""Keeps N worker processes alive: RQ's own pool cannot pass a worker TTL and adds a scheduler."""

import multiprocessing
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess

import structlog

log = structlog.get_logger(__name__)

_HEALTHY_S = 5.0
_LONGEST_PAUSE_S = 30.0
_GRACE_S = 15.0


class Supervisor:
    """Forks workers from a parent that has loaded the code already; restarts those that die.

    Parameters
    ----------
    run
        What a worker process does; it returns when the worker stops.
    processes
        How many to keep alive.
    burst
        Whether workers end by themselves once the queue is empty: then none is restarted.
    """

    def __init__(self, run: Callable[[], None], processes: int, *, burst: bool = False) -> None:
        self.run = run
        self.processes = processes
        self.burst = burst
        self._stopping = False
        self._pause_s = 0.0
        self._started: dict[BaseProcess, float] = {}

    def supervise(self) -> None:
        """Run until SIGTERM or SIGINT, or in burst mode until all workers have ended."""
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._request_stop)
        for _ in range(self.processes):
            self._start()
        while self._started:
            wait([process.sentinel for process in self._started], timeout=0.5)
            for process in [p for p in self._started if not p.is_alive()]:
                self._replace(process)
            if self._stopping:
                self._stop()

    def _request_stop(self, *_: object) -> None:
        self._stopping = True

    def _start(self) -> None:
        process = multiprocessing.get_context("fork").Process(target=self._child)
        process.start()
        self._started[process] = time.monotonic()

    def _child(self) -> None:
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, signal.SIG_DFL)
        self.run()

    def _replace(self, dead: BaseProcess) -> None:
        lived = time.monotonic() - self._started.pop(dead)
        if self.burst or self._stopping:
            return
        # A worker that dies at once would burn the processor in a loop of starts.
        crashed = lived < _HEALTHY_S and dead.exitcode != -signal.SIGKILL
        self._pause_s = min(max(1.0, 2 * self._pause_s), _LONGEST_PAUSE_S) if crashed else 0.0
        log.warning(
            "worker ended, restarting", pid=dead.pid, exit=dead.exitcode, in_s=self._pause_s
        )
        deadline = time.monotonic() + self._pause_s
        while time.monotonic() < deadline and not self._stopping:
            time.sleep(0.1)
        if not self._stopping:
            self._start()

    def _stop(self) -> None:
        for process in self._started:
            process.terminate()
        deadline = time.monotonic() + _GRACE_S
        for process in self._started:
            process.join(max(0.0, deadline - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()
        self._started.clear()
