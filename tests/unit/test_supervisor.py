"""The supervisor: who is restarted, when, and how all end."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from ctypes import c_int8
from multiprocessing.context import ForkProcess
from pathlib import Path

import pytest

from shared.errors import StateError
from worker.supervisor import Supervisor

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks")


def starts(log: Path) -> list[str]:
    """What the workers have written, in order."""
    return log.read_text().split() if log.exists() else []


def say(log: Path, word: str) -> None:
    """Append a word in one write."""
    with log.open("a") as file:
        file.write(f"{word}\n")


def stop_when(log: Path, count: int) -> None:
    """Send this process SIGTERM once that many words are written."""

    def watch() -> None:
        deadline = time.monotonic() + 20
        while len(starts(log)) < count and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def worker(log: Path, *, deaths: int = 0) -> Callable[[str, c_int8], None]:
    """Return a worker that counts those of its place; so many of them are killed at once."""

    def run(_: str, memory: c_int8) -> None:
        memory.value += 1
        say(log, f"number={memory.value}")
        if memory.value <= deaths:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(30)

    return run


@pytest.fixture(autouse=True)
def _signals() -> object:
    before = [signal.getsignal(name) for name in (signal.SIGTERM, signal.SIGINT)]
    yield
    for name, handler in zip((signal.SIGTERM, signal.SIGINT), before, strict=True):
        signal.signal(name, handler)


def test_a_worker_that_is_killed_leaves_its_successors_what_it_knew(tmp_path: Path) -> None:
    """Only the first of a place may take the field over, and who waited must not take it first."""
    log = tmp_path / "log"

    stop_when(log, 3)
    Supervisor(worker(log, deaths=2), 1).supervise()

    assert starts(log) == ["number=1", "number=2", "number=3"]


def test_each_place_has_a_memory_of_its_own(tmp_path: Path) -> None:
    """What one worker leaves is not taken for what its neighbour did."""
    log = tmp_path / "log"

    stop_when(log, 2)
    Supervisor(worker(log), 2).supervise()

    assert starts(log) == ["number=1", "number=1"]


def test_the_living_are_looked_after_whatever_becomes_of_the_dead(tmp_path: Path) -> None:
    """A burial that fails costs nobody a successor."""
    log = tmp_path / "log"

    def buried(_: str) -> None:
        say(log, "buried")
        raise RuntimeError("settings that cannot be read")

    stop_when(log, 3)
    Supervisor(worker(log, deaths=1), 1, buried=buried).supervise()

    assert starts(log) == ["number=1", "buried", "number=2"]


def test_a_worker_that_the_system_cannot_start_is_started_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no process can be forked for a moment, those that live are not left alone."""
    log, refusals = tmp_path / "log", iter([BlockingIOError("no room"), None])
    start = ForkProcess.start

    def scarce(process: ForkProcess) -> None:
        if error := next(refusals, None):
            raise error
        start(process)

    monkeypatch.setattr(ForkProcess, "start", scarce)
    monkeypatch.setattr("worker.supervisor._LONGEST_PAUSE_S", 0.1)
    stop_when(log, 1)
    Supervisor(worker(log), 1).supervise()

    assert starts(log) == ["number=1"]


def test_a_system_that_starts_nothing_for_long_ends_the_supervisor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever started it sees that, and can start it anew."""

    def refused(_: ForkProcess) -> None:
        raise BlockingIOError("no room")

    monkeypatch.setattr(ForkProcess, "start", refused)
    monkeypatch.setattr("worker.supervisor._LONGEST_PAUSE_S", 0.0)

    with pytest.raises(BlockingIOError):
        Supervisor(lambda *_: None, 1).supervise()


def test_a_burst_ends_by_itself_and_tells_of_failures(tmp_path: Path) -> None:
    """Nothing is restarted; one failed worker makes the whole a failure."""
    log = tmp_path / "log"

    def run(_: str, memory: c_int8) -> None:
        say(log, f"memory={memory.value}")
        raise StateError("cannot go on")

    supervisor = Supervisor(run, 2, burst=True)
    supervisor.supervise()

    assert starts(log) == ["memory=0", "memory=0"]
    assert supervisor.failed
