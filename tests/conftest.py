"""Fixtures: a real server, a fresh database for each test, and the real command as processes."""

import contextlib
import itertools
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from shared.store import Store
from worker.embedded import redis_server

# Settings of whoever runs the tests must not change them.
for _name in [
    name for name in os.environ if name.startswith("CANDLECAST_") and name != "CANDLECAST_SHARED"
]:
    del os.environ[_name]

pytest_plugins = ["tests.mlflow_store"]

ROOT = Path(__file__).parents[1]
COMMAND = str(Path(sys.executable).with_name("candlecast"))
STATE_KEY = "0123456789abcdef" * 2
_databases = itertools.cycle(range(16))


# CI has ten minutes: `make faults` runs these, by their marker; the others have a short form.
AT_LENGTH = {
    *("test_benchmarks", "test_backtest_cli", "test_pretrain_cli"),
    *("test_planted_pickles", "test_story", "test_broken_off"),
}
SHORTENED = {"faults", "test_live"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what takes long, and leave it out unless it is asked for."""
    skip = pytest.mark.skip(reason="takes long: `make faults` runs it")
    for item in items:
        if item.path.stem in AT_LENGTH:
            item.add_marker("at_length")
        if item.get_closest_marker("at_length") and os.environ.get("FAULTS") != "long":
            item.add_marker(skip)
        if {item.path.stem, item.path.parent.name} & SHORTENED:
            item.add_marker("at_length")


@dataclass(frozen=True)
class Server:
    """One database of the session's server."""

    url: str
    env: dict[str, str]


@pytest.fixture(scope="session")
def _server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    # A password of its own: what outlives another session must not work in this one.
    with redis_server(tmp_path_factory.mktemp("redis"), secrets.token_hex(8)) as url:
        yield url


@pytest.fixture
def server(_server_url: str, tmp_path: Path) -> Server:
    """A database of its own, empty, and the environment that points the command at it."""
    url = f"{_server_url.rpartition('/')[0]}/{next(_databases)}"
    redis.Redis.from_url(url).flushdb()
    env = {
        **os.environ,
        "CANDLECAST_REDIS_URL": url,
        "CANDLECAST_STATE_KEY": STATE_KEY,
        "CANDLECAST_DATA_DIR": str(tmp_path / "data"),
        "CANDLECAST_LOG_FORMAT": "json",
        "MLFLOW_TRACKING_URI": "",  # MLflow sets it in the process where it has been used
        "OPENBLAS_NUM_THREADS": "1",
    }
    return Server(url, env)


@pytest.fixture
def store(server: Server) -> Store:
    """The store on the test's database."""
    return Store.connect(server.url)


@pytest.fixture
def candlecast(server: Server) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the real command to its end; extra keywords are environment variables."""

    def run(
        *args: str, timeout: float = 60, lines: str | None = None, **env: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [COMMAND, *args],
            env=server.env | env,
            input=lines,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture
def start(server: Server, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start the real command in the background; it is ended with the test."""
    running: list[subprocess.Popen[bytes]] = []

    def launch(*args: str, stdin: int | None = None, **env: str) -> subprocess.Popen[bytes]:
        with (tmp_path / f"{args[0]}-{len(running)}.log").open("wb") as log:
            process = subprocess.Popen(
                [COMMAND, *args],
                env=server.env | env,
                stdin=stdin,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        running.append(process)
        return process

    yield launch
    for process in running:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdin:
            process.stdin.close()
    logs = "\n".join(f"{path.name}:\n{path.read_text()[-2000:]}" for path in tmp_path.glob("*.log"))
    print(logs)  # shown by pytest where the test failed


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Wait until a condition holds, or fail with what was waited for."""

    def wait(condition: Callable[[], object], says: str, *, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail(f"not within {seconds} s: {says}")
            time.sleep(0.02)

    return wait
