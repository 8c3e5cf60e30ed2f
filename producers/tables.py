"""Parquet, CSV, Feather and JSON files as tables with the columns of candles."""

import json
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from producers import columns, layouts
from producers.checks import COLUMNS
from shared.errors import CandlecastError

if TYPE_CHECKING:
    import pandas as pd

KINDS = ("parquet", "csv", "feather", "json", "zip")
_PANDAS_READS_EXACTLY = (3, 1)
_LONGEST_LINE = 10_000
# An archive that is damaged or has a password raises the last three.
_UNREADABLE = (OSError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error)


class BadFile(CandlecastError):
    """A candle file cannot be used: names the file, the row, the column and the remedy.

    Attributes
    ----------
    path : Path or str
        The file; of a query the database.
    row : int or None
        Data row, counted from 1; None when the file as a whole is wrong.
    column : str or None
    """

    def __init__(
        self, path: Path | str, fault: str, row: int | None = None, column: str | None = None
    ) -> None:
        places = [f"row {row}"] * (row is not None) + [f"column {column}"] * (column is not None)
        super().__init__(": ".join((str(path), *([", ".join(places)] if places else []), fault)))
        self.path = path
        self.row = row
        self.column = column


def is_candle_file(path: Path) -> bool:
    """Whether the name is that of a file which `read_table` reads."""
    return path.is_file() and _kind(path) in KINDS


def exchange_of(path: Path) -> str | None:
    """Return the exchange that alone writes CSV files like this one, without a header."""
    if _kind(path) != "csv":
        return None
    with path.open("rb") as file:
        layout = layouts.headless(_line(file))
    return layout.exchange if layout else None


def _kind(path: Path) -> str:
    return path.suffix.lower().removeprefix(".")


def read_table(path: Path) -> "pd.DataFrame":
    """Return the columns of candles, oldest first, indexed by the place of their row in the file.

    Raises
    ------
    BadFile
        When the file cannot be read, is of no known layout, lacks a column or has no rows.
    """
    frame = _load(path)
    if frame.index.name is not None and frame.index.name not in frame.columns:
        frame = frame.reset_index()
    return candle_columns(path, frame.reset_index(drop=True))


def candle_columns(place: Path | str, frame: "pd.DataFrame") -> "pd.DataFrame":
    """Return the columns `checks.COLUMNS` of a table in any known layout, at least one row.

    A layout's files that are from new to old are turned round; the index goes with the rows.

    Raises
    ------
    BadFile
        As `read_table`.
    """
    original = [str(name) for name in frame.columns]
    names = [name.strip().lower() for name in original]
    found = ", ".join(map(repr, original)) or "no columns"
    layout = layouts.layout_of(names)
    if layout is None:
        raise BadFile(place, f"is of no known layout: it has {found}; known are {layouts.known()}")
    frame = frame.set_axis(names, axis=1)
    wanted = layout.columns(names, _symbol(place, frame))
    if wrong := [name for name in wanted if names.count(name) != 1]:
        needed = f"needed are {', '.join(wanted)} ({layout.source})"
        fault = f"must be there once; the file has {found}; {needed}"
        raise BadFile(place, fault, column=", ".join(wrong))
    if frame.empty:
        raise BadFile(place, "has no rows")
    frame = frame[wanted].set_axis(list(COLUMNS), axis=1)
    return frame.iloc[::-1] if layout.newest_first and _mostly_falls(frame) else frame


def _symbol(place: Path | str, frame: "pd.DataFrame") -> str:
    """Return the one symbol of a table that has such a column."""
    if list(frame.columns).count("symbol") != 1:
        return ""
    symbols = frame["symbol"].dropna().unique().tolist()
    if len(symbols) > 1:
        shown = ", ".join(repr(symbol) for symbol in symbols[:3])
        fault = f"{len(symbols)} markets in one series ({shown}): give each a file of its own"
        raise BadFile(place, fault, column="symbol")
    return str(symbols[0]) if symbols else ""


def _mostly_falls(frame: "pd.DataFrame") -> bool:
    times, _ = columns.read_times(frame["open_time"])
    return len(times) > 1 and bool(np.median(np.diff(times)) < 0)


def _load(path: Path) -> "pd.DataFrame":
    kind = _kind(path)
    if path.is_dir():
        raise BadFile(path, "is a folder: name the files in it")
    if kind not in KINDS:
        raise BadFile(path, f"unknown kind of file {kind!r}: use {', '.join(KINDS)}")
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
        "json": _read_json,
        "zip": _read_csv,
    }
    try:
        return readers[kind](path)
    except pd.errors.ParserWarning as error:
        raise BadFile(path, "rows have more values than the header: name each column") from error
    except (*_UNREADABLE, pa.ArrowException) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BadFile(path, f"cannot be read as {kind}: {reason}") from error


def _read_csv(path: Path) -> "pd.DataFrame":
    import pandas as pd  # noqa: PLC0415 (an extra)

    # "n/a" stays text, so that an error shows what the file says.
    options: dict[str, Any] = {"index_col": False, "keep_default_na": False, "na_values": [""]}
    if tuple(map(int, pd.__version__.split(".")[:2])) < _PANDAS_READS_EXACTLY:
        # Rounds by default, and a candle must be the same number from every format.
        options["float_precision"] = "round_trip"
    with _opened(path) as file, warnings.catch_warnings():
        first = _line(file)
        if layouts.BANNER in first.lower():
            options["skiprows"] = 1
        elif layout := layouts.headless(first):
            options |= {"header": None, "names": layout.columns}
        elif not layouts.is_header(first):
            found = f"it begins {first!r:.100}"
            raise BadFile(path, f"is of no known layout: {found}; known are {layouts.known()}")
        file.seek(0)
        # Rows longer than the header would lose values, or shift all columns by one.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        return pd.read_csv(file, low_memory=False, **options)  # type: ignore[no-any-return]


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a CSV file, or the only one in an archive."""
    if _kind(path) == "csv":
        with path.open("rb") as file:
            yield file
        return
    with zipfile.ZipFile(path) as archive:
        inside = [name for name in archive.namelist() if name.lower().endswith(".csv")]
        if len(inside) != 1:
            raise BadFile(path, f"holds {len(inside)} .csv files: give it one, or unpack it")
        with archive.open(inside[0]) as file:
            yield file


def _line(file: IO[bytes]) -> str:
    return file.readline(_LONGEST_LINE).decode("utf-8-sig", errors="replace").rstrip("\r\n")


def _read_json(path: Path) -> "pd.DataFrame":
    """Read freqtrade's JSON: a list of rows, without names."""
    import pandas as pd  # noqa: PLC0415 (an extra)

    rows = json.loads(path.read_bytes())
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise BadFile(path, f"is of no known layout: must be a list of [{', '.join(COLUMNS)}]")
    return pd.DataFrame(rows, columns=list(COLUMNS))
