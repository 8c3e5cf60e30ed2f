"""One connection to a real server, and what must not be left behind on it."""

import socket
from typing import Any

import pytest

from shared.errors import StoreUnavailable
from shared.store import Store


@pytest.mark.timeout(30)
def test_who_is_in_a_hurry_does_not_wait_for_a_server_that_hangs() -> None:
    """Who buries a worker has others to look after: four tries would take a minute."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"redis://127.0.0.1:{deaf.getsockname()[1]}/0"

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
