"""One connection to a real server, and what must not be left behind on it."""

from typing import Any

import pytest

from shared.store import Store


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
