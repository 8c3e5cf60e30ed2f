"""From the kill of a worker that holds a series to that series' next commit.

    python -m benchmarks.recovery [--kills N] [--whole] [--json]

One series gets a backlog; the worker that has it in hand is killed (SIGKILL) wherever it happens to
be in its claim. A kill between two claims holds nothing and is not counted. Between two kills all
workers have long been up: the pauses of a supervisor whose workers die in a row are not measured
here. With --whole each worker has a supervisor of its own that is killed with it, as when a machine
goes down, so that nobody tells Redis of the death: recovery is then the rest of the claim's lease,
the wait for the next tick of the worker that lives, and its claim and commit.
"""

import argparse
import json
import os
import signal
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.stage import Stage, random_walk, stage
from shared.candle import Candle, Series
from shared.store import Store

SERIES = Series.parse("bench:R/USDT:1h")
HOLD_S, AIM_S = 4.0, 2.0
BACKLOG = 2_000
CALM_S = 5.2
SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)


@dataclass
class Backlog:
    """Candles that are appended so that the series never runs dry."""

    store: Store
    candles: list[Candle]
    position: int = 0

    def fill(self) -> None:
        """Append until enough wait."""
        behind = 0
        while behind < BACKLOG:
            batch = self.candles[self.position : self.position + 500]
            if not batch:
                raise SystemExit("the candles are used up: kill fewer workers")
            answer = self.store.append(SERIES, batch)
            self.position += answer.taken
            behind = answer.behind


def holder(store: Store) -> int:
    """Return the process id of the worker that has the series in hand."""
    redis, model = store.link.redis, store.keys.model(str(SERIES))
    while True:
        attempts, worker = redis.hmget(model, "attempts", "worker")
        pid = attempts and worker and redis.hget(f"rq:worker:{worker.decode()}", "pid")
        if pid and Path(f"/proc/{int(pid)}").exists():
            return int(pid)
        time.sleep(0.001)


def recovery(made: Stage, *, whole: bool) -> float | None:
    """Kill the worker that has the series in hand; return the seconds to the next commit.

    None where it had just committed and held nothing.
    """
    store, victim = made.store, holder(made.store)
    if whole:
        os.killpg(os.getpgid(victim), signal.SIGKILL)
    else:
        os.kill(victim, signal.SIGKILL)
    began = time.perf_counter()
    record = store.model(SERIES)
    # What was on its way when the worker died has arrived by now.
    time.sleep(0.02)
    settled = store.model(SERIES)
    if not record.attempts or settled.revision != record.revision:
        return None
    while store.model(SERIES).revision == settled.revision:
        time.sleep(0.005)
    return time.perf_counter() - began


def measure(kills: int, *, whole: bool) -> dict[str, Any]:
    """Kill until as many kills have hit."""
    chance = np.random.default_rng(1)
    candles = random_walk((BACKLOG + 500) * (kills + 20))
    found: list[float] = []
    with stage(1, 2) if whole else stage(2) as made:
        backlog = Backlog(made.store, candles)
        while len(found) < kills:
            time.sleep(CALM_S)
            backlog.fill()
            time.sleep(chance.uniform(0.0, 0.2))
            seconds = recovery(made, whole=whole)
            if whole:
                made.start(1)
            if seconds is not None:
                found.append(seconds)
        lost = made.store.model(SERIES).lost
    quantiles = np.quantile(found, SHARES).round(2).tolist()
    return {
        "kills": kills,
        "killed": "worker and supervisor" if whole else "worker",
        "seconds": dict(zip((f"{share:.0%}" for share in SHARES), quantiles, strict=True)),
        "within_aim": sum(seconds <= AIM_S for seconds in found) / kills,
        "within_hold": sum(seconds <= HOLD_S for seconds in found) / kills,
        "lost": lost,
        "histogram": histogram(found),
    }


def histogram(found: list[float]) -> dict[str, int]:
    """Count by quarters of a second."""
    edges = np.arange(0, max(found) + 0.25, 0.25).tolist()
    counts, _ = np.histogram(found, [*edges, np.inf])
    names = [f"{low:.2f}-{high:.2f} s" for low, high in pairwise([*edges, edges[-1] + 0.25])]
    return {name: int(count) for name, count in zip(names, counts, strict=True) if count}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    result = measure(args.kills, whole=args.whole)
    if args.json:
        print(json.dumps(result, indent=2))
        return
    for name, count in result.pop("histogram").items():
        print(f"{name:>14}  {'#' * count} {count}")
    print(", ".join(f"{share}: {seconds} s" for share, seconds in result.pop("seconds").items()))
    print(", ".join(f"{name} {value}" for name, value in result.items()))


if __name__ == "__main__":
    main()
