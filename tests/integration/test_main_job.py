"""Candles in, forecasts out: real workers as real processes on a real server."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rq import Queue
from rq.serializers import JSONSerializer

from shared.candle import Candle, Series
from shared.keys import CANDLES_QUEUE, UPDATE_JOB
from shared.store import Store
from shared.wire import decode_forecast
from tests.faults import poisoned
from tests.faults.stage import children
from tests.integration.steps import HOUR, SERIES, T0, walk

pytestmark = pytest.mark.timeout(120)

MAY_DIFFER = {"issued_at", "latency_ms", "revision"}

Start = Callable[..., "subprocess.Popen[bytes]"]
Eventually = Callable[..., None]


def push(store: Store, series: Series, candles: list[Candle], size: int = 500) -> None:
    """Append everything, in batches of one size."""
    for first in range(0, len(candles), size):
        assert store.append(series, candles[first : first + size]).stopped is None


def learned(store: Store, series: Series, count: int) -> Callable[[], bool]:
    """A condition: that many candles are learned."""
    return lambda: store.model(series).sequence >= count


def said(store: Store, series: Series) -> dict[str, Any]:
    """The published forecast without what may differ between two runs."""
    (raw,) = store.forecasts([series])
    assert raw is not None
    forecast = decode_forecast(raw).model_dump(exclude=MAY_DIFFER)
    del forecast["model"]["snapshot"]
    for name in ("series", "exchange", "symbol"):
        del forecast[name]
    return forecast


def runs(pid: int) -> bool:
    """Whether a process is there, and not only for its exit code to be fetched."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_candles_become_a_forecast_of_the_next_ones(
    store: Store, start: Start, eventually: Eventually
) -> None:
    """A pushed candle is learned, and the forecast says when and of what it speaks."""
    start("worker", "--processes", "2")
    candles = walk(300)
    push(store, SERIES, candles)
    eventually(learned(store, SERIES, 300), "300 candles are learned")

    (raw,) = store.forecasts([SERIES])
    assert raw is not None
    forecast = decode_forecast(raw)

    assert forecast.candle_open_time == candles[-1].open_time
    assert forecast.last_close == candles[-1].close
    assert forecast.target_times == tuple(
        candles[-1].open_time + (h + 1) * HOUR for h in range(1, 25)
    )
    assert (forecast.sequence, forecast.since) == (300, T0)
    assert forecast.status == "live"
    assert {skill.horizon for skill in forecast.skill} == {1, 3, 6, 12, 24}
    assert all(skill.coverage_90 and 0.5 < skill.coverage_90 <= 1 for skill in forecast.skill)
    record = store.model(SERIES)
    assert (record.waiting, record.lost, record.dead_letters) == (0, 0, 0)


def test_one_by_one_and_in_batches_the_forecasts_are_identical(
    store: Store, start: Start, eventually: Eventually
) -> None:
    """How candles are grouped into claims changes no bit of what is forecast."""
    start("worker")
    other = Series.parse("other:BTC/USDT:1h")
    candles = walk(60)
    push(store, SERIES, candles)
    for number, candle in enumerate(candles, start=1):
        push(store, other, [candle])
        eventually(learned(store, other, number), "the candle is learned before the next")
    eventually(learned(store, SERIES, 60), "the batch is learned")

    assert said(store, SERIES) == said(store, other)


def test_two_producers_of_the_same_candles_are_as_good_as_one(
    store: Store, start: Start, eventually: Eventually
) -> None:
    """Producers may run side by side for availability: the log takes each candle once."""
    start("worker", "--processes", "2")
    once = Series.parse("once:BTC/USDT:1h")
    candles = walk(200)
    push(store, once, candles)
    for first in range(0, 200, 10):
        push(store, SERIES, candles[first : first + 10])
        push(store, SERIES, candles[max(0, first - 5) : first + 10])
    for series in (once, SERIES):
        eventually(learned(store, series, 200), "both are learned")

    assert said(store, SERIES) == said(store, once)
    assert store.model(SERIES).duplicates == 10 + 19 * 15
    assert store.model(SERIES).appended == 200


