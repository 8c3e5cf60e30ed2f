"""rq-dashboard on jobs that are JSON."""

from collections.abc import Iterator

import pytest
from rq import Queue
from rq.serializers import JSONSerializer

from shared.keys import CANDLES_QUEUE, UPDATE_JOB
from shared.store import Store
from worker.candle_worker import CandleWorker
from worker.dashboard import JsonWorker


@pytest.fixture
def busy(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[CandleWorker]:
    """A worker that has taken a job and not ended it."""
    monkeypatch.setattr("worker.jobs.store", lambda: store)
    client = store.link.redis
    store.ring(1)
    queue = Queue(CANDLES_QUEUE, connection=client, serializer=JSONSerializer)
    worker = CandleWorker([queue], connection=client, serializer=JSONSerializer)
    worker.register_birth()  # type: ignore[no-untyped-call]
    worker.prepare_execution(queue.jobs[0])
    yield worker
    worker.register_death()  # type: ignore[no-untyped-call]


def test_the_job_of_a_busy_worker_is_read_as_json(store: Store, busy: CandleWorker) -> None:
    """The page of workers shows what each of them is at."""
    (shown,) = JsonWorker.all(connection=store.link.redis)
    job = shown.get_current_job()

    assert shown.name == busy.name
    assert job is not None
    assert job.func_name == UPDATE_JOB
