"""The RQ worker: no fork, one queue, and a tick between jobs that repairs what others left."""

import os
import signal
import time
from contextlib import suppress
from ctypes import c_int8
from typing import Any

import redis
import structlog
from rq import Queue, SimpleWorker
from rq.exceptions import StopRequested
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.suspension import is_suspended
from rq.timeouts import BaseDeathPenalty
from rq.utils import ensure_job_list, get_connection_from_queues, now
from rq.worker import WorkerStatus

from shared.errors import InvalidValue, StoreError
from worker import jobs
from worker.doorbells import Doorbell, Doorbells
from worker.field import Field, Part
from worker.prepare import LESSON_S

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

    However it is started, it reads jobs as JSON and runs one function: that of its queue.

    Raises
    ------
    InvalidValue
        When it is started on more than one queue, or on another Redis than the settings name.
    """

    death_penalty_class = KernelDeathPenalty
    # RQ's minute would keep an idle worker asleep long after Redis has come back.
    max_connection_wait_time = 2.0
    burst = False
    supervisor_pid: int | None = None

    def __init__(self, queues: Any, *args: Any, **kwargs: Any) -> None:
        queues = ensure_job_list(queues)
        kwargs["worker_ttl"] = kwargs.get("worker_ttl") or 30
        kwargs.setdefault("connection", get_connection_from_queues(queues))
        # `rq worker` brings queues, jobs and a serializer of its own: that one is pickle.
        kwargs |= {"serializer": JSONSerializer, "job_class": Doorbell, "queue_class": Doorbells}
        names = [queue.name if isinstance(queue, Queue) else queue for queue in queues]
        super().__init__(names, *args, **kwargs)
        self._next_tick = 0.0
        if len(self.queues) != 1:
            raise InvalidValue("queues", self.queue_names(), "give each worker one queue")
        if _identity(jobs.store().link.redis) != _identity(self.connection):
            raise InvalidValue("url", "rq --url", "give the Redis that CANDLECAST_REDIS_URL names")
        learns = self.queue_names() == [jobs.store().keys.candles_queue]
        self.model = jobs.updater().model if learns else None
        self.field = Field(jobs.store(), self.model, c_int8(Part.NONE))
        function = jobs.update_pending if learns else jobs.snapshot_moved
        self._function = f"{function.__module__}.{function.__qualname__}"

    @property
    def dequeue_timeout(self) -> int:
        """Come round each second, to tick."""
        return 1

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Run a job of ours; fail any other one before a name in it is looked up."""
        fault = self._fault(job)
        if fault is None:
            super().execute_job(job, queue)
            return
        log.warning("job refused", job=job.id, queue=queue.name, reason=fault)
        job.origin, job.ended_at = queue.name, now()
        # Nor shall whoever looks at it later find what it brought: it is saved anew as it is now.
        self.connection.delete(job.key)
        self.handle_job_failure(job, queue, exc_string=f"refused: {fault}")
        queue.intermediate_queue.remove(job.id)

    def handle_payload(self, message: Any) -> None:
        """Obey a command of RQ's; what is none is passed over."""
        try:
            super().handle_payload(message)  # type: ignore[no-untyped-call]
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            log.warning("no command of RQ's", error=repr(error)[:200])

    def set_shutdown_requested_date(self) -> None:
        """Tell when it was asked to stop, if Redis can be told.

        It is called by a signal: what it raised would strike a lesson, and be its candle's fault.
        """
        with suppress(redis.RedisError):
            super().set_shutdown_requested_date()  # type: ignore[no-untyped-call]

    def increment_failed_job_count(self, pipeline: Any = None) -> None:
        """Count a failed job, for whoever started this worker too."""
        self.failed_job_count += 1
        super().increment_failed_job_count(pipeline)

    def work(self, burst: bool = False, *args: Any, **kwargs: Any) -> bool:  # noqa: FBT001, FBT002 -- RQ's
        """Work until told to stop, or in a burst until the queue is empty."""
        self.burst = burst
        return bool(super().work(burst, *args, **kwargs))

    @property
    def should_run_maintenance_tasks(self) -> bool:
        """Whether a tick or RQ's own maintenance is due."""
        return time.monotonic() >= self._next_tick or bool(super().should_run_maintenance_tasks)

    def run_maintenance_tasks(self) -> None:
        """Tick, and let RQ do its own when that is due.

        Errors are logged, not raised: here they would end the worker, which its loop otherwise
        lets wait for Redis to come back, and RQ's registries hold what anybody may write. While
        another model holds the field the worker stays in here, so that it takes no doorbell from
        those who could answer it; in a burst it ends.
        """
        self._leave_with_supervisor()
        try:
            self._tick()
            while self.field.waits and not self.burst:
                self._wait_for_the_field()
            if super().should_run_maintenance_tasks:
                super().run_maintenance_tasks()  # type: ignore[no-untyped-call]
        except StopRequested:
            raise
        except (StoreError, redis.RedisError) as error:
            log.warning("tick failed", error=str(error))
        except Exception:  # one foreign entry must not end every worker that meets it
            log.exception("maintenance failed")
        if self.field.waits and self.burst:
            raise StopRequested
        self._next_tick = time.monotonic() + TICK_S

    def _fault(self, job: Job) -> str | None:
        """Say why a job is not to be run."""
        if not isinstance(job, Doorbell):
            return f"read as {type(job).__name__}, not as a doorbell"
        if job.fault is None:
            try:
                job.check_call(self._function)
            except InvalidValue as error:
                job.disarm(str(error))
        return job.fault

    def _leave_with_supervisor(self) -> None:
        if self.supervisor_pid not in (None, os.getppid()):
            log.warning("the supervisor is gone, stopping")
            os.kill(os.getpid(), signal.SIGTERM)

    def _wait_for_the_field(self) -> None:
        # Through an outage too: outside of this loop it would take doorbells.
        until = time.monotonic() + TICK_S
        self._leave_with_supervisor()
        self._prepare(until)
        time.sleep(max(0.0, until - time.monotonic()))
        try:
            self.heartbeat()
            self._tick()
        except (StoreError, redis.RedisError) as error:
            self.field.miss()
            log.warning("tick failed", error=str(error))

    def _prepare(self, until: float) -> None:
        """Prepare for the field as a job is done: a signal to stop is obeyed after it.

        RQ stops an idle worker by an exception, which a lesson would take for a candle's fault.
        """
        try:
            self.set_state(WorkerStatus.BUSY)
            with KernelDeathPenalty(LESSON_S):  # type: ignore[no-untyped-call]
                self.field.prepare(until)
        except StopRequested:
            raise
        except Exception as error:  # noqa: BLE001 -- whatever it is, an empty field has to be taken
            log.warning("preparing failed", error=str(error) or repr(error))
        finally:
            with suppress(redis.RedisError):
                self.set_state(WorkerStatus.IDLE)
        if self._stop_requested:
            raise StopRequested

    def _tick(self) -> None:
        tick = self.field.tick()
        if tick is None:
            return
        store = jobs.store()
        store.ring(tick.ring)
        if tick.housekeeping:
            store.ring_housekeeping()


