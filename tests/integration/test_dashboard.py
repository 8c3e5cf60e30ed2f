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

import pytest
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from shared.keys import CANDLES_QUEUE, UPDATE_JOB
from shared.store import Store
from worker.candle_worker import CandleWorker

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
