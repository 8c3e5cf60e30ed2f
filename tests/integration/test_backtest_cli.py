"""``candlecast backtest`` over several files: each a series of its own, and no half result."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

ROWS = 40
Run = Callable[..., subprocess.CompletedProcess[str]]
Write = Callable[..., str]


def table(rows: int = ROWS) -> pd.DataFrame:
    """Valid hourly candles."""
    steps = np.arange(rows) * 0.25
    times = pd.date_range("2024-01-01", periods=rows, freq="h", tz="UTC")
    prices = {"open": 10 + steps, "high": 12 + steps, "low": 9 + steps, "close": 11 + steps}
    return pd.DataFrame({"open_time": times, **prices, "volume": steps})


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a table to a file and return its path."""

    def to_file(name: str, frame: pd.DataFrame) -> str:
        frame.to_csv(tmp_path / name, index=False)
        return str(tmp_path / name)

    return to_file


def test_each_file_is_a_series_of_the_result(candlecast: Run, write: Write, tmp_path: Path) -> None:
    """``--series`` names the files in their order; both are in the report and the forecasts."""
    out = tmp_path / "out"
    files = write("one.csv", table()), write("two.csv", table(30))

    done = candlecast(
        *("backtest", *files, "--out", str(out), "--series", "a:A/B:1h", "--series", "a:C/D:1h")
    )

    assert done.returncode == 0, done.stderr
    report = json.loads((out / "report.json").read_text())
    assert {name: result["candles"] for name, result in report.items()} == {
        "a:A/B:1h": ROWS,
        "a:C/D:1h": 30,
    }
    forecasts = pq.read_table(out / "forecasts.parquet").to_pandas()
    assert not forecasts.duplicated(["series", "candle_open_time", "horizon"]).any()
    origins = forecasts.groupby("series")["candle_open_time"].nunique()
    assert origins.to_dict() == {"a:A/B:1h": ROWS, "a:C/D:1h": 30}


@pytest.mark.parametrize(
    ("names", "options", "says"),
    [
        (("one.csv", "two.csv"), ("--series", "a:A/B:1h"), "each of 2 files"),
        (("x-BTCUSDT-1h.csv", "x-BTC_USDT-1h.csv"), (), "x:BTC/USDT:1h too"),
    ],
)
def test_files_of_one_series_are_refused(
    names: tuple[str, ...],
    options: tuple[str, ...],
    says: str,
    candlecast: Run,
    write: Write,
    tmp_path: Path,
) -> None:
    """Two files would be mixed in the forecasts, and the report would lose one of them."""
    out = tmp_path / "out"

    done = candlecast(
        "backtest", *(write(name, table()) for name in names), "--out", str(out), *options
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert not out.exists()


def test_a_bad_second_file_leaves_no_result(candlecast: Run, write: Write, tmp_path: Path) -> None:
    """All files are read before the result is opened: an earlier one stays as it was."""
    out = tmp_path / "out"
    good = write("x-BTCUSDT-1h.csv", table())
    assert candlecast("backtest", good, "--out", str(out)).returncode == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    bad = write("x-ETHUSDT-1h.csv", table().assign(close=-1.0))

    done = candlecast("backtest", good, bad, "--out", str(out))

    assert done.returncode == 2
    assert f"{bad}: row 1, column close" in done.stderr
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
