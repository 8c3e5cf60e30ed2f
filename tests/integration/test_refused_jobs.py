"""RQ jobs that are not ours: refused before anything that they name is imported."""

import contextlib
import json
import os
import pickle
import socket
import subprocess
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rq.job import Job
from rq.registry import FailedJobRegistry
from rq.serializers import JSONSerializer

from shared.keys import SNAPSHOT_JOB, UPDATE_JOB
from shared.store import Store
from tests.integration.steps import CLASS, RQ, SERIES, candles
from worker.doorbells import Doorbell

pytestmark = pytest.mark.timeout(120)

EVIL = "evil_module_xyz"
# Without `-S json` RQ reads and writes pickles.
STARTS = {
    "candlecast": ["worker"],
    "rq": [RQ, "worker", "candles", *CLASS],
    "rq -S pickle": [RQ, "worker", "candles", "-S", "pickle", *CLASS],
    "rq pool": [RQ, "worker-pool", "candles", *CLASS, "-n", "1"],
    "housekeeping": [RQ, "worker", "housekeeping", *CLASS],
}
Eventually = Callable[..., None]


class Launched:
    """A worker in the background, with a module on its path that tells when it is imported."""

    def __init__(self, start: Callable[..., Any], server: Any, folder: Path) -> None:
        self._start, self._server, self._folder = start, server, folder
        self.marker = folder / "imported"
        self._running: list[subprocess.Popen[bytes]] = []
        text = f"import pathlib\npathlib.Path({str(self.marker)!r}).touch()\n"
        text += "def run(*_, **__): ...\nclass Thing:\n    run = staticmethod(run)\n"
        (folder / f"{EVIL}.py").write_text(text)

    def __call__(self, how: str) -> None:
        """Start a worker in one of the ways in which operators do."""
        path = os.pathsep.join([str(self._folder), os.environ.get("PYTHONPATH", "")])
        if how == "candlecast":
            self._start(*STARTS[how], PYTHONPATH=path)
            return
        with (self._folder / "worker-0.log").open("wb") as log:
            command = [*STARTS[how], "-u", self._server.url]
            env = {**self._server.env, "PYTHONPATH": path}
            self._running.append(subprocess.Popen(command, env=env, stdout=log, stderr=log))

    def log(self) -> str:
        """What the worker has said so far."""
        return (self._folder / "worker-0.log").read_text()

    def end(self) -> None:
        """End what was started here; a pool is asked, for its workers would outlive it."""
        for process in self._running:
            # RQ's pool misses a signal that comes while its worker starts.
            while process.poll() is None:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(5)


@pytest.fixture
def launch(start: Callable[..., Any], server: Any, tmp_path: Path) -> Iterator[Launched]:
    """Start a worker that could import the evil module."""
    launched = Launched(start, server, tmp_path)
    yield launched
    launched.end()


def job_fields(store: Store, call: Any = UPDATE_JOB, **fields: Any) -> dict[str, Any]:
    """What RQ stores of a job; a name alone is called with nothing."""
    job = Job.create(UPDATE_JOB, connection=store.link.redis, serializer=JSONSerializer)
    job.description, job.timeout = "a stranger", 10
    call = [call, None, [], {}] if isinstance(call, str) else call
    data = call if isinstance(call, bytes) else json.dumps(call).encode()
    return job.to_dict() | {"data": zlib.compress(data)} | fields


def strangers(own: str, other: str, webhook: str) -> dict[str, tuple[Any, dict[str, Any]]]:
    """Calls and fields of jobs that are not ours, by what their refusal says of them."""
    evil = f"{EVIL}.run"
    hook = json.dumps([{"url": webhook, "job_status": "failed"}])
    names = ("success_callback_name", "failure_callback_name", "stopped_callback_name")
    return {
        f"['{EVIL}.run', None, [], {{}}]": (evil, {}),
        f"['{EVIL}.Thing.run'": (f"{EVIL}.Thing.run", {"retries_left": ""}),
        "['os.system', None, ['true'], {}]": (["os.system", None, ["true"], {}], {}),
        f"['{other}'": (other, {}),
        f"['{own}', None, [1], {{}}]": ([own, None, [1], {}], {}),
        "{'wait_s': 9}": ([own, None, [], {"wait_s": 9}], {}),
        f"['{own}', 'an instance'": ([own, "an instance", [], {}], {}),
        f"['{EVIL}'": (EVIL, {"result_ttl": 0, "failure_ttl": 0}),
        "[5, None, 6, 7]": ([5, None, 6, 7], {"description": "x" * 9_000}),
        "data=b'\\x80": (pickle.dumps((evil, None, (), {})), {}),
        "data=b'never": (b"", {"data": b"never compressed"}),
        "data=b'5'": (5, {}),
        "data=b'[[[": (b"[" * 60_000, {}),
        **{f"{name}=b'{evil}'": (own, {name: evil}) for name in names},
        "webhooks=": (own, {"webhooks": hook}),
        "retries_left=b'3'": (evil, {"retries_left": 3, "failure_ttl": 0}),
        "repeats_left=b'3'": (own, {"repeats_left": 3, "repeat_intervals": "[1]"}),
        "rate_limit_key=b'k'": (own, {"rate_limit_key": "k", "rate_limit_concurrency": 1}),
        "dependency_ids=": (own, {"dependency_ids": '["x"]'}),
        "meta=b'\\x80": (own, {"meta": pickle.dumps({"a": 1})}),
        "result_ttl=1000": (own, {"result_ttl": 10**30}),
        "timeout=-9": (own, {"timeout": -9}),
        "RQ cannot read it: AssertionError": (own, {"timeout": b"for ever"}),
        "'nonsense' is not a valid JobStatus": (own, {"status": "nonsense"}),
        "can't decode byte 0xff": (own, {"description": b"\xff"}),
        "can't decode byte 0xfe": (own, {"exc_info": b"\xfe"}),
        "70000 bytes": (own, {"exc_info": b"x" * 70_000}),
    }


