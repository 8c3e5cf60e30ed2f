"""The main job in one run: replay, a market closing at once, a worker's start.

    python -m benchmarks.main_job [FILE] [--candles N] [--series N] [--workers N] [--json]

FILE is a Parquet file named exchange-SYMBOL-timeframe.parquet; without one, a simulated random walk
of hourly candles is used. The bare loop is the same learner in one process without Redis: the
ratios to it hold when the machine's speed does not.
"""

import argparse
import json
import os
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

from benchmarks.stage import random_walk, stage
from models.learner import Learner
from shared.candle import Candle, Series
from shared.store import Store


def bare_loop(candles: list[Candle]) -> float:
    """Candles a second of the learner alone: learn, score, forecast once in 500."""
    learner = Learner(Series.parse("bench:BARE/USDT:1h").timeframe, 24)
    began = time.perf_counter()
    for number, candle in enumerate(candles):
        learner.learn_one(candle)
        if number % 500 == 0:
            learner.outlook()
    return len(candles) / (time.perf_counter() - began)


def replay(store: Store, candles: list[Candle], copies: int) -> float:
    """Candles a second from the first append to the last commit, all series together."""
    names = [Series.parse(f"bench:R{i}/USDT:1h") for i in range(copies)]
    began = time.perf_counter()
    position = dict.fromkeys(names, 0)
    while any(at < len(candles) for at in position.values()):
        moved = False
        for series, at in position.items():
            if at < len(candles):
                answer = store.append(series, candles[at : at + 500])
                position[series] += answer.taken
                moved |= answer.taken > 0
        if not moved:
            time.sleep(0.02)
    wait_learned(store, names, len(candles))
    return copies * len(candles) / (time.perf_counter() - began)


def wait_learned(store: Store, names: list[Series], sequence: int) -> None:
    """Return when every series has learned that many candles; looks at little, to weigh little."""
    waiting = [store.keys.model(str(series)) for series in names]
    while waiting:
        with store.link.redis.pipeline(transaction=False) as pipe:
            for key in waiting:
                pipe.hget(key, "sequence")
            counts = pipe.execute()
        waiting = [key for key, n in zip(waiting, counts, strict=True) if int(n or 0) < sequence]
        time.sleep(0.005)


def close_at_once(store: Store, count: int, rounds: int) -> list[float]:
    """Milliseconds from the first append of ``count`` series' next candle to the last forecast."""
    names = [Series.parse(f"bench:M{i}/USDT:1h") for i in range(count)]
    candles = random_walk(200 + rounds, seed=1)
    for series in names:
        store.append(series, candles[:200])
    wait_learned(store, names, 200)
    out = []
    for number in range(rounds):
        time.sleep(1.5)
        began = time.perf_counter()
        for series in names:
            store.append(series, candles[200 + number : 201 + number])
        wait_learned(store, names, 201 + number)
        out.append((time.perf_counter() - began) * 1_000)
    return out


def resident_mb(supervisor: subprocess.Popen[bytes]) -> float:
    """Largest resident memory of a worker process, in megabytes."""
    children = Path(f"/proc/{supervisor.pid}/task/{supervisor.pid}/children").read_text().split()
    return max(_rss_mb(pid) for pid in children)


def _rss_mb(pid: str) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1_024


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Run everything once."""
    if args.file:
        from producers.files import read_candles  # noqa: PLC0415 -- pandas only where needed

        candles = list(read_candles(args.file))[: args.candles]
    else:
        candles = random_walk(args.candles)
    result: dict[str, Any] = {"cpus": os.cpu_count(), "candles": len(candles)}
    result["bare_loop_per_s"] = bare_loop(candles[:20_000])
    with stage(args.workers) as made:
        store = made.store
        result["ready_s"] = made.ready_s
        result["replay_one_series_per_s"] = replay(store, candles, 1)
        bursts = close_at_once(store, args.series, 3)
        result["close_at_once_ms"] = {"series": args.series, "median": statistics.median(bursts)}
        result["worker_resident_mb"] = resident_mb(made.supervisors[0])
    result["replay_of_bare_loop"] = result["replay_one_series_per_s"] / result["bare_loop_per_s"]
    return result


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--candles", type=int, default=64_524)
    parser.add_argument("--series", type=int, default=500)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    result = measure(args)
    if args.json:
        print(json.dumps(result, indent=2))
        return
    for name, value in result.items():
        print(f"{name:28}", f"{value:.2f}" if isinstance(value, float) else value)


if __name__ == "__main__":
    main()
