"""Candle files: every kind of malformed file ends in one clear error, or in dead letters."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from producers.files import BadRow, CandleFile, read_candles, read_files
from producers.folders import candle_files
from producers.tables import BadFile
from shared.candle import Series
from shared.errors import InvalidValue

HOUR = 3_600_000
T0 = 1_704_067_200_000  # 2024-01-01
ROWS = 30
COLUMNS = ["open_time", "open", "high", "low", "close", "volume"]
Write = Callable[..., Path]


def table(rows: int = ROWS) -> pd.DataFrame:
    """Valid hourly candles."""
    steps = np.arange(rows) * 0.25
    times = pd.date_range("2024-01-01", periods=rows, freq="h", tz="UTC")
    prices = {"open": 10 + steps, "high": 12 + steps, "low": 9 + steps, "close": 11 + steps}
    return pd.DataFrame({"open_time": times, **prices, "volume": steps})


def with_value(row: int, column: str, value: object) -> pd.DataFrame:
    """A valid table but for one cell; ``row`` counts from 1."""
    frame = table()
    frame[column] = frame[column].astype(object)
    frame.loc[row - 1, column] = value  # type: ignore[call-overload]
    return frame


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a table to a file whose name says its series."""

    def to_file(frame: pd.DataFrame, kind: str = "csv", name: str = "x-BTCUSDT-1h") -> Path:
        path = tmp_path / f"{name}.{kind}"
        if kind == "csv":
            frame.to_csv(path, index=False)
        else:
            getattr(frame, f"to_{kind}")(path)
        return path

    return to_file


def stamp(text: str) -> pd.Timestamp:
    """A UTC time."""
    return pd.Timestamp(text, tz="UTC")


BAD_CELLS = {
    "text": (17, "close", "n/a", "'n/a'"),
    "missing": (17, "close", None, "nan"),
    "nan": (3, "open", float("nan"), "nan"),
    "infinite": (3, "high", float("inf"), "inf"),
    "negative": (3, "low", -1.0, "-1.0"),
    "zero": (3, "low", 0.0, "0.0"),
    "negative volume": (5, "volume", -2.0, "-2.0"),
    "open below low": (2, "open", 8.0, "8.0"),
    "open above high": (2, "open", 13.0, "13.0"),
    "close above high": (2, "close", 13.0, "13.0"),
    "close below low": (2, "close", 8.0, "8.0"),
    "low above high": (4, "low", 99.0, "99.0"),
    "no time": (6, "open_time", "yesterday", "'yesterday'"),
    "off the grid": (6, "open_time", stamp("2024-01-01 05:30"), "05:30"),
    "off by less than a millisecond": (6, "open_time", "2024-01-01 05:00:00.0000001", "0000001"),
    "future": (30, "open_time", stamp("2124-01-01"), "2124-01-01"),
    "duplicate": (6, "open_time", stamp("2024-01-01 04:00"), "04:00"),
    "unsorted": (6, "open_time", stamp("2024-01-01 02:00"), "02:00"),
}


@pytest.mark.parametrize(("row", "column", "value", "shown"), BAD_CELLS.values(), ids=BAD_CELLS)
def test_bad_cell_is_named(row: int, column: str, value: object, shown: str, write: Write) -> None:
    """One bad cell ends the reading with file, row, column, value and remedy in one line."""
    path = write(with_value(row, column, value))

    with pytest.raises(BadFile) as caught:
        read_candles(path)

    message = str(caught.value)
    assert message.startswith(f"{path}: row {row}, column {column}: ")
    assert shown in message
    assert "--skip-bad" in message
    assert "\n" not in message


