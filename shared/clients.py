"""Clients of a Redis that is named by a URL, alone or behind sentinels."""

from typing import Any
from urllib.parse import unquote, urlsplit

import redis
import redis.asyncio
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.retry import Retry

from shared import primary
from shared.errors import InvalidValue

# A hiccup is bridged; whoever calls knows better how long an outage is to be waited for.
_RETRY = ExponentialWithJitterBackoff(base=0.05, cap=0.5), 3
ANSWER_S = 15.0
_SENTINELS = "redis+sentinel://"
_SENTINEL_PORT = 26_379
# Where a sentinel is away the next one is asked.
_SENTINEL_S = 1.0
FORMS = (
    "redis://default:password@host:6379/0, or for sentinels "
    "redis+sentinel://default:password@host1:26379,host2:26379/service/0"
)


def from_url(
    client: Any,
    url: str,
    *,
    retry: Any = Retry,
    hurried: bool = False,
    answer_s: float | None = ANSWER_S,
) -> Any:
    """Make a client of a class, with its class of retries; it connects later.

    Behind sentinels it is one of the server that is the primary of their service at the time of
    each connection.

    Parameters
    ----------
    url
        ``redis://``, ``rediss://`` or ``unix://`` as redis-py takes them, or
        ``redis+sentinel://user:password@host:port,host:port/service/database``; the sentinels' own
        password follows as ``?sentinel_password=``.
    answer_s
        How long it waits for an answer; None where that is for its user to limit.

    Raises
    ------
    InvalidValue
        When the URL cannot be understood.
    """
    # An interrupted RESP3 reply would be read as the answer to the next command.
    options = {
        "protocol": 2,
        "socket_connect_timeout": 1 if hurried else 3,
        "socket_timeout": 1 if hurried else answer_s,
        "retry": retry(NoBackoff(), 0) if hurried else retry(*_RETRY),
    }
    try:
        if url.startswith(_SENTINELS):
            return _by_sentinels(client, url, options)
        return client.from_url(url, **options)
    except ValueError as error:
        shown = url.rpartition("@")[2].partition("?")[0]
        raise InvalidValue("redis_url", shown, f"{error}; write {FORMS}") from error


def _by_sentinels(client: Any, url: str, options: dict[str, Any]) -> Any:
    parts = urlsplit(url)
    login, _, hosts = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    service, _, database = parts.path.strip("/").partition("/")
    if not service:
        raise ValueError("it names no service")
    places = [urlsplit(f"//{host}") for host in hosts.split(",")]
    told = {name: unquote(value) for name, _, value in _pairs(parts.query)}
    if unknown := told.keys() - {"sentinel_password"}:
        raise ValueError(f"{', '.join(sorted(unknown))} is unknown")
    is_async = issubclass(client, redis.asyncio.Redis)
    sentinel = primary.AsyncSentinel if is_async else primary.Sentinel
    asked = {
        "protocol": 2,
        "password": told.get("sentinel_password"),
        "socket_connect_timeout": _SENTINEL_S,
        "socket_timeout": _SENTINEL_S,
        "retry": type(options["retry"])(NoBackoff(), 0),
    }
    manager = sentinel(
        [(place.hostname or "127.0.0.1", place.port or _SENTINEL_PORT) for place in places],
        sentinel_kwargs=asked,
    )
    return manager.master_for(
        service,
        redis_class=client,
        connection_class=primary.AsyncConnection if is_async else primary.Connection,
        db=int(database or 0),
        username=unquote(user) or None,
        password=unquote(password) or None,
        **options,
    )


def _pairs(query: str) -> list[tuple[str, str, str]]:
    """Take a query apart; a plus stays one, as it does in the password before the host."""
    return [pair.partition("=") for pair in query.split("&") if pair]


def address_of(client: Any) -> str:
    """Return host, port and database of a client, without its password.

    Behind sentinels these are the service, the primary that was last connected to, and the
    database: ``candles (127.0.0.1:6379)/0``.
    """
    kwargs, pool = client.get_connection_kwargs(), client.connection_pool
    place = kwargs.get("path") or f"{kwargs.get('host')}:{kwargs.get('port')}"
    if service := getattr(pool, "service_name", None):
        place = service
        if pool.master_address:
            place += " ({}:{})".format(*pool.master_address)
    return f"{place}/{kwargs.get('db', 0)}"
