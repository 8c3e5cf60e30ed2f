"""Venues: exchanges by ccxt, and data services of one's own, opened by name."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from pydantic import TypeAdapter, ValidationError

from producers.client import Ccxt, Client
from producers.connect import connect, connect_stream, streams
from producers.desk import Venue
from producers.exchange import Exchange
from producers.pause import Pause
from producers.rows import CandleSource
from producers.stream import Stream
from shared.candle import Series
from shared.errors import InvalidValue

# The last word of their streams on a candle is its final one: each says so in a field of its own,
# which ccxt leaves out. Others are asked again, by REST, before a candle goes on.
_FINAL = {"binance", "binanceus", "binanceusdm", "bybit", "okx"}


@dataclass(frozen=True, slots=True)
class CcxtVenue:
    """An exchange that ccxt knows.

    Attributes
    ----------
    source
        Where candles are asked for.
    is_final
        Whether the last word of its stream on a candle is the final one.
    connect_stream
        Returns a new websocket client; None where it has no stream.
    """

    source: Exchange
    is_final: bool
    connect_stream: Callable[[], Client] | None

    def _trusts(self, series: Series) -> bool:
        """Whether the last word of its stream on a candle is the final one.

        Of inverse contracts some streams tell the volume in another unit than REST.
        """
        base, _, rest = series.symbol.partition("/")
        return self.is_final and rest.partition(":")[2].partition("-")[0] != base

    def series(self, wanted: Series) -> Series:
        """Return a series, if the exchange has such a market."""
        return self.source.series(wanted.symbol, wanted.timeframe)

    def stream(self, series: Iterable[Series], ring: Callable[[], object]) -> Stream | None:
        """Return what follows series."""
        if self.connect_stream is None:
            return None
        return Stream(self.connect_stream, series, ring, trusts=self._trusts)


@dataclass(frozen=True, slots=True)
class HttpVenue:
    """A data service of one's own, which is polled."""

    source: CandleSource

    def series(self, wanted: Series) -> Series:
        """Return the series: only the service knows whether it has such candles."""
        return wanted

    def stream(self, series: Iterable[Series], ring: Callable[[], object]) -> Stream | None:  # noqa: ARG002
        """Return nothing: it is only polled."""
        return None


def open_venue(
    name: str,
    options: Mapping[str, Any] | None = None,
    *,
    follow: bool = True,
    confirm: bool = False,
    pause: Pause | None = None,
    source: Callable[[str, Mapping[str, Any] | None], Ccxt] | None = None,
) -> Venue:
    """Connect to an exchange, or to a data service: that is what has a ``url`` in its options.

    Parameters
    ----------
    name
        In ccxt, or of one's own.
    options
        For ccxt's constructor, or of the service (`producers.http_options.HttpOptions`).
    follow
        Whether to follow its stream, if it has one.
    confirm
        Ask for each candle by REST, even where the stream's word is final.
    pause
        The pauses that it has asked for so far.
    source
        Makes ccxt's client instead of `producers.connect.connect`.

    Raises
    ------
    InvalidValue
        When there is no such exchange, or an option of a service is wrong.
    ExchangeError
        When it cannot be reached.
    """
    if options and "url" in options:
        return _service(name, options, pause)
    client = source(name, options) if source else connect(name, options=options)
    exchange = Exchange(client, pause)
    is_final = name in _FINAL and not confirm
    if not (follow and streams(name)):
        return CcxtVenue(exchange, is_final, None)
    markets = client.markets or {}
    return CcxtVenue(exchange, is_final, lambda: connect_stream(name, markets, options))


def _service(name: str, options: Mapping[str, Any], pause: Pause | None) -> HttpVenue:
    from producers.http import HttpSource  # noqa: PLC0415 -- requests is an extra
    from producers.http_options import HttpOptions  # noqa: PLC0415

    known = [each.name for each in fields(HttpOptions)]
    for wrong in options.keys() - {*known}:
        raise InvalidValue(f"exchanges.{name}", wrong, f"a data service has {', '.join(known)}")
    try:
        checked = TypeAdapter(HttpOptions).validate_python(dict(options))
    except ValidationError as error:
        (fault, *_) = error.errors()
        if isinstance(cause := fault.get("ctx", {}).get("error"), InvalidValue):
            raise cause from None
        # Its value may be a secret.
        kind = type(fault["input"]).__name__
        field = ".".join(map(str, ("exchanges", name, *fault["loc"])))
        raise InvalidValue(field, kind, fault["msg"]) from None
    return HttpVenue(HttpSource(name, checked, pause))
