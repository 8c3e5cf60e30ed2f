"""The backtest's files and summary."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from models.learner import Learner
from shared.candle import Candle, Series
from worker.backtest import SCHEMA, Backtest

HOUR = 3_600_000
SERIES = Series.parse("test:BTC/USDT:1h")


def test_every_origin_and_horizon_is_a_row_and_every_series_a_report(tmp_path: Path) -> None:
    """Also of a market that never moved, of which no skill can be told."""
    candles = [Candle(hour * HOUR, 1.0, 1.0, 1.0, 1.0, 0.0) for hour in range(5)]

    with Backtest(tmp_path) as test:
        done = list(test.run(SERIES, candles, Learner(SERIES.timeframe, 3)))

    table = pq.read_table(tmp_path / "forecasts.parquet")
    assert done == [5]
    assert table.schema == SCHEMA
    assert table["horizon"].to_pylist() == [1, 2, 3] * 5
    assert [t.hour for t in table["target_time"].to_pylist()[:3]] == [2, 3, 4]
    assert json.loads((tmp_path / "report.json").read_text())[str(SERIES)]["candles"] == 5
    assert list(test.summary())[2].split()[2:] == ["-", "100.00%"]


def test_a_report_without_candles_is_empty(tmp_path: Path) -> None:
    """No row, no error."""
    with Backtest(tmp_path) as test:
        assert list(test.run(SERIES, [], Learner(SERIES.timeframe, 3))) == [0]

    assert pq.read_table(tmp_path / "forecasts.parquet").num_rows == 0


def test_half_a_backtest_leaves_the_last_whole_one_as_it_was(tmp_path: Path) -> None:
    """An interrupted run replaces nothing and leaves no part behind."""
    (tmp_path / "forecasts.parquet").write_text("the last one")

    with pytest.raises(KeyboardInterrupt), Backtest(tmp_path):
        raise KeyboardInterrupt

    assert [path.name for path in tmp_path.iterdir()] == ["forecasts.parquet"]
    assert (tmp_path / "forecasts.parquet").read_text() == "the last one"
