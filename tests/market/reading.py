"""What the real clients read of the local exchange, and what they should have read."""

from typing import Any

import ccxt

from shared.candle import Candle, Timeframe
from tests.market.market import Market
from tests.market.server import Server, options

MINUTE = 60_000
START = 1_750_032_000_000
SYMBOL = "BTC/USDT"
_ONE_MINUTE = Timeframe("1m")


def client(exchange: str, url: str) -> Any:
    """A client as `producers.exchange.connect` makes it, pointed at the server."""
    return getattr(ccxt, exchange)({"enableRateLimit": True} | options(exchange, url))


def row(candle: Candle) -> list[float]:
    """A candle as ccxt writes it."""
    values = (candle.open, candle.high, candle.low, candle.close, candle.volume)
    return [candle.open_time, *values]


def closed(market: Market, since: int, until: int, timeframe: Timeframe = _ONE_MINUTE) -> Any:
    """The market's own final rows."""
    return [row(candle) for candle in market.history(SYMBOL, timeframe, until, since)]


def minutes(server: Server, exchange: str, since: int = START - 10 * MINUTE) -> list[list[float]]:
    """The minutes that a client reads by REST."""
    found: list[list[float]] = client(exchange, server.url).fetch_ohlcv(SYMBOL, "1m", since, 500)
    return found
