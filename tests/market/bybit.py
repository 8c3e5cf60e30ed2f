"""Bybit's wire: spot REST v5 and the kline topics of its public stream."""

import json
from typing import Any

from shared.candle import Candle, Timeframe
from tests.market.exchange import Answer, Exchange, Said, text
from tests.market.script import Refusal

Query = dict[str, str]
_PAGE = 1_000
_INTERVALS = {
    "1": "1m",
    "3": "3m",
    "5": "5m",
    "15": "15m",
    "30": "30m",
    "60": "1h",
    "120": "2h",
    "240": "4h",
    "360": "6h",
    "720": "12h",
    "D": "1d",
    "W": "1w",
}
_NAMES = {name: interval for interval, name in _INTERVALS.items()}


def options(base_url: str) -> dict[str, Any]:
    """Return what points ccxt's client here."""
    rest = f"{base_url}/bybit"
    stream = f"{rest.replace('http', 'ws', 1)}/v5/public/spot"
    return {
        "urls": {"api": {"public": rest, "ws": {"public": {"spot": stream}}}},
        "options": {"fetchMarkets": {"types": ["spot"]}, "defaultType": "spot"},
    }


def market_id(symbol: str) -> str:
    """Return Bybit's name of a market."""
    return symbol.replace("/", "")


def answer(exchange: Exchange, path: str, query: Query) -> Any:
    """Return the body for a path of the API; None where there is none."""
    match path.removeprefix("v5/"):
        case "market/time":
            seconds, rest = divmod(exchange.said_ms(), 1_000)
            nanoseconds = f"{seconds}{rest:03}000000"
            return _result(exchange, {"timeSecond": str(seconds), "timeNano": nanoseconds})
        case "market/instruments-info":
            markets = [_instrument(symbol) for symbol in exchange.symbols]
            return _result(exchange, {"category": "spot", "list": markets})
        case "market/kline":
            return _kline(exchange, query)
        case "system/status":
            return _result(exchange, {"list": []})
    return None


def refusal(fault: Refusal, path: str) -> Answer:
    """Return how Bybit refuses."""
    if path.endswith("system/status") and fault.kind == "maintenance":
        body = {"retCode": 0, "retMsg": "", "result": {"list": [{"state": "ongoing"}]}}
        return 200, {}, json.dumps(body)
    headers = {"Retry-After": str(fault.retry_after_s)}
    match fault.kind:
        case "rate_limit":
            body = {"retCode": 10006, "retMsg": "Too many visits. Exceeded the API Rate Limit."}
            return 200, headers, json.dumps(body | {"result": {}, "retExtInfo": {}})
        case "ban":
            return 403, headers, "<html><body>access too frequent</body></html>"
        case "maintenance":
            body = {"retCode": 10016, "retMsg": "System error. Please try again later."}
            return 200, {}, json.dumps(body | {"result": {}, "retExtInfo": {}})
    return 502, {}, "<html><body>502 Bad Gateway</body></html>"


def greeting() -> list[Any]:
    """Return what the stream says first."""
    return []


def receive(
    exchange: Exchange, message: dict[str, Any]
) -> tuple[list[tuple[str, Timeframe]], list[Any]]:
    """Return the series that a client's message subscribes to, and the replies to it."""
    reply = {
        "success": True,
        "ret_msg": "",
        "conn_id": "local",
        "req_id": message.get("req_id", ""),
        "op": message["op"],
    }
    if message["op"] == "ping":
        return [], [reply | {"ret_msg": "pong"}]
    by_id = {market_id(symbol): symbol for symbol in exchange.symbols}
    wanted = []
    for topic in message["args"] if message["op"] == "subscribe" else ():
        _, interval, name = topic.split(".")
        if name not in by_id:
            error = f"error:handler not found,topic:{topic}"
            return [], [reply | {"success": False, "ret_msg": error}]
        wanted.append((by_id[name], Timeframe(_INTERVALS[interval])))
    return wanted, [reply]


def message(symbol: str, timeframe: Timeframe, said: Said) -> Any:
    """Return a message of the stream."""
    candle, interval = said.candle, _NAMES[str(timeframe)]
    return {
        "type": "snapshot",
        "topic": f"kline.{interval}.{market_id(symbol)}",
        "data": [
            {
                "start": candle.open_time,
                "end": candle.open_time + timeframe.ms - 1,
                "interval": interval,
                "open": text(candle.open),
                "close": text(candle.close),
                "high": text(candle.high),
                "low": text(candle.low),
                "volume": text(candle.volume),
                "turnover": text(round(candle.volume * candle.close, 8)),
                "confirm": said.closed,
                "timestamp": said.at_ms,
            }
        ],
        "ts": said.at_ms,
    }


def _kline(exchange: Exchange, query: Query) -> dict[str, Any]:
    timeframe = Timeframe(_INTERVALS[query["interval"]])
    limit = min(int(query.get("limit", 200)), _PAGE)
    symbol = next(name for name in exchange.symbols if market_id(name) == query["symbol"])
    rows = exchange.rows(symbol, timeframe, int(query.get("start", 0)))
    if "end" in query:
        rows = [row for row in rows if row.open_time <= int(query["end"])]
    if "start" in query:
        rows = rows[:limit]
    # Newest first; what is there twice keeps its order.
    found = [_row(row) for row in sorted(rows[-limit:], key=lambda row: -row.open_time)]
    return _result(exchange, {"category": "spot", "symbol": query["symbol"], "list": found})


def _row(candle: Candle) -> list[str]:
    prices = (candle.open, candle.high, candle.low, candle.close, candle.volume)
    turnover = text(round(candle.volume * candle.close, 8))
    return [str(candle.open_time), *map(text, prices), turnover]


def _instrument(symbol: str) -> dict[str, Any]:
    base, _, quote = symbol.partition("/")
    return {
        "symbol": market_id(symbol),
        "baseCoin": base,
        "quoteCoin": quote,
        "status": "Trading",
        "marginTrading": "none",
        "lotSizeFilter": {"basePrecision": "0.00001", "quotePrecision": "0.00000001"},
        "priceFilter": {"tickSize": "0.00000001"},
    }


def _result(exchange: Exchange, result: dict[str, Any]) -> dict[str, Any]:
    return {
        "retCode": 0,
        "retMsg": "OK",
        "result": result,
        "retExtInfo": {},
        "time": exchange.said_ms(),
    }
