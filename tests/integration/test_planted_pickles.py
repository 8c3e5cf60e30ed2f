"""Pickles in every key and field that a worker reads: none of them ever runs."""

import itertools
import json
import subprocess
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rq.job import Job
from rq.serializers import JSONSerializer

from models import state
from shared.candle import Series
from shared.keys import UPDATE_JOB
from shared.store import Store
from tests.integration.spoilt import (
    ALL_FIELDS,
    FIRST,
    MORE,
    forms,
    learned,
    many,
    reach,
)
from tests.integration.steps import CLASS, HOUR, RQ, T0

pytestmark = pytest.mark.timeout(120)


QUEUE_CLASS = ["--queue-class", "worker.doorbells.Doorbells"]
# Fields of RQ's jobs, old ones among them, of which some are taken for pickles by default.
JOB_FIELDS = (
    *("data", "meta", "result", "exc_info", "description", "status", "created_at", "timeout"),
    *("success_callback_name", "failure_callback_name", "stopped_callback_name", "webhooks"),
    *("dependency_ids", "group_id", "repeat_intervals", "worker_name", "origin", "unknown"),
)

Start = Callable[..., "subprocess.Popen[bytes]"]
Eventually = Callable[..., None]


def plant_records(store: Store, names: list[Series], charge: bytes) -> None:
    """Put a pickle into every field and key of ours, the series' own first."""
    redis, keys = store.link.redis, store.keys
    for series, name in zip(names, ALL_FIELDS, strict=True):
        redis.hset(keys.model(str(series)), name, charge)
        redis.set(keys.forecast(str(series)), charge)
        redis.xadd(keys.forecasts(str(series)), {"forecast": charge})
    entry = {"o": charge, "h": charge, "l": charge, "c": charge, "v": charge}
    redis.xadd(keys.candles(str(names[0])), entry, id=f"{T0 + len(FIRST) * HOUR}-0")
    redis.xadd(keys.candles("").encode() + charge, entry, id="5-0")
    redis.zadd(keys.pending, {charge: 1})
    redis.sadd(keys.series, charge)
    redis.xadd(keys.dead_letters, {"series": charge, "candle": charge, charge: charge})
    for guard in (keys.fleet, keys.tick, keys.housekeeping, keys.snapshot_lock):
        redis.set(guard, charge)


def plant_jobs(store: Store, queue: str, charge: bytes) -> None:
    """Put a pickle into every field and key of RQ's."""
    redis, result = store.link.redis, {"type": 1, "return_value": b64encode(charge)}
    job = Job.create(UPDATE_JOB, connection=redis, serializer=JSONSerializer, origin=queue)
    for number, (name, status) in enumerate(itertools.product(JOB_FIELDS, ["queued", "started"])):
        job_id = f"job-{number}"
        fields = job.to_dict() | {"status": status, "result_ttl": 60, name: charge}
        redis.hset(f"rq:job:{job_id}", mapping=fields)
        redis.xadd(f"rq:results:{job_id}", result)
        redis.sadd(f"rq:job:{job_id}:dependents", f"job-{number + 1}")
        redis.hset(f"rq:execution:{job_id}:run", mapping={"created_at": charge})
        redis.rpush(f"rq:queue:{queue}", job_id)
        redis.zadd(f"rq:wip:{queue}", {f"{job_id}:run": 1})
        for registry in ("failed", "finished", "deferred", "scheduled", "ready", "canceled"):
            redis.zadd(f"rq:{registry}:{queue}", {job_id: 1})
    for place in (f"rq:queue:{queue}", f"rq:queue:{queue}:intermediate"):
        redis.rpush(place, charge)
    redis.hset("rq:worker:planted", mapping=dict.fromkeys(("queues", "birth", "state"), charge))
    for place in ("rq:workers", f"rq:workers:{queue}", "rq:queues", "rq:groups", "rq:rl-keys"):
        redis.sadd(place, "rq:worker:planted", charge)
    redis.hset("rq:rl:planted", "concurrency", charge)