@pytest.mark.parametrize("how", STARTS)
def test_a_stranger_fails_before_anything_of_it_is_imported(
    store: Store, launch: Launched, eventually: Eventually, how: str
) -> None:
    """Each ends as failed with its reason, and the worker goes on to learn and to tick."""
    redis, housekeeping = store.link.redis, how == "housekeeping"
    queue = "housekeeping" if housekeeping else "candles"
    own, other = (UPDATE_JOB, SNAPSHOT_JOB)[:: -1 if housekeeping else 1]
    with socket.create_server(("127.0.0.1", 0)) as hooked:
        hooked.settimeout(0)
        cases = strangers(own, other, f"http://127.0.0.1:{hooked.getsockname()[1]}/")
        for number, (call, fields) in enumerate(cases.values()):
            stored = job_fields(store, call, origin=queue) | fields
            redis.hset(f"rq:job:stranger-{number}", mapping=stored)
            redis.rpush(f"rq:queue:{queue}", f"stranger-{number}")
        launch(how)
        failed = FailedJobRegistry(queue, connection=redis, serializer=JSONSerializer)
        eventually(lambda: redis.zcard(failed.key) == len(cases), "all of them have failed")
        with pytest.raises(BlockingIOError):
            hooked.accept()

    log = launch.log()
    for number, reason in enumerate(cases):
        job = Job.fetch(f"stranger-{number}", connection=redis, serializer=JSONSerializer)
        result = job.latest_result()
        assert result is not None, reason
        assert result.exc_string is not None, reason
        assert result.exc_string.startswith("refused: "), reason
        assert reason in result.exc_string
        assert job.is_failed, reason
        assert 0 < redis.ttl(job.key) <= 3_600, reason
        assert any(job.id in line for line in log.splitlines() if "job refused" in line), reason
    assert not launch.marker.exists()
    assert redis.llen(f"rq:queue:{queue}:intermediate") == 0
    assert len(redis.smembers("rq:workers")) == 1
    assert "restarting" not in log
    if not housekeeping:
        eventually(learns(store, candles(0, 3)), "the worker learns")


@pytest.mark.parametrize("how", ["candlecast", "rq"])
def test_ids_that_are_no_jobs_do_not_end_the_worker(
    store: Store, launch: Launched, eventually: Eventually, how: str
) -> None:
    """Neither bytes that are no text, nor ids of no job, nor keys that hold something else."""
    redis = store.link.redis
    redis.set("rq:job:other-type", pickle.dumps("x"))
    strange = [b"\x80\x05", b"a b", b"", b"gone", b"other-type", b"x" * 10_000]
    redis.rpush("rq:queue:candles", *strange)
    launch(how)

    eventually(learns(store, candles(0, 3)), "the worker learns")

    assert redis.llen("rq:queue:candles") == 0
    assert "no job's id, dropped" in launch.log()
    assert "restarting" not in launch.log()


@pytest.mark.parametrize("how", STARTS)
def test_what_rq_clears_up_imports_nothing(
    store: Store, launch: Launched, eventually: Eventually, how: str
) -> None:
    """A job that was left running by the dead names a callback, which RQ itself would import."""
    redis, queue = store.link.redis, "housekeeping" if how == "housekeeping" else "candles"
    names = ("success_callback_name", "failure_callback_name", "stopped_callback_name")
    evil = dict.fromkeys(names, f"{EVIL}.run") | {"origin": queue}
    left = job_fields(store, f"{EVIL}.run", **evil, status="started", retries_left=2)
    for name in ("left", "stuck", "ready"):
        redis.hset(f"rq:job:{name}", mapping=left)
    redis.hset("rq:job:ready", "status", "ready_to_enqueue")
    redis.rpush(f"rq:queue:{queue}:intermediate", "stuck")
    redis.set(f"rq:queue:{queue}:intermediate:first_seen:stuck", "1")
    redis.zadd(f"rq:wip:{queue}", {"left:execution": 1})
    redis.zadd(f"rq:ready:{queue}", {"ready": 1})

    launch(how)

    keys = [f"rq:queue:{queue}:intermediate", f"rq:wip:{queue}", f"rq:ready:{queue}"]
    eventually(lambda: not redis.exists(*keys), "RQ has cleared up")
    assert not launch.marker.exists()


