"""Candle, Timeframe and Series: values that cannot be invalid."""

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Self

from shared.errors import InvalidValue

_UNIT_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_TIMEFRAMES = (
    *("1m", "3m", "5m", "10m", "15m", "30m"),
    *("1h", "2h", "3h", "4h", "6h", "8h", "12h"),
    *("1d", "3d", "1w"),
)
# Weekly candles open on Monday; the epoch was a Thursday.
_MONDAY_MS = 4 * _UNIT_MS["d"]
_INNER = ("open", "close")
_EXCHANGE = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_SYMBOL = re.compile(r"[A-Za-z0-9._/:-]{1,64}")
MARKET_PATTERN = f"{_EXCHANGE.pattern}:{_SYMBOL.pattern}"
"""What the name of a market looks like: ``exchange:symbol``."""
SERIES_PATTERN = f"{MARKET_PATTERN}:({'|'.join(_TIMEFRAMES)})"
"""What the name of a series looks like."""


@dataclass(frozen=True, slots=True)
class Timeframe:
    """The length of a candle in ccxt's spelling, ``1m`` to ``1w``.

    Raises
    ------
    InvalidValue
        When the name is none of the supported ones.

    Examples
    --------
    >>> Timeframe("1h").ms
    3600000
    """

    name: str

    def __post_init__(self) -> None:
        if self.name not in _TIMEFRAMES:
            raise InvalidValue("timeframe", self.name, f"use one of {', '.join(_TIMEFRAMES)}")

    def __str__(self) -> str:
        return self.name

    @property
    def ms(self) -> int:
        """Length in milliseconds."""
        return int(self.name[:-1]) * _UNIT_MS[self.name[-1]]

    @property
    def origin_ms(self) -> int:
        """A time at which a candle of this timeframe opens; all others are multiples away."""
        return _MONDAY_MS if self.name.endswith("w") else 0

    def floor(self, time_ms: int) -> int:
        """Open time of the candle that holds ``time_ms``."""
        return time_ms - (time_ms - self.origin_ms) % self.ms

    def check_open_time(self, open_time_ms: int) -> None:
        """Raise `InvalidValue` unless a candle of this timeframe can open then."""
        if self.floor(open_time_ms) != open_time_ms:
            raise InvalidValue(
                "open_time",
                open_time_ms,
                f"a {self.name} candle opens at multiples of {self.ms} ms (the nearest before is "
                f"{self.floor(open_time_ms)}); check the timeframe and the unit (milliseconds)",
            )

    def check_closed(self, open_time_ms: int, now_ms: int) -> None:
        """Raise `InvalidValue` unless the candle that opened then has closed by ``now_ms``."""
        if open_time_ms + self.ms > now_ms:
            raise InvalidValue(
                "open_time",
                open_time_ms,
                f"the candle closes at {open_time_ms + self.ms}, after now ({now_ms}); "
                "push closed candles only",
            )


@dataclass(frozen=True)
class Series:
    """Exchange, symbol and timeframe: the unit of learning, ordering and failure.

    Raises
    ------
    InvalidValue
        When the exchange or the symbol cannot be part of a key.

    Examples
    --------
    >>> Series.parse("binance:BTC/USDT:USDT:1h")
    Series(exchange='binance', symbol='BTC/USDT:USDT', timeframe=Timeframe(name='1h'))
    """

    exchange: str
    symbol: str
    timeframe: Timeframe

    def __post_init__(self) -> None:
        if not _EXCHANGE.fullmatch(self.exchange):
            raise InvalidValue(
                "exchange", self.exchange, "use ccxt's id: lower case letters, digits, '_', '-'"
            )
        if not _SYMBOL.fullmatch(self.symbol):
            raise InvalidValue(
                "symbol", self.symbol, "use ccxt's spelling, such as BTC/USDT or BTC/USDT:USDT"
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``exchange:symbol:timeframe``; the symbol may hold colons of its own."""
        exchange, _, rest = text.partition(":")
        symbol, _, timeframe = rest.rpartition(":")
        if not (exchange and symbol and timeframe):
            raise InvalidValue(
                "series", text, "write exchange:symbol:timeframe, such as binance:BTC/USDT:1h"
            )
        return cls(exchange, symbol, Timeframe(timeframe))

    @cached_property
    def _text(self) -> str:
        return f"{self.exchange}:{self.symbol}:{self.timeframe}"

    def __str__(self) -> str:
        return self._text


@dataclass(frozen=True, slots=True)
class Candle:
    """One closed OHLCV bar, named by its open time (UTC milliseconds).

    Raises
    ------
    InvalidValue
        When a price is not finite and positive, the volume not finite and >= 0, or the
        prices are out of order (low <= open, close <= high).
    """

    open_time: int
    open: float
    high: float
    low: float
    close: float
    volume: float

    def __post_init__(self) -> None:
        # One chained comparison accepts what is right; the slow path finds what is wrong.
        if not (
            0 < self.low <= self.open <= self.high < math.inf
            and self.low <= self.close <= self.high
            and 0 <= self.volume < math.inf
            and self.open_time >= 0
        ):
            raise self._fault()

    def _fault(self) -> InvalidValue:
        prices = ("open", "high", "low", "close")
        rules = [
            *((n, math.isfinite(getattr(self, n)), "must be finite") for n in (*prices, "volume")),
            *((name, getattr(self, name) > 0, "must be > 0") for name in prices),
            *((name, getattr(self, name) >= 0, "must be >= 0") for name in ("open_time", "volume")),
            ("low", self.low <= self.high, f"must be <= high ({self.high!r})"),
            *((n, getattr(self, n) >= self.low, f"must be >= low ({self.low!r})") for n in _INNER),
            *(
                (n, getattr(self, n) <= self.high, f"must be <= high ({self.high!r})")
                for n in _INNER
            ),
        ]
        name, remedy = next((name, remedy) for name, holds, remedy in rules if not holds)
        return InvalidValue(name, getattr(self, name), remedy)


def utc(time_ms: int) -> str:
    """Spell a time (UTC milliseconds) for people, to the minute.

    >>> utc(1_700_000_000_000)
    '2023-11-14 22:13'
    """
    return f"{datetime.fromtimestamp(time_ms / 1_000, UTC):%Y-%m-%d %H:%M}"
