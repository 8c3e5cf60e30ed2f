"""Parquet, CSV and Feather files as tables with the columns of candles."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from producers.checks import COLUMNS
from shared.errors import CandlecastError

if TYPE_CHECKING:
    import pandas as pd

_KINDS = ("parquet", "csv", "feather")
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


def is_candle_file(path: Path) -> bool:
    """Whether the name is that of a file which `read_table` reads."""
    return path.is_file() and _kind(path) in _KINDS


def _kind(path: Path) -> str:
    return path.suffix.lower().removeprefix(".")


def read_table(path: Path) -> "pd.DataFrame":
    """Return the columns of candles, as the file has them and with at least one row.

    Raises
    ------
    BadFile
        When the file cannot be read, lacks a column or has no rows.
    """
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
    kind = _kind(path)
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