def _identity(client: Any) -> tuple[str, int]:
    """Which server and database a client talks to, however its host is spelled."""
    run_id = str(client.info("server")["run_id"])
    return run_id, client.get_connection_kwargs().get("db", 0)


def work(
    name: str,
    queue: str,
    *,
    supervisor_pid: int,
    part: c_int8,
    take_over: bool = False,
    rolling: bool = False,
    burst: bool = False,
) -> None:
    """Be a worker of a queue until told to stop; in a burst, until the queue is empty.

    ``part`` is the memory, a `Part`, that it shares with those before and after it: one whose
    predecessor has waited leaves an empty field for some seconds to those who held it, one whose
    predecessor has learned does not. Only the first takes over at once, and by ``rolling``
    only those that have not had the field, or seen another one take it, yet.

    Raises
    ------
    SystemExit
        With 1 when a job failed, as RQ also ends its loop on errors, or when a burst would have to
        wait: for workers of another model, or for `rq resume`.
    """
    jobs.preload(queue)
    store = jobs.store()
    jobs.updater().worker = name
    worker = CandleWorker([store.keys.queue(queue)], name=name, connection=jobs.rq_connection())
    worker.supervisor_pid = supervisor_pid
    worker.field = Field(store, worker.model, part, take_over=take_over, rolling=rolling)
    worker.log_result_lifespan = False
    try:
        worker.work(burst=burst, logging_level="WARNING")
    finally:
        jobs.let_go()
    has_left = burst and (worker.field.waits or is_suspended(worker.connection))
    if worker.failed_job_count or has_left:
        raise SystemExit(1)
