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
    # RQ's minute would keep an idle worker asleep long after Redis has come back.
    max_connection_wait_time = 2.0
    take_over = False
    supervisor_pid: int | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["worker_ttl"] = kwargs.get("worker_ttl") or 30
        super().__init__(*args, **kwargs)
        self._next_tick = 0.0
        self._waits_for: str | None = None
        if len(self.queues) != 1:
            raise InvalidValue("queues", self.queue_names(), "give each worker one queue")
        if _identity(jobs.store().link.redis) != _identity(self.connection):
            raise InvalidValue("url", "rq --url", "give the Redis that CANDLECAST_REDIS_URL names")
        learns = self.queue_names() == [jobs.store().keys.candles_queue]
        self._fleet = jobs.updater().model.fleet if learns else ""

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
        otherwise lets wait for Redis to come back. While another model holds the field the worker
        stays in here, so that it takes no doorbell from those who could answer it.
        """
        self._leave_with_supervisor()
        try:
            self._tick()
            while self._waits_for:
                self.heartbeat()
                time.sleep(TICK_S)
                self._leave_with_supervisor()
                self._tick()
            if super().should_run_maintenance_tasks:
                super().run_maintenance_tasks()  # type: ignore[no-untyped-call]
        except (StoreError, redis.RedisError) as error:
            log.warning("tick failed", error=str(error))
        self._next_tick = time.monotonic() + TICK_S

    def _leave_with_supervisor(self) -> None:
        if self.supervisor_pid not in (None, os.getppid()):
            log.warning("the supervisor is gone, stopping")
            os.kill(os.getpid(), signal.SIGTERM)

    def _tick(self) -> None:
        store = jobs.store()
        tick = store.tick(self._fleet, take_over=self.take_over)
        self.take_over = False
        if self._fleet and tick.holder != self._fleet:
            if self._waits_for != tick.holder:
                log.warning(
                    _difference(tick.holder, self._fleet), holder=tick.holder, own=self._fleet
                )
            self._waits_for = tick.holder
            return
        if self._waits_for:
            log.info("took over", own=self._fleet)
            self._waits_for = None
        store.ring(tick.ring)
        if tick.housekeeping:
            store.ring_housekeeping()


def _difference(holder: str, own: str) -> str:
    """Say in what the workers that learn now differ from this one, and what can be done."""
    (model, key), (own_model, own_key) = holder.rsplit("-", 1), own.rsplit("-", 1)
    if model == own_model and key != own_key:
        return (
            "waiting: the same model learns with another signing key; set CANDLECAST_STATE_KEY (or "
            "CANDLECAST_DATA_DIR) as its workers have it, or use --take-over to learn anew"
        )
    return "waiting: another model or other horizons learn now; --take-over ends that at once"


def _identity(client: Any) -> tuple[str, int]:
    """Which server and database a client talks to, however its host is spelled."""
    run_id = str(client.info("server")["run_id"])
    return run_id, client.get_connection_kwargs().get("db", 0)
