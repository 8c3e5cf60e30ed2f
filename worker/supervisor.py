"""Keeps N worker processes alive: RQ's own pool cannot pass a worker TTL and adds a scheduler."""

import multiprocessing
import signal
import time
import uuid
from collections.abc import Callable
from ctypes import c_int8
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from multiprocessing.sharedctypes import RawValue

import structlog

from shared.errors import CandlecastError

log = structlog.get_logger(__name__)

_LOOK_S = 0.2
_HEALTHY_S = 5.0
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 3.0
_GRACE_S = 15.0
_MOST_REFUSALS = 10


@dataclass(slots=True)
class _Place:
    """One worker to keep alive: its process, when the next may start, and what it leaves to it."""

    memory: c_int8 = field(default_factory=lambda: RawValue(c_int8))
    process: BaseProcess | None = None
    name: str = ""
    started: float = 0.0
    quick_deaths: int = 0
    refused: int = 0
    due: float = 0.0


class Supervisor:
    """Forks workers from a parent that has loaded the code already; restarts those that die.

    Parameters
    ----------
    run
        What a worker process does, told its name and a number, zero at first, that the workers of
        one place leave to each other, however they end; it returns when the worker stops.
    processes
        How many to keep alive.
    buried
        Called with the name of each worker that has died on its own.
    burst
        Whether workers end by themselves once the queue is empty: then none is restarted.
    """

    def __init__(
        self,
        run: Callable[[str, c_int8], None],
        processes: int,
        *,
        buried: Callable[[str], object] = lambda _: None,
        burst: bool = False,
    ) -> None:
        self.run = run
        self.buried = buried
        self.burst = burst
        self.failed = False
        self._stopping = False
        self._places = [_Place() for _ in range(processes)]

    def supervise(self) -> None:
        """Run until SIGTERM or SIGINT, or in burst mode until all workers have ended."""
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._request_stop)
        try:
            for place in self._places:
                self._start(place)
            while not self._stopping and any(place.process for place in self._places):
                wait([process.sentinel for process in self._alive()], timeout=_LOOK_S)
                for place in self._places:
                    self._look_after(place)
        finally:
            self._stop()

    def _request_stop(self, *_: object) -> None:
        self._stopping = True

    def _alive(self) -> list[BaseProcess]:
        processes = (place.process for place in self._places)
        return [process for process in processes if process and process.is_alive()]

    def _start(self, place: _Place) -> None:
        context = multiprocessing.get_context("fork")
        place.name = uuid.uuid4().hex
        place.process = context.Process(target=self._child, args=(place.name, place.memory))
        place.started = time.monotonic()
        try:
            place.process.start()
        except OSError as error:
            # The system has no room for a process just now; it may have some in a moment. Each try
            # leaves pipes open, so that there is an end of them: whoever started this starts anew.
            place.refused += 1
            if place.refused > _MOST_REFUSALS:
                raise
            place.due = place.started + _LONGEST_PAUSE_S
            log.error("worker not started", error=str(error), again_in_s=_LONGEST_PAUSE_S)  # noqa: TRY400
        else:
            place.refused = 0

    def _child(self, name: str, memory: c_int8) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        try:
            self.run(name, memory)
        except CandlecastError as error:
            log.error("worker cannot go on", error=str(error))  # noqa: TRY400 -- it says all
            raise SystemExit(1) from None

    def _look_after(self, place: _Place) -> None:
        now = time.monotonic()
        process = place.process
        if process is None or process.is_alive() or self._stopping:
            return
        if not place.due:
            self.failed |= process.exitcode != 0
            if process.exitcode:
                self._bury(place.name)
            if self.burst:
                place.process = None
                return
            self._plan_restart(place, process, now)
        if now >= place.due:
            place.due = 0.0
            self._start(place)

    def _bury(self, name: str) -> None:
        try:
            self.buried(name)
        except Exception:  # the living must be looked after whatever becomes of the dead
            log.exception("a dead worker's claims are left to their lease")

    def _plan_restart(self, place: _Place, dead: BaseProcess, now: float) -> None:
        # One quick death may be chance; a row of them would burn the processor with starts.
        place.quick_deaths = place.quick_deaths + 1 if now - place.started < _HEALTHY_S else 0
        doublings = place.quick_deaths - 2
        pause = min(_FIRST_PAUSE_S * 2**doublings, _LONGEST_PAUSE_S) if doublings >= 0 else 0.0
        place.due = now + pause
        log.warning("worker ended, restarting", pid=dead.pid, exit=dead.exitcode, in_s=pause)

    def _stop(self) -> None:
        for process in self._alive():
            process.terminate()
        deadline = time.monotonic() + _GRACE_S
        for process in self._alive():
            process.join(max(0.0, deadline - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()
