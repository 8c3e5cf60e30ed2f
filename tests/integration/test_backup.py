"""Backup and restore of Redis and of MLflow's store, by the commands of `docs/operations.md`."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.errors import StoreUnavailable
from shared.store import Store
from tests.conftest import COMMAND, STATE_KEY
from tests.integration.steps import SERIES, walk

pytestmark = [pytest.mark.system, pytest.mark.at_length, pytest.mark.timeout(180)]

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
PASSWORD = "backed-up"
WALK = walk(130)


def commands(heading: str) -> list[str]:
    """The blocks of shell commands under a heading."""
    (section,) = re.findall(rf"^### {heading}\n(.*?)(?=^##)", PAGE, re.MULTILINE | re.DOTALL)
    return re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)


class Installation:
    """A Redis with an append-only file, and MLflow's store beside it."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.data, self.redis_data, self.backup = (folder / name for name in ("data", "redis", "b"))
        for place in (self.data, self.redis_data, self.backup):
            place.mkdir()
        self.env = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "CANDLECAST_REDIS_URL": f"redis://default:{PASSWORD}@127.0.0.1:{port}/0",
            "CANDLECAST_STATE_KEY": STATE_KEY,
            "CANDLECAST_DATA_DIR": str(self.data),
            "REDIS_DATA": str(self.redis_data),
            "REDIS_PORT": str(port),
            "REDIS_PASSWORD": PASSWORD,
            "BACKUP": str(self.backup),
        }
        self.redis: subprocess.Popen[bytes] | None = None

    def start_redis(self) -> Store:
        """Start it as always: it reads its append-only file."""
        options = {"port": self.env["REDIS_PORT"], "dir": self.redis_data, "requirepass": PASSWORD}
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        self.redis = subprocess.Popen(
            ["redis-server", *words, "--appendonly", "yes", "--save", ""],
            stdout=subprocess.DEVNULL,
        )
        for _ in range(200):
            with contextlib.suppress(StoreUnavailable):
                return Store.connect(self.env["CANDLECAST_REDIS_URL"])
            time.sleep(0.05)
        pytest.fail("Redis does not answer")

    def end_redis(self) -> None:
        """End it in order."""
        assert self.redis
        self.redis.terminate()
        assert self.redis.wait(20) == 0

    def shell(self, heading: str) -> None:
        """Run what the page says, as it stands there."""
        blocks = commands(heading)
        assert blocks
        for block in blocks:
            subprocess.run(["bash", "-euc", block], env=self.env, check=True, timeout=60)

    def candlecast(self, *words: str) -> str:
        """Run the command to a good end."""
        done = subprocess.run(
            [COMMAND, *words], env=self.env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """One of its own."""
    one = Installation(tmp_path)
    yield one
    if one.redis and one.redis.poll() is None:
        one.redis.kill()
        one.redis.wait()


def held(store: Store) -> dict[bytes, Any]:
    """What the keys of the series hold."""
    client = store.link.redis
    read = {b"string": client.get, b"hash": client.hgetall, b"stream": client.xrange}
    return {key: read[client.type(key)](key) for key in client.scan_iter("candlecast:*:test:*")}


def test_what_was_backed_up_is_restored(installation: Installation) -> None:
    """Every key to the byte, versions that can be put back, and then learning goes on."""
    store = installation.start_redis()
    store.append(SERIES, WALK[:100])
    installation.candlecast("worker", "--burst")
    installation.candlecast("snapshot")
    keys, versions = held(store), installation.candlecast("models", str(SERIES))
    installation.shell("Back up")
    store.append(SERIES, WALK[100:120])
    installation.candlecast("worker", "--burst")
    installation.candlecast("snapshot")

    installation.end_redis()
    shutil.rmtree(installation.redis_data)
    installation.redis_data.mkdir()
    (installation.data / "mlflow.db").unlink()
    installation.shell("Restore all of it")
    store = installation.start_redis()

    assert len(keys) == 4
    assert held(store) == keys
    assert installation.candlecast("models", str(SERIES)) == versions
    installation.candlecast("restore", str(SERIES), "--version", "1", "--yes")
    store.append(SERIES, WALK[100:])
    installation.candlecast("worker", "--burst")
    record = store.model(SERIES)
    assert (record.sequence, record.rebuilds, record.lost) == (130, 0, 0)
