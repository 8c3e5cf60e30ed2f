"""Kraken's wire: spot REST and the ``ohlc`` channel of its second WebSocket API."""

import json
from datetime import UTC, datetime
from typing import Any

from shared.candle import Candle, Timeframe
from tests.market.exchange import Answer, Exchange, Said, text
from tests.market.script import Refusal

Query = dict[str, str]
_MINUTE_MS = 60_000
_PAGE = 720
_SNAPSHOT = 10
_INTERVALS = ("1m", "5m", "15m", "30m", "1h", "4h", "1d", "1w")
_ASSETS = {"BTC": "XXBT", "ETH": "XETH", "USD": "ZUSD", "EUR": "ZEUR"}
_ERRORS = {
    "rate_limit": "EAPI:Rate limit exceeded",
    "ban": "EGeneral:Temporary lockout",
    "error": "EGeneral:Internal error",
    "maintenance": "EService:Unavailable",
}


def options(base_url: str) -> dict[str, Any]:
    """Return what points ccxt's client here."""
    rest = f"{base_url}/kraken"
    stream = f"{rest.replace('http', 'ws', 1)}/v2"
    return {"urls": {"api": {"public": rest, "ws": {"publicV2": stream}}}}


def market_id(symbol: str) -> str:
    """Return Kraken's name of a market."""
    return "".join("XBT" if part == "BTC" else part for part in symbol.split("/"))


def answer(exchange: Exchange, path: str, query: Query) -> Any:
    """Return the body for a path of the API; None where there is none."""
    match path.removeprefix("0/public/"):
        case "Time":
            return _result({"unixtime": exchange.said_ms() // 1_000})
        case "SystemStatus":
            return _result({"status": "online", "timestamp": _iso(exchange.said_ms())})
        case "Assets":
            names = {part for symbol in exchange.symbols for part in symbol.split("/")}
            return _result({_ASSETS.get(name, name): _asset(name) for name in sorted(names)})
        case "AssetPairs":
            return _result({market_id(symbol): _pair(symbol) for symbol in exchange.symbols})
        case "OHLC":
            return _ohlc(exchange, query)
    return None


def refusal(fault: Refusal, path: str) -> Answer:
    """Return how Kraken refuses: by its own errors with status 200."""
    if path.endswith("SystemStatus") and fault.kind == "maintenance":
        return 200, {}, json.dumps(_result({"status": "maintenance"}))
    if fault.kind == "error":
        return 520, {}, "<html><body>520: Web server is returning an unknown error</body></html>"
    headers = {"Retry-After": str(fault.retry_after_s)} if fault.kind != "maintenance" else {}
    return 200, headers, json.dumps({"error": [_ERRORS[fault.kind]]})


def greeting() -> list[Any]:
    """Return what the stream says first."""
    state = {"version": "2.0.10", "system": "online", "api_version": "v2", "connection_id": 1}
    return [{"channel": "status", "type": "update", "data": [state]}]


def receive(
    exchange: Exchange, message: dict[str, Any]
) -> tuple[list[tuple[str, Timeframe]], list[Any]]:
    """Return the series that a client's message subscribes to, and the replies to it."""
    method, now = message.get("method"), _iso(exchange.said_ms())
    reply = {"method": method, "time_in": now, "time_out": now}
    if "req_id" in message:
        reply["req_id"] = message["req_id"]
    if method != "subscribe":
        return [], [reply | {"method": "pong"}]
    wanted: list[tuple[str, Timeframe]] = []
    replies: list[Any] = []
    minutes = message["params"]["interval"]
    for symbol in message["params"]["symbol"]:
        if symbol not in exchange.symbols:
            error = f"Currency pair not supported {symbol}"
            replies.append(reply | {"success": False, "error": error, "symbol": symbol})
            continue
        timeframe = _timeframe(minutes)
        result = {"channel": "ohlc", "interval": minutes, "snapshot": True, "symbol": symbol}
        replies.append(reply | {"success": True, "result": result})
        if rows := _newest(exchange, symbol, timeframe, _SNAPSHOT):
            replies.append(_said(symbol, timeframe, rows, "snapshot", exchange.said_ms()))
        wanted.append((symbol, timeframe))
    return wanted, replies


def message(symbol: str, timeframe: Timeframe, said: Said) -> Any:
    """Return a message of the stream, which has no flag for a closed candle."""
    return _said(symbol, timeframe, [said.candle], "update", said.at_ms)


def _said(
    symbol: str, timeframe: Timeframe, candles: list[Candle], kind: str, at_ms: int
) -> dict[str, Any]:
    return {
        "channel": "ohlc",
        "type": kind,
        "timestamp": _iso(at_ms),
        "data": [
            {
                "symbol": symbol,
                "open": candle.open,
                "high": candle.high,
                "low": candle.low,
                "close": candle.close,
                "trades": 101,
                "volume": candle.volume,
                "vwap": candle.close,
                "interval_begin": _iso(candle.open_time),
                "interval": timeframe.ms // _MINUTE_MS,
                "timestamp": _iso(candle.open_time + timeframe.ms),
            }
            for candle in candles
        ],
    }


def _ohlc(exchange: Exchange, query: Query) -> dict[str, Any]:
    timeframe = _timeframe(int(query.get("interval", 1)))
    symbol = next(name for name in exchange.symbols if market_id(name) == query["pair"])
    # Older ones cannot be had here, whatever is asked for.
    rows = _newest(exchange, symbol, timeframe, _PAGE)
    last = rows[-2].open_time // 1_000 if len(rows) > 1 else 0
    after = int(float(query.get("since", 0)))
    found = [_row(row) for row in rows if row.open_time // 1_000 > after]
    return _result({query["pair"]: found, "last": last})


def _newest(exchange: Exchange, symbol: str, timeframe: Timeframe, count: int) -> list[Candle]:
    # Twice as far back as without a hole: more holes than that are rows less.
    since = exchange.clock.now_ms() - 2 * count * timeframe.ms
    return exchange.rows(symbol, timeframe, since)[-count:]


def _row(candle: Candle) -> list[Any]:
    prices = map(text, (candle.open, candle.high, candle.low, candle.close, candle.close))
    return [candle.open_time // 1_000, *prices, text(candle.volume), 101]


def _timeframe(minutes: int) -> Timeframe:
    frames = map(Timeframe, _INTERVALS)
    return next(frame for frame in frames if frame.ms == minutes * _MINUTE_MS)


def _pair(symbol: str) -> dict[str, Any]:
    base, _, quote = symbol.partition("/")
    return {
        "altname": market_id(symbol),
        "wsname": symbol.replace("BTC", "XBT"),
        "base": _ASSETS.get(base, base),
        "quote": _ASSETS.get(quote, quote),
        "pair_decimals": 8,
        "lot_decimals": 8,
        "fees": [[0, 0.4]],
        "fees_maker": [[0, 0.25]],
        "leverage_buy": [],
        "ordermin": "0.00005",
        "costmin": "0.5",
        "status": "online",
    }


def _asset(name: str) -> dict[str, Any]:
    altname = "XBT" if name == "BTC" else name
    return {"aclass": "currency", "altname": altname, "decimals": 10, "status": "enabled"}


def _result(result: dict[str, Any]) -> dict[str, Any]:
    return {"error": [], "result": result}


def _iso(time_ms: int) -> str:
    seconds, rest = divmod(time_ms, 1_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:03}000000Z"
