"""Candles from any exchange that ccxt knows, by polling its REST ``fetch_ohlcv``."""

import difflib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

import structlog

from producers.pause import Pause, asked_s
from producers.rows import ExchangeError, Unreachable
from shared.candle import Series, Timeframe
from shared.errors import InvalidValue

PAGE = 500
_CLOCK_PERIOD_MS = 3_600_000
_CLOCK_RETRY_MS = 60_000
# So far two clocks of this machine run apart before one of them must have been set.
_CLOCK_STEP_MS = 1_000
_SHOWN = 20
# What ccxt's parsers raise at an answer that they do not expect.
UNEXPECTED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)

log = structlog.get_logger(__name__)


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


class Exchange:
    """One exchange: its clock, its markets and its candles, with errors translated.

    Parameters
    ----------
    source
        A ccxt exchange, see `producers.connect`.
    pause
        The pauses that it has asked for; of its own by default.

    Attributes
    ----------
    is_unsure
        Whether this machine's clock was set, and the exchange's was not heard since.

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
        self._ahead_ms = 0
        self._clock_due = 0
        self._clock_failing = self._is_measured = self.is_unsure = False
        self._apart_ms = self._clocks_apart()
        self._pause.check()
        self._call(source.load_markets)
        if not source.markets:
            raise Unreachable(f"{self.name} lists no markets")
        self._hear_clock()
        self._check_clock()

    @property
    def name(self) -> str:
        """Name in ccxt."""
        return self._source.id

    def now_ms(self) -> int:
        """Return the exchange's own time, UTC milliseconds.

        It is this machine's, and how far the exchange's was ahead when it was measured last: once
        an hour, and when this machine's clock was set; until then the exchange's has not stepped.
        An exchange without a clock says in the headers of an answer, to the second, when it was
        sent.
        """
        apart_ms = self._clocks_apart()
        step_ms = apart_ms - self._apart_ms
        if abs(step_ms) > _CLOCK_STEP_MS:
            if self._is_measured:
                self._ahead_ms -= round(step_ms)
            self._apart_ms, self._clock_due, self.is_unsure = apart_ms, 0, self._is_measured
        if not self._pause.left_s:
            self._check_clock()
        return self._source.milliseconds() + self._ahead_ms

    def _clocks_apart(self) -> float:
        return self._source.milliseconds() - 1_000 * self._pause.clock()

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
        self._check_clock()
        self._pause.check()
        found = self._call(self._fetch, series, since)
        self._pause.forget()
        self._hear_clock()
        timed = [row for row in found if _has_time(row)]
        if without := len(found) - len(timed):
            example = next(repr(row) for row in found if not _has_time(row))
            log.warning("rows_without_time", series=str(series), rows=without, example=example)
        return sorted((row for row in timed if row[0] >= since), key=lambda row: int(row[0]))

    def _fetch(self, series: Series, since: int) -> list[Sequence[Any]]:
        frame = str(series.timeframe)
        return list(self._source.fetch_ohlcv(series.symbol, frame, since, PAGE))

    def _check_clock(self) -> None:
        """Measure, once an hour, how far the exchange's clock is ahead of ours.

        Candles come without it: while the measurement fails, the last one holds.
        """
        now_ms = self._source.milliseconds()
        if now_ms < self._clock_due or not self._source.has.get("fetchTime"):
            return
        try:
            ahead_ms = self._call(self._measure_ahead)
        except ExchangeError as error:
            self._clock_due = now_ms + _CLOCK_RETRY_MS
            if not self._clock_failing:
                log.warning("exchange_clock_unknown", kept_ms=self._ahead_ms, error=str(error))
            self._clock_failing = True
        else:
            self._clock_failing = False
            self._set_clock(ahead_ms)

    def _measure_ahead(self) -> int:
        before_ms = self._source.milliseconds()
        time_ms = self._source.fetch_time()
        # It may have slept first, for the sake of its rate limit.
        before_ms = max(before_ms, int(self._source.lastRestRequestTimestamp))
        between_ms = (before_ms + self._source.milliseconds()) // 2
        return 0 if time_ms is None else int(time_ms) - between_ms

    def _hear_clock(self) -> None:
        """Where there is no clock to be asked for, see once an hour when it sent its answer."""
        now_ms = self._source.milliseconds()
        if now_ms < self._clock_due or self._source.has.get("fetchTime"):
            return
        with suppress(ValueError):  # it does not say
            sent_s = parsedate_to_datetime(self._header("date")).timestamp()
            age_s = int(self._header("age") or 0)  # of an answer out of a cache
            self._set_clock(round(1_000 * (sent_s + age_s)) - now_ms)

    def _set_clock(self, ahead_ms: int) -> None:
        self._ahead_ms, self._apart_ms = ahead_ms, self._clocks_apart()
        self._clock_due = self._source.milliseconds() + _CLOCK_PERIOD_MS
        self._is_measured, self.is_unsure = True, False

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
