"""Hosts of one network: namespaces of the kernel, each with a cable that can be pulled."""

import os
import shutil
import subprocess

import pytest

needs_hosts = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("ip"),
    reason="needs root and iproute2, to make network namespaces",
)


class Host:
    """A host whose one cable leads to this machine.

    Parameters
    ----------
    number
        0 to 63; part of its addresses.

    Attributes
    ----------
    gateway
        This machine's address on the cable.
    """

    def __init__(self, number: int) -> None:
        self._name = f"cc{os.getpid() % 100_000}n{number}"
        self._cable = f"{self._name}c"
        net = f"10.213.{os.getpid() % 256}.{4 * number}".rpartition(".")
        first = int(net[2])
        self.gateway, address = (f"{net[0]}.{first + at}" for at in (1, 2))
        _ip("netns", "add", self._name)
        try:
            self._connect(address)
        except BaseException:
            self.close()  # nobody else knows of it
            raise

    def _connect(self, address: str) -> None:
        far = f"{self._name}f"
        _ip("link", "add", self._cable, "type", "veth", "peer", "name", far, "netns", self._name)
        _ip("address", "add", f"{self.gateway}/30", "dev", self._cable)
        self._in("address", "add", f"{address}/30", "dev", far)
        self._in("link", "set", far, "up")
        self._in("link", "set", "lo", "up")
        self.plug()

    @property
    def command(self) -> tuple[str, ...]:
        """What runs a command there, put before it."""
        return "ip", "netns", "exec", self._name

    def pull(self) -> None:
        """Pull the cable: packets are lost, and nobody is told."""
        _ip("link", "set", self._cable, "down")

    def plug(self) -> None:
        """Plug it in."""
        _ip("link", "set", self._cable, "up")

    def close(self) -> None:
        """Be gone."""
        _ip("netns", "delete", self._name)

    def _in(self, *words: str) -> None:
        _ip("-n", self._name, *words)


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (words, done.stderr)
