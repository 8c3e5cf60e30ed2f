"""What is used of ccxt's clients, for REST and websockets, and what has to be known of them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from producers.rows import Row
from shared.candle import Series

# Of one subscription: exchanges take a few hundred at most.
_AT_ONCE = 100
_LOOKED_BACK = 10


class Ccxt(Protocol):
    """What is used of a ccxt exchange.

    Attributes
    ----------
    lastRestRequestTimestamp
        When it has sent the last question, by this machine's clock, UTC milliseconds.
    """

    lastRestRequestTimestamp: float  # noqa: N815 -- ccxt's

    @property
    def id(self) -> str:
        """Name in ccxt."""
        ...

    @property
    def has(self) -> Mapping[str, Any]:
        """What it can do, by method."""
        ...

    @property
    def timeframes(self) -> Mapping[str, Any] | None:
        """Its timeframes in ccxt's spelling and its own."""
        ...

    @property
    def markets(self) -> Mapping[str, Any] | None:
        """What is traded, by symbol; None before `load_markets`."""
        ...

    def load_markets(self) -> Any:
        """Fetch what is traded."""
        ...

    def fetch_ohlcv(
        self, symbol: str, timeframe: str, since: int | None, limit: int | None
    ) -> Sequence[Sequence[Any]]:
        """Fetch candles from ``since`` (UTC milliseconds) on."""
        ...

    def fetch_time(self) -> int | None:
        """Fetch the exchange's clock."""
        ...

    def milliseconds(self) -> int:
        """Return this machine's clock."""
        ...

    @property
    def last_response_headers(self) -> Mapping[str, str] | None:
        """Headers of the last answer."""
        ...


class Client(Protocol):
    """What is used of a ccxt websocket client."""

    @property
    def has(self) -> Mapping[str, Any]:
        """What it can do, by method."""
        ...

    @property
    def markets(self) -> Mapping[str, Any]:
        """What is traded, by symbol."""
        ...

    @property
    def clients(self) -> Mapping[str, Any]:
        """Its connections, by address."""
        ...

    @property
    def ohlcvs(self) -> Mapping[str, Any]:
        """The candles that it holds, by symbol and mostly by timeframe."""
        ...

    async def watch_ohlcv(self, symbol: str, timeframe: str) -> Iterable[Row]:
        """Wait for news of one market; return the candles that have changed."""
        ...

    async def watch_ohlcv_for_symbols(
        self, symbols: Sequence[list[str]]
    ) -> Mapping[str, Mapping[str, Iterable[Row]]]:
        """Wait for news of several markets; return candles by symbol and timeframe."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


def held_of(client: Client, series: Series) -> list[Row]:
    """Return the newest candles of a series that a client holds."""
    frames = client.ohlcvs.get(series.symbol)
    # Some clients of ccxt keep them otherwise.
    held = frames.get(str(series.timeframe), ()) if isinstance(frames, Mapping) else ()
    return list(held)[-_LOOKED_BACK:]


def is_anew(client: Client, connections: list[Any]) -> bool:
    """Whether a connection of those seen before is gone; and see those there are.

    ccxt connects again by itself where one breaks while nobody waits for it, and tells nobody.
    """
    now = list(client.clients.values())
    anew = any(all(one is not other for other in now) for one in connections)
    connections[:] = now
    return anew


def groups_of(client: Client, series: Iterable[Series]) -> list[list[Series]]:
    """Return what is asked for in one subscription: markets of one kind, where it takes several."""
    if not client.has.get("watchOHLCVForSymbols"):
        return [[one] for one in series]
    kinds: dict[object, list[Series]] = {}
    for one in series:
        market = client.markets.get(one.symbol, {})
        kinds.setdefault((market.get("type"), market.get("linear")), []).append(one)
    return [
        kind[at : at + _AT_ONCE] for kind in kinds.values() for at in range(0, len(kind), _AT_ONCE)
    ]