@pytest.mark.parametrize(("row", "column", "value", "shown"), BAD_CELLS.values(), ids=BAD_CELLS)
def test_skip_bad_leaves_out_only_that_row(
    row: int, column: str, value: object, shown: str, write: Write
) -> None:
    """With ``skip_bad`` the bad row is handed over with its reason and all others are candles."""
    bad: list[BadRow] = []

    file = read_candles(write(with_value(row, column, value)), skip_bad=bad.append)

    assert [(found.row, found.column) for found in bad] == [(row, column)]
    assert shown in bad[0].error
    assert set(json.loads(bad[0].candle)) == set(COLUMNS)
    expected = [T0 + i * HOUR for i in range(ROWS) if i != row - 1]
    assert [candle.open_time for candle in file] == expected
    assert file.bad_rows == 1


def test_a_bad_row_tells_its_time_in_milliseconds(write: Write) -> None:
    """Whatever unit the file has: that is how letters are read."""
    frame = with_value(3, "open", -1.0)
    frame["open_time"] = [T0 // 1_000 + i * HOUR // 1_000 for i in range(ROWS)]
    bad: list[BadRow] = []

    read_candles(write(frame), skip_bad=bad.append)

    assert json.loads(bad[0].candle)["open_time"] == str(T0 + 2 * HOUR)


def test_several_bad_rows_are_all_handed_over(write: Write) -> None:
    """Each bad row is counted, and the error of the first one says how many there are."""
    frame = with_value(3, "open", -1.0)
    frame.loc[8, "volume"] = -1.0
    frame.loc[20, "high"] = float("nan")
    path = write(frame)
    bad: list[BadRow] = []

    file = read_candles(path, skip_bad=bad.append)

    assert [found.row for found in bad] == [3, 9, 21]
    assert len(file) == ROWS - 3
    with pytest.raises(BadFile, match=r"row 3, column open: .*3 of 30 rows are bad"):
        read_candles(path)


def test_cells_of_bad_rows_are_not_looked_up_one_by_one(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The work in the table is the same for thousands of bad rows as for one."""
    lookups: list[object] = []
    look_up = pd.DataFrame.__getitem__

    def counted(self: pd.DataFrame, key: Any) -> Any:
        lookups.append(key)
        return look_up(self, key)

    path = write(table(3_000).assign(volume=np.r_[np.full(2_990, -1.0), np.ones(10)]), "parquet")
    monkeypatch.setattr(pd.DataFrame, "__getitem__", counted)
    bad: list[BadRow] = []

    read_candles(path, skip_bad=bad.append)

    assert [row.row for row in bad] == list(range(1, 2_991))
    assert {row.error for row in bad} == {"-1.0 must be >= 0"}
    assert json.loads(bad[1].candle)["open_time"] == "2024-01-01 01:00:00+00:00"
    assert len(lookups) < 100


def test_several_files_have_a_series_each(write: Write) -> None:
    """Series are given in the order of the files, and bad rows come with theirs."""
    one, two = write(table(), name="one"), write(with_value(4, "low", -1.0), name="two")
    bad: list[tuple[CandleFile, BadRow]] = []

    files = read_files([one, two], ["a:A/B:1h", "a:C/D:1h"], lambda *found: bad.append(found))

    assert [(file.path, str(file.series)) for file in files] == [
        (one, "a:A/B:1h"),
        (two, "a:C/D:1h"),
    ]
    assert [(file.path, row.row) for file, row in bad] == [(two, 4)]


def test_one_series_for_two_files_is_refused(write: Write) -> None:
    """One ``--series`` cannot be for both."""
    paths = [write(table(), name=name) for name in ("one", "two")]

    with pytest.raises(InvalidValue, match=r"series=1.*each of 2 files"):
        read_files(paths, ["a:A/B:1h"])


def test_a_bad_time_does_not_condemn_the_rows_after_it(write: Write) -> None:
    """A row in the far future is left out without making all later ones look unsorted."""
    bad: list[BadRow] = []

    read_candles(write(with_value(4, "open_time", stamp("2999-01-01"))), skip_bad=bad.append)

    assert [found.row for found in bad] == [4]


def test_a_wrong_time_long_past_does_not_condemn_the_rows_after_it(write: Write) -> None:
    """Of rows out of order the fewest are blamed: one that ran ahead, not all that follow it."""
    bad: list[BadRow] = []
    path = write(with_value(4, "open_time", stamp("2025-06-01")))

    file = read_candles(path, skip_bad=bad.append)

    assert [(found.row, "out of order" in found.error) for found in bad] == [(4, True)]
    assert len(file) == ROWS - 1
    with pytest.raises(BadFile, match=r"row 4, column open_time: .2025-06-01.* 1 of 30 rows"):
        read_candles(path)


def test_a_block_of_rows_out_of_place_is_left_out_whole(write: Write) -> None:
    """What is kept rises, and is as much as can be; of a row that is there twice the first."""
    frame = pd.concat([table().iloc[20:], table().iloc[:20], table().iloc[19:20]])
    bad: list[BadRow] = []

    file = read_candles(write(frame), skip_bad=bad.append)

    assert file.times.tolist() == [T0 + i * HOUR for i in range(20)]
    assert [found.row for found in bad] == [*range(1, 11), 31]
    assert "is there twice" in bad[-1].error


@pytest.mark.parametrize("skip_bad", [None, lambda _: None], ids=["strict", "skip-bad"])
@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (table().iloc[::-1], "from new to old"),
        (
            table().assign(open_time=pd.date_range("2024-01-01", periods=ROWS, freq="min")),
            "1m apart.*not 1h",
        ),
        (
            table().assign(open_time=pd.date_range("2024-01-01", periods=ROWS, freq="D")),
            "1d apart.*not 1h",
        ),
    ],
    ids=["newest first", "shorter timeframe", "longer timeframe"],
)
def test_wrong_shape_ends_the_reading_even_with_skip_bad(
    frame: pd.DataFrame, says: str, skip_bad: Any, write: Write
) -> None:
    """A file of another timeframe or order is refused whole: rows that fit do so by chance."""
    with pytest.raises(BadFile, match=says):
        read_candles(write(frame), skip_bad=skip_bad)


def test_holes_are_no_longer_timeframe(write: Write) -> None:
    """Rows that happen to lie on a longer grid are taken as candles with holes between."""
    file = read_candles(write(table().iloc[[0, 2, 4, 10]]))

    assert [(candle.open_time - T0) // HOUR for candle in file] == [0, 2, 4, 10]


@pytest.mark.parametrize("kind", ["csv", "parquet", "feather"])
def test_missing_column_is_named(kind: str, write: Write) -> None:
    """A missing column is named with what the file has and needs."""
    path = write(table().drop(columns=["close", "volume"]), kind)

    with pytest.raises(BadFile, match=r"column close, volume: .*'open_time', 'open'.*needed") as e:
        read_candles(path)
    assert e.value.row is None


@pytest.mark.parametrize("kind", ["csv", "parquet", "feather"])
def test_empty_and_unreadable_files_are_refused(kind: str, write: Write) -> None:
    """No rows, no bytes, and bytes of something else each give one line."""
    path = write(table(0), kind)
    with pytest.raises(BadFile, match="has no rows"):
        read_candles(path)
    for content in (b"", bytes(range(256)) * 40):
        path.write_bytes(content)
        with pytest.raises(BadFile) as caught:
            read_candles(path)
        assert str(caught.value).startswith(f"{path}: cannot be read as {kind}")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("first", [True, False])
def test_csv_rows_longer_than_the_header_never_shift_columns(first: object, tmp_path: Path) -> None:
    """Values without a column name are refused, whether all rows have them or one."""
    path = tmp_path / "x-BTCUSDT-1h.csv"
    short = "2024-01-01 00:00,1,1,1,1,1" + ",9" * bool(first)
    path.write_text(f"{','.join(COLUMNS)}\n{short}\n2024-01-01 01:00,1,1,1,1,1,8\n")

    with pytest.raises(BadFile, match=r"more values than the header|Expected 6 fields"):
        read_candles(path)


@pytest.mark.parametrize("name", ["candles.xlsx", "candles", "candles.csv"])
def test_unknown_or_absent_files_are_refused(name: str, tmp_path: Path) -> None:
    """A file of another kind, and one that is not there, are named."""
    series = Series.parse("x:BTC/USDT:1h")

    with pytest.raises(BadFile, match=r"parquet, csv, feather|no such file"):
        read_candles(tmp_path / name, series)


@pytest.mark.parametrize("kind", ["csv", "parquet", "feather"])
def test_all_kinds_give_the_same_candles(kind: str, write: Write) -> None:
    """The same numbers come out of each format to the last bit."""
    rng = np.random.default_rng(5)
    prices = rng.lognormal(0, 8, (ROWS, 1)) * [1.0, 1.01, 0.99, 1.005]
    frame = table().assign(**dict(zip(COLUMNS[1:5], prices.T, strict=True)))

    file = read_candles(write(frame, kind))

    assert file.numbers[:, :4].tolist() == prices.tolist()
    assert file.series == Series.parse("x:BTC/USDT:1h")
    assert [candle.close for candle in file] == prices[:, 3].tolist()


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("form", ["integer", "float", "naive", "aware", "elsewhere", "text"])
def test_open_time_in_any_unit_and_form(unit: Any, form: str, kind: str, write: Write) -> None:
    """Integers of any unit and datetimes with or without a zone are the same UTC milliseconds."""
    times = table()["open_time"].dt.as_unit(unit)
    forms: dict[str, Any] = {
        "integer": times.astype("int64"),
        "float": times.astype("int64").astype("float64"),
        "naive": times.dt.tz_localize(None),
        "aware": times,
        "elsewhere": times.dt.tz_convert("Asia/Kolkata"),
        "text": times.dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }

    file = read_candles(write(table().assign(open_time=forms[form]), kind))

    assert file.times.tolist() == [T0 + i * HOUR for i in range(ROWS)]


def test_a_time_in_another_unit_is_bad(write: Write) -> None:
    """Seconds among milliseconds are refused, not taken for 1970."""
    times = table()["open_time"].dt.as_unit("ms").astype("int64")
    times[7] //= 1_000

    with pytest.raises(BadFile, match=r"row 8, column open_time: .*milliseconds"):
        read_candles(write(table().assign(open_time=times)))


def test_a_candle_is_future_until_it_has_closed(write: Write) -> None:
    """The last candle is refused one millisecond before its close and taken at it."""
    path = write(table())
    close = T0 + ROWS * HOUR

    assert len(read_candles(path, now_ms=close)) == ROWS
    with pytest.raises(BadFile, match=r"row 30, column open_time: .*closed"):
        read_candles(path, now_ms=close - 1)


def test_numbers_as_text_are_read(write: Write) -> None:
    """A text column of numbers is read exactly, and its first word that is none is named."""
    frame = table().assign(close=[repr(11 + 0.1 * i) for i in range(ROWS)], low=1.0, high=99.0)
    assert read_candles(write(frame, "parquet")).numbers[:, 3].tolist() == [
        11 + 0.1 * i for i in range(ROWS)
    ]
    frame.loc[9, "close"] = "abc"

    with pytest.raises(BadFile, match="row 10, column close: 'abc'"):
        read_candles(write(frame, "parquet"))


def test_a_folder_stands_for_the_candle_files_in_it(write: Write, tmp_path: Path) -> None:
    """Those are taken by name whatever their kind; other files and folders are not."""
    (tmp_path / "deep.csv").mkdir()
    (tmp_path / "notes.txt").touch()
    inside = [
        write(table(), "feather", "x-BUSDT-1h").rename(tmp_path / "x-BUSDT-1h.FEATHER"),
        write(table(), "parquet", "x-CUSDT-1h"),
        write(table(), "csv", "x-AUSDT-1h"),
    ]
    write(table(), "csv", "deep.csv/x-DUSDT-1h")

    assert candle_files([tmp_path]) == [inside[2], *inside[:2]]


def test_a_file_that_is_not_there_is_told_from_one_without_a_name(tmp_path: Path) -> None:
    """What is wrong first is said first."""
    with pytest.raises(BadFile, match="there is no such file"):
        read_candles(tmp_path / "a.csv")
