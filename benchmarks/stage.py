"""What several benchmarks need: a server with workers, and candles."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from producers.push import Push
from shared.candle import Candle, Series
from shared.keys import CANDLES_QUEUE
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
    url: str
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

    def processes(self) -> list[Path]:
        """Where the system tells of the worker processes."""
        listed = (
            Path(f"/proc/{supervisor.pid}/task/{supervisor.pid}/children").read_text().split()
            for supervisor in self.supervisors
        )
        return [Path("/proc") / pid for pids in listed for pid in pids]

    def resident_mb(self) -> float:
        """Memory of the largest worker process, in megabytes."""
        statuses = [(process / "status").read_text() for process in self.processes()]
        return max(int(s.split("VmRSS:")[1].split()[0]) for s in statuses) / 1_024


@dataclass
class Tape:
    """Some candles of one series, as a feed."""

    series: Series
    candles: Sequence[Candle]

    def wait_s(self) -> float | None:
        """Never."""
        return 0.0 if self.candles else None

    def take(self, count: int) -> Sequence[Candle]:
        """Return the next ones."""
        taken, self.candles = self.candles[:count], self.candles[count:]
        return taken

    def rewind(self, after: int) -> None:
        """There is nothing that could be missing."""
        raise SystemExit(f"the log lacks candles after {after}")


class Market:
    """Many series whose candles close in the same instant.

    Parameters
    ----------
    store
        Where they are pushed.
    count
        How many series.
    candles
        What each of them gets.
    name
        Tells the series of several markets apart.

    Attributes
    ----------
    longest_queue
        Most doorbells that were seen at once.
    """

    def __init__(
        self, store: Store, count: int, candles: Sequence[Candle], name: str = "M"
    ) -> None:
        self.names = [Series.parse(f"bench:{name}{i}/USDT:1h") for i in range(count)]
        self._store = store
        self._candles = candles
        self._closed = 0
        self.longest_queue = 0

    def append(self, candles: int = 1) -> None:
        """Push the next candles of every series."""
        new = self._candles[self._closed : self._closed + candles]
        if len(new) < candles:
            raise SystemExit("the candles are used up: ask for fewer repetitions")
        Push(self._store, [Tape(series, new) for series in self.names]).run()
        self._closed += candles

    def feed(self, rate: float) -> None:
        """Append for ever, so many candles a second, one series after the other."""
        due = time.perf_counter()
        while True:
            candle = self._candles[self._closed]
            for series in self.names:
                due += 1 / rate
                time.sleep(max(0.0, due - time.perf_counter()))
                self._store.append(series, [candle])
            self._closed += 1

    def close(self, candles: int = 1, emptied: int = 0) -> float:
        """Append and return the seconds until the last forecast can be read.

        RQ's queue is ``emptied`` so many times meanwhile: the next tick rings again.
        """
        began = time.perf_counter()
        self.append(candles)
        keys = self._store.keys
        # One small question now and then, so that asking weighs nothing beside what is measured.
        ask = self._store.link.redis.pipeline(transaction=False)
        while True:
            waiting, rung = ask.zcard(keys.pending).llen(keys.rq_queue(CANDLES_QUEUE)).execute()
            self.longest_queue = max(self.longest_queue, rung)
            if emptied and rung:
                self._store.link.redis.delete(keys.rq_queue(CANDLES_QUEUE))
                emptied -= 1
            if not waiting:
                break
            time.sleep(0.005)
        took = time.perf_counter() - began
        if any(record.sequence != self._closed for record in self._store.models(self.names)):
            raise SystemExit("some series are not where they should be")
        return took


@contextmanager
def stage(workers: int, supervisors: int = 1, **settings: str) -> Iterator[Stage]:
    """Start a server and supervisors with so many workers each, and wait until they are ready."""
    # Ended from outside it has to end them too: they would look for their server for ever.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory() as folder, redis_server(Path(folder), "bench") as url:
        env = {
            "CANDLECAST_REDIS_URL": url,
            "CANDLECAST_STATE_KEY": "benchmark" * 4,
            "CANDLECAST_LOG_LEVEL": "error",
        } | settings
        made = Stage(Store.connect(url), url, os.environ | env)
        began = time.perf_counter()
        try:
            for _ in range(supervisors if workers else 0):
                made.start(workers)
            while made.living() < workers * supervisors:
                time.sleep(0.01)
            made.ready_s = time.perf_counter() - began
            yield made
        finally:
            for supervisor in made.supervisors:
                with suppress(ProcessLookupError):
                    os.killpg(supervisor.pid, signal.SIGTERM)
                ended(supervisor)


def ended(process: subprocess.Popen[bytes], seconds: float = 10.0) -> None:
    """Wait for a process that was told to end; kill one that does not."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
