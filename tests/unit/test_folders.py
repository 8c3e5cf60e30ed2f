"""Folders of candle files: which of them are taken."""

from pathlib import Path

import pytest

from producers.folders import candle_files
from shared.errors import InvalidValue


def test_files_are_taken_as_they_come(tmp_path: Path) -> None:
    """What is no folder is left to the reading, in its place among the folders."""
    folder, absent, notes = tmp_path / "candles", tmp_path / "absent.csv", tmp_path / "notes.txt"
    folder.mkdir()
    (folder / "x-AUSDT-1h.csv").touch()

    found = candle_files([notes, folder, absent])

    assert found == [notes, folder / "x-AUSDT-1h.csv", absent]


def test_a_file_in_a_folder_whose_name_says_no_series_is_left_out(tmp_path: Path) -> None:
    """Whoever asks is told of it; where no other is there, that is an error."""
    told: list[InvalidValue] = []
    for name in ("pool.csv", "x-AUSDT-1h.csv"):
        (tmp_path / name).touch()

    assert candle_files([tmp_path], told.append) == [tmp_path / "x-AUSDT-1h.csv"]
    assert candle_files([tmp_path]) == [tmp_path / "pool.csv", tmp_path / "x-AUSDT-1h.csv"]
    assert candle_files([tmp_path / "pool.csv"], told.append) == [tmp_path / "pool.csv"]
    assert ["pool.csv" in str(error) for error in told] == [True]
    (tmp_path / "x-AUSDT-1h.csv").unlink()
    with pytest.raises(InvalidValue, match="no name of a file"):
        candle_files([tmp_path], told.append)


def test_a_folder_without_candle_files_is_refused(tmp_path: Path) -> None:
    """It is named; no other path makes up for it."""
    (tmp_path / "notes.txt").touch()

    with pytest.raises(InvalidValue, match=r"holds no \.parquet, \.csv, \.feather, \.json, \.zip"):
        candle_files([tmp_path / "a.csv", tmp_path])
