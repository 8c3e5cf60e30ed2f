"""Candle files: Parquet, CSV and Feather into validated candles."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import starmap
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from producers import checks, columns, names, tables
from producers.checks import COLUMNS, NUMBERS, Fault, Times
from producers.tables import BadFile
from shared.candle import Candle, Series
from shared.errors import InvalidValue

if TYPE_CHECKING:
    import pandas as pd

_CHUNK = 4_096


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
    frame = tables.read_table(path)
    series = series or names.series_of(path)
    times, known = columns.read_times(frame["open_time"])
    numbers = np.column_stack([columns.read_numbers(frame[name]) for name in NUMBERS])
    if shape := checks.wrong_shape(times[~checks.union(known, len(times))], series.timeframe):
        raise BadFile(path, shape, 2, "open_time")
    now_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    faults = checks.faults(times, numbers, series.timeframe, now_ms, known)
    bad = checks.union(faults, len(times))
    if not bad.any():
        return CandleFile(path, series, times, numbers)
    positions = np.flatnonzero(bad)
    if skip_bad is None:
        (first,) = _bad_rows(frame, faults, positions[:1])
        raise _first_fault(path, first, len(positions), len(times))
    for row in _bad_rows(frame, faults, positions):
        skip_bad(row)
    if bad.all():
        raise BadFile(path, f"none of its {len(times)} rows is a valid {series.timeframe} candle")
    return CandleFile(path, series, times[~bad], numbers[~bad], len(positions))


def _bad_rows(
    frame: "pd.DataFrame", faults: list[Fault], positions: NDArray[np.intp]
) -> Iterator[BadRow]:
    """Yield the rows at the positions, each with its first fault."""
    # Whole columns at once: a cell at a time, a large file of bad rows would take minutes.
    first = np.argmax([fault.rows[positions] for fault in faults], axis=0).tolist()
    cells = [frame[name].iloc[positions].tolist() for name in COLUMNS]
    for position, number, *values in zip(positions.tolist(), first, *cells, strict=True):
        fault, row = faults[number], dict(zip(COLUMNS, values, strict=True))
        value = row[fault.column]
        shown = repr(value) if isinstance(value, str) else str(value)
        text = json.dumps({name: str(value) for name, value in row.items()})
        yield BadRow(position + 1, fault.column, text, f"{shown} {fault.rule}")


def _first_fault(path: Path, bad: BadRow, count: int, rows: int) -> BadFile:
    remedy = f"{count} of {rows} rows are bad: correct them (`candlecast replay` has --skip-bad)"
    return BadFile(path, f"{bad.error}; {remedy}", bad.row, bad.column)


def candle_files(
    paths: Sequence[Path], leave_out: Callable[[InvalidValue], None] | None = None
) -> list[Path]:
    """Return the files, and of each folder the candle files that lie in it, by name.

    Parameters
    ----------
    paths
        Files and folders.
    leave_out
        Told of each file in a folder whose name does not say its series, which is then left out;
        without it all are taken.

    Raises
    ------
    InvalidValue
        When a folder holds none.
    """
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(file for file in path.iterdir() if tables.is_candle_file(file))
        if not inside:
            raise InvalidValue("file", str(path), "the folder holds no .parquet, .csv or .feather")
        named = [file for file in inside if leave_out is None or _is_named(file, leave_out)]
        if not named:
            raise InvalidValue(
                "file", str(path), "no name of a file in this folder says its series"
            )
        found.extend(named)
    return found


def _is_named(file: Path, leave_out: Callable[[InvalidValue], None]) -> bool:
    try:
        names.series_of(file)
    except InvalidValue as error:
        leave_out(error)
        return False
    return True


def read_files(
    paths: Sequence[Path],
    series: Sequence[str] = (),
    skip_bad: Callable[[CandleFile, BadRow], None] | None = None,
) -> list[CandleFile]:
    """Read and validate several files, each with a series of its own.

    Parameters
    ----------
    paths
        The files.
    series
        ``exchange:symbol:timeframe`` of each file in the same order; empty where the file names
        say it.
    skip_bad
        Called with each bad row and its file, once that file was read; without it the first one
        ends the reading.

    Raises
    ------
    BadFile
        When one of them cannot be used, see `read_candles`.
    InvalidValue
        When there is not one series for each file, or two files have the same.
    """
    if series and len(series) != len(paths):
        raise InvalidValue(
            "series", len(series), f"say --series once for each of {len(paths)} files"
        )
    found: dict[Series, CandleFile] = {}
    given: list[str | None] = [*series] or [None] * len(paths)
    for path, name in zip(paths, given, strict=True):
        bad: list[BadRow] = []
        file = read_candles(
            path, Series.parse(name) if name else None, bad.append if skip_bad else None
        )
        if other := found.get(file.series):
            remedy = f"{other.path} has {file.series} too; take one file of a series at a time"
            raise InvalidValue("file", str(path), remedy)
        found[file.series] = file
        if skip_bad:
            for row in bad:
                skip_bad(file, row)
    return list(found.values())


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
