"""Several files of one series: joined in the order of time, or refused where they disagree."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from producers.files import BadRow, CandleFile, read_files
from shared.errors import InvalidValue

HOUR = 3_600_000
T0 = 1_704_067_200_000  # 2024-01-01


def write(folder: Path, name: str, hours: range, close: float = 11.0) -> Path:
    """Write the candles of some hours of a market to a file."""
    times = T0 + np.array(hours) * HOUR
    prices = {"open": 10.0, "high": 12.0, "low": 9.0, "close": close}
    path = folder / f"{name}.csv"
    pd.DataFrame({"open_time": times, **prices, "volume": hours}).to_csv(path, index=False)
    return path


def hours(file: CandleFile) -> list[int]:
    """Which hours a file holds."""
    return ((file.times - T0) // HOUR).tolist()  # type: ignore[no-any-return]


def test_files_of_months_are_joined_in_the_order_of_time(tmp_path: Path) -> None:
    """Whatever the order of the files; a hole between two stays one; other series stay alone."""
    paths = [
        write(tmp_path, "BTCUSDT-1h-2024-02", range(20, 30)),
        write(tmp_path, "x-BTCUSDT-1h", range(5)),
        write(tmp_path, "BTCUSDT-1h-2024-01", range(10)),
    ]

    joined, alone = read_files(paths)

    assert [str(file.series) for file in (joined, alone)] == [
        "binance:BTC/USDT:1h",
        "x:BTC/USDT:1h",
    ]
    assert hours(joined) == [*range(10), *range(20, 30)]
    assert joined.numbers[:, 4].tolist() == hours(joined)
    assert hours(alone) == [*range(5)]


def test_what_two_files_say_alike_counts_once(tmp_path: Path) -> None:
    """A month and its last days, as Binance Vision has them."""
    paths = [
        write(tmp_path, "BTCUSDT-1h-2024-01", range(30)),
        write(tmp_path, "BTCUSDT-1h-2024-01-02", range(24, 48)),
    ]

    (joined,) = read_files(paths)

    assert hours(joined) == [*range(48)]


def test_files_that_disagree_are_refused(tmp_path: Path) -> None:
    """Both files, the first time and how many candles differ: nobody can tell which is right."""
    one = write(tmp_path, "x-BTCUSDT-1h", range(30))
    other = write(tmp_path, "x-BTC_USDT-1h", range(26, 40), close=11.5)

    with pytest.raises(InvalidValue, match=r"another candle at 2024-01-02 02:00:00 UTC \(4 differ"):
        read_files([one, other])
    with pytest.raises(InvalidValue) as caught:
        read_files([other, one])
    assert str(one) in str(caught.value)
    assert f"{other} has x:BTC/USDT:1h too" in str(caught.value)


def test_bad_rows_are_told_of_the_file_that_has_them(tmp_path: Path) -> None:
    """They are counted together."""
    bad: list[tuple[str, int]] = []

    def keep(file: CandleFile, row: BadRow) -> None:
        bad.append((Path(file.path).name, row.row))

    paths = [
        write(tmp_path, f"BTCUSDT-1h-2024-0{month}", range(month * 10, month * 10 + 10))
        for month in (1, 2)
    ]
    for path in paths:
        path.write_text(path.read_text().replace("12.0", "8.0", 1))

    (joined,) = read_files(paths, skip_bad=keep)

    assert bad == [("BTCUSDT-1h-2024-01.csv", 1), ("BTCUSDT-1h-2024-02.csv", 1)]
    assert joined.bad_rows == 2
    assert hours(joined) == [*range(11, 20), *range(21, 30)]
