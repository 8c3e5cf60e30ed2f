"""A scenario: a server of its own, real producers and workers, faults, and what it came to."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis

from shared.candle import Series
from shared.store import Store
from tests.faults.outcome import Outcome, Row, lost_and_doubled, outcome_of
from tests.faults.own_server import OwnServer
from tests.faults.sources import LONG, Source
from tests.faults.watch import Watch

BIN = Path(sys.executable).parent
STATE_KEY = "0123456789abcdef" * 2
MOST_DOORBELLS = 16
DRAIN_S = 60.0

Process = subprocess.Popen[bytes]


def wait_for(condition: Callable[[], object], says: str, seconds: float = 30.0) -> None:
    """Wait until a condition holds, or fail with what was waited for."""
    if not Stage.until(condition, seconds):
        pytest.fail(f"not within {seconds} s: {says}")


class Stage:
    """Processes on one server, pushing and learning the sources.

    Attributes
    ----------
    watch
        What looks at the models meanwhile; faults are noted there by `Watch.strike`.
    url
        Where workers and producers find Redis; a scenario may put something in between.
    """

    def __init__(self, folder: Path, sources: Sequence[Source], server: Any = None) -> None:
        self.folder = folder
        self.sources = sources
        self.server: Any = server or OwnServer(folder / "redis")
        self.url = self.server.url
        ends = {source.series: source.candles[-1].open_time for source in sources}
        self.watch = Watch(self.server.client, ends)
        self._running: list[Process] = []
        self._producers: list[Process] = []
        self.env = {
            **os.environ,
            "CANDLECAST_STATE_KEY": STATE_KEY,
            "CANDLECAST_DATA_DIR": str(folder / "data"),
            "CANDLECAST_LOG_FORMAT": "json",
            # All candles stay in the logs, so that in the end each can be looked at.
            "CANDLECAST_RETENTION": "100000",
            "OPENBLAS_NUM_THREADS": "1",
        }

    # ---------------------------------------------------------------- processes

    def start(self, name: str, *command: str | Path, **env: str) -> Process:
        """Start a program in the background; its output goes to the log of this name."""
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [*map(str, command)],
                env=self.env | {"CANDLECAST_REDIS_URL": self.url} | env,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._running.append(process)
        return process

    def start_workers(self, processes: int = 4, *options: str, **env: str) -> Process:
        """Start a supervisor with worker processes."""
        command = ("worker", "--processes", str(processes), *options)
        return self.start("worker", BIN / "candlecast", *command, **env)

    def feed(self, seconds: float | None = None) -> Process:
        """Start a producer of all files, at full speed or so that it takes so long."""
        longest = max(len(source.candles) for source in self.sources)
        speed = f"{longest / seconds:.1f}" if seconds else "max"
        files = [source.path for source in self.sources]
        producer = self.start("producer", BIN / "candlecast", "replay", *files, "--speed", speed)
        self._producers.append(producer)
        return producer

    def log(self, name: str) -> str:
        """What the programs of this name have written."""
        path = self.folder / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def kill(self, process: Process, *, group: bool = True) -> None:
        """End a process by SIGKILL, with all that it started or alone."""
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(process.pid, signal.SIGKILL)
        process.wait()
        if process in self._producers:
            self._producers.remove(process)

    # ---------------------------------------------------------------- faults

    def strikes(
        self, times: int, every_s: tuple[float, float], chance: np.random.Generator
    ) -> Iterator[int]:
        """Give random moments for faults, from the first commits on, while candles are left."""
        self.wait_until_under_way()
        for number in range(times):
            if self.until(self.watch.learned, chance.uniform(*every_s)):
                return
            self.watch.strike()
            yield number

    def wait_until_under_way(
        self, since: float = 0.0, seconds: float = 30.0, feed: Process | None = None
    ) -> None:
        """Wait until every series has been committed after a moment, or nothing is left.

        What a server forgets only comes again while its feed runs: the end of a given one will do.
        """
        watch, count = self.watch, len(self.sources)
        wait_for(
            lambda: (
                len(watch.moved(since)) == count
                or watch.learned()
                or (feed and feed.poll() is not None)
            ),
            "all series move",
            seconds,
        )

    def in_hand(self, pid: int) -> bool:
        """Whether a worker, named by its process, holds claims that it has not committed."""
        client = self.server.client
        workers = client.smembers("rq:workers")
        (own,) = [key for key in workers if client.hget(key, "pid") == b"%d" % pid]
        claims = [client.hmget(key, "worker", "attempts") for key in self.watch.model_keys]
        return any(own.endswith(b":%b" % by) and int(n or 0) for by, n in claims if by)

    @staticmethod
    def until(condition: Callable[[], object], seconds: float) -> bool:
        """Let time pass, at most until a condition holds; return whether it does."""
        end = time.monotonic() + seconds
        # Asked once more at the end, what held for a moment might not hold any longer.
        while not (holds := bool(condition())) and time.monotonic() < end:
            time.sleep(0.005)
        return holds

    # ---------------------------------------------------------------- the end

    def wait_for_producers(self) -> None:
        """Wait until they have ended well."""
        for producer in self._producers:
            assert producer.wait(DRAIN_S * (5 if LONG else 1)) == 0, "a producer failed"

    def drain(self) -> None:
        """Wait until the producers have ended well and all is learned."""
        self.wait_for_producers()
        wait_for(self.watch.learned, "all candles are learned", DRAIN_S)

    def settle(
        self, fault: str, expected: dict[Series, Outcome], table: list[Row], dead: int = 0
    ) -> None:
        """Drain, compare with the fault-free run, and add to the table.

        ``dead`` dead letters are intended in series that are not in ``expected``.
        """
        try:
            self.drain()
        finally:
            row, found = self._row(fault, expected)
            table.append(row)
        differing = [series for series, outcome in found.items() if outcome != expected[series]]
        assert row.faultless, (row, differing)
        assert row.injected, "the candles were learned before any fault"
        store = self.store()
        overview = store.overview()
        records = store.models([source.series for source in self.sources])
        assert [r.lost for r in records] == [r.waiting for r in records] == [0] * len(records)
        assert sum(r.settled for r in records) == sum(len(s.candles) for s in self.sources)
        assert overview["dead_letters"] == dead
        assert self.watch.longest_queue <= MOST_DOORBELLS

    def _row(
        self, fault: str, expected: dict[Series, Outcome]
    ) -> tuple[Row, dict[Series, Outcome]]:
        store = self.store()
        checked = [source for source in self.sources if source.series in expected]
        found = {source.series: outcome_of(store, source.series) for source in checked}
        counts = [lost_and_doubled(store, source) for source in checked]
        row = Row(
            fault,
            len(self.watch.strikes),
            sum(lost for lost, _ in counts),
            sum(doubled for _, doubled in counts),
            sum(outcome != expected[series] for series, outcome in found.items()),
            self.watch.worst_recovery_s(),
        )
        return row, found

    def store(self) -> Store:
        """Connect to the server, past whatever is in between."""
        return Store.connect(self.server.url)

    def close(self) -> None:
        """End everything that was started."""
        for process in self._running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self.watch.close()
        with contextlib.suppress(redis.RedisError):
            self.server.close()
        for path in self.folder.glob("*.log"):
            print(f"{path.name}:\n{path.read_text()[-3000:]}")  # shown where the test failed


def children(process: Process) -> list[int]:
    """Process ids of a supervisor's workers."""
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(pid) for pid in listed.read_text().split()]


def send(pid: int, number: signal.Signals) -> None:
    """Signal a process, which may just have ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
