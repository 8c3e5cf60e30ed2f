"""What an exchange's module provides: the words in which it speaks."""

from typing import Any, Protocol

from shared.candle import Timeframe
from tests.market.exchange import Answer, Exchange, Said
from tests.market.script import Refusal


class Wire(Protocol):
    """`tests.market.binance` and the other modules of exchanges."""

    def options(self, base_url: str) -> dict[str, Any]:
        """Return what points ccxt's client here."""
        ...

    def answer(self, exchange: Exchange, path: str, query: dict[str, str]) -> Any:
        """Return the body for a path of the API; None where there is none."""
        ...

    def refusal(self, fault: Refusal, path: str) -> Answer:
        """Return how it refuses."""
        ...

    def greeting(self) -> list[Any]:
        """Return what the stream says first."""
        ...

    def receive(
        self, exchange: Exchange, message: dict[str, Any]
    ) -> tuple[list[tuple[str, Timeframe]], list[Any]]:
        """Return the series that a client's message subscribes to, and the replies to it."""
        ...

    def message(self, symbol: str, timeframe: Timeframe, said: Said) -> Any:
        """Return a message of the stream."""
        ...
