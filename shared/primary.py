"""Sentinels, and connections to the server that they name as the primary while they name it.

A connection of redis-py asks the sentinels when it is taken from its pool. One that is lost amid a
command goes back to where it was without asking, each time it tries again
(https://github.com/redis/redis-py/issues/3874): a primary that hangs, and takes connections all
the while, would be tried until all patience is at its end, whoever is the primary by then.
"""

import contextlib
import re
import time
from collections.abc import Iterator
from typing import Any

import redis
import redis.asyncio.sentinel
import redis.sentinel

# Who waits for an answer asks the sentinels so often whether it waits for the right server (an idle
# worker's wait for a doorbell is shorter). A slow primary is waited for as long as one that is
# alone: a fork, or a disk that is slow to take the append-only file, is no reason to leave it.
_LOOK_S = 1.5
# What has become of asking one of them, after all its settings.
_FAULT = re.compile(r"\)> - (?:\w+:)?(\w+)")


class Connection(redis.sentinel.SentinelManagedConnection):
    """Asks the sentinels before it connects again, and while an answer is long in coming."""

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:  # noqa: FBT001, FBT002 -- redis-py's
        """Send a command to the primary."""
        if not self._sock:
            # Once: whoever sent it tries again, by its own retries.
            place = self.connection_pool.get_master_address()
            self.connect_to(place)  # type: ignore[no-untyped-call]
        super().send_packed_command(command, check_health)  # type: ignore[no-untyped-call]

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """Read the answer to a command, which another server will not give.

        Where that is broken off, by a signal too, the connection ends: the next command would get
        the answer. So do redis-py's others, but for the one that asks sentinels.
        """
        try:
            if self._sock and "timeout" not in kwargs:
                self._wait_for_answer()
            return super().read_response(*args, **kwargs)
        except redis.ResponseError:
            raise
        except BaseException:
            if kwargs.get("disconnect_on_error", True):
                self.disconnect()  # type: ignore[no-untyped-call]
            raise

    def _wait_for_answer(self) -> None:
        until = time.monotonic() + self.socket_timeout if self.socket_timeout else float("inf")
        while (left := until - time.monotonic()) > 0:
            if self.can_read(min(_LOOK_S, left)):
                return
            # While they know of none it may yet be this one.
            with contextlib.suppress(redis.ConnectionError, redis.TimeoutError):
                primary = self.connection_pool.get_master_address()
                if primary != (self.host, self.port):
                    break
        self.disconnect()  # type: ignore[no-untyped-call]
        if left > 0:
            raise redis.ConnectionError("the primary is another one by now")
        raise redis.TimeoutError("Timeout reading from socket")


class AsyncConnection(redis.asyncio.sentinel.SentinelManagedConnection):
    """Asks the sentinels before it connects again."""

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:  # noqa: FBT001, FBT002 -- redis-py's
        """Send a command to the primary."""
        if not self.is_connected:
            place = await self.connection_pool.get_master_address()
            await self.connect_to(place)  # type: ignore[no-untyped-call]
        await super().send_packed_command(command, check_health)


class Sentinel(redis.sentinel.Sentinel):
    """Sentinels that say in short when they name no primary."""

    def discover_master(self, service_name: str) -> Any:
        """Return host and port of the primary."""
        with _in_short(self.sentinels, service_name):
            return super().discover_master(service_name)  # type: ignore[no-untyped-call]


class AsyncSentinel(redis.asyncio.sentinel.Sentinel):
    """The same for asyncio."""

    async def discover_master(self, service_name: str) -> Any:
        """Return host and port of the primary."""
        with _in_short(self.sentinels, service_name):
            return await super().discover_master(service_name)


@contextlib.contextmanager
def _in_short(sentinels: list[Any], service: str) -> Iterator[None]:
    """Name the sentinels by their addresses; redis-py gives every setting of their connections."""
    try:
        yield
    except redis.ConnectionError as error:
        asked = (one.get_connection_kwargs() for one in sentinels)
        places = ", ".join(sorted(f"{one['host']}:{one['port']}" for one in asked))
        why = ", ".join(sorted(set(_FAULT.findall(str(error))))) or "they know it not, or as down"
        raise redis.ConnectionError(
            f"no sentinel of {places} names a primary of {service!r}: {why}"
        ) from error
