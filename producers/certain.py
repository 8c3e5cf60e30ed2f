"""Which rows of an exchange's answer are certain: an answer may be old, or miss something."""

from collections.abc import Sequence
from itertools import pairwise

from producers.rows import Row
from shared.candle import Timeframe

# Exchanges correct a candle for a moment after its close, and a revised candle is never learned.
GRACE_MS = 2_000
SURE_MS = 10_000


def newest_closed(frame: Timeframe, now_ms: int) -> int:
    """Return the open time of the last candle that has closed, and is corrected no more."""
    return frame.floor(now_ms - GRACE_MS) - frame.ms


def closed(rows: Sequence[Row], frame: Timeframe, last_closed: int, now_ms: int) -> list[Row]:
    """Return the rows whose candles have closed for certain.

    An answer may be seconds old, and its last row as it stood then: it is believed once the next
    one is there, or after a while.

    Parameters
    ----------
    rows
        An answer.
    last_closed
        Open time of the last candle that has closed, UTC milliseconds.
    now_ms
        The exchange's clock, UTC milliseconds.
    """
    found = [row for row in rows if row[0] <= last_closed]
    is_last = bool(found) and len(found) == len(rows) and found[-1][0] == last_closed
    if is_last and now_ms - last_closed - frame.ms < SURE_MS:
        found.pop()
    return found


def up_to_jump(rows: list[Row], most_ms: int, after: int | None = None) -> list[Row]:
    """Return the rows before the first one that opens later than so long after the one before.

    Where ``after`` is given, it is the time before the first row, UTC milliseconds.
    """
    times = [row[0] for row in rows]
    times = [*times[:1], *times] if after is None else [after, *times]
    for at, (before, time_ms) in enumerate(pairwise(times)):
        if time_ms - before > most_ms:
            return rows[:at]
    return rows
