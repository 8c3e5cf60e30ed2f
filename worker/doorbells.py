"""RQ's jobs and queues as a candle worker reads them: whatever is not ours is disarmed."""

import contextlib
from collections.abc import Mapping
from typing import Any

import redis
import structlog
from rq import Queue
from rq.exceptions import DeserializationError, NoSuchJobError
from rq.intermediate_queue import IntermediateQueue
from rq.job import Job, validate_job_id
from rq.serializers import JSONSerializer

from shared.errors import InvalidValue

log = structlog.get_logger(__name__)

_REFUSED_TTL_S = 3_600
_LONGEST_FIELD = 65_536
_LONGEST_TTL_S = 366 * 86_400
# What RQ would act upon beyond calling the function, import by name or take for a pickle.
_NO_DOORBELL_HAS = (
    *(b"success_callback_name", b"failure_callback_name", b"stopped_callback_name", b"webhooks"),
    *(b"retries_left", b"retry_intervals", b"repeats_left", b"repeat_intervals"),
    *(b"rate_limit_key", b"group_id", b"dependency_id", b"dependency_ids", b"meta", b"result"),
)


class Doorbell(Job):
    """A job as ours are: it names a function, and holds nothing else that RQ would act upon.

    RQ does not only read jobs to run them: when it clears up after a dead worker it imports the
    failure callback of that one's job. So a job that is not as ours are is disarmed wherever it is
    read.
    """

    fault: str | None = None
    """Why it is not to be run."""

    def refresh(self) -> None:
        """Read the job from Redis; RQ passes over it where something else than a job lies."""
        try:
            super().refresh()  # type: ignore[no-untyped-call]
        except redis.ResponseError as error:
            log.warning("no job lies there", job=self.id, error=str(error))
            raise NoSuchJobError(str(error)) from error

    def restore(self, raw_data: Mapping[bytes, bytes]) -> None:
        """Take over what Redis holds of the job; disarm it if that is not as ours is."""
        try:
            _check_fields(raw_data)
            super().restore(raw_data)
            for name in ("timeout", "result_ttl", "failure_ttl", "ttl"):
                _check_time(name, getattr(self, name))
        except NoSuchJobError:
            raise
        except InvalidValue as error:
            self.disarm(str(error))
        except Exception as error:  # noqa: BLE001 -- RQ trusts these bytes, and fails in many ways
            self.disarm(f"RQ cannot read it: {type(error).__name__} {error}"[:200])

    def disarm(self, fault: str) -> None:
        """Drop all that RQ would act upon; what is left can only be failed."""
        self.fault = fault
        super().restore(
            {
                b"data": self._shown_data(),
                b"origin": self.origin.encode(),
                b"description": (self.description or "").encode(),
                b"failure_ttl": str(_REFUSED_TTL_S).encode(),
            }
        )

    def check_call(self, function: str) -> None:
        """Raise `InvalidValue` unless the job calls this function, with nothing."""
        try:
            call = [self.func_name, self.instance, self.args, self.kwargs]
        except DeserializationError as error:
            raise InvalidValue(
                "data", bytes(self.data[:40]), "enqueue with RQ's JSON serializer"
            ) from error
        if call != [function, None, [], {}]:
            raise InvalidValue("call", repr(call)[:200], f"this queue only runs {function}()")

    def _shown_data(self) -> bytes:
        """Return the call for those who look at the failed job; never bytes of another kind."""
        with contextlib.suppress(DeserializationError, ValueError):
            if [type(part) for part in (self.func_name, self.args, self.kwargs)] == [
                str,
                list,
                dict,
            ]:
                return self.data
        return bytes(self.serializer.dumps(("refused", None, [], {})))


class Doorbells(Queue):
    """A queue whose jobs are doorbells, whatever RQ is told: it reads them to count them too.

    Ids which no job can have are dropped; RQ's own queue would end the worker over one.
    """

    job_class = Doorbell

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs |= {"serializer": JSONSerializer, "job_class": Doorbell}
        super().__init__(*args, **kwargs)

    @classmethod
    def lmove(cls, connection: Any, queue_key: str, timeout: int | None) -> Any:
        """Take the next id off the queue."""
        while taken := super().lmove(connection, queue_key, timeout):
            try:
                validate_job_id(taken[1].decode())
            except ValueError as error:
                IntermediateQueue(queue_key, connection).remove(taken[1])
                log.warning("no job's id, dropped", id=repr(taken[1][:80]), error=str(error))
            else:
                break
        return taken


def _check_fields(raw: Mapping[bytes, bytes]) -> None:
    """Raise `InvalidValue` where a job holds what no job of ours does."""
    for name, value in raw.items():
        if len(value) > _LONGEST_FIELD:
            raise InvalidValue(repr(name)[:80], f"{len(value)} bytes", "no field is that long")
        if value and name in _NO_DOORBELL_HAS:
            raise InvalidValue(name.decode(), value[:80], "give jobs here none")


def _check_time(name: str, seconds: float | None) -> None:
    """Raise `InvalidValue` where Redis would refuse an expiry that RQ computes."""
    if seconds is not None and not -1 <= seconds <= _LONGEST_TTL_S:
        raise InvalidValue(name, seconds, f"give -1 to {_LONGEST_TTL_S} seconds")
