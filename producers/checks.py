"""The rules of a candle file, checked on whole columns at once."""

import bisect
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.candle import Timeframe
from shared.errors import InvalidValue

NUMBERS = ("open", "high", "low", "close", "volume")
COLUMNS = ("open_time", *NUMBERS)
Times = NDArray[np.int64]
Rows = NDArray[np.bool_]

# Odds against all steps being multiples of a longer timeframe by chance, in a file with holes.
_SURE = math.log(1e6)


@dataclass(frozen=True, slots=True)
class Fault:
    """One broken rule: the column to blame, the rows (a mask) that break it, and the rule."""

    column: str
    rows: Rows
    rule: str


def faults(
    times: Times,
    numbers: NDArray[np.float64],
    timeframe: Timeframe,
    now_ms: int,
    known: list[Fault],
) -> list[Fault]:
    """Check the rows of one series, each alone and then their order.

    Parameters
    ----------
    times
        Open times, UTC milliseconds, shape (n,).
    numbers
        Columns `NUMBERS`, shape (n, 5), NaN where a value could not be read.
    timeframe
        Length of the candles.
    now_ms
        Candles that close later than this are not closed yet.
    known
        Faults that reading found already.

    Returns
    -------
    list of Fault
        ``known`` and the others in the order in which a row's first one counts; faults without
        rows are left out. A row with another fault has no say in the order of the rows.
    """
    found = [*known, *_number_faults(numbers)]
    # The offset first, so that times outside int64's half never overflow into the grid.
    grid = (times - timeframe.origin_ms) % timeframe.ms != 0
    found.append(Fault("open_time", grid, _grid_rule(timeframe)))
    future = times > now_ms - timeframe.ms
    found.append(Fault("open_time", future, "must be the open time of a candle that has closed"))
    bad = union(found, len(times))
    found.extend(_order_faults(times, ~bad))
    return [fault for fault in found if fault.rows.any()]


def union(found: list[Fault], length: int) -> Rows:
    """Return the mask of the rows that have a fault."""
    bad = np.zeros(length, dtype=np.bool_)
    for fault in found:
        bad |= fault.rows
    return bad


def wrong_shape(times: Times, timeframe: Timeframe) -> str | None:
    """Say what is wrong with the file as a whole, so that no row of it can be meant.

    Rows from new to old, or candles of another timeframe.
    """
    steps = np.diff(times)
    if len(steps) > 1 and (steps < 0).all():
        return "the rows run from new to old: sort them by open_time, oldest first"
    if other := other_timeframe(times, timeframe):
        return (
            f"the rows are {other} apart, these are not {timeframe} candles: name their timeframe "
            "in the file name or in --series"
        )
    return None


def other_timeframe(times: Times, timeframe: Timeframe) -> str | None:
    """Say how far apart the rows are where they are candles of another timeframe.

    Shorter ones show in the usual step, longer ones in that *all* steps are multiples of theirs
    (holes alone would not do that).
    """
    steps = np.diff(times)
    steps = steps[steps > 0]
    if not len(steps):
        return None
    usual, common = int(np.median(steps)), int(np.gcd.reduce(steps))
    if usual < timeframe.ms:
        return _length(usual)
    longer = common > timeframe.ms and common % timeframe.ms == 0
    sure = longer and len(steps) * math.log(common / timeframe.ms) > _SURE
    return _length(common) if sure else None


def _number_faults(numbers: NDArray[np.float64]) -> Iterator[Fault]:
    finite = np.isfinite(numbers)
    for index, name in enumerate(NUMBERS):
        yield Fault(name, ~finite[:, index], "must be a finite number")
    for index, name in enumerate(NUMBERS[:-1]):
        yield Fault(name, numbers[:, index] <= 0, "must be > 0")
    open_, high, low, close, volume = numbers.T
    yield Fault("volume", volume < 0, "must be >= 0")
    yield Fault("low", low > high, "must be <= high")
    for name, column in (("open", open_), ("close", close)):
        yield Fault(name, column < low, "must be >= low")
        yield Fault(name, column > high, "must be <= high")


def _order_faults(times: Times, sound: Rows) -> Iterator[Fault]:
    """Blame the fewest rows without which the others rise: one wrong time blames no others."""
    positions = np.flatnonzero(sound)
    if (np.diff(times[positions]) > 0).all():
        return
    kept = positions[_longest_rise(times[positions].tolist())]
    blamed = sound.copy()
    blamed[kept] = False
    twice = blamed & np.isin(times, times[kept])
    yield Fault("open_time", twice, "is there twice: keep one row a candle")
    out = blamed & ~twice
    yield Fault("open_time", out, "is out of order with the rows around it: sort by open_time")


def _longest_rise(times: list[int]) -> list[int]:
    """Return the positions of a longest strictly rising subsequence; of equal times the first."""
    lowest: list[int] = []  # the lowest time at which a rise of each length ends so far
    ends: list[int] = []  # where that is
    before: list[int] = []  # for each position the one before it in the longest rise to it
    for position, time in enumerate(times):
        length = bisect.bisect_left(lowest, time)
        before.append(ends[length - 1] if length else -1)
        if length == len(lowest):
            lowest.append(time)
            ends.append(position)
        elif time < lowest[length]:
            lowest[length], ends[length] = time, position
    rise = [ends[-1]]
    while before[rise[-1]] >= 0:
        rise.append(before[rise[-1]])
    return rise[::-1]


def _grid_rule(timeframe: Timeframe) -> str:
    return (
        f"is no open time of a {timeframe} candle (they open at multiples of {timeframe.ms} ms): "
        "check the timeframe"
    )


def _length(ms: int) -> str:
    for count, unit in ((604_800_000, "w"), (86_400_000, "d"), (3_600_000, "h"), (60_000, "m")):
        if ms % count == 0:
            try:
                return str(Timeframe(f"{ms // count}{unit}"))
            except InvalidValue:
                continue
    return f"{ms} ms"
