"""Rules for recorded messages: where their numbers lie, and what ccxt has to make of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

Row = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Shape:
    """Where rows lie in a message, and in which columns of them are time, prices and volume.

    Attributes
    ----------
    path
        Names and numbers, with dots, to the row or the list of rows.
    columns
        Those of open time, open, high, low, close and volume.
    unit
        Of the time: milliseconds, seconds or ISO 8601.
    scales
        Decimal places by which integers of prices and volumes are moved.
    """

    path: str
    columns: tuple[str | int, ...]
    unit: str = "ms"
    scales: tuple[int, int] = (0, 0)

    def rows(self, message: Any) -> list[Row]:
        """Return the rows of a message in its order."""
        return [self._row(row) for row in self.raw(message)]

    def raw(self, message: Any) -> list[Any]:
        """Return the rows of a message as they are there."""
        found = message
        for step in filter(None, self.path.split(".")):
            found = found[int(step) if isinstance(found, list) else step]
        if not found:
            return []
        several = isinstance(found, list) and isinstance(found[0], list | dict)
        return found if several else [found]

    def _row(self, row: Any) -> Row:
        time, *prices, volume = (row[column] for column in self.columns)
        moved = (_moved(price, self.scales[0]) for price in prices)
        return (self._time(time), *moved, _moved(volume, self.scales[1]))

    def _time(self, time: Any) -> float:
        if self.unit == "iso":
            return datetime.fromisoformat(time[:19]).replace(tzinfo=UTC).timestamp() * 1_000
        return int(float(time)) * (1_000 if self.unit == "s" else 1)


def _moved(number: Any, places: int) -> float:
    return float(Decimal(str(number)).scaleb(-places))


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """Messages that ccxt has to read right.

    Attributes
    ----------
    exchange
        In ccxt.
    shape
        Of their rows.
    rows
        How many there are in all.
    first
        The first one, checked by hand; None where there is none.
    rest
        Whether these are answers of REST and not a stream's messages.
    holds
        Regular expression for what a recorded line holds that is such a message.
    markets
        Type of market by its name, where ccxt cannot tell without.
    scales
        Ccxt's names of the market's decimal places.
    """

    exchange: str
    shape: Shape
    rows: int
    first: Row | None
    rest: bool = False
    holds: str = ""
    markets: Mapping[str, str] = field(default_factory=dict)
    scales: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Misread:
    """Messages that ccxt reads not at all or wrongly, and why that is so."""

    exchange: str
    shape: Shape
    why: str
    rest: bool = False
    holds: str = ""


@dataclass(frozen=True, slots=True)
class NoExchange:
    """An exchange that ccxt does not have, at least not any more."""

    exchange: str


@dataclass(frozen=True, slots=True)
class NotWatched:
    """An exchange whose stream of candles ccxt does not read."""

    exchange: str


@dataclass(frozen=True, slots=True)
class NoCandles:
    """Something else than candles that came from an exchange."""

    why: str


Rule = Read | Misread | NoExchange | NotWatched | NoCandles
