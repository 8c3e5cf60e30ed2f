"""rq-dashboard on jobs that are JSON, as a real process."""

import contextlib
import json
import os
import pickle
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from models import state
from shared.keys import CANDLES_QUEUE, UPDATE_JOB
from shared.store import Store
from tests.integration.steps import FLEET, SERIES, walk
from worker.candle_worker import CandleWorker
from worker.teaching import Model, Teacher
from worker.update import Updater

DASHBOARD = str(Path(sys.executable).with_name("rq-dashboard"))
Ask = Callable[..., Any]


@pytest.fixture
def ask(server: Any, eventually: Callable[..., None]) -> Iterator[Ask]:
    """Ask a dashboard; whatever it answers is read as JSON, or is None."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["--json", "--config", "worker.dashboard", "-b", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen([DASHBOARD, *options, "-u", server.url], env=server.env)

    def ask(path: str, data: bytes | None = None) -> Any:
        with contextlib.suppress(urllib.error.HTTPError, json.JSONDecodeError):
            url = f"http://127.0.0.1:{port}{path}"
            with urllib.request.urlopen(url, data=data, timeout=20) as answer:
                return json.loads(answer.read())
        return None

    def is_up() -> bool:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        return False

    eventually(is_up, "the dashboard answers")
    yield ask
    process.terminate()
    process.wait(20)


@pytest.fixture
def busy(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[CandleWorker]:
    """A worker that has taken a job and not ended it."""
    monkeypatch.setattr("worker.jobs.store", lambda: store)
    client = store.link.redis
    store.ring(1)
    queue = Queue(CANDLES_QUEUE, connection=client, serializer=JSONSerializer)
    worker = CandleWorker([queue], connection=client)
    worker.register_birth()  # type: ignore[no-untyped-call]
    worker.prepare_execution(queue.jobs[0])
    yield worker
    worker.register_death()  # type: ignore[no-untyped-call]


def work(store: Store) -> None:
    """Work until the queue is empty, as a worker of RQ's."""
    client = store.link.redis
    queue = Queue(CANDLES_QUEUE, connection=client, serializer=JSONSerializer)
    CandleWorker([queue], connection=client).work(burst=True, logging_level="CRITICAL")


def test_an_operator_reads_what_failed_and_requeues_it(
    store: Store, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Descriptions say series and counts; the requeued job learns what is left, each once."""
    model = Model("default", state.Signer(b"k" * 32), lambda _: 3, FLEET)
    updater = Updater(store, model)
    monkeypatch.setattr("worker.jobs.store", lambda: store)
    monkeypatch.setattr("worker.jobs.updater", lambda: updater)
    store.append(SERIES, walk(5))
    with monkeypatch.context() as broken:
        broken.setattr(Teacher, "start", Mock(side_effect=MemoryError("no room")))
        work(store)
    rows = ask("/0/data/jobs/candles/failed/8/asc/1.json")["jobs"]
    (failed,) = [row for row in rows if "no room" in row["exc_info"]]

    assert failed["description"] == f"failed with {SERIES} in hand"
    assert 0 < store.link.redis.ttl(f"rq:job:{failed['id']}") <= 3_600
    assert ask("/0/data/workers.json")["workers"] == []
    queues = {row["name"]: row for row in ask("/0/data/queues.json")["queues"]}
    assert queues["candles"]["failed_job_registry_count"] == 1
    assert ask(f"/job/{failed['id']}/requeue", b"")["status"] == "OK"
    store.link.redis.zadd(store.keys.pending, {str(SERIES): 0})
    work(store)
    finished = ask("/0/data/jobs/candles/finished/8/asc/1.json")["jobs"]
    says = f"learned 5 candles in 1 commits, last of {SERIES}"
    assert says in [row["description"] for row in finished]
    assert (store.model(SERIES).sequence, store.model(SERIES).lost) == (5, 0)
    assert ask("/0/data/jobs/candles/failed/8/asc/1.json")["jobs"] == []


class Charge:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


def test_the_job_of_a_busy_worker_is_read_as_json(busy: CandleWorker, ask: Ask) -> None:
    """The page of workers shows what each of them is at."""
    (shown,) = ask("/0/data/workers.json")["workers"]

    assert shown["name"] == busy.name
    assert shown["current_job"]["call_string"] == f"{UPDATE_JOB}()"


def test_no_page_unpickles_what_redis_holds(store: Store, ask: Ask, tmp_path: Path) -> None:
    """Looking at a job, requeueing and deleting it run no pickle that was planted in it."""
    redis, charge = store.link.redis, pickle.dumps(Charge(tmp_path / "ran"))
    job = Job.create(UPDATE_JOB, connection=redis, serializer=JSONSerializer, origin="candles")
    fields = {"status": "failed", "meta": charge, "result": charge}
    redis.hset(job.key, mapping=job.to_dict() | fields)
    redis.zadd("rq:failed:candles", {job.id: 9e9})

    ask(f"/0/view/job/{job.id}")
    ask(f"/0/data/job/{job.id}.json")
    ask("/0/data/jobs/candles/failed/8/asc/1.json")
    assert ask(f"/job/{job.id}/requeue", b"")["status"] == "OK"
    assert ask(f"/job/{job.id}/delete", b"")["status"] == "OK"

    assert not redis.exists(job.key)
    assert not (tmp_path / "ran").exists()
