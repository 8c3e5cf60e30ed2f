"""How a data service is asked: its address as a template, its login, the shape of its answers."""

import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

from producers.checks import COLUMNS
from producers.exchange import PAGE
from shared.candle import Series
from shared.errors import InvalidValue

PLACEHOLDERS = (
    *("base", "quote", "symbol", "pair", "timeframe", "minutes"),
    *("since_ms", "since_s", "since_iso", "limit"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpOptions:
    """How a data service is asked, and how its answers are read.

    Attributes
    ----------
    url
        Address of the candles of a series, with the placeholders ``{base}`` ``{quote}``
        ``{symbol}`` (as the series has it, such as BTC/USDT) ``{pair}`` (base and quote in one)
        ``{timeframe}`` ``{minutes}`` (its length) ``{since_ms}`` ``{since_s}`` ``{since_iso}``
        (open time of the first candle that is wanted) and ``{limit}``.
    rows, fields
        Where the answer has its rows and these their fields, see `producers.answers.read_rows`.
    timeframes
        What the service calls a timeframe, where ``{timeframe}`` is another: ``{"1h": "hourly"}``.
    limit
        Candles that are asked for at once.
    timeout_s
        How long an answer may take to begin, or to go on.
    token
        Bearer token. Like the password it comes from the environment, and is never shown.
    login_url
        Where user and password are posted for a token, which is renewed when it is refused.
    user, password
        For the login.
    login_fields
        Names of the two there.
    login_form
        Post them as a form instead of JSON.

    Raises
    ------
    InvalidValue
        When one of them cannot be used.
    """

    url: str
    rows: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    timeframes: Mapping[str, str] = field(default_factory=dict)
    limit: int = PAGE
    timeout_s: float = 10.0
    token: str = field(default="", repr=False)
    login_url: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    login_fields: tuple[str, str] = ("username", "password")
    login_form: bool = False

    def __post_init__(self) -> None:
        _check_address("url", self.url)
        _check_placeholders(self.url)
        for name, number in (("limit", self.limit), ("timeout_s", self.timeout_s)):
            if number <= 0:
                raise InvalidValue(name, number, "must be more than zero")
        if self.login_url:
            _check_address("login_url", self.login_url)
            if not (self.user and self.password):
                raise InvalidValue("login_url", self.login_url, "needs a user and a password")
        if not is_token(self.token):
            raise InvalidValue("token", "********", "must be printable ASCII without spaces")
        for name in self.fields:
            if name not in COLUMNS:
                raise InvalidValue("fields", name, f"name one of {', '.join(COLUMNS)}")

    def address(self, series: Series, since: int) -> str:
        """Return the address of the candles of a series from ``since`` (UTC milliseconds) on."""
        base, _, rest = series.symbol.partition("/")
        quoted = rest.partition(":")[0]
        frame = series.timeframe
        values = {
            "base": base,
            "quote": quoted,
            "symbol": series.symbol,
            "pair": base + quoted,
            "timeframe": self.timeframes.get(str(frame), str(frame)),
            "minutes": frame.ms // 60_000,
            "since_ms": since,
            "since_s": since // 1_000,
            "since_iso": f"{datetime.fromtimestamp(since // 1_000, UTC):%Y-%m-%dT%H:%M:%SZ}",
            "limit": self.limit,
        }
        return self.url.format_map({name: quote(str(text), "") for name, text in values.items()})


def _check_address(name: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        is_whole = parts.scheme in {"http", "https"} and bool(parts.hostname)
        has_login = "@" in parts.netloc
    except ValueError:
        is_whole = has_login = False
    if has_login:
        raise InvalidValue(name, "********", "write no user or password into it: use the login")
    if not is_whole:
        shown = "********" if "@" in url else url
        raise InvalidValue(name, shown, "write https://host/path")


def _check_placeholders(url: str) -> None:
    try:
        found = [part[1:] for part in string.Formatter().parse(url) if part[1] is not None]
    except ValueError:
        found = [("{", "", None)]
    for name, spec, conversion in found:
        if name not in PLACEHOLDERS or spec or conversion:
            known = " ".join(f"{{{one}}}" for one in PLACEHOLDERS)
            raise InvalidValue("url", f"{{{name}}}", f"use the placeholders {known}")


def is_token(text: str) -> bool:
    """Whether a text can be sent as a bearer token."""
    return text.isascii() and text.isprintable() and " " not in text