def test_a_killed_worker_changes_nothing_but_time(
    store: Store, start: Start, eventually: Eventually
) -> None:
    """Workers that are killed in mid-job lose nothing and learn nothing twice."""
    candles = walk(6_000)
    push(store, SERIES, candles)
    for _ in range(5):
        victim = start("worker")
        before = store.model(SERIES).sequence
        eventually(lambda at=before: store.model(SERIES).sequence > at, "it has begun")
        os.killpg(victim.pid, signal.SIGKILL)
    assert store.model(SERIES).sequence < 6_000
    start("worker", "--processes", "2")
    eventually(learned(store, SERIES, 6_000), "the rest is learned")

    peace = Series.parse("peace:BTC/USDT:1h")
    push(store, peace, candles)
    eventually(learned(store, peace, 6_000), "the same without kills")

    assert said(store, SERIES) == said(store, peace)
    record = store.model(SERIES)
    assert (record.settled, record.lost, record.dead_letters) == (6_000, 0, 0)


def test_a_candle_that_cannot_be_learned_goes_to_the_dead_letters(
    store: Store, start: Start, eventually: Eventually
) -> None:
    """A poisoned entry of the log is set aside with its reason; the series goes on."""
    candles = walk(10)
    push(store, SERIES, candles[:5])
    fields = {"o": "1", "h": "1", "l": "2", "c": "1", "v": "nonsense"}
    store.link.redis.xadd(store.keys.candles(str(SERIES)), fields, id=f"{candles[5].open_time}-0")
    store.link.redis.hincrby(store.keys.model(str(SERIES)), "appended", 1)
    push(store, SERIES, candles[6:])
    start("worker")

    eventually(learned(store, SERIES, 9), "the other nine are learned")

    ((_, letter),) = store.link.redis.xrange(store.keys.dead_letters)
    assert letter[b"series"] == str(SERIES).encode()
    assert letter[b"candle"] == f"{candles[5].open_time} 1 1 2 1 nonsense".encode()
    assert letter[b"reason"] == b"undecodable"
    assert (store.model(SERIES).settled, store.model(SERIES).lost) == (10, 0)


def test_a_state_that_cannot_be_trusted_is_learned_again(
    store: Store, start: Start, eventually: Eventually
) -> None:
    """A state with a broken signature is never used: the retained candles are learned anew."""
    start("worker")
    candles = walk(50)
    push(store, SERIES, candles[:40])
    eventually(learned(store, SERIES, 40), "40 candles are learned")
    key = store.keys.model(str(SERIES))
    state = store.link.redis.hget(key, "state")
    store.link.redis.hset(key, "state", state[:-1] + bytes([state[-1] ^ 1]))

    push(store, SERIES, candles[40:])
    eventually(learned(store, SERIES, 50), "all 50 are learned again")

    fresh = Series.parse("fresh:BTC/USDT:1h")
    push(store, fresh, candles)
    eventually(learned(store, fresh, 50), "the same without the break")
    assert said(store, SERIES) == said(store, fresh)
    assert store.model(SERIES).lost == 0


def test_rqs_own_command_works_too(
    store: Store, server: Any, tmp_path: Path, eventually: Eventually
) -> None:
    """Operators may start workers by `rq worker`, and a wrong Redis is refused there."""
    rq = [str(Path(sys.executable).with_name("rq")), "worker", "candles", "-S", "json"]
    options = ["-w", "worker.candle_worker.CandleWorker", "-u", server.url]
    push(store, SERIES, walk(20))
    with (tmp_path / "rq.log").open("wb") as log:
        worker = subprocess.Popen([*rq, *options], env=server.env, stdout=log, stderr=log)
    try:
        eventually(learned(store, SERIES, 20), "the worker has learned")
    finally:
        worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0


