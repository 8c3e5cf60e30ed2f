"""One exchange's market: the truth of its candles, whatever its channels say of them."""

import bisect
import functools
import itertools
import operator
from collections.abc import Iterator, Sequence

from producers.simulated import MINUTE_MS, SimulatedMarket
from shared.candle import Candle, Timeframe
from tests.market.script import Hole, Script

_open_time = operator.attrgetter("open_time")
_MINUTE = Timeframe("1m")
_DAY_MS = 86_400_000
HISTORY_DAYS = 3
# Another path for each exchange, so that candles that went to the wrong one are noticed.
_SEEDS = {"binance": 0, "kraken": 1, "bybit": 2}


class Market:
    """Minutes of the simulated market without the script's holes, and what follows from them.

    A pure function of exchange, script, start and symbol: a test makes the same one that a server
    in another process has.

    Parameters
    ----------
    exchange
        Which exchange's; each has a path of its own.
    script
        Its holes are the market's truth; other faults are no affair of the market.
    start_ms
        The clock's start. The history goes back to midnight three days before.
    """

    def __init__(self, exchange: str, script: Script, start_ms: int) -> None:
        self.opened_ms = start_ms // _DAY_MS * _DAY_MS - HISTORY_DAYS * _DAY_MS
        self._exchange = exchange
        self._script = script
        self._days: dict[tuple[str, int], list[Candle]] = {}

    def history(
        self, symbol: str, timeframe: Timeframe, until: int, since: int = 0
    ) -> list[Candle]:
        """Return the final candles that open at ``since`` or later and have closed by ``until``."""
        begin = timeframe.floor(max(since, self.opened_ms) - 1) + timeframe.ms
        minutes = self._minutes(symbol, begin, timeframe.floor(until))
        if timeframe == _MINUTE:
            return list(minutes)
        groups = itertools.groupby(minutes, key=lambda minute: timeframe.floor(minute.open_time))
        return [_merged(open_time, list(group)) for open_time, group in groups]

    def open_candle(self, symbol: str, timeframe: Timeframe, at_ms: int) -> Candle | None:
        """Return the open candle as far as it has come by then; None before its first trade."""
        begin, minute_ms = timeframe.floor(at_ms), _MINUTE.floor(at_ms)
        minutes = list(self._minutes(symbol, begin, minute_ms))
        if at_ms > minute_ms:
            share = (at_ms - minute_ms) / MINUTE_MS
            current = self._minutes(symbol, minute_ms, minute_ms + MINUTE_MS)
            minutes.extend(_partial(minute, share) for minute in current)
        return _merged(begin, minutes) if minutes else None

    def _minutes(self, symbol: str, begin: int, end: int) -> Iterator[Candle]:
        for number in range(begin // _DAY_MS, -(-end // _DAY_MS)):
            day = self._day(symbol, number)
            first, last = (bisect.bisect_left(day, time, key=_open_time) for time in (begin, end))
            yield from day[first:last]

    def _day(self, symbol: str, day: int) -> list[Candle]:
        if (symbol, day) not in self._days:
            self._days[symbol, day] = [
                minute
                for minute in _simulated(symbol, _SEEDS[self._exchange], day)
                if not self._script.active(Hole, self._exchange, minute.open_time)
            ]
        return self._days[symbol, day]


@functools.lru_cache(maxsize=100)
def _simulated(symbol: str, seed: int, day: int) -> list[Candle]:
    return SimulatedMarket(symbol, seed).candles(_MINUTE, day * _DAY_MS, _DAY_MS // MINUTE_MS)


def _merged(open_time: int, minutes: Sequence[Candle]) -> Candle:
    return Candle(
        open_time,
        minutes[0].open,
        max(minute.high for minute in minutes),
        min(minute.low for minute in minutes),
        minutes[-1].close,
        round(sum(minute.volume for minute in minutes), 5),
    )


def _partial(minute: Candle, share: float) -> Candle:
    """Return a minute as it stands after that share of it: straight on from price to price."""
    rises = minute.close >= minute.open
    path = [minute.open, *((minute.low, minute.high) if rises else (minute.high, minute.low))]
    path.append(minute.close)
    passed, rest = divmod(share * (len(path) - 1), 1.0)
    at = int(passed)
    price = round(path[at] + (path[at + 1] - path[at]) * rest, 8)
    seen = [*path[: at + 1], price]
    volume = round(minute.volume * share, 5)
    return Candle(minute.open_time, minute.open, max(seen), min(seen), price, volume)
