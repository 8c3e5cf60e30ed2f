"""The rules of a candle file, checked on whole columns at once."""

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

    Rows from new to old, or candles of another timeframe: shorter ones show in the usual step,
    longer ones in that *all* steps are multiples of theirs (holes alone would not do that).
    """
    steps = np.diff(times)
    if len(steps) > 1 and (steps < 0).all():
        return "the rows run from new to old: sort them by open_time, oldest first"
    steps = steps[steps > 0]
    if not len(steps):
        return None
    usual, common = int(np.median(steps)), int(np.gcd.reduce(steps))
    longer = common > timeframe.ms and common % timeframe.ms == 0
    sure = longer and len(steps) * math.log(common / timeframe.ms) > _SURE
    if usual < timeframe.ms or sure:
        return (
            f"the rows are {_length(usual if usual < timeframe.ms else common)} apart, these are "
            f"not {timeframe} candles: name their timeframe in the file name or in --series"
        )
    return None


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
    newest = np.maximum.accumulate(np.where(sound, times, np.iinfo(np.int64).min))
    before = np.concatenate(([np.iinfo(np.int64).min], newest[:-1]))
    yield Fault("open_time", sound & (times == before), "is there twice: keep one row a candle")
    yield Fault("open_time", sound & (times < before), "is before the row above: sort by open_time")


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
