"""One connection to a real server, and what must not be left behind on it."""

import asyncio
import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry

from shared.clients import from_url
from shared.errors import StoreUnavailable
from shared.store import Store
from tests.conftest import Server

Place = tuple[str, int]


@contextlib.contextmanager
def deaf() -> Iterator[Place]:
    """Give the address of what takes connections and never answers, as a process that hangs."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()


def behind_sentinels(client: Any, server: Server, named: Callable[[], Place]) -> Any:
    """Make a client of this server whose sentinels name what they are told to."""
    parts = urlsplit(server.url)
    url = f"redis+sentinel://:{parts.password}@127.0.0.1:1/candles{parts.path}"
    if not issubclass(client, redis.asyncio.Redis):
        made = from_url(client, url)
        made.connection_pool.sentinel_manager.discover_master = lambda _: named()
        return made

    async def named_later(_: str) -> Place:
        return named()

    made = from_url(client, url, retry=AsyncRetry)
    made.connection_pool.sentinel_manager.discover_master = named_later
    return made


@pytest.mark.timeout(30)
def test_who_is_in_a_hurry_does_not_wait_for_a_server_that_hangs() -> None:
    """Who buries a worker has others to look after: four tries would take a minute."""
    with deaf() as (host, port):
        url = f"redis://{host}:{port}/0"

        with pytest.raises(StoreUnavailable):
            Store.connect(url, hurried=True)


def test_replies_are_of_the_protocol_that_survives_an_interruption(store: Store) -> None:
    """An interrupted RESP3 reply would be read as the answer to the next command."""
    assert store.link.redis.get_connection_kwargs()["protocol"] == 2


def test_what_breaks_in_leaves_no_reply_to_be_read_as_another_s(store: Store) -> None:
    """An interruption amid a pipeline whose next reply is still on its way costs the connection."""
    client = store.link.redis
    client.mset({"first": "1", "second": "2"})

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    def use() -> None:
        with store.link.translated() as redis, redis.pipeline(transaction=False) as pipe:
            pipe.get("first")
            pipe.blpop("nobody pushes here", timeout=0.3)
            pipe.response_callbacks = {"GET": interrupt}
            pipe.execute()

    with pytest.raises(KeyboardInterrupt):
        use()

    assert client.get("second") == b"2"


def test_who_is_connected_to_a_demoted_server_connects_anew(store: Store) -> None:
    """Its name may lead to another one by now: a connection that is kept never gets there."""
    client = store.link.redis
    before = client.client_id()
    client.replicaof("127.0.0.1", "1")
    try:
        with pytest.raises(StoreUnavailable, match="read only"), store.link.translated():
            client.set("key", "value")

        assert client.client_id() != before
    finally:
        client.replicaof("NO", "ONE")


def test_a_lost_connection_asks_the_sentinels_where_to_go(server: Server) -> None:
    """Amid a command too, where redis-py goes back to where it was: that one may hang."""
    port = urlsplit(server.url).port or 0
    places = [("127.0.0.1", port)]
    connection = behind_sentinels(
        redis.Redis, server, lambda: places[-1]
    ).connection_pool.get_connection()
    connection.disconnect()
    places.append(("localhost", port))
    connection.send_command("PING")

    assert (connection.host, connection.read_response()) == ("localhost", b"PONG")


def test_a_lost_connection_that_is_awaited_asks_them_too(server: Server) -> None:
    """The same for asyncio."""
    port = urlsplit(server.url).port or 0
    places = [("127.0.0.1", port)]

    async def use() -> tuple[str, bytes]:
        async with behind_sentinels(redis.asyncio.Redis, server, lambda: places[-1]) as client:
            connection = await client.connection_pool.get_connection()
            await connection.disconnect()
            places.append(("localhost", port))
            await connection.send_command("PING")
            return connection.host, await connection.read_response()

    assert asyncio.run(use()) == ("localhost", b"PONG")


@pytest.mark.parametrize("sentinels", [False, True])
def test_what_a_signal_breaks_off_leaves_no_answer_to_the_next(
    server: Server, *, sentinels: bool
) -> None:
    """RQ's connection waits for a doorbell when a worker is told to stop."""

    class Stopped(Exception):
        """Raised by a signal, as RQ does."""

    def stop(*_: object) -> None:
        raise Stopped

    place = ("127.0.0.1", urlsplit(server.url).port or 0)
    made = behind_sentinels(redis.Redis, server, lambda: place) if sentinels else None
    client = made or from_url(redis.Redis, server.url)
    client.set("said", "by us")
    before = signal.signal(signal.SIGUSR1, stop)
    try:
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        with pytest.raises(Stopped):
            client.blpop("nothing", 2)
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert client.get("said") == b"by us"


@pytest.mark.timeout(30)
def test_no_answer_is_waited_for_from_a_former_primary(server: Server) -> None:
    """One that hangs is left once the sentinels name another, long before the 15 s are over."""
    with deaf() as hung:
        since = time.monotonic()

        def named() -> Place:
            late = time.monotonic() - since > 1
            return ("127.0.0.1", urlsplit(server.url).port or 0) if late else hung

        client = behind_sentinels(redis.Redis, server, named)

        assert client.ping()
        assert time.monotonic() - since < 6


@pytest.mark.timeout(30)
def test_a_slow_primary_is_waited_for(server: Server) -> None:
    """While the sentinels name it, or know of none: it may be slow, and have done its work."""
    place = ("127.0.0.1", urlsplit(server.url).port or 0)
    calls = 0

    def named() -> Place:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise redis.ConnectionError
        return place

    client = behind_sentinels(redis.Redis, server, named)

    assert client.blpop("nobody pushes here", timeout=4) is None
    assert calls == 3, "asked as it connected, and twice meanwhile"


@pytest.mark.timeout(30)
def test_a_primary_that_stays_silent_is_given_up(server: Server) -> None:
    """As without sentinels; who is in a hurry gives up after a second."""
    with deaf() as hung:
        client = behind_sentinels(redis.Redis, server, lambda: hung)
        client.connection_pool.connection_kwargs["socket_timeout"] = 0.2
        since = time.monotonic()

        with pytest.raises(redis.TimeoutError):
            client.ping()

        assert time.monotonic() - since < 10


@pytest.mark.timeout(30)
@pytest.mark.parametrize(("hurried", "most_s"), [(True, 2.5), (False, 9.0)])
def test_a_sentinel_that_hangs_holds_up_nobody_for_long(*, hurried: bool, most_s: float) -> None:
    """It is waited for a second, in every try."""
    with deaf() as (host, port):
        since = time.monotonic()

        with pytest.raises(StoreUnavailable, match="names a primary of 'candles': TimeoutError"):
            Store.connect(f"redis+sentinel://:secret@{host}:{port}/candles", hurried=hurried)

        assert time.monotonic() - since < most_s
