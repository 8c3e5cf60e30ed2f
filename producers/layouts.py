"""Layouts of candle tables: what the known sources call the columns, and how to tell them apart."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from producers.checks import COLUMNS, NUMBERS

BANNER = "cryptodatadownload.com"

_PRICES = NUMBERS[:-1]
_NUMBER = r"-?\d*\.?\d+(?:[eE][-+]?\d+)?"


@dataclass(frozen=True, slots=True)
class Layout:
    """How a source names the columns of a candle, in lower case; others are ignored.

    Attributes
    ----------
    source : str
        Whose layout it is, for errors.
    open_time : str
        Column of the open time; it alone tells the layouts apart.
    volume : str
        Column of the volume in the base currency.
    newest_first : bool
        Whether the source writes its rows from new to old.
    """

    source: str
    open_time: str
    volume: str = "volume"
    newest_first: bool = False

    def columns(self, names: Sequence[str], symbol: str) -> list[str]:
        """Return the columns that are `checks.COLUMNS` here; some may not be among ``names``."""
        volume = self.volume if self.volume in names else _base_volume(names, symbol)
        return [self.open_time, *_PRICES, volume or self.volume]


# The first one whose open time is among the columns counts: CryptoDataDownload's files have a date
# beside it, which is freqtrade's column.
LAYOUTS = (
    Layout("Candlecast, Binance Vision", "open_time"),
    Layout("CryptoDataDownload", "unix", newest_first=True),
    Layout("older CryptoDataDownload", "unix timestamp", newest_first=True),
    Layout("MetaTrader 5", "time", "tick_volume"),
    Layout("Polygon", "datetime"),
    Layout("freqtrade", "date"),
)


@dataclass(frozen=True, slots=True)
class Headless:
    """A layout of CSV files without a header: the form of a line, and what its columns are."""

    source: str
    exchange: str
    line: re.Pattern[str]
    columns: tuple[str, ...]


HEADLESS = (
    Headless(
        "Kraken OHLCVT",
        "kraken",
        re.compile(rf"\d{{9,10}}(,{_NUMBER}){{5}},\d+"),
        (*COLUMNS, "trades"),
    ),
    Headless(
        "Binance Vision",
        "binance",
        # Open and close time are both in milliseconds, or both in microseconds (from 2025 on).
        re.compile(rf"(\d{{13}}|\d{{16}})(,{_NUMBER}){{5}},(\d{{13}}|\d{{16}})(,{_NUMBER}){{5}}"),
        (*COLUMNS, "close_time", "quote_volume", "count", "taker_base", "taker_quote", "ignore"),
    ),
)


def layout_of(names: Sequence[str]) -> Layout | None:
    """Return the layout of a table by the names of its columns in lower case.

    >>> layout_of(["date", "open", "high", "low", "close", "volume"]).source
    'freqtrade'
    """
    return next((layout for layout in LAYOUTS if layout.open_time in names), None)


def headless(line: str) -> Headless | None:
    """Return the layout of a CSV file without a header by its first line.

    >>> headless("1667689200,21301.4,21310.2,21247.3,21299.5,13.4133852,550").source
    'Kraken OHLCVT'
    """
    return next((layout for layout in HEADLESS if layout.line.fullmatch(line)), None)


def is_header(line: str) -> bool:
    """Whether a line of a CSV file begins with a name and not with a number."""
    return re.fullmatch(_NUMBER, line.split(",", 1)[0].strip('" ')) is None


def known() -> str:
    """Say which layouts there are, for errors."""
    tables = [f"{layout.open_time} ({layout.source})" for layout in LAYOUTS]
    rows = [f"{layout.source} ({len(layout.columns)} columns)" for layout in HEADLESS]
    return f"by column {', '.join(tables)}; without a header {', '.join(rows)}"


def _base_volume(names: Sequence[str], symbol: str) -> str | None:
    """Return the volume in the base currency of two, such as ``Volume BTC`` and ``Volume USD``."""
    pair = re.sub("[^a-z0-9]", "", symbol.lower())
    currencies = [name.removeprefix("volume ") for name in names if name.startswith("volume ")]
    bases = [
        base
        for base in currencies
        if any(pair == base + quote for quote in currencies if quote != base)
    ]
    return f"volume {bases[0]}" if len(bases) == 1 else None
