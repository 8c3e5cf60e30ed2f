"""A server of the scenario's own, which can be killed, cut and started again."""

import contextlib
import os
import signal
from pathlib import Path
from typing import Any

import redis

from worker.embedded import redis_server


class OwnServer:
    """A Valkey with its append-only file (``everysec``) in a folder.

    Attributes
    ----------
    url
        Its address, the same after each start.
    client
        A connection of the test's own, without the retries that would hide an outage.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._starts = contextlib.ExitStack()
        self.url = self._starts.enter_context(redis_server(folder, "faults"))
        self.client: Any = redis.Redis.from_url(self.url, protocol=2, socket_timeout=5, retry=None)

    @property
    def port(self) -> int:
        """Its port on the loopback address."""
        return int((self.folder / "port").read_text())

    def kill(self) -> None:
        """End it by SIGKILL, as a crash or the kernel would."""
        pid = int((self.folder / "redis.pid").read_text())
        os.kill(pid, signal.SIGKILL)
        # Left as a zombie for whoever started it; all its threads have closed its sockets by now.
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

    def start_again(self) -> None:
        """Start it on what is left in its folder."""
        url = self._starts.enter_context(redis_server(self.folder, "faults"))
        assert url == self.url, "another process took the server's port"

    def lose(self, name: str) -> None:
        """Lose a key while it is down, as one whose time ends meanwhile."""
        port = self.folder / "port"
        known = port.read_text()
        # At another place, so that nobody else sees it come and go.
        port.unlink()
        with redis_server(self.folder, "faults") as url, redis.Redis.from_url(url) as client:
            client.delete(name)
        port.write_text(known)

    def cut(self, share: float) -> int:
        """Shorten the newest append-only file to a share of its length; return the bytes lost."""
        files = (self.folder / "appendonlydir").glob("*.incr.aof")
        newest = max(files, key=lambda path: path.stat().st_mtime_ns)
        size = newest.stat().st_size
        os.truncate(newest, int(size * share))
        return size - int(size * share)

    def close(self) -> None:
        """End it."""
        self.client.close()
        self._starts.close()
