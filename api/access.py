"""Who may ask, and how often: bearer tokens by their hashes, and a rate for each client."""

import hashlib
import hmac
import ipaddress
import secrets
import time
from collections.abc import Iterable
from contextlib import suppress
from urllib.parse import urlsplit

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from shared.errors import InvalidValue


def new_token() -> tuple[str, str]:
    """Return a token for an app, and its hash for the settings."""
    token = secrets.token_urlsafe(32)
    return token, token_hash(token)


def token_hash(token: str) -> str:
    """Return the SHA-256 of a token, as the settings hold it: it is too long to be guessed."""
    return hashlib.sha256(token.encode()).hexdigest()


class Access:
    """Checks tokens and rates.

    Parameters
    ----------
    host
        The address that is listened at.
    hashes
        Of the tokens that are let in; none are needed at a loopback address.
    per_minute
        Requests of one client; 0 for any number.

    Raises
    ------
    InvalidValue
        When others could ask without a token.
    """

    def __init__(self, host: str, hashes: Iterable[str] = (), per_minute: int = 0) -> None:
        self._hashes = [one.lower() for one in hashes]
        if not self._hashes and not _is_loopback(host):
            raise InvalidValue(
                "api_host",
                host,
                "others can reach it: set CANDLECAST_API_TOKENS (`candlecast api --new-token`)",
            )
        self._rate = RateLimitItemPerMinute(per_minute) if per_minute else None
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    @property
    def is_open(self) -> bool:
        """Whether no token is needed."""
        return not self._hashes

    def expects(self, host: str) -> bool:
        """Whether a header ``Host`` may name it so: where no token is needed, as loopback alone.

        Else a web page whose own name leads here could read through the browser of whoever opens it
        (DNS rebinding).
        """
        with suppress(ValueError):
            return not self.is_open or _is_loopback(urlsplit(f"//{host}").hostname or "")
        return False

    def admits(self, authorization: str) -> bool:
        """Whether a header ``Authorization: Bearer …`` lets its sender in, in constant time."""
        scheme, _, token = authorization.partition(" ")
        found = token_hash(token.strip())
        matches = [hmac.compare_digest(found, one) for one in self._hashes]
        return self.is_open or (scheme.lower() == "bearer" and any(matches))

    def wait_s(self, client: str) -> float:
        """Count a request of a client; return after how many seconds it may ask, 0.0 for now."""
        if self._rate is None or self._limiter.hit(self._rate, client):
            return 0.0
        window = self._limiter.get_window_stats(self._rate, client)
        return max(1.0, window.reset_time - time.time())


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
