"""The RQ worker: no fork, one queue, and a tick between jobs that repairs what others left."""

import os
import signal
import time
from typing import Any

import redis
import structlog
from rq import SimpleWorker
from rq.timeouts import BaseDeathPenalty

from shared.errors import InvalidValue, StoreError
from worker import jobs

log = structlog.get_logger(__name__)

TICK_S = 1.0


class KernelDeathPenalty(BaseDeathPenalty):
    """Let the kernel end a process whose job overruns.

    An exception thrown into the middle of a Redis call would leave its reply to be read as the
    answer to the next command; the process ends instead, and its claims come back by themselves.
    """

    def setup_death_penalty(self) -> None:
        """Arm the alarm; its default action ends the process, inside C code too."""
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, self._timeout)

    def cancel_death_penalty(self) -> None:
        """Disarm the alarm."""
        signal.setitimer(signal.ITIMER_REAL, 0)


class CandleWorker(SimpleWorker):
    """Works one queue; ticks at its start, between jobs and when idle.

    Raises
    ------
    InvalidValue
        When it is started on more than one queue, or on another Redis than the settings name.
    """

    death_penalty_class = KernelDeathPenalty
    take_over = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["worker_ttl"] = kwargs.get("worker_ttl") or 30
        super().__init__(*args, **kwargs)
        self._parent = os.getppid()
        self._next_tick = 0.0
        self._waits_for: str | None = None
        if len(self.queues) != 1:
            raise InvalidValue("queues", self.queue_names(), "give each worker one queue")
        if _identity(jobs.store().link.redis) != _identity(self.connection):
            raise InvalidValue("url", "rq --url", "give the Redis that CANDLECAST_REDIS_URL names")

    @property
    def dequeue_timeout(self) -> int:
        """Come round each second, to tick."""
        return 1

    @property
    def should_run_maintenance_tasks(self) -> bool:
        """Whether a tick or RQ's own maintenance is due."""
        return time.monotonic() >= self._next_tick or bool(super().should_run_maintenance_tasks)

    def run_maintenance_tasks(self) -> None:
        """Tick, and let RQ do its own when that is due.

        Redis's errors are logged, not raised: here they would end the worker, which its loop
        otherwise lets wait for Redis to come back.
        """
        self._next_tick = time.monotonic() + TICK_S
        if os.getppid() != self._parent:
            log.warning("the supervisor is gone, stopping")
            os.kill(os.getpid(), signal.SIGTERM)
        try:
            self._tick()
            if super().should_run_maintenance_tasks:
                super().run_maintenance_tasks()  # type: ignore[no-untyped-call]
        except (StoreError, redis.RedisError) as error:
            log.warning("tick failed", error=str(error))

    def _tick(self) -> None:
        store, fleet = jobs.store(), jobs.updater().model.fleet
        tick = store.tick(fleet, take_over=self.take_over)
        self.take_over = False
        if tick.holder != fleet:
            if self._waits_for != tick.holder:
                log.warning("another model holds the field, waiting", holder=tick.holder, own=fleet)
            self._waits_for = tick.holder
            return
        if self._waits_for:
            log.info("took the field over", own=fleet)
            self._waits_for = None
        store.ring(tick.ring)
        if tick.housekeeping:
            store.ring_housekeeping()


def _identity(client: Any) -> tuple[str, int]:
    """Which server and database a client talks to, however its host is spelled."""
    run_id = str(client.info("server")["run_id"])
    return run_id, client.get_connection_kwargs().get("db", 0)