def test_unreadable_entries_of_rq_do_not_end_the_worker(
    store: Store, launch: Launched, eventually: Eventually
) -> None:
    """RQ's own maintenance fails over them, which is logged; the worker goes on without it."""
    redis, nonsense = store.link.redis, pickle.dumps("x")
    redis.rpush("rq:queue:candles:intermediate", nonsense)
    for name in ("wip", "failed", "finished", "deferred", "ready", "scheduled", "canceled"):
        redis.zadd(f"rq:{name}:candles", {nonsense: 1})
    for name in ("workers:candles", "workers", "groups", "rl-keys", "queues"):
        redis.sadd(f"rq:{name}", nonsense)
    launch("candlecast")

    eventually(learns(store, candles(0, 3)), "the worker learns")

    assert "maintenance failed" in launch.log()
    assert "restarting" not in launch.log()


def test_what_is_no_command_is_passed_over(
    store: Store, launch: Launched, eventually: Eventually
) -> None:
    """RQ's workers hear a channel; nonsense there ends neither the worker nor its hearing."""
    redis = store.link.redis
    launch("candlecast")
    eventually(lambda: redis.smembers("rq:workers"), "the worker is there")
    (worker,) = redis.smembers("rq:workers")
    channel = worker.decode().replace("rq:worker:", "rq:pubsub:")
    eventually(lambda: redis.pubsub_numsub(channel)[0][1], "it hears its channel")

    for nonsense in (pickle.dumps("x"), b"{}", b"5", b'{"command": {}}'):
        redis.publish(channel, nonsense)
    redis.publish(channel, b'{"command": "stop-job", "job_id": "none"}')

    eventually(lambda: "Not working on job none" in launch.log(), "it hears the next command")
    eventually(learns(store, candles(0, 3)), "the worker learns")


def test_a_burst_tells_of_a_refused_job(store: Store, candlecast: Callable[..., Any]) -> None:
    """Whoever waits for the end of a burst learns of it by the exit code."""
    store.link.redis.hset("rq:job:stranger", mapping=job_fields(store, f"{EVIL}.run"))
    store.link.redis.rpush("rq:queue:candles", "stranger")

    assert candlecast("worker", "--burst").returncode == 1
    assert candlecast("worker", "--burst").returncode == 0


@pytest.mark.parametrize(
    "field",
    [
        *("success_callback_name", "failure_callback_name", "stopped_callback_name", "webhooks"),
        *("retries_left", "retry_intervals", "repeats_left", "repeat_intervals"),
        *("rate_limit_key", "group_id", "dependency_id", "dependency_ids", "meta", "result"),
    ],
)
def test_a_field_that_no_doorbell_has_disarms_it(store: Store, field: str) -> None:
    """Whatever RQ would make of it, it is gone, and the job can only be failed."""
    store.link.redis.hset("rq:job:odd", mapping=job_fields(store))
    fields = store.link.redis.hgetall("rq:job:odd")
    job = Doorbell("odd", connection=store.link.redis, serializer=JSONSerializer)
    job.restore(fields)
    assert job.fault is None

    job.restore(fields | {field.encode(): b"9"})

    assert f"{field}=" in str(job.fault)


def test_a_worker_of_one_redis_and_the_settings_of_another_are_refused(server: Any) -> None:
    """It would hear doorbells of one market, and learn candles of another."""
    there = f"{server.url.rpartition('/')[0]}/15"
    here = server.url if server.url != there else f"{server.url.rpartition('/')[0]}/14"
    command = [RQ, "worker", "candles", "--burst", *CLASS, "-u", there]

    done = subprocess.run(
        command,
        env=server.env | {"CANDLECAST_REDIS_URL": here},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode != 0
    assert "give the Redis that CANDLECAST_REDIS_URL names" in done.stderr


def test_a_job_read_as_ours_still_works(store: Store) -> None:
    """What the doorbell enqueues has no fault, before and after RQ has requeued it."""
    store.ring(1)
    (job_id,) = store.link.redis.lrange("rq:queue:candles", 0, -1)
    as_json: dict[str, Any] = {"connection": store.link.redis, "serializer": JSONSerializer}
    job = Doorbell.fetch(job_id.decode(), **as_json)
    FailedJobRegistry("candles", **as_json).add(job)
    job.failed_job_registry.requeue(job)

    again = Doorbell.fetch(job_id.decode(), **as_json)

    assert isinstance(again, Doorbell)
    again.check_call(UPDATE_JOB)
    assert again.fault is None


def learns(store: Store, pushed: Any) -> Callable[[], bool]:
    """Append candles with no doorbell left: a tick must ring. A condition: they are learned."""
    store.append(SERIES, pushed)
    return lambda: store.model(SERIES).sequence == len(pushed)
