"""Binance's wire: spot REST v3 and the kline stream."""

import json
from typing import Any

from shared.candle import Candle, Timeframe
from tests.market.exchange import Answer, Exchange, Said, text
from tests.market.script import Refusal

Query = dict[str, str]
_PAGE = 1_000
_REFUSALS = {
    "rate_limit": (
        429,
        {
            "code": -1003,
            "msg": "Too much request weight used; current limit is 6000 request weight per 1 "
            "MINUTE. Please use WebSocket Streams for live updates to avoid polling the API.",
        },
    ),
    "ban": (
        418,
        {
            "code": -1003,
            "msg": "Way too much request weight used; IP banned. Please use WebSocket Streams "
            "for live updates to avoid bans.",
        },
    ),
}


def options(base_url: str) -> dict[str, Any]:
    """Return what points ccxt's client here."""
    rest = f"{base_url}/binance"
    # ccxt tells spot streams by "/stream" in their address.
    stream = f"{rest.replace('http', 'ws', 1)}/stream/ws"
    return {
        "urls": {
            "api": {
                "public": f"{rest}/api/v3",
                "sapi": f"{rest}/sapi/v1",
                "ws": {"spot": stream},
            }
        },
        "options": {"fetchMarkets": {"types": ["spot"]}},
    }


def market_id(symbol: str) -> str:
    """Return Binance's name of a market."""
    return symbol.replace("/", "")


def answer(exchange: Exchange, path: str, query: Query) -> Any:
    """Return the body for a path of the API; None where there is none."""
    match path:
        case "api/v3/time":
            return {"serverTime": exchange.said_ms()}
        case "api/v3/exchangeInfo":
            return {
                "timezone": "UTC",
                "serverTime": exchange.said_ms(),
                "symbols": [_symbol(symbol) for symbol in exchange.symbols],
            }
        case "api/v3/klines":
            return _klines(exchange, query)
        case "sapi/v1/system/status":
            return {"status": 0, "msg": "normal"}
    return None


def refusal(fault: Refusal, path: str) -> Answer:
    """Return how Binance refuses."""
    if path == "sapi/v1/system/status" and fault.kind == "maintenance":
        return 200, {}, json.dumps({"status": 1, "msg": "system_maintenance"})
    if fault.kind in _REFUSALS:
        status, body = _REFUSALS[fault.kind]
        return status, {"Retry-After": str(fault.retry_after_s)}, json.dumps(body)
    if fault.kind == "maintenance":
        return 503, {}, "<html><body>Service Temporarily Unavailable</body></html>"
    return 502, {}, "<html><body>502 Bad Gateway</body></html>"


def greeting() -> list[Any]:
    """Return what the stream says first."""
    return []


def receive(
    exchange: Exchange, message: dict[str, Any]
) -> tuple[list[tuple[str, Timeframe]], list[Any]]:
    """Return the series that a client's message subscribes to, and the replies to it."""
    if message.get("method") != "SUBSCRIBE":
        return [], [{"result": None, "id": message.get("id")}]
    by_id = {market_id(symbol).lower(): symbol for symbol in exchange.symbols}
    wanted = [
        (by_id[stream], Timeframe(interval))
        for stream, _, interval in (name.partition("@kline_") for name in message["params"])
        # Binance says nothing of streams that it has not.
        if stream in by_id
    ]
    return wanted, [{"result": None, "id": message["id"]}]


def message(symbol: str, timeframe: Timeframe, said: Said) -> Any:
    """Return a message of the stream."""
    candle = said.candle
    return {
        "e": "kline",
        "E": said.at_ms,
        "s": market_id(symbol),
        "k": {
            "t": candle.open_time,
            "T": candle.open_time + timeframe.ms - 1,
            "s": market_id(symbol),
            "i": str(timeframe),
            "f": 100,
            "L": 200,
            "o": text(candle.open),
            "c": text(candle.close),
            "h": text(candle.high),
            "l": text(candle.low),
            "v": text(candle.volume),
            "n": 101,
            "x": said.closed,
            "q": text(round(candle.volume * candle.close, 8)),
            "V": "0",
            "Q": "0",
            "B": "0",
        },
    }


def _klines(exchange: Exchange, query: Query) -> list[list[Any]]:
    timeframe = Timeframe(query["interval"])
    limit = min(int(query.get("limit", 500)), _PAGE)
    symbol = next(name for name in exchange.symbols if market_id(name) == query["symbol"])
    rows = exchange.rows(symbol, timeframe, int(query.get("startTime", 0)))
    if "endTime" in query:
        rows = [row for row in rows if row.open_time <= int(query["endTime"])]
    if "startTime" in query:
        rows = rows[:limit]
    return [_kline(row, timeframe) for row in rows[-limit:]]


def _kline(candle: Candle, timeframe: Timeframe) -> list[Any]:
    return [
        candle.open_time,
        text(candle.open),
        text(candle.high),
        text(candle.low),
        text(candle.close),
        text(candle.volume),
        candle.open_time + timeframe.ms - 1,
        text(round(candle.volume * candle.close, 8)),
        101,
        "0",
        "0",
        "0",
    ]


def _symbol(symbol: str) -> dict[str, Any]:
    base, _, quote = symbol.partition("/")
    return {
        "symbol": market_id(symbol),
        "status": "TRADING",
        "baseAsset": base,
        "baseAssetPrecision": 8,
        "quoteAsset": quote,
        "quotePrecision": 8,
        "isSpotTradingAllowed": True,
        "filters": [
            {"filterType": "PRICE_FILTER", "tickSize": "0.00000001"},
            {"filterType": "LOT_SIZE", "stepSize": "0.00001000"},
        ],
        "permissions": ["SPOT"],
    }
