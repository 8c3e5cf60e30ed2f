"""A local exchange: Binance, Kraken and Bybit for the real ccxt clients, without a network.

In a test::

    with Server(Clock(start_ms, factor=0), [Hole(from_s=60, until_s=120)]) as server:
        ccxt.kraken(options("kraken", server.url)).fetch_ohlcv("BTC/USDT")

As a process, which prints its address and its clock as one line of JSON when it is ready::

    python -m tests.market.server --ago-s 7200 --factor 60 --script '[{"fault": "Late", "by_s": 3}]'

`tests.market.market.Market` is a pure function of exchange, script and start, so that a test reads
the exchange's own final history without asking the process.

A market that runs fast has to run in the past
----------------------------------------------
Redis, the workers and the machine live in real time. A market at 60 times that speed starts hours
ago and comes nearer to now; when it meets the machine's clock it goes on in step with it. So:

- Redis takes an open candle of such a market without a word, since for its clock the candle closed
  hours ago. Only the log compared with ``Market.history`` shows a candle that came too early.
- ``valid_until`` is over at once, so forecasts are stale; their keys live a day and can be read.
- ccxt knows the market's clock only by ``fetch_time``: a client has to ask for it each time, or
  read `Clock.now_ms` as its own. What it measured a second ago is a minute wrong at 60 times.
- A client that sleeps until the next close has to sleep ``1 / factor`` of it, and its limit of
  requests (`options` lifts ccxt's) and graces of seconds are as many times longer in the market.
- A pause of the machine (a kill, a restart, a slow core) is as many times longer in the market.
- So is connecting: a stream says nothing of what closed before its subscription (but for Kraken's
  snapshot), and at 60 times half a second to connect is half a minute that only REST knows.
"""

import argparse
import asyncio
import json
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from tests.market import binance, bybit, kraken
from tests.market.clock import Clock, machine_now_ms
from tests.market.exchange import Exchange
from tests.market.market import Market
from tests.market.script import Fault, Refusal, Script, load
from tests.market.streams import Stream
from tests.market.wire import Wire

WIRES: dict[str, Wire] = {"binance": binance, "kraken": kraken, "bybit": bybit}
SYMBOLS = ("BTC/USDT", "ETH/USDT")


def options(exchange: str, base_url: str) -> dict[str, Any]:
    """Return the settings for ccxt's constructor that point its client at the server."""
    return WIRES[exchange].options(base_url) | {"rateLimit": 1}


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that came, at that time of the market."""

    at_ms: int
    exchange: str
    path: str
    query: dict[str, str]


class Server:
    """All exchanges on one port of the loopback address, in a thread of its own.

    Attributes
    ----------
    url
        Its address.
    clock
        The exchanges' clock.
    asked
        All requests so far, streams among them.
    """

    def __init__(
        self,
        clock: Clock,
        faults: Iterable[Fault] = (),
        symbols: Iterable[str] = SYMBOLS,
        port: int = 0,
    ) -> None:
        self.clock = clock
        self.asked: list[Asked] = []
        script = Script(faults, clock.start_ms)
        self._exchanges = {name: Exchange(name, tuple(symbols), script, clock) for name in WIRES}
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))
        self.url = ""

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._listening.wait(10), "the exchange does not listen"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()

    def market(self, exchange: str) -> Market:
        """Return the truth of an exchange's candles."""
        return self._exchanges[exchange].market

    async def _serve(self) -> None:
        app = web.Application()
        app.router.add_get("/clock", self._show_clock)
        app.router.add_post("/clock", self._set_clock)
        app.router.add_get("/asked", self._show_asked)
        app.router.add_get("/{exchange}/{path:.*}", self._answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self._port)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._listening.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        name, path = request.match_info["exchange"], request.match_info["path"]
        now_ms = self.clock.now_ms()
        self.asked.append(Asked(now_ms, name, path, dict(request.query)))
        if name not in WIRES:
            return web.Response(status=404, text=f"exchange={name!r}: here are {', '.join(WIRES)}")
        exchange, wire = self._exchanges[name], WIRES[name]
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await Stream(exchange, wire, request).run()
        if fault := exchange.script.active(Refusal, name, now_ms):
            status, headers, body = wire.refusal(fault, path)
            return web.Response(status=status, headers=headers, text=body)
        found = wire.answer(exchange, path, dict(request.query))
        if found is None:
            return web.Response(status=404, text=f"path={path!r}: not part of this {name}")
        return web.json_response(found)

    async def _show_clock(self, _: web.Request) -> web.Response:
        return web.json_response({"now_ms": self.clock.now_ms()} | self.clock.as_json())

    async def _set_clock(self, request: web.Request) -> web.Response:
        factor = request.query.get("factor")
        self.clock.set(int(request.query["now_ms"]), None if factor is None else float(factor))
        return await self._show_clock(request)

    async def _show_asked(self, _: web.Request) -> web.Response:
        return web.json_response([asdict(entry) for entry in self.asked])


def main() -> None:
    """Serve until interrupted or terminated."""
    parser = argparse.ArgumentParser(prog="python -m tests.market.server")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--start-ms", type=int, help="the clock's start, UTC milliseconds")
    parser.add_argument("--ago-s", type=float, default=7_200, help="or so long before now")
    parser.add_argument("--factor", type=float, default=1.0, help="times faster than real time")
    parser.add_argument("--skew-ms", type=int, default=0, help="ahead of the machine in the end")
    parser.add_argument("--script", default="[]", help="JSON, FILE.json or a module with FAULTS")
    parser.add_argument("--symbols", nargs="+", default=SYMBOLS)
    args = parser.parse_args()
    start_ms = args.start_ms or machine_now_ms() - round(args.ago_s * 1_000)
    clock = Clock(start_ms, args.factor, args.skew_ms)
    with Server(clock, load(args.script), args.symbols, args.port) as server:
        print(json.dumps({"url": server.url, "clock": clock.as_json()}), flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
