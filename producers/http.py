"""Candles from a data service of one's own: an HTTP address as a template, answered in JSON."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from producers.answers import read_rows
from producers.http_options import HttpOptions, is_token
from producers.pause import Pause, asked_s
from producers.rows import ExchangeError, Unreachable
from shared.candle import Series
from shared.errors import CandlecastError

if TYPE_CHECKING:
    import requests

_REDIRECTS = 3
_UNAUTHORIZED = 401
# Too early, too slow or too often; what the service cannot do from 500 on may work later too.
_TOO_OFTEN = 429
_FOR_NOW = {408, 425, _TOO_OFTEN}


class HttpSource:
    """A data service as a source that `producers.polling.ExchangeFeed` asks.

    A service that asks for a pause (429, or 503 with Retry-After) is left alone, for all its
    series. Redirects are followed on the same host only. Candles count as closed by this machine's
    clock.

    Parameters
    ----------
    name
        The exchange of its series.
    options
        How it is asked.
    pause
        The pauses that it has asked for; of its own by default.
    now_ms
        The time of day, UTC milliseconds.
    """

    def __init__(
        self,
        name: str,
        options: HttpOptions,
        pause: Pause | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        try:
            import requests  # noqa: PLC0415 (an extra)
        except ImportError as error:
            raise CandlecastError(
                "a data service needs requests: pip install 'candlecast[live]'"
            ) from error
        self.name = name
        self.is_unsure = False  # it goes by this machine's clock
        self._options = options
        self._now_ms = now_ms
        self._pause = pause or Pause(name)
        self._session = requests.Session()
        self._token = options.token

    def now_ms(self) -> int:
        """Return this machine's time, UTC milliseconds."""
        return self._now_ms()

    def rows(self, series: Series, since: int) -> list[list[Any]]:
        """Fetch rows of open time, open, high, low, close and volume from ``since`` on, in order.

        Raises
        ------
        Unreachable
            When the network or the service fails, or it asks for a pause.
        ExchangeError
            When it refuses, or answers what cannot be read.
        """
        self._pause.check()
        options = self._options
        answer = self._fetch(options.address(series, since))
        try:
            found = read_rows(answer, options.rows, options.fields)
        except ExchangeError as error:
            raise ExchangeError(f"{self.name}, asked for {series}: {error}") from error
        self._pause.forget()
        return [row for row in found if row[0] >= since]

    def _fetch(self, url: str) -> object:
        can_log_in = bool(self._options.login_url)
        if can_log_in and not self._token:
            self._log_in()
        answer = self._get(url)
        if answer.status_code == _UNAUTHORIZED and can_log_in:
            self._log_in()
            answer = self._get(url)
        return self._content(answer, "check the address, and what the token may read")

    def _get(self, url: str) -> "requests.Response":
        for _ in range(_REDIRECTS):
            answer = self._send("GET", url)
            if not answer.is_redirect:
                return answer
            url = self._target(url, answer)
        raise ExchangeError(f"{self.name} redirects in a circle from {_place(url)}: check the URL")

    def _target(self, url: str, answer: "requests.Response") -> str:
        """Return where a redirect leads; the token must not travel to another host."""
        target = urljoin(url, answer.headers["location"])
        if _origin(target) != _origin(url):
            raise ExchangeError(
                f"{self.name} redirects from {_place(url)} to another host, {_origin(target)}: "
                "give that address if it is meant"
            )
        return target

    def _log_in(self) -> None:
        """Fetch a token for user and password."""
        options = self._options
        given = dict(zip(options.login_fields, (options.user, options.password), strict=True))
        body: dict[str, Any] = {"data" if options.login_form else "json": given}
        self._token = ""
        answer = self._send("POST", options.login_url, **body)
        found = self._content(answer, "check the login's address, user and password")
        tokens = found if isinstance(found, dict) else {}
        token = tokens.get("access_token") or tokens.get("token")
        if not (token and isinstance(token, str) and is_token(token)):
            raise ExchangeError(
                f"{self.name}: the login at {_place(options.login_url)} answers no access_token "
                "and no token: check its address"
            )
        self._token = token

    def _send(self, method: str, url: str, **body: Any) -> "requests.Response":
        import requests  # noqa: PLC0415 (an extra)

        try:
            return self._session.request(
                *(method, url),
                headers={"Accept": "application/json"},
                # As a function, so that no password of a .netrc takes the token's place.
                auth=self._sign,
                timeout=self._options.timeout_s,
                allow_redirects=False,
                **body,
            )
        except (requests.RequestException, ValueError) as error:
            # Its own text may show the address with all that is in it.
            where = f"{self.name} at {_place(url)}"
            kind = type(error).__name__
            if isinstance(error, _passing()):
                remedy = "check the address and the network"
                raise Unreachable(f"{where} does not answer ({kind}): {remedy}") from error
            raise ExchangeError(f"{where} cannot be asked ({kind}): check the address") from error

    def _sign(self, request: "requests.PreparedRequest") -> "requests.PreparedRequest":
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def _content(self, answer: "requests.Response", remedy: str) -> object:
        """Return the JSON of an answer; raise where it is an error."""
        status = answer.status_code
        what = f"{self.name}: HTTP {status} from {_place(answer.url)}"
        if status in _FOR_NOW or status >= 500:  # noqa: PLR2004 (the service's fault)
            asked = asked_s(answer.headers.get("retry-after", ""))
            if asked is None and status != _TOO_OFTEN:
                raise Unreachable(what)
            raise Unreachable(f"{what}: left alone for {self._pause.begin(asked):.0f} s")
        if not answer.ok or answer.is_redirect:
            raise ExchangeError(f"{what}: {remedy}")
        try:
            return answer.json()
        except (ValueError, RecursionError) as error:
            kind = answer.headers.get("content-type", "of no type")[:80]
            raise ExchangeError(f"{what} is no JSON ({kind}): {remedy}") from error


def _passing() -> tuple[type[Exception], ...]:
    from requests import exceptions  # noqa: PLC0415 (an extra)

    return exceptions.ConnectionError, exceptions.Timeout, exceptions.ChunkedEncodingError


def _origin(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return "an address that cannot be read"
    return f"{parts.scheme}://{parts.hostname}:{port}"


def _place(url: str) -> str:
    """Return an address without what may hold a secret, such as its query."""
    return _origin(url) + urlsplit(url).path
