"""Bridge: flat candles where an exchange has none because nothing was traded."""

from collections.abc import Iterable, Iterator

from shared.candle import Candle, Timeframe


class Bridge:
    """Fills short holes between candles that an exchange has right behind each other.

    A bridged candle has the close before it as all its prices, and no volume: what exchanges that
    leave no candle out say of a time without trades.

    Parameters
    ----------
    timeframe
        Of the candles.
    longest
        Holes of so many candles at most are filled; longer ones stay.

    Attributes
    ----------
    count
        Candles made so far.

    >>> bridge = Bridge(Timeframe("1m"), 2)
    >>> first, then = Candle(0, 1.0, 2.0, 1.0, 2.0, 5.0), Candle(120_000, 3.0, 3.0, 3.0, 3.0, 1.0)
    >>> [(c.open_time, c.close, c.volume) for c in bridge.over([(0, first), (120_000, then)], 9)]
    [(0, 2.0, 5.0), (60000, 2.0, 0.0), (120000, 3.0, 1.0)]
    """

    def __init__(self, timeframe: Timeframe, longest: int) -> None:
        self._step_ms = timeframe.ms
        self._longest = longest
        self._before: Candle | None = None
        self.count = 0

    @property
    def reach_ms(self) -> int:
        """How far before the next candle one has to be known, in milliseconds; 0 where one is."""
        needs_one = self._longest > 0 and self._before is None
        return (self._longest + 1) * self._step_ms if needs_one else 0

    def stand_on(self, candle: Candle | None, next_ms: int | None = None) -> None:
        """Take a candle for the one right before the next; None where that is unknown.

        Where the next one opens later than right behind it (UTC milliseconds), what lies between is
        filled already.
        """
        if candle and next_ms is not None:
            candle = self._flat(next_ms - self._step_ms, candle.close)
        self._before = candle

    def over(self, rows: Iterable[tuple[int, Candle | None]], most: int) -> list[Candle]:
        """Return the first candles, at most so many, with the holes between them filled.

        Parameters
        ----------
        rows
            All that the exchange has, in order: open times (UTC milliseconds), and None where it
            has something that is no candle. Beside that nothing is filled: it was no time without
            trades.
        """
        filled: list[Candle] = []
        for open_time, candle in rows:
            new = [*self._up_to(open_time), candle] if candle else []
            new = new[: most - len(filled)]
            self.count += sum(one is not candle for one in new)
            filled += new
            if len(filled) == most:
                self._before = filled[-1]
                break
            self._before = candle
        return filled

    def _up_to(self, open_time: int) -> Iterator[Candle]:
        if self._before is None:
            return
        close, first = self._before.close, self._before.open_time + self._step_ms
        if open_time - first <= self._longest * self._step_ms:
            for time_ms in range(first, open_time, self._step_ms):
                yield self._flat(time_ms, close)

    @staticmethod
    def _flat(time_ms: int, close: float) -> Candle:
        return Candle(time_ms, close, close, close, close, 0.0)
