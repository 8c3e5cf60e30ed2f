"""One client's stream: its subscriptions, what it is told, and how it is cut off."""

import asyncio
import json
import socket as sockets
import struct

from aiohttp import WSMsgType, web

from shared.candle import Timeframe
from tests.market.exchange import Exchange
from tests.market.script import Disconnect
from tests.market.wire import Wire

_TICK_S = 0.02
_OPEN_EVERY_MS = 1_000  # of the market's time, between two messages about an open candle


class Stream:
    """Speaks to one client until either side ends it."""

    def __init__(self, exchange: Exchange, wire: Wire, request: web.Request) -> None:
        self._exchange = exchange
        self._wire = wire
        self._request = request
        self._silent = False
        # By series: until when all has been said of closed candles, and of the open one.
        self._said_ms: dict[tuple[str, Timeframe], tuple[int, int]] = {}
        # Pings are answered here, since silence answers none.
        self._socket = web.WebSocketResponse(autoping=False)

    async def run(self) -> web.WebSocketResponse:
        """Serve the client."""
        await self._socket.prepare(self._request)
        await self._send(*self._wire.greeting())
        listening = asyncio.ensure_future(self._listen())
        speaking = asyncio.ensure_future(self._speak())
        try:
            await asyncio.wait((listening, speaking), return_when=asyncio.FIRST_COMPLETED)
        finally:  # also where the server stops
            listening.cancel()
            speaking.cancel()
            await asyncio.gather(listening, speaking, return_exceptions=True)
        return self._socket

    async def _listen(self) -> None:
        async for received in self._socket:
            self._disconnect()
            if self._silent:
                continue
            if received.type == WSMsgType.PING:
                await self._socket.pong(received.data)
            elif received.type == WSMsgType.TEXT:
                # Before the snapshot, so that what closes meanwhile is not passed over.
                now_ms = self._exchange.clock.now_ms()
                wanted, replies = self._wire.receive(self._exchange, json.loads(received.data))
                await self._send(*replies)
                self._said_ms.update((series, (now_ms, 0)) for series in wanted)

    async def _speak(self) -> None:
        while not self._socket.closed:
            await asyncio.sleep(_TICK_S)
            now_ms = self._exchange.clock.now_ms()
            fault = self._disconnect()
            if fault == "close":
                await self._socket.close(code=1001)
            elif fault == "reset":
                self._reset()
                return
            elif not self._silent:
                for series in list(self._said_ms):
                    await self._say(series, now_ms)

    async def _say(self, series: tuple[str, Timeframe], now_ms: int) -> None:
        symbol, timeframe = series
        after_ms, open_ms = self._said_ms[series]
        entries = self._exchange.said(symbol, timeframe, after_ms, now_ms)
        current = self._exchange.said_open(symbol, timeframe, now_ms)
        if current and now_ms >= open_ms + _OPEN_EVERY_MS:
            entries.append(current)
            open_ms = now_ms
        self._said_ms[series] = (now_ms, open_ms)
        await self._send(*(self._wire.message(symbol, timeframe, entry) for entry in entries))

    async def _send(self, *messages: object) -> None:
        for message in messages:
            await self._socket.send_str(json.dumps(message))

    def _disconnect(self) -> str | None:
        """Return how the script ends streams now, if it does; a silence lasts."""
        now_ms = self._exchange.clock.now_ms()
        fault = self._exchange.script.active(Disconnect, self._exchange.name, now_ms)
        self._silent |= fault is not None and fault.how == "silence"
        return fault.how if fault else None

    def _reset(self) -> None:
        """End the connection as a crash does: TCP's reset, without a word."""
        transport = self._request.transport
        if transport is not None:
            socket = transport.get_extra_info("socket")
            linger_none = struct.pack("ii", 1, 0)
            socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, linger_none)
            transport.abort()
