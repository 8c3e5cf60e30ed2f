"""Candles from any exchange that ccxt knows, by polling its REST ``fetch_ohlcv``."""

import difflib
import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import structlog

from producers.client import Ccxt
from producers.exchange_clock import ExchangeClock
from producers.pause import Pause, asked_s
from producers.rows import ExchangeError, Unreachable
from shared.candle import Series, Timeframe
from shared.errors import InvalidValue

PAGE = 500
_SHOWN = 20
# What ccxt's parsers raise at an answer that they do not expect.
UNEXPECTED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)

log = structlog.get_logger(__name__)


class Exchange:
    """One exchange: its clock, its markets and its candles, with errors translated.

    Parameters
    ----------
    source
        A ccxt exchange, see `producers.connect`.
    pause
        The pauses that it has asked for; of its own by default.

    Raises
    ------
    Unreachable
        When it cannot be reached, lists no markets, or has asked for a pause.
    ExchangeError
        When it refuses.
    """

    def __init__(self, source: Ccxt, pause: Pause | None = None) -> None:
        self._source = source
        self._pause = pause or Pause(source.id)
        self._clock = ExchangeClock(source, self._pause.clock, self._call, self._header)
        self._pause.check()
        self._call(source.load_markets)
        if not source.markets:
            raise Unreachable(f"{self.name} lists no markets")
        self._clock.hear()
        self._clock.check()

    @property
    def name(self) -> str:
        """Name in ccxt."""
        return self._source.id

    def now_ms(self) -> int:
        """Return the exchange's own time, UTC milliseconds: see `ExchangeClock`."""
        if not self._pause.left_s:
            self._clock.check()
        return self._clock.now_ms()

    @property
    def is_unsure(self) -> bool:
        """Whether this machine's clock was set, and the exchange's was not heard since."""
        return self._clock.is_unsure

    def series(self, symbol: str, timeframe: Timeframe) -> Series:
        """Return the series of a market.

        Raises
        ------
        InvalidValue
            When the exchange has not this symbol or timeframe; names those that come nearest.
        """
        markets = self._source.markets or {}
        if symbol not in markets:
            raise InvalidValue("symbol", symbol, f"{self.name} has {nearest(symbol, markets)}")
        timeframes = self._source.timeframes or {}
        if str(timeframe) not in timeframes:
            raise InvalidValue(
                "timeframe", str(timeframe), f"{self.name} has {_listed(timeframes)}"
            )
        return Series(self.name, symbol, timeframe)

    def rows(self, series: Series, since: int) -> list[Sequence[Any]]:
        """Fetch rows of open time, open, high, low, close and volume from ``since`` on, in order.

        Rows without a time belong nowhere: they are logged and left out.

        An exchange that finds itself asked too often is left alone, for all its series, for as long
        as it says, or longer each time: to go on asking would get this address banned.

        Raises
        ------
        Unreachable
            When the network or the exchange fails, or it has asked for a pause; asking again may
            help.
        ExchangeError
            When the exchange refuses, or answers what cannot be read.
        """
        self._pause.check()
        self._clock.check()
        self._pause.check()
        self._clock.question = partial(self._fetch, series, since)
        found = self._call(self._clock.question)
        self._pause.forget()
        self._clock.hear()
        timed = [row for row in found if _has_time(row)]
        if without := len(found) - len(timed):
            example = next(repr(row) for row in found if not _has_time(row))
            log.warning("rows_without_time", series=str(series), rows=without, example=example)
        return sorted((row for row in timed if row[0] >= since), key=lambda row: int(row[0]))

    def _fetch(self, series: Series, since: int) -> list[Sequence[Any]]:
        frame = str(series.timeframe)
        return list(self._source.fetch_ohlcv(series.symbol, frame, since, PAGE))

    def _header(self, name: str) -> str:
        headers = self._source.last_response_headers or {}
        return {known.lower(): text for known, text in headers.items()}.get(name, "")

    def _call(self, function: Callable[..., Any], *args: Any) -> Any:
        import ccxt  # noqa: PLC0415 (an extra)

        if self._source.lastRestRequestTimestamp > self._source.milliseconds():
            # The clock was set back: for the sake of its rate limit it would sleep until then.
            self._source.lastRestRequestTimestamp = 0
        try:
            return function(*args)
        except (ccxt.RateLimitExceeded, ccxt.DDoSProtection) as error:
            pause_s = self._pause.begin(asked_s(self._header("retry-after")))
            raise Unreachable(
                f"{self.name} is asked too often, and left alone for {pause_s:.0f} s: "
                f"{_line(error)}"
            ) from error
        except ccxt.NetworkError as error:
            kind = type(error).__name__
            raise Unreachable(f"{self.name} cannot be reached ({kind}): {_line(error)}") from error
        except ccxt.BaseError as error:
            raise ExchangeError(f"{self.name} refuses: {_line(error)}") from error
        except UNEXPECTED as error:
            kind = type(error).__name__
            raise ExchangeError(
                f"{self.name} answers what ccxt cannot read ({kind}: {_line(error)}): update ccxt, "
                "or choose another exchange"
            ) from error


def _has_time(row: Any) -> bool:
    """Whether it is a row that says when its candle opened."""
    return (
        isinstance(row, list | tuple)
        and len(row) > 0
        and isinstance(row[0], int | float)
        and math.isfinite(row[0])
    )


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which of the known names come nearest to one; all of them where none is near."""
    names = list(known)
    folded = {text.lower(): text for text in names}
    near = difflib.get_close_matches(name.lower(), folded, n=5, cutoff=0.5)
    return f"{_listed(folded[text] for text in near)} like it" if near else _listed(names)


def _listed(names: Iterable[str]) -> str:
    chosen = list(names)
    shown = ", ".join(chosen[:_SHOWN])
    return f"{shown} and {len(chosen) - _SHOWN} more" if len(chosen) > _SHOWN else shown
