"""Redis dies and comes back while workers are idle or at work."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from shared.errors import StoreUnavailable
from shared.store import Store
from tests.integration.steps import SERIES, candles
from worker.embedded import redis_server

pytestmark = pytest.mark.timeout(120)

COMMAND = str(Path(sys.executable).with_name("candlecast"))
SETTINGS = {"CANDLECAST_STATE_KEY": "0123456789abcdef" * 2, "CANDLECAST_LOG_FORMAT": "json"}


def test_workers_go_on_within_seconds_of_redis_coming_back(
    tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """Killed and started again on its append-only file, it is found again without help."""
    folder = tmp_path / "redis"
    with redis_server(folder, "secret") as url, (tmp_path / "worker.log").open("wb") as log:
        env = os.environ | SETTINGS | {"CANDLECAST_REDIS_URL": url}
        worker = subprocess.Popen(
            [COMMAND, "worker"], env=env, stdout=log, stderr=log, start_new_session=True
        )
        try:
            store = Store.connect(url)
            store.append(SERIES, candles(0, 50))
            eventually(lambda: store.model(SERIES).sequence == 50, "50 candles are learned")
            os.kill(int((folder / "redis.pid").read_text()), signal.SIGKILL)
            # Long enough for waits that double to have grown beyond what is allowed below.
            eventually(lambda: _tries(tmp_path) >= 4, "they keep trying")

            with redis_server(folder, "secret") as again:
                assert again == url
                eventually(lambda: _append_more(again), "the producer gets through")
                back = Store.connect(again)
                eventually(lambda: back.model(SERIES).sequence == 60, "the rest", seconds=10)
                assert (back.model(SERIES).lost, back.model(SERIES).dead_letters) == (0, 0)
        finally:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()


def _append_more(url: str) -> bool:
    try:
        return Store.connect(url).append(SERIES, candles(0, 60)).taken == 60
    except (StoreUnavailable, redis.RedisError):
        return False


def _tries(folder: Path) -> int:
    log = (folder / "worker.log").read_text()
    return sum(map(log.count, ("could not connect", "tick failed", "cannot go on")))
