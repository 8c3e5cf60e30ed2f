"""ccxt's clients, made by name: REST, and websockets where an exchange has them."""

import contextlib
import threading
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from producers.client import Ccxt
from producers.exchange import UNEXPECTED, nearest
from shared.errors import CandlecastError, InvalidValue

if TYPE_CHECKING:
    from producers.client import Client

PUBLIC = ("binance", "kraken", "okx", "bybit", "kucoin", "bitfinex", "coinbase")
"""Exchanges that give candles without an account, in the order in which they are preferred."""

_TIMEOUT_S = 8.0


def connect(
    name: str, timeout_s: float = _TIMEOUT_S, options: Mapping[str, Any] | None = None
) -> Ccxt:
    """Return ccxt's exchange of that name, its rate limit respected; nothing is fetched yet.

    Parameters
    ----------
    name
        In ccxt.
    timeout_s
        Of one request.
    options
        For ccxt's constructor: a proxy, a host, ``options`` of the exchange.

    Raises
    ------
    InvalidValue
        When ccxt has no such exchange, or it gives no candles.
    """
    try:
        import ccxt  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise CandlecastError("live candles need ccxt: pip install 'candlecast[live]'") from error
    if name not in ccxt.exchanges:
        raise InvalidValue("exchange", name, f"ccxt has {nearest(name, ccxt.exchanges)}")
    source: Ccxt = getattr(ccxt, name)(_settings(timeout_s, options))
    if not source.has.get("fetchOHLCV"):
        raise InvalidValue("exchange", name, "it gives no candles; choose another one")
    return source


def streams(name: str) -> bool:
    """Whether ccxt follows the candles of an exchange by websocket."""
    import ccxt.pro  # noqa: PLC0415 (an extra)

    return name in ccxt.pro.exchanges and bool(getattr(ccxt.pro, name)().has.get("watchOHLCV"))


def connect_stream(
    name: str, markets: Mapping[str, Any], options: Mapping[str, Any] | None = None
) -> "Client":
    """Return ccxt's websocket client of an exchange, which knows its markets already.

    To be called where an event loop runs.
    """
    import ccxt.pro  # noqa: PLC0415 (an extra)

    client = getattr(ccxt.pro, name)(_settings(_TIMEOUT_S, options))
    client.set_markets(markets)
    return client  # type: ignore[no-any-return]


def _settings(timeout_s: float, options: Mapping[str, Any] | None) -> dict[str, Any]:
    return {"enableRateLimit": True, "timeout": round(timeout_s * 1_000), **(options or {})}


def first_reachable(names: Iterable[str] = PUBLIC, timeout_s: float = 5.0) -> str | None:
    """Return the first of the exchanges that answers within the time, None where none does.

    All are asked at once, and none can hold this up longer: a name server that does not answer
    would block for minutes.
    """
    asked = {name: _Probe(name, timeout_s) for name in names}
    deadline = time.monotonic() + timeout_s
    for name, probe in asked.items():
        probe.join(max(0.0, deadline - time.monotonic()))
        if probe.answered:
            return name
    return None


class _Probe(threading.Thread):
    def __init__(self, name: str, timeout_s: float) -> None:
        super().__init__(daemon=True)
        self.source = connect(name, timeout_s)
        self.answered = False
        self.start()

    def run(self) -> None:
        import ccxt  # noqa: PLC0415 (an extra)

        with contextlib.suppress(ccxt.BaseError, *UNEXPECTED):
            # Candles themselves: some exchanges answer with their time where they do not serve.
            self.answered = bool(self.source.fetch_ohlcv("BTC/USDT", "1m", None, 2))
