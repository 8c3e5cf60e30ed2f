"""What we are compared with: one RQ job for each candle, and the learner with nothing around it.

The job is what RQ users write first: it reads the series' model from Redis, learns the candle and
writes model and forecast back. It is the same learner and the same forecast. It does without
signatures, without order among a series' candles and without any answer to a death in mid-job.
"""

import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import astuple
from functools import cache
from pathlib import Path
from typing import Any

import redis
from rq import Queue, SimpleWorker, Worker

from benchmarks.stage import ended, random_walk
from models.learner import Learner
from models.learners import Learners
from shared.candle import Candle, Series, Timeframe
from shared.wire import encode_forecast
from worker.embedded import redis_server
from worker.publish import forecast_of
from worker.spares import Spares

HORIZON = 24
_RQ = str(Path(sys.executable).with_name("rq"))
_QUEUE = "one-job-per-candle"
_LEARNED = "learned"
_CLAIM = 64
_WARM_UPS = 4
_CLASSES = {
    "no fork": "benchmarks.rivals.PreloadedSimpleWorker",
    "fork, imported before": "benchmarks.rivals.PreloadedWorker",
    "fork": "rq.worker.Worker",
}
WAYS = tuple(_CLASSES)
"""How RQ's worker may run its jobs."""


class PreloadedWorker(Worker):
    """RQ's forking worker as its documentation advises: what jobs need is imported beforehand."""


class PreloadedSimpleWorker(SimpleWorker):
    """RQ's worker that does not fork, with what jobs need imported beforehand too."""


def warm_up() -> None:
    """Make what is made once a process; this is a job too."""
    _taught(Series.parse("bench:WARM/USDT:1h"), random_walk(2)).outlook()


def learn_candle(series: str, fields: Sequence[float]) -> None:
    """Learn one candle of one series; this is the job."""
    client, named = _client(), Series.parse(series)
    learner = pickle.loads(client.get(f"model:{series}"))  # noqa: S301 -- ours
    candle = Candle(int(fields[0]), *fields[1:])
    learner.learn_one(candle)
    with client.pipeline() as pipe:
        pipe.set(f"model:{series}", pickle.dumps(learner, protocol=5))
        pipe.set(f"forecast:{series}", _forecast(named, learner, candle))
        pipe.incr(_LEARNED)
        pipe.execute()


def job_per_candle(
    workers: int, how: str, names: Sequence[Series], candles: Sequence[Candle]
) -> float:
    """Return candles a second, from the first enqueued to the last learned.

    The first candles of every series but the last are learned beforehand, so that models weigh what
    they weigh in service.
    """
    taught = [_taught(series, candles[:-1]) for series in names]
    with tempfile.TemporaryDirectory() as folder, redis_server(Path(folder), "bench") as url:
        client = redis.Redis.from_url(url)
        for series, learner in zip(names, taught, strict=True):
            client.set(f"model:{series}", pickle.dumps(learner, protocol=5))
        queue = Queue(_QUEUE, connection=client)
        with _workers(url, workers, _CLASSES[how], client):
            warmed = [queue.enqueue(warm_up) for _ in range(_WARM_UPS * workers)]
            while not all(job.is_finished for job in warmed):
                time.sleep(0.05)
            began = time.perf_counter()
            for series in names:
                queue.enqueue(learn_candle, str(series), astuple(candles[-1]))
            while int(client.get(_LEARNED) or 0) < len(names):
                time.sleep(0.005)
                if queue.failed_job_registry.get_job_count(cleanup=False):
                    raise SystemExit("jobs failed: the figure would be none")
            return len(names) / (time.perf_counter() - began)


def bare_loop(names: Sequence[Series], candles: Sequence[Candle]) -> float:
    """Return updates a second of the learners alone, in this process: learn, forecast, score."""
    learners = [_taught(series, candles[:-1]) for series in names]
    began = time.perf_counter()
    for learner in learners:
        learner.learn_one(candles[-1])
        learner.outlook()
    return len(names) / (time.perf_counter() - began)


def bare_steps(names: Sequence[Series], candles: Sequence[Candle]) -> float:
    """Return updates a second of the same learners in step, as many at a time as a claim has."""
    groups = [
        _in_step(len(names[start : start + _CLAIM])) for start in range(0, len(names), _CLAIM)
    ]
    for group in groups:
        for candle in candles[:-1]:
            group.learn([candle] * len(group.members))
    began = time.perf_counter()
    for group in groups:
        group.learn([candles[-1]] * len(group.members))
        group.outlooks()
    return len(names) / (time.perf_counter() - began)


def _in_step(count: int) -> Learners:
    spares, learners = Spares("default", count, count), []
    for _ in range(count):
        learners.append(spares.free(Timeframe("1h"), HORIZON))
        spares.take(learners[-1])
    return spares.together(learners)


def _taught(series: Series, candles: Sequence[Candle]) -> Learner:
    learner = Learner(series.timeframe, HORIZON)
    for candle in candles:
        learner.learn_one(candle)
    return learner


@contextmanager
def _workers(url: str, count: int, kind: str, client: redis.Redis) -> Iterator[None]:
    command = [_RQ, "worker", "--url", url, "--worker-class", kind, "--quiet", _QUEUE]
    env = os.environ | {"BENCHMARK_REDIS_URL": url, "PYTHONPATH": str(Path(__file__).parents[1])}
    running = [subprocess.Popen(command, env=env, start_new_session=True) for _ in range(count)]
    try:
        while client.scard("rq:workers") < count:
            time.sleep(0.01)
        yield
    finally:
        for process in running:
            with suppress(ProcessLookupError):
                process.terminate()
            ended(process)


@cache
def _client() -> Any:
    return redis.Redis.from_url(os.environ["BENCHMARK_REDIS_URL"])


def _forecast(series: Series, learner: Learner, candle: Candle) -> bytes:
    return encode_forecast(
        forecast_of(
            series,
            candle,
            learner.outlook(),
            model=learner.model,
            fingerprint="",
            snapshot=None,
            revision=learner.sequence,
            sequence=learner.sequence,
            since=candle.open_time,
            issued_at=candle.open_time,
            latency_ms=None,
        )
    )