@pytest.fixture
def launch(start: Start, server: Any, tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Start a worker in one of the ways in which operators do."""
    running: list[subprocess.Popen[bytes]] = []

    def launch(queue: str, how: str) -> None:
        if how == "candlecast":
            start("worker", "--queue", queue, CANDLECAST_SNAPSHOT_PERIOD_S="1")
            return
        with (tmp_path / "worker-0.log").open("wb") as log:
            command = [RQ, "worker", queue, *CLASS, "-u", server.url]  # without `-S json`: pickles
            running.append(subprocess.Popen(command, env=server.env, stdout=log, stderr=log))

    yield launch
    for process in running:
        process.terminate()
        process.wait(20)


@pytest.mark.parametrize("how", ["candlecast", "rq"])
def test_no_pickle_that_a_candle_worker_reads_ever_runs(
    store: Store,
    launch: Callable[..., None],
    eventually: Eventually,
    tmp_path: Path,
    marker: Path,
    charge: bytes,
    how: str,
) -> None:
    """In every key and field; the worker goes on to learn what is in order."""
    good, names = many(3, "GOOD"), many(len(ALL_FIELDS))
    for series in (*names, *good):
        store.append(series, FIRST)
    plant_records(store, names, charge)
    for number, form in enumerate(forms(charge)):
        series = many(4, "STATE")[number]
        store.append(series, FIRST)
        store.link.redis.hset(store.keys.model(str(series)), "state", form)
        plant_jobs(store, "candles", form)
    launch("candles", how)
    for channel in ("rq:pubsub:*", "candlecast:*"):
        for heard in store.link.redis.pubsub_channels(channel):
            store.link.redis.publish(heard, charge)

    eventually(reach(store, good, len(FIRST)), "the others are learned")
    eventually(lambda: store.link.redis.llen("rq:queue:candles") == 0, "no job is left")
    for series in good:
        store.append(series, MORE)
    eventually(reach(store, good, len(FIRST + MORE)), "and go on")
    log = (tmp_path / "worker-0.log").read_text()
    assert "restarting" not in log
    assert "quitting" not in log
    assert not marker.exists()


@pytest.mark.parametrize("how", ["candlecast", "rq"])
@pytest.mark.usefixtures("furnished")
def test_no_pickle_that_a_housekeeping_worker_reads_ever_runs(
    store: Store,
    launch: Callable[..., None],
    eventually: Eventually,
    marker: Path,
    charge: bytes,
    how: str,
) -> None:
    """In every key and field; snapshots of what is in order are taken all the same."""
    good, bad = many(1, "YGOOD"), many(len(ALL_FIELDS) + 4)  # what is in order comes last
    for series in (*good, *bad):
        scores = json.dumps({"horizons": {}})
        fields = {"state": learned(series=series), "scores": scores, "since": T0}
        more = {"fingerprint": state.fingerprint("default", 24), "cursor": FIRST[-1].open_time}
        more |= {"sequence": 20, "revision": 1}
        store.link.redis.hset(store.keys.model(str(series)), mapping=fields | more)
        store.append(series, FIRST)
    plant_records(store, bad[:-4], charge)
    for series, form in zip(bad[-4:], forms(charge), strict=True):
        store.link.redis.hset(store.keys.model(str(series)), "state", form)
        plant_jobs(store, "housekeeping", form)
    launch("housekeeping", how)
    store.ring_housekeeping()

    eventually(lambda: store.models(good)[0].snapshot_version, "a snapshot is taken", seconds=90)
    assert not marker.exists()


@pytest.mark.parametrize(
    "command",
    [
        *(["info"], ["info", "-R"], ["info", "-W"], ["info", "candles", "-Q"]),
        ["empty", "candles"],
        ["requeue", "-S", "json", "--queue", "candles", "--all"],
        *(["worker", "candles", "--burst"], ["worker-pool", "candles", "--burst", "-n", "1"]),
    ],
    ids=" ".join,
)
def test_rqs_own_commands_run_no_pickle_where_the_docs_call_them_safe(
    store: Store, server: Any, marker: Path, charge: bytes, command: list[str]
) -> None:
    """Nor does anything hold them up on the way to the job that is one: it alone is planted."""
    redis = store.link.redis
    (marker.parent / "evil_callback.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    called = {"failure_callback_name": "evil_callback.run"}
    for name in ("queued", "failed"):
        job = Job.create(UPDATE_JOB, connection=redis, origin="candles", id=name)
        fields = job.to_dict() | {"data": zlib.compress(charge), "meta": charge, "status": name}
        redis.hset(job.key, mapping=fields)
    harms: dict[str, dict[str, Any]] = {"pickle": {"meta": charge}, "callback": called}
    for name, harm in harms.items():
        job = Job.create(UPDATE_JOB, connection=redis, origin="candles", id=name)
        redis.hset(job.key, mapping=job.to_dict() | {"status": "started"} | harm)
        redis.zadd("rq:wip:candles", {f"{name}:gone": 1})
    redis.rpush("rq:queue:candles", "queued")
    redis.zadd("rq:failed:candles", {"failed": 9e9})
    redis.sadd("rq:queues", "rq:queue:candles")
    ours = {"info": QUEUE_CLASS, "worker": CLASS, "worker-pool": CLASS}.get(command[0], [])

    subprocess.run(
        [RQ, *command, *ours, "-u", server.url],
        env=server.env | {"PYTHONPATH": str(marker.parent)},
        capture_output=True,
        timeout=60,
        check=command[0] != "requeue",
    )

    assert not marker.exists()
