"""The nameless RQ jobs that wake workers: they carry no arguments, so more or fewer do no harm."""

from functools import partial
from typing import Any

from rq import Queue
from rq.serializers import JSONSerializer

from shared.keys import CANDLES_QUEUE, HOUSEKEEPING_QUEUE, SNAPSHOT_JOB, UPDATE_JOB, Keys

QUEUES = (CANDLES_QUEUE, HOUSEKEEPING_QUEUE)

# RQ would keep a failed job for a year.
_job = partial(Queue.prepare_data, result_ttl=60, ttl=3_600, failure_ttl=3_600)


def ring_candles(client: Any, keys: Keys, doorbells: int) -> None:
    """Enqueue that many update jobs."""
    job = _job(UPDATE_JOB, timeout=10, description="learn the candles that are due")
    _queue(client, keys.queue(CANDLES_QUEUE)).enqueue_many([job] * doorbells)


def ring_housekeeping(client: Any, keys: Keys) -> None:
    """Enqueue one snapshot job."""
    job = _job(SNAPSHOT_JOB, timeout=600, description="snapshot the models that moved")
    _queue(client, keys.queue(HOUSEKEEPING_QUEUE)).enqueue_many([job])


def _queue(client: Any, name: str) -> Queue:
    return Queue(name, connection=client, serializer=JSONSerializer)
