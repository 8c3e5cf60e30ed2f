"""What an exchange says of its market, by REST and by its stream, under a script."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from shared.candle import Candle, Timeframe
from tests.market.clock import Clock
from tests.market.market import Market
from tests.market.script import Empty, Lag, Late, Revised, Script, Skew, Twice, WrongFlag

Answer = tuple[int, Mapping[str, str], str]
"""Status, headers and body of an HTTP answer."""


@dataclass(frozen=True, slots=True)
class Said:
    """A candle as the stream sends it at a moment (UTC milliseconds), and whether it is closed."""

    at_ms: int
    candle: Candle
    closed: bool


class Exchange:
    """One exchange of the server.

    Parameters
    ----------
    name
        In ccxt.
    symbols
        What it trades, in ccxt's spelling.
    script, clock
        Those of the server.
    """

    def __init__(self, name: str, symbols: tuple[str, ...], script: Script, clock: Clock) -> None:
        self.name = name
        self.symbols = symbols
        self.script = script
        self.clock = clock
        self.market = Market(name, script, clock.start_ms)

    def said_ms(self) -> int:
        """Return the time that it says it is."""
        now_ms = self.clock.now_ms()
        skew = self.script.active(Skew, self.name, now_ms)
        return now_ms + round(1_000 * skew.by_s) if skew else now_ms

    def rows(self, symbol: str, timeframe: Timeframe, since: int = 0) -> list[Candle]:
        """Return the candles from ``since`` on as REST has them now, the open one last."""
        now_ms = self.clock.now_ms()
        if self.script.active(Empty, self.name, now_ms):
            return []
        lag = self.script.active(Lag, self.name, now_ms)
        at_ms = now_ms - round(1_000 * lag.by_s) if lag else now_ms
        closed = self.market.history(symbol, timeframe, at_ms, since)
        rows = [row for candle in closed for row in self._rows(candle, timeframe, at_ms)]
        current = self.market.open_candle(symbol, timeframe, at_ms)
        return [*rows, current] if current and current.open_time >= since else rows

    def said(self, symbol: str, timeframe: Timeframe, after_ms: int, until_ms: int) -> list[Said]:
        """Return what the stream has to say of closed candles in that time, in order."""
        since = after_ms - self.script.longest_delay_ms - timeframe.ms
        closed = self.market.history(symbol, timeframe, until_ms, since)
        said = (said for candle in closed for said in self._said(candle, timeframe))
        due = [entry for entry in said if after_ms < entry.at_ms <= until_ms]
        return sorted(due, key=lambda entry: entry.at_ms)

    def said_open(self, symbol: str, timeframe: Timeframe, at_ms: int) -> Said | None:
        """Return what the stream says of the open candle then."""
        candle = self.market.open_candle(symbol, timeframe, at_ms)
        if candle is None:
            return None
        return Said(at_ms, candle, self._flag(candle, closed=False))

    def _rows(self, candle: Candle, timeframe: Timeframe, at_ms: int) -> list[Candle]:
        revised = self.script.active(Revised, self.name, candle.open_time)
        if revised and "rest" in revised.by and at_ms < _revised_ms(candle, timeframe, revised):
            candle = _before_revision(candle)
        twice = self.script.active(Twice, self.name, candle.open_time)
        if twice and "rest" in twice.by:
            return [candle, _again(candle, twice)]
        return [candle]

    def _said(self, candle: Candle, timeframe: Timeframe) -> Iterator[Said]:
        at = candle.open_time
        revised = self.script.active(Revised, self.name, at)
        twice = self.script.active(Twice, self.name, at)
        late = self.script.active(Late, self.name, at)
        first = _before_revision(candle) if revised else candle
        flag = self._flag(candle, closed=True)
        sent_ms = at + timeframe.ms + (round(1_000 * late.by_s) if late else 0)
        yield Said(sent_ms, first, flag)
        if twice and "ws" in twice.by:
            yield Said(sent_ms, _again(first, twice), flag)
        if revised and "ws" in revised.by:
            yield Said(max(sent_ms, _revised_ms(candle, timeframe, revised)), candle, flag)

    def _flag(self, candle: Candle, *, closed: bool) -> bool:
        wrong = self.script.active(WrongFlag, self.name, candle.open_time)
        return wrong.closed if wrong else closed


def text(number: float) -> str:
    """Write a number as exchanges do: in full, and so that it reads back to the same float."""
    return format(Decimal(repr(number)), "f")


def _revised_ms(candle: Candle, timeframe: Timeframe, revised: Revised) -> int:
    return candle.open_time + timeframe.ms + round(1_000 * revised.after_s)


def _before_revision(candle: Candle) -> Candle:
    other = candle.low if candle.close != candle.low else candle.high
    return replace(candle, close=other, volume=round(candle.volume + 1, 5))


def _again(candle: Candle, twice: Twice) -> Candle:
    return replace(candle, volume=round(candle.volume + 2, 5)) if twice.other else candle
