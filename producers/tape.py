"""Tape: what one unbroken connection has told of one series."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from producers.rows import Row

_KEPT = 1_000


@dataclass(slots=True)
class Tape:
    """What one unbroken connection has told of one series.

    A candle has closed once a later one has come: exchanges tell of them in order. What was open
    when a connection broke may have gone on since, so it is forgotten.

    >>> tape = Tape()
    >>> tape.note([[0, 1.0], [60, 2.0]])
    0
    >>> tape.closed(0), tape.closed(60)
    ([0, 1.0], None)
    >>> tape.broke()
    >>> tape.note([[120, 3.0]])
    0
    >>> tape.closed(60) is None
    True
    """

    rows: dict[int, Row] = field(default_factory=dict)
    newest: int | None = None
    """Open time of the candle that is open, UTC milliseconds; None until the first one comes."""

    def note(self, rows: Iterable[Row], held: Iterable[Row] = ()) -> int:
        """Take down what has changed; return how many candles are others than when they closed.

        Of the rows that the client holds those count that this connection has told of: it does not
        always give out all that have changed.
        """
        known = [row for row in held if self._is_known(time_of(row))]
        changed = 0
        for row in sorted([*known, *rows], key=time_of):
            time_ms = time_of(row)
            closed = self.closed(time_ms)
            changed += closed is not None and not is_same(closed, row)
            self.rows[time_ms] = list(row)  # ccxt goes on writing into its own
            self.newest = time_ms if self.newest is None else max(self.newest, time_ms)
        for time_ms in sorted(self.rows)[:-_KEPT]:
            del self.rows[time_ms]
        return changed

    def _is_known(self, open_time: int) -> bool:
        return self.newest is not None and (open_time >= self.newest or open_time in self.rows)

    def closed(self, open_time: int) -> Row | None:
        """Return a candle that has closed, as it was told last."""
        if self.newest is None or open_time >= self.newest:
            return None
        return self.rows.get(open_time)

    def broke(self) -> None:
        """Forget the candle that was open."""
        if self.newest is not None:
            self.rows.pop(self.newest, None)
        self.newest = None


def is_same(row: Row, other: Row) -> bool:
    """Whether two rows say the same of a candle; no volume is none."""
    return [*map(_number, row[1:6])] == [*map(_number, other[1:6])]


def _number(value: Any) -> float:
    return float(value or 0.0)


def time_of(row: Row) -> int:
    """Return the open time of a row, UTC milliseconds."""
    return int(row[0])
