"""Candles as JSON objects: which series, and what makes them valid."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from producers.checks import NUMBERS
from producers.values import read_number, read_time
from shared.allowed import check_allowed
from shared.candle import Candle, Series
from shared.errors import InvalidValue
from shared.limits import Limits

_SHOWN = 80


def read_object(line: bytes) -> dict[str, Any]:
    """Return the object that a line holds.

    Raises
    ------
    InvalidValue
        When it holds something else.
    """
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        return found
    shown = line[:_SHOWN].decode(errors="replace").rstrip()
    remedy = 'write one JSON object a line, such as {"open_time": 1704067200000, "open": 1.5, ...}'
    raise InvalidValue("line", shown, remedy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What makes the object of a line a candle.

    Parameters
    ----------
    series
        The series of lines that name none.
    limits
        Which series are allowed, and how far a candle's close may be ahead of the clock.
    now_ms
        The time of day, UTC milliseconds.
    """

    series: Series | None
    limits: Limits
    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000

    def read_series(self, found: Mapping[str, Any]) -> Series:
        """Return the series that an object names; raise `InvalidValue` where it may not be."""
        name = found.get("series")
        series = self.series if name is None else Series.parse(str(name))
        if series is None:
            remedy = "name it in each line, or once by --series exchange:symbol:timeframe"
            raise InvalidValue("series", name, remedy)
        check_allowed(series, self.limits)
        return series

    def read_candle(self, series: Series, found: Mapping[str, Any]) -> Candle:
        """Return the closed candle of an object; raise `InvalidValue` where it is none."""
        for name in ("open_time", *NUMBERS):
            if found.get(name) is None:
                raise InvalidValue(name, None, "must be there, and not null")
        open_time = read_time(found["open_time"])
        series.timeframe.check_open_time(open_time)
        series.timeframe.check_closed(open_time, self.now_ms() + self.limits.unclosed_grace_ms)
        return Candle(open_time, *(read_number(name, found[name]) for name in NUMBERS))
