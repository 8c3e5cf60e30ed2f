"""What several benchmarks need: a server with workers, and candles."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from shared.candle import Candle
from shared.store import Store
from worker.embedded import redis_server

HOUR = 3_600_000
COMMAND = str(Path(sys.executable).with_name("candlecast"))


def random_walk(count: int, seed: int = 0) -> list[Candle]:
    """Hourly candles of a random walk that end at the last full hour."""
    rng = np.random.default_rng(seed)
    closes = 100 * np.exp(np.cumsum(rng.normal(0, 0.005, count)))
    opens = np.concatenate([[100.0], closes[:-1]])
    spread = 1 + np.abs(rng.normal(0, 0.002, count))
    highs, lows = np.maximum(opens, closes) * spread, np.minimum(opens, closes) / spread
    start = int(time.time() * 1_000) // HOUR * HOUR - count * HOUR
    rows = zip(opens, highs, lows, closes, rng.gamma(2, 50, count), strict=True)
    return [Candle(start + i * HOUR, *map(float, row)) for i, row in enumerate(rows)]


@dataclass
class Stage:
    """A server of its own and the supervisors that were started on it."""

    store: Store
    env: dict[str, str]
    ready_s: float = 0.0
    supervisors: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, workers: int) -> None:
        """Start one more supervisor with so many workers."""
        command = [COMMAND, "worker", "--processes", str(workers)]
        self.supervisors.append(subprocess.Popen(command, env=self.env, start_new_session=True))

    def living(self) -> int:
        """How many workers Redis knows of."""
        return len(self.store.link.redis.smembers("rq:workers"))


@contextmanager
def stage(workers: int, supervisors: int = 1) -> Iterator[Stage]:
    """Start a server and supervisors with so many workers each, and wait until they are ready."""
    with tempfile.TemporaryDirectory() as folder, redis_server(Path(folder), "bench") as url:
        env = {
            "CANDLECAST_REDIS_URL": url,
            "CANDLECAST_STATE_KEY": "benchmark" * 4,
            "CANDLECAST_LOG_LEVEL": "error",
        }
        made = Stage(Store.connect(url), os.environ | env)
        began = time.perf_counter()
        try:
            for _ in range(supervisors):
                made.start(workers)
            while made.living() < workers * supervisors:
                time.sleep(0.01)
            made.ready_s = time.perf_counter() - began
            yield made
        finally:
            for supervisor in made.supervisors:
                with suppress(ProcessLookupError):
                    os.killpg(supervisor.pid, signal.SIGTERM)
                supervisor.wait()
