"""Candle files: tables of every known layout into validated candles."""

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
    """The valid candles of a file, oldest first, as arrays: 48 bytes a candle.

    Iterating gives `Candle` objects, made as they are asked for. ``path`` is the first of several
    files of one series, and of a query the address of its database.
    """

    path: Path | str
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

    The columns are ``open_time, open, high, low, close, volume`` or those of a layout in
    `producers.layouts`; others are ignored. The open time is a datetime of any unit (UTC where it
    has no time zone), ISO 8601 text, or an integer in seconds, milli-, micro- or nanoseconds, told
    apart by size (unambiguous for 1973 to 2286). Missing candles between rows are fine, a file
    being its own confirmation that there was nothing.

    Parameters
    ----------
    path
        A ``.parquet``, ``.csv``, ``.feather`` or ``.json`` file, or a ``.zip`` of one CSV.
    series
        Series of the candles; read from the file's name by default, see `producers.names`.
    skip_bad
        Called with each bad row, which is then left out; without it the first one ends the reading.
    now_ms
        Now, UTC milliseconds: candles that close later are refused. The clock's time by default.

    Raises
    ------
    BadFile
        When the file cannot be read, is of no known layout, lacks a column, has rows of another
        timeframe or from new to old, has no candles, or has a bad row and ``skip_bad`` is not
        given.
    InvalidValue
        When the file's name does not say the series.
    """
    frame = tables.read_table(path)
    series = series or names.series_of(path, tables.exchange_of(path))
    return valid_candles(path, frame, series, skip_bad, now_ms)


def valid_candles(
    path: Path | str,
    frame: "pd.DataFrame",
    series: Series,
    skip_bad: Callable[[BadRow], None] | None = None,
    now_ms: int | None = None,
) -> CandleFile:
    """Validate the table of one series, as `tables.candle_columns` gives it; see `read_candles`.

    Rows are named by the index of the table, counted from 1.
    """
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
    if frame["open_time"].dtype.kind in "iu":
        frame = frame.assign(open_time=times)  # a letter tells times in milliseconds
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
    rows = frame.index[positions].tolist()
    for place, number, *values in zip(rows, first, *cells, strict=True):
        fault, row = faults[number], dict(zip(COLUMNS, values, strict=True))
        value = row[fault.column]
        shown = repr(value) if isinstance(value, str) else str(value)
        text = json.dumps({name: str(value) for name, value in row.items()})
        yield BadRow(place + 1, fault.column, text, f"{shown} {fault.rule}")


def _first_fault(path: Path | str, bad: BadRow, count: int, rows: int) -> BadFile:
    remedy = f"{count} of {rows} rows are bad: correct them (`candlecast replay` has --skip-bad)"
    return BadFile(path, f"{bad.error}; {remedy}", bad.row, bad.column)


def read_files(
    paths: Sequence[Path],
    series: Sequence[str] = (),
    skip_bad: Callable[[CandleFile, BadRow], None] | None = None,
) -> list[CandleFile]:
    """Read and validate several files; those of one series are joined in the order of time.

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
        When there is not one series for each file, or two files of a series have different candles
        for the same time.
    """
    if series and len(series) != len(paths):
        raise InvalidValue(
            "series", len(series), f"say --series once for each of {len(paths)} files"
        )
    found = []
    given: list[str | None] = [*series] or [None] * len(paths)
    for path, name in zip(paths, given, strict=True):
        bad: list[BadRow] = []
        file = read_candles(
            path, Series.parse(name) if name else None, bad.append if skip_bad else None
        )
        found.append(file)
        if skip_bad:
            for row in bad:
                skip_bad(file, row)
    return joined(found)


def joined(files: Sequence[CandleFile]) -> list[CandleFile]:
    """Join the files of each series in the order of time; what is in several counts once.

    Raises
    ------
    InvalidValue
        When two files of a series have different candles for the same time.
    """
    found: dict[Series, list[CandleFile]] = {}
    for file in files:
        found.setdefault(file.series, []).append(file)
    return [_one(same) for same in found.values()]


def _one(files: Sequence[CandleFile]) -> CandleFile:
    if len(files) == 1:
        return files[0]
    times = np.concatenate([file.times for file in files])
    order = np.argsort(times, kind="stable")
    times, numbers = times[order], np.concatenate([file.numbers for file in files])[order]
    again = np.flatnonzero(np.diff(times) == 0)
    differ = again[(numbers[again] != numbers[again + 1]).any(axis=1)]
    if len(differ):
        owners = np.repeat(np.arange(len(files)), [len(file) for file in files])[order]
        one, other = (files[owners[position]] for position in (differ[0], differ[0] + 1))
        moment = np.datetime64(int(times[differ[0]]), "ms").item()
        remedy = (
            f"{one.path} has {one.series} too, with another candle at {moment} UTC "
            f"({len(differ)} differ): take one of the two"
        )
        raise InvalidValue("file", str(other.path), remedy)
    once = np.concatenate([[True], np.diff(times) > 0])
    bad_rows = sum(file.bad_rows for file in files)
    return CandleFile(files[0].path, files[0].series, times[once], numbers[once], bad_rows)


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
