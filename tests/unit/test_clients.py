"""Which Redis a URL names."""

from typing import Any

import pytest
import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.retry import Retry

from shared.clients import address_of, from_url
from shared.errors import InvalidValue

SENTINELS = "redis+sentinel://app:p%40ss@one:1,[::2]:2,three/candles/4"


def asked(client: Any) -> list[tuple[str, int]]:
    """Where it asks for the primary."""
    sentinels = client.connection_pool.sentinel_manager.sentinels
    kwargs = [one.connection_pool.connection_kwargs for one in sentinels]
    return [(one["host"], one["port"]) for one in kwargs]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_sentinels_are_asked_for_the_primary(kind: str) -> None:
    """All of them, in turn; the password is of the servers, not theirs."""
    if kind == "sync":
        client = from_url(redis.Redis, f"{SENTINELS}?sentinel_password=the+%26irs")
    else:
        url = f"{SENTINELS}?sentinel_password=the+%26irs"
        client = from_url(redis.asyncio.Redis, url, retry=AsyncRetry)
    kwargs = client.get_connection_kwargs()
    (first, *_) = client.connection_pool.sentinel_manager.sentinels
    asking = first.connection_pool.connection_kwargs

    assert asked(client) == [("one", 1), ("::2", 2), ("three", 26_379)]
    assert client.connection_pool.service_name == "candles"
    assert (kwargs["username"], kwargs["password"], kwargs["db"]) == ("app", "p@ss", 4)
    assert (kwargs["protocol"], kwargs["socket_timeout"]) == (2, 15.0)
    assert asking["password"] == "the+&irs"
    # Redis before 6 has no RESP3; one that is away holds up nobody: the next is asked, once.
    assert (asking["protocol"], asking["retry"].get_retries()) == (2, 0)
    assert asking["socket_connect_timeout"] == asking["socket_timeout"] == 1.0
    assert isinstance(client, redis.Redis if kind == "sync" else redis.asyncio.Redis)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://default:secret@host:6380/3", "host:6380/3"),
        ("unix:///run/redis.sock", "/run/redis.sock/0"),
        (SENTINELS, "candles/4"),
    ],
)
def test_its_address_tells_no_password(url: str, address: str) -> None:
    """It stands in errors and in `candlecast status`."""
    assert address_of(from_url(redis.Redis, url)) == address


@pytest.mark.parametrize("url", ["redis://host", SENTINELS])
def test_who_is_in_a_hurry_gives_up_soon(url: str) -> None:
    """A command that asks how things are, or a supervisor that has others to look after."""
    kwargs = from_url(redis.Redis, url, hurried=True).get_connection_kwargs()

    assert (kwargs["socket_connect_timeout"], kwargs["socket_timeout"]) == (1, 1)
    assert kwargs["retry"].get_retries() == 0


@pytest.mark.parametrize("kind", [redis.Redis, redis.asyncio.Redis])
def test_its_address_tells_the_primary_in_use(kind: Any) -> None:
    """Behind sentinels it may be another each time."""
    client = from_url(kind, SENTINELS, retry=Retry if kind is redis.Redis else AsyncRetry)
    pool = client.connection_pool
    getattr(pool, "proxy", pool).master_address = ("10.0.0.7", 6379)

    assert address_of(client) == "candles (10.0.0.7:6379)/4"


def test_no_primary_is_said_in_short() -> None:
    """With the sentinels that were asked, none of them there, and no setting of theirs."""
    url = "redis+sentinel://:secret@127.0.0.1:1,127.0.0.1:2/candles?sentinel_password=secret"
    client = from_url(redis.Redis, url, hurried=True)

    with pytest.raises(redis.ConnectionError) as caught:
        client.ping()

    places = "127.0.0.1:1, 127.0.0.1:2"
    says = f"no sentinel of {places} names a primary of 'candles': ConnectionError"
    assert str(caught.value) == says


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://host", "must specify one of the following schemes"),
        ("redis+sentinel://:secret@host:1", "names no service"),
        ("redis+sentinel://:secret@host:x/candles", "invalid literal|could not be cast"),
        ("redis+sentinel://:secret@host:1/candles/x", "invalid literal"),
        ("redis+sentinel://:secret@host:1/candles?timeout=3", "timeout is unknown"),
        ("redis+sentinel://:secret@host:1/?sentinel_password=secret", "names no service"),
    ],
)
def test_what_names_none_is_refused(url: str, why: str) -> None:
    """With both forms, and without the password."""
    with pytest.raises(InvalidValue, match=why) as caught:
        from_url(redis.Redis, url)

    assert "redis+sentinel://default:password@host1" in str(caught.value)
    assert "secret" not in str(caught.value)
