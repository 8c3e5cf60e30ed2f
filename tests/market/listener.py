"""A real ccxt.pro client that watches candles of the local exchange and keeps all it hears."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import ccxt.pro
import pytest

from tests.market.server import Server, options

Row = tuple[float, ...]
_SYMBOL = "BTC/USDT"


class Listener:
    """Watches the minutes of BTC/USDT from its start on, again after each error of the network.

    Parameters
    ----------
    server, exchange
        Whom it listens to.
    **settings
        More settings for ccxt's constructor.

    Attributes
    ----------
    client
        Ccxt's client.
    raw
        Messages with candles as they came.
    seen
        Rows that ``watch_ohlcv`` gave, oldest first, each as it was then.
    errors
        What ``watch_ohlcv`` raised.
    """

    def __init__(self, server: Server, exchange: str, **settings: Any) -> None:
        self.client: Any = getattr(ccxt.pro, exchange)(options(exchange, server.url) | settings)
        self.raw: list[Any] = []
        self.seen: list[Row] = []
        self.errors: list[Exception] = []
        self._read = self.client.handle_ohlcv
        self.client.handle_ohlcv = self._hear

    async def __aenter__(self) -> Self:
        await self.client.load_markets()
        self._task = asyncio.ensure_future(self._watch())
        await self.until(lambda: self.seen or self.errors, "the stream begins")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self.client.close()

    @property
    def held(self) -> list[Row]:
        """Rows as the client holds them now."""
        return [tuple(row) for row in self.client.ohlcvs[_SYMBOL]["1m"]]

    async def until(self, condition: Callable[[], object], says: str) -> None:
        """Wait until it holds, or fail with what was waited for."""
        deadline = time.monotonic() + 20
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail(f"not within 20 s: {says}; {self.seen[-3:]}, {self.errors[-3:]}")
            await asyncio.sleep(0.01)

    def _hear(self, client: Any, message: Any) -> None:
        self.raw.append(message)
        self._read(client, message)

    async def _watch(self) -> None:
        while True:
            try:
                rows = await self.client.watch_ohlcv(_SYMBOL, "1m")
            except ccxt.NetworkError as error:
                self.errors.append(error)
                await asyncio.sleep(0.01)
            else:
                # Copies: the client goes on to write into rows that it has handed out.
                self.seen.extend(tuple(row) for row in rows)
