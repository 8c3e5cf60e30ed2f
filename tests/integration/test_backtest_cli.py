"""``candlecast backtest`` over files and folders: each file a series of its own, no half result."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

ROWS = 40
FILES = ["forecasts.parquet", "report.html", "report.json"]
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
    """Write a table to a file, in folders that are made, and return its path."""

    def to_file(name: str, frame: pd.DataFrame) -> str:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
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
def test_files_that_are_not_of_one_series_each_are_refused(
    names: tuple[str, ...],
    options: tuple[str, ...],
    says: str,
    candlecast: Run,
    write: Write,
    tmp_path: Path,
) -> None:
    """One name cannot be for two, and files of one series must agree where they overlap."""
    out = tmp_path / "out"
    files = [write(name, table().assign(volume=i)) for i, name in enumerate(names)]

    done = candlecast("backtest", *files, "--out", str(out), *options)

    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert not out.exists()


def test_files_of_one_series_are_one_series_of_the_result(
    candlecast: Run, write: Write, tmp_path: Path
) -> None:
    """Months in any order and a day that overlaps; what is left out is told file by file."""
    out, frame = tmp_path / "out", table(72)
    frame.loc[[5, 50], "volume"] = -1.0
    names = [f"BTCUSDT-1h-2024-01{day}.csv" for day in ("-03", "", "-02")]
    hours = (slice(48, 72), slice(0, 36), slice(24, 48))
    files = [write(name, frame.iloc[part]) for name, part in zip(names, hours, strict=True)]

    done = candlecast("backtest", *files, "--out", str(out), "--skip-bad")

    assert done.returncode == 0, done.stderr
    report = json.loads((out / "report.json").read_text())
    assert {name: result["candles"] for name, result in report.items()} == {
        "binance:BTC/USDT:1h": 70
    }
    assert f"left out: 1 bad rows of {files[0]}, first row 3, column volume" in done.stderr
    assert f"left out: 1 bad rows of {files[1]}, first row 6, column volume" in done.stderr


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


def test_bad_rows_are_left_out_where_that_is_asked_for(
    candlecast: Run, write: Write, tmp_path: Path
) -> None:
    """All others count; one line names the file, how many they are, and the first of them."""
    out, bad = tmp_path / "out", table().assign(close=lambda t: t["close"].where(t.index % 20 != 7))
    file = write("x-BTCUSDT-1h.csv", bad)

    done = candlecast("backtest", file, "--out", str(out), "--skip-bad")

    assert done.returncode == 0, done.stderr
    assert f"left out: 2 bad rows of {file}, first row 8, column close" in done.stderr
    report = json.loads((out / "report.json").read_text())
    assert report["x:BTC/USDT:1h"]["candles"] == ROWS - 2


def test_what_the_shipped_prior_may_have_seen_is_said(
    candlecast: Run, write: Write, tmp_path: Path
) -> None:
    """Candles of January 2024: in the terminal, the report and the page; not without a prior."""
    file, said = write("x-BTCUSDT-1h.csv", table()), {}
    for options in ((), ("--no-prior",)):
        out = tmp_path / f"out{len(options)}"
        done = candlecast("backtest", file, "--out", str(out), *options)
        page, report = (out / "report.html").read_text(), (out / "report.json").read_text()
        said[options] = ["BEWARE" in text for text in (done.stdout, page)]
        prior = json.loads(report)["x:BTC/USDT:1h"]["prior"]
        assert (prior is None) == bool(options)
    assert said == {(): [True, True], ("--no-prior",): [False, False]}


def test_a_folder_is_the_candle_files_in_it(candlecast: Run, write: Write, tmp_path: Path) -> None:
    """By name, several at once; each is in the report, the forecasts and the page."""
    out = tmp_path / "out"
    for name, rows in (("x-ETHUSDT-1h.csv", 30), ("x-BTCUSDT-1h.csv", ROWS)):
        write(f"candles/{name}", table(rows))
    write("candles/notes.txt", table())
    write("candles/pool.csv", table())

    done = candlecast("backtest", str(tmp_path / "candles"), "--out", str(out), "--processes", "2")

    assert done.returncode == 0, done.stderr
    assert "left out: file name='pool.csv'" in done.stderr
    report = json.loads((out / "report.json").read_text())
    counts = {"x:BTC/USDT:1h": ROWS, "x:ETH/USDT:1h": 30}
    assert [(name, result["candles"]) for name, result in report.items()] == [*counts.items()]
    assert set(pq.read_table(out / "forecasts.parquet")["series"].to_pylist()) == set(counts)
    page = (out / "report.html").read_text()
    assert all(f">{name}</h2>" in page for name in counts)
    for name, count in counts.items():
        assert f"{name}: {count} candles" in done.stdout
    assert all(str(out / name) in done.stdout for name in FILES)


def test_a_folder_without_candle_files_is_refused(candlecast: Run, tmp_path: Path) -> None:
    """One line says so, and there is no result."""
    (tmp_path / "candles").mkdir()

    done = candlecast("backtest", str(tmp_path / "candles"), "--out", str(tmp_path / "out"))

    assert (done.returncode, done.stdout) == (2, "")
    assert "the folder holds no .parquet, .csv, .feather, .json, .zip" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_without_prior_a_series_begins_by_itself(
    candlecast: Run, write: Write, tmp_path: Path
) -> None:
    """Other forecasts of the same candles, by fewer experts, from the setting and the option."""
    file, reports, said = write("x-BTCUSDT-1h.csv", table()), {}, {}
    for name, options, env in (
        ("shipped", (), {}),
        ("option", ("--no-prior",), {}),
        ("setting", (), {"CANDLECAST_PRIOR": "none"}),
    ):
        out = tmp_path / name
        done = candlecast("backtest", file, "--out", str(out), *options, **env)
        assert done.returncode == 0, done.stderr
        reports[name] = json.loads((out / "report.json").read_text())["x:BTC/USDT:1h"]
        said[name] = pd.read_parquet(out / "forecasts.parquet")

    models = {name: report["model"] for name, report in reports.items()}
    assert models == {"shipped": "default", "option": "default@none", "setting": "default@none"}
    assert "PooledNetwork" in reports["shipped"]["comparison"]["1"]["against"]
    assert "PooledNetwork" not in reports["option"]["comparison"]["1"]["against"]
    assert (said["shipped"].filter(like="q") != said["option"].filter(like="q")).any(axis=None)
    pd.testing.assert_frame_equal(said["option"], said["setting"])


def test_without_matplotlib_there_are_no_pictures(
    candlecast: Run, write: Write, tmp_path: Path
) -> None:
    """All else is done, and a line says how to get them."""
    out, stub = tmp_path / "out", tmp_path / "stub"
    stub.mkdir()
    (stub / "matplotlib.py").write_text(
        'raise ModuleNotFoundError("No module named \'matplotlib\'", name="matplotlib")'
    )
    file = write("x-BTCUSDT-1h.csv", table())

    done = candlecast("backtest", file, "--out", str(out), PYTHONPATH=str(stub))

    assert done.returncode == 0, done.stderr
    assert "matplotlib is missing (pip install 'candlecast[report]')" in done.stdout
    assert sorted(path.name for path in out.iterdir()) == ["forecasts.parquet", "report.json"]


def test_an_unknown_model_is_refused(candlecast: Run, write: Write, tmp_path: Path) -> None:
    """One line says which there are."""
    file = write("x-BTCUSDT-1h.csv", table())

    done = candlecast("backtest", file, "--out", str(tmp_path / "out"), CANDLECAST_MODEL="magic")

    assert (done.returncode, done.stdout) == (2, "")
    assert "use one of default, random-walk" in done.stderr
    assert done.stderr.count("\n") == 1
