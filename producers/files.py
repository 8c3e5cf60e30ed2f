"""Candle files: Parquet, CSV and Feather into validated candles."""

import json
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import starmap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from producers import checks, columns, names
from producers.checks import COLUMNS, NUMBERS, Fault, Times
from shared.candle import Candle, Series
from shared.errors import CandlecastError

if TYPE_CHECKING:
    import pandas as pd

_KINDS = ("parquet", "csv", "feather")
_CHUNK = 4_096
_PANDAS_READS_EXACTLY = (3, 1)


class BadFile(CandlecastError):
    """A candle file cannot be used: names the file, the row, the column and the remedy.

    Attributes
    ----------
    path : Path
    row : int or None
        Data row, counted from 1; None when the file as a whole is wrong.
    column : str or None
    """

    def __init__(
        self, path: Path, fault: str, row: int | None = None, column: str | None = None
    ) -> None:
        places = [f"row {row}"] * (row is not None) + [f"column {column}"] * (column is not None)
        super().__init__(": ".join((str(path), *([", ".join(places)] if places else []), fault)))
        self.path = path
        self.row = row
        self.column = column


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that is no candle: where it is, what it held (JSON) and why it was refused."""

    row: int
    column: str
    candle: str
    error: str


@dataclass(frozen=True, slots=True)
class CandleFile:
    """The valid candles of one file, oldest first, as arrays: 48 bytes a candle.

    Iterating gives `Candle` objects, made as they are asked for.
    """

    path: Path
    series: Series
    times: Times
    numbers: NDArray[np.float64]
    bad_rows: int = 0

    def __len__(self) -> int:
        return len(self.times)

    def __iter__(self) -> Iterator[Candle]:
        for start in range(0, len(self), _CHUNK):
            yield from self.candles(start, start + _CHUNK)

    def candles(self, start: int, stop: int) -> list[Candle]:
        """Return the candles from position ``start`` up to ``stop``, without it."""
        rows = zip(
            self.times[start:stop].tolist(), *self.numbers[start:stop].T.tolist(), strict=True
        )
        return list(starmap(Candle, rows))

    def position_after(self, open_time: int) -> int:
        """Return the position of the first candle that opens after ``open_time``."""
        return int(np.searchsorted(self.times, open_time, side="right"))


def read_candles(
    path: Path,
    series: Series | None = None,
    skip_bad: Callable[[BadRow], None] | None = None,
    now_ms: int | None = None,
) -> CandleFile:
    """Read and validate a candle file.

    The columns are ``open_time, open, high, low, close, volume``; others are ignored.
    ``open_time`` is a datetime of any unit (UTC where it has no time zone), ISO 8601 text, or an
    integer in seconds, milli-, micro- or nanoseconds, told apart by size (unambiguous for 1973 to
    2286). Missing candles between rows are fine, a file being its own confirmation that there was
    nothing.

    Parameters
    ----------
    path
        A ``.parquet``, ``.csv`` (with a header) or ``.feather`` file.
    series
        Series of the candles; read from the file's name by default, see `producers.names`.
    skip_bad
        Called with each bad row, which is then left out; without it the first one ends the reading.
    now_ms
        Now, UTC milliseconds: candles that close later are refused. The clock's time by default.

    Raises
    ------
    BadFile
        When the file cannot be read, lacks a column, has rows of another timeframe or from new to
        old, has no candles, or has a bad row and ``skip_bad`` is not given.
    InvalidValue
        When the file's name does not say the series.
    """
    series = series or names.series_of(path)
    frame = _frame(path)
    times, known = columns.read_times(frame["open_time"])
    numbers = np.column_stack([columns.read_numbers(frame[name]) for name in NUMBERS])
    if shape := checks.wrong_shape(times[~checks.union(known, len(times))], series.timeframe):
        raise BadFile(path, shape, 2, "open_time")
    now_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    faults = checks.faults(times, numbers, series.timeframe, now_ms, known)
    bad = checks.union(faults, len(times))
    if not bad.any():
        return CandleFile(path, series, times, numbers)
    positions = np.flatnonzero(bad).tolist()
    if skip_bad is None:
        raise _first_fault(path, _bad_row(frame, faults, positions[0]), len(positions), len(times))
    for position in positions:
        skip_bad(_bad_row(frame, faults, position))
    if bad.all():
        raise BadFile(path, f"none of its {len(times)} rows is a valid {series.timeframe} candle")
    return CandleFile(path, series, times[~bad], numbers[~bad], len(positions))


def _frame(path: Path) -> "pd.DataFrame":
    frame = _load(path)
    if frame.index.name in COLUMNS:
        frame = frame.reset_index()
    names_found = [str(name) for name in frame.columns]
    wrong = [name for name in COLUMNS if names_found.count(name) != 1]
    if wrong:
        found = ", ".join(map(repr, names_found)) or "no columns"
        fault = f"must be there once; the file has {found}; needed are {', '.join(COLUMNS)}"
        raise BadFile(path, fault, column=", ".join(wrong))
    if frame.empty:
        raise BadFile(path, "has no rows")
    return frame[list(COLUMNS)]


def _load(path: Path) -> "pd.DataFrame":
    kind = path.suffix.lower().removeprefix(".")
    if kind not in _KINDS:
        raise BadFile(path, f"unknown kind of file {kind!r}: use {', '.join(_KINDS)}")
    if not path.is_file():
        raise BadFile(path, "there is no such file")
    try:
        import pandas as pd  # noqa: PLC0415 (an extra)
        import pyarrow as pa  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise CandlecastError(
            "reading candle files needs pandas and pyarrow: pip install 'candlecast[files]'"
        ) from error
    readers: dict[str, Callable[[Path], pd.DataFrame]] = {
        "parquet": pd.read_parquet,
        "feather": pd.read_feather,
        "csv": _read_csv,
    }
    try:
        return readers[kind](path)
    except pd.errors.ParserWarning as error:
        raise BadFile(path, "rows have more values than the header: name each column") from error
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BadFile(path, f"cannot be read as {kind}: {reason}") from error


def _read_csv(path: Path) -> "pd.DataFrame":
    import pandas as pd  # noqa: PLC0415 (an extra)

    # "n/a" stays text, so that an error shows what the file says.
    options: dict[str, Any] = {"index_col": False, "keep_default_na": False, "na_values": [""]}
    if tuple(map(int, pd.__version__.split(".")[:2])) < _PANDAS_READS_EXACTLY:
        # Rounds by default, and a candle must be the same number from every format.
        options["float_precision"] = "round_trip"
    with warnings.catch_warnings():
        # Rows longer than the header would lose values, or shift all columns by one.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        return pd.read_csv(path, low_memory=False, **options)  # type: ignore[no-any-return]


def _bad_row(frame: "pd.DataFrame", faults: list[Fault], position: int) -> BadRow:
    fault = next(fault for fault in faults if fault.rows[position])
    values = {name: frame[name].iloc[position] for name in COLUMNS}
    shown = values[fault.column]
    shown = repr(shown) if isinstance(shown, str) else str(shown)
    return BadRow(
        position + 1,
        fault.column,
        json.dumps({name: str(value) for name, value in values.items()}),
        f"{shown} {fault.rule}",
    )


def _first_fault(path: Path, bad: BadRow, count: int, rows: int) -> BadFile:
    remedy = f"{count} of {rows} rows are bad: correct them, or go on without them (--skip-bad)"
    return BadFile(path, f"{bad.error}; {remedy}", bad.row, bad.column)


class FileFeed:
    """The candles of a file as a feed, all at once or at a steady speed.

    Parameters
    ----------
    file
        The candles.
    speed
        Candles per second; None gives them out as fast as they are taken.
    clock
        Seconds, monotonic.
    """

    def __init__(
        self,
        file: CandleFile,
        speed: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = file
        self._speed = speed
        self._clock = clock
        self._position = 0
        self._given = 0
        self._started: float | None = None

    @property
    def series(self) -> Series:
        """The file's series."""
        return self._file.series

    def wait_s(self) -> float | None:
        """Seconds until the next candle is due; None at the end of the file."""
        if self._position >= len(self._file):
            return None
        if self._speed is None:
            return 0.0
        if self._started is None:
            self._started = self._clock()
        return max(0.0, self._started + self._given / self._speed - self._clock())

    def take(self, count: int) -> list[Candle]:
        """Return the candles that are due, at most ``count``."""
        if self._speed is not None:
            started = self._clock() if self._started is None else self._started
            self._started = started
            due = int((self._clock() - started) * self._speed) + 1 - self._given
            count = max(0, min(count, due))
        batch = self._file.candles(self._position, self._position + count)
        self._position += len(batch)
        self._given += len(batch)
        return batch

    def rewind(self, after: int) -> None:
        """Go on with the first candle after ``after``."""
        position = self._file.position_after(after)
        # What is given again was not taken: it must not count against the speed.
        self._given -= max(0, self._position - position)
        self._position = position
