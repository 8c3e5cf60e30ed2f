"""Rows of an exchange: who gives them, and which of them are candles."""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

from shared.candle import Candle, Series
from shared.errors import CandlecastError, InvalidValue

# Clocks of machines differ, and the exchange's may not be known.
_AHEAD_MS = 600_000
_REMEMBERED = 1_000
_NO_CANDLE = (ArithmeticError, InvalidValue, TypeError, ValueError)

Row = Sequence[Any]
"""Open time (UTC milliseconds), open, high, low, close, volume."""


class ExchangeError(CandlecastError):
    """An exchange is unknown, cannot be reached or refuses what was asked."""


class Unreachable(ExchangeError):
    """The network or the exchange fails for now."""


class Paused(Unreachable):
    """It is not asked at all for now, since it has asked for a pause.

    Attributes
    ----------
    left_s
        Seconds until it may be asked again.
    """

    def __init__(self, text: str, left_s: float) -> None:
        super().__init__(text)
        self.left_s = left_s


class CandleSource(Protocol):
    """What `ExchangeFeed` needs of an exchange or a data service."""

    @property
    def name(self) -> str:
        """What errors call it."""
        ...

    @property
    def is_unsure(self) -> bool:
        """Whether that time has to be heard first: any question does."""
        ...

    def now_ms(self) -> int:
        """Return the time by which its candles close, UTC milliseconds."""
        ...

    def rows(self, series: Series, since: int) -> Sequence[Row]:
        """Fetch rows of open time (UTC milliseconds), open, high, low, close and volume.

        They open at ``since`` or later and are in order, the first ones that there are.

        Raises
        ------
        Unreachable
            When asking again may help.
        ExchangeError
            When it may not.
        """
        ...


class CandleStream(Protocol):
    """What `ExchangeFeed` needs of what an exchange pushes: see `producers.stream.Stream`."""

    def closed(self, series: Series, open_time: int, latest: float) -> Row | None:
        """Return a candle that has closed for certain at ``latest`` (UTC milliseconds)."""
        ...

    def compare(self, series: Series, row: Row) -> None:
        """Hear from elsewhere of a candle that has just closed."""
        ...


class Rows:
    """Reads rows of one series.

    Parameters
    ----------
    series
        Of all of them.
    refuse
        Called with a row (JSON) that is no valid candle and the reason, once for each.
    """

    def __init__(self, series: Series, refuse: Callable[[str, str], object]) -> None:
        self._series = series
        self._refuse = refuse
        self._refused: set[int] = set()

    def refuse_ahead(self, rows: Sequence[Row], now_ms: int) -> None:
        """Refuse those that open long after now (UTC milliseconds, by the exchange's clock)."""
        for row in rows:
            if row[0] > now_ms + _AHEAD_MS:
                self._set_aside(row, f"opens long after now ({now_ms} by the exchange's clock)")

    def read(self, row: Row) -> Candle | None:
        """Return the candle that a row is; None, once it was refused, where it is none."""
        try:
            return self._parsed(row)
        except _NO_CANDLE as error:
            self._set_aside(row, str(error))
            return None

    def candle(self, row: Row) -> Candle | None:
        """Return the candle that a row is; None where it is none."""
        with suppress(*_NO_CANDLE):
            return self._parsed(row)
        return None

    def _parsed(self, row: Row) -> Candle:
        open_time = int(row[0])
        self._series.timeframe.check_open_time(open_time)
        _, open_, high, low, close, volume = row[:6]
        # Markets without trades of their own (indices) have no volume.
        return Candle(open_time, *map(float, (open_, high, low, close, volume or 0.0)))

    def _set_aside(self, row: Row, why: str) -> None:
        """Refuse a row once: asked for again, it is still the same one."""
        open_time = int(row[0])
        if open_time not in self._refused:
            self._refuse(json.dumps(row, default=str), why)
            if len(self._refused) >= _REMEMBERED:
                self._refused.clear()
            self._refused.add(open_time)