def test_backtest_forecasts_what_the_live_path_forecasts(
    store: Store,
    start: Start,
    candlecast: Callable[..., "subprocess.CompletedProcess[str]"],
    tmp_path: Path,
    eventually: Eventually,
) -> None:
    """The same candles through a file and through Redis give the same quantiles, to the bit."""
    candles = walk(150)
    path = tmp_path / "test-BTCUSDT-1h.parquet"
    frame = pd.DataFrame([{name: getattr(c, name) for name in Candle.__slots__} for c in candles])
    frame["open_time"] = pd.to_datetime(frame["open_time"], unit="ms", utc=True)
    frame.to_parquet(path)
    start("worker")
    push(store, SERIES, candles)
    done = candlecast("backtest", str(path), "--out", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    eventually(learned(store, SERIES, 150), "150 candles are learned")

    rows = pd.read_parquet(tmp_path / "out" / "forecasts.parquet")
    last = rows[rows["candle_open_time"] == frame["open_time"].iloc[-1]]
    live = said(store, SERIES)

    assert list(last["horizon"]) == list(range(1, 25))
    quantiles = last[[f"q{level:g}" for level in live["quantile_levels"]]].to_numpy()
    assert quantiles.tolist() == [list(row) for row in live["quantiles"]]
    targets = (last["target_time"] - pd.Timestamp(0, tz="UTC")) // pd.Timedelta(milliseconds=1)
    assert tuple(targets) == live["target_times"]
    assert len(rows) == 150 * 24


def test_a_stopped_worker_ends_quickly_and_leaves_no_process(
    store: Store, start: Start, eventually: Eventually
) -> None:
    """SIGTERM to the supervisor ends it and its workers with exit code 0."""
    supervisor = start("worker", "--processes", "2")
    eventually(lambda: len(store.link.redis.smembers("rq:workers")) == 2, "both are ready")

    supervisor.send_signal(signal.SIGTERM)

    assert supervisor.wait(20) == 0
    with pytest.raises(ProcessLookupError):
        os.killpg(supervisor.pid, 0)


def test_a_worker_killed_alone_is_replaced_by_its_supervisor(
    store: Store, start: Start, eventually: Eventually
) -> None:
    """Another one is started, and what the killed one had in hand need not wait for the lease."""
    supervisor = start("worker", CANDLECAST_LEASE_MS="600000")
    eventually(lambda: store.link.redis.smembers("rq:workers"), "the worker is ready")
    victim, *_ = children(supervisor)
    push(store, SERIES, walk(4_000))
    eventually(lambda: store.model(SERIES).attempts, "it has candles in hand")

    os.kill(victim, signal.SIGKILL)

    eventually(learned(store, SERIES, 4_000), "its successor has learned")


def test_workers_end_with_a_supervisor_that_was_killed(
    store: Store, start: Start, eventually: Eventually
) -> None:
    """Nobody would look after them, nor stop them: no orphan goes on."""
    supervisor = start("worker", "--processes", "2")
    eventually(lambda: len(store.link.redis.smembers("rq:workers")) == 2, "both are ready")
    orphans = children(supervisor)
    assert [runs(pid) for pid in orphans] == [True, True]

    os.kill(supervisor.pid, signal.SIGKILL)

    eventually(lambda: not any(map(runs, orphans)), "they have ended by themselves", seconds=10)
    assert store.link.redis.smembers("rq:workers") == set()


def test_a_job_that_overruns_ends_its_process_by_the_kernel_s_alarm(
    store: Store, server: Any, tmp_path: Path, eventually: Eventually
) -> None:
    """No exception is thrown into what it does, and what it had in hand comes back at once."""
    (candle,) = walk(1)
    push(store, SERIES, [dataclasses.replace(candle, volume=poisoned.volume("hangs"))])
    queue = Queue(CANDLES_QUEUE, connection=store.link.redis, serializer=JSONSerializer)
    queue.empty()
    queue.enqueue_many([Queue.prepare_data(UPDATE_JOB, timeout=1)])
    env = server.env | {"CANDLECAST_LEASE_MS": "600000"}
    log = tmp_path / "hangs.log"
    command = [sys.executable, "-P", poisoned.__file__, "worker"]
    with log.open("wb") as out:
        worker = subprocess.Popen(command, env=env, stdout=out, stderr=out, start_new_session=True)
    try:
        eventually(lambda: store.model(SERIES).attempts, "it has the candle in hand")
        eventually(lambda: store.model(SERIES).attempts > 1, "another has it in hand", seconds=8)
    finally:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()

    events = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    assert [event["exit"] for event in events if "exit" in event] == [-signal.SIGALRM]
