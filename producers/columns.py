"""Columns of a data frame as arrays: times in any unit, numbers in any spelling."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from producers.checks import Fault, Times

if TYPE_CHECKING:
    import pandas as pd

# Integers are read by their size: each band is the years 1973 to 2286 in its unit, so that no two
# overlap. Lowest value: unit, and the factor and divisor that make milliseconds of it.
UNITS = {
    10**8: ("seconds", 1_000, 1),
    10**11: ("milliseconds", 1, 1),
    10**14: ("microseconds", 1, 1_000),
    10**17: ("nanoseconds", 1, 1_000_000),
}
BAND_WIDTH = 100


def read_numbers(column: "pd.Series[Any]") -> NDArray[np.float64]:
    """Return float64, NaN where a value is missing or no number.

    Text is read too (exactly: Python's own conversion), since many exports hold numbers as text.
    """
    if column.dtype.kind in "iuf":
        return column.to_numpy().astype(np.float64)
    return np.array([_number(value) for value in column], dtype=np.float64)


def read_times(column: "pd.Series[Any]") -> tuple[Times, list[Fault]]:
    """Return open times in UTC milliseconds, and the rows that have none.

    Datetimes may be of any unit; without a time zone they are UTC. Integers may be seconds,
    milli-, micro- or nanoseconds: the unit of the column's median value, which is unambiguous for
    times between 1973 and 2286; a row in another unit is a fault. Text is ISO 8601 or an integer.
    """
    import pandas as pd  # noqa: PLC0415 (an extra)

    if column.dtype.kind in "iuf":
        return _from_numbers(column.to_numpy())
    if column.dtype.kind != "M":
        numbers = read_numbers(column)
        dates = pd.to_datetime(column, format="ISO8601", utc=True, errors="coerce")
        if np.isfinite(numbers).sum() > dates.notna().sum():
            return _from_numbers(numbers)
        column = dates
    if column.dt.tz is not None:
        column = column.dt.tz_convert("UTC").dt.tz_localize(None)
    return _from_datetimes(column.to_numpy())


def _from_datetimes(moments: NDArray[np.datetime64]) -> tuple[Times, list[Fault]]:
    missing = np.isnat(moments)
    whole = moments.astype("datetime64[ms]")
    faults = [
        Fault("open_time", missing, "must be a time: ISO 8601 or UTC milliseconds"),
        Fault("open_time", ~missing & (whole != moments), "must be a whole millisecond"),
    ]
    return np.where(missing, 0, whole.astype(np.int64)), faults


def _from_numbers(values: NDArray[np.int64] | NDArray[np.float64]) -> tuple[Times, list[Fault]]:
    known = np.isfinite(values)
    median = np.median(values[known]) if known.any() else 0.0
    lowest = next((low for low in UNITS if low <= median < low * BAND_WIDTH), 10**11)
    unit, factor, divisor = UNITS[lowest]
    inside = known & (values >= lowest) & (values < lowest * BAND_WIDTH)
    times, rest = np.divmod(np.where(inside, values, 0) * factor, divisor)
    whole = (rest == 0) & (times == np.floor(times))
    faults = [
        Fault("open_time", ~inside, f"must be a time in {unit}, like the other rows"),
        Fault("open_time", ~whole, "must be a whole millisecond"),
    ]
    return times.astype(np.int64), faults


def _number(value: object) -> float:
    if value is None or isinstance(value, bool):
        return float("nan")
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return float("nan")
