"""A backtest's files and its processes."""

import json
import math
import multiprocessing
import os
import signal
from collections.abc import Container, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from models.hours import HOUR_MS, MONDAY_MS
from models.learner import Learner
from models.memory import Array
from shared.candle import Candle, Series
from shared.errors import CandlecastError, InvalidValue
from shared.forecast import QUANTILE_LEVELS
from worker import backtest, summary
from worker.backtest import PAGE, SCHEMA, Task

SERIES = Series.parse("test:BTC/USDT:1h")
OTHER = Series.parse("test:ETH/USDT:1h")
QUANTILES = [f"q{level:g}" for level in QUANTILE_LEVELS]
FILES = ["forecasts.parquet", "report.json"]
EXPERTS = ["SlowLevel(2000)", "RecursiveLeastSquares", "SlowLevel(66)", "PooledNetwork"]


def walk(count: int, *, seed: int = 1, missing: Container[int] = ()) -> list[Candle]:
    """Draw hourly candles of a random walk, without those at the hours that are missing."""
    rng = np.random.default_rng(seed)
    closes = (100 * np.exp(np.cumsum(rng.normal(0, 0.01, count + 1)))).tolist()
    return [
        Candle(MONDAY_MS + hour * HOUR_MS, o, max(o, c) * 1.001, min(o, c) * 0.999, c, 1.0)
        for hour, (o, c) in enumerate(pairwise(closes))
        if hour not in missing
    ]


def still(count: int) -> list[Candle]:
    """Return hourly candles of a market that never moved."""
    return [Candle(MONDAY_MS + n * HOUR_MS, 1.0, 1.0, 1.0, 1.0, 0.0) for n in range(count)]


class Deadly:
    """Candles that cost the process its life that reads them, as want of memory does."""

    def __len__(self) -> int:
        """Promise one."""
        return 1

    def __iter__(self) -> Iterator[Candle]:
        """Kill whoever asks for the first."""
        os.kill(os.getpid(), signal.SIGKILL)
        return iter([])


def test_a_process_that_is_killed_is_one_clear_line(tmp_path: Path) -> None:
    """And no result is left that looks whole."""
    with pytest.raises(CandlecastError, match="killed, perhaps for want of memory"):
        backtest.run([Task(SERIES, Deadly(), "default", 24)], tmp_path)

    assert list(tmp_path.iterdir()) == []


class Torn(list[Candle]):
    """Candles that cannot be read to their end."""

    def __iter__(self) -> Iterator[Candle]:
        """Yield all but the last, and fail."""
        yield from self[:-1]
        raise RuntimeError("torn")


def run(candles: Sequence[Candle], out: Path, model: str = "default", horizon: int = 3) -> Any:
    """Run one series and return its report."""
    return backtest.run([Task(SERIES, candles, model, horizon)], out)[str(SERIES)]


def forecasts(out: Path) -> pd.DataFrame:
    """Read the forecasts that were kept."""
    return pd.read_parquet(out / "forecasts.parquet")


def strict(path: Path) -> dict[str, Any]:
    """Read what every reader of JSON takes."""

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is not JSON")

    read: dict[str, Any] = json.loads(path.read_text(), parse_constant=refuse)
    return read


def content(out: Path) -> dict[str, bytes]:
    """Return the bytes of everything in a folder."""
    return {path.name: path.read_bytes() for path in out.rglob("*")}


def test_every_origin_and_horizon_is_a_row(tmp_path: Path) -> None:
    """Series come in their order, also one of a market that never moved and a short one."""
    tasks = [Task(OTHER, still(5), "default", 3), Task(SERIES, walk(9), "random-walk", 2)]

    backtest.run(tasks, tmp_path)

    assert pq.read_schema(tmp_path / "forecasts.parquet") == SCHEMA
    rows = forecasts(tmp_path)
    assert rows["series"].tolist() == [str(OTHER)] * 15 + [str(SERIES)] * 18
    assert rows["horizon"].tolist() == [1, 2, 3] * 5 + [1, 2] * 9
    ahead = (rows["target_time"] - rows["candle_open_time"]).dt.total_seconds()
    assert (ahead == 3_600 * (rows["horizon"] + 1)).all()
    closes = rows[15:].drop_duplicates("candle_open_time")["last_close"]
    assert closes.tolist() == [candle.close for candle in walk(9)]


@pytest.mark.parametrize(("model", "count"), [("default", 80), ("random-walk", 1_100)])
def test_quantiles_are_those_that_are_published(model: str, count: int, tmp_path: Path) -> None:
    """Each is that of the learner after its candle, to ten digits; past a chunk's end too."""
    candles, learner = walk(count, missing=range(30, 35)), Learner(SERIES.timeframe, 3, model)
    expected: list[list[float]] = []
    for candle in candles:
        learner.learn_one(candle)
        said = learner.outlook().quantiles.tolist()
        expected.extend([float(f"{price:.9e}") for price in row] for row in said)

    run(candles, tmp_path, model)

    assert forecasts(tmp_path)[QUANTILES].to_numpy().tolist() == expected


def test_no_forecast_knows_what_comes_after_it(tmp_path: Path) -> None:
    """Other candles from some point on leave every earlier row as it was, to the last bit."""
    candles, cut = walk(420, missing=range(200, 208)), 300
    others = [
        Candle(c.open_time, c.open * 3, c.high * 4, c.low * 2, c.low * 2, c.volume * 7)
        for c in candles[cut:]
    ]

    for name, stream in (("as it was", candles), ("otherwise", [*candles[:cut], *others])):
        run(stream, tmp_path / name)

    rows, changed = forecasts(tmp_path / "as it was"), forecasts(tmp_path / "otherwise")
    pd.testing.assert_frame_equal(rows[: 3 * cut], changed[: 3 * cut], check_exact=True)
    assert (rows[QUANTILES][3 * cut :] != changed[QUANTILES][3 * cut :]).all(axis=None)


def test_a_task_that_fails_leaves_the_last_result_as_it_was(tmp_path: Path) -> None:
    """The series before it was done; nothing of it is kept, no draft is left behind."""
    run(still(6), tmp_path)
    (tmp_path / PAGE).write_text("of the last result")
    before = content(tmp_path)
    tasks = [Task(OTHER, walk(50), "default", 3), Task(SERIES, Torn(walk(50)), "default", 3)]

    with pytest.raises(RuntimeError, match="torn"):
        backtest.run(tasks, tmp_path)

    assert sorted(before) == sorted([*FILES, PAGE])
    assert content(tmp_path) == before


def test_an_earlier_page_does_not_lie_beside_other_forecasts(tmp_path: Path) -> None:
    """It is gone when they are in place, whether another is made or not."""
    (tmp_path / PAGE).write_text("of another result")

    run(still(6), tmp_path)

    assert sorted(content(tmp_path)) == FILES


def test_what_is_wrong_with_a_task_is_said(tmp_path: Path) -> None:
    """The error of a process comes out of it as it is."""
    with pytest.raises(InvalidValue, match="use one of default"):
        run(walk(5), tmp_path, "magic")


def test_an_interrupted_run_leaves_no_draft_and_no_process(tmp_path: Path) -> None:
    """Whoever ends it gets the folder as it was, and nobody at work on it any more."""
    run(still(6), tmp_path)
    before = content(tmp_path)
    names = [Series.parse(f"test:{name}/USDT:1h") for name in "ABCD"]
    tasks = [Task(name, walk(600), "default", 3) for name in names]

    def interrupt(_: Sequence[int]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backtest.run(tasks, tmp_path, processes=2, on_progress=interrupt)

    assert multiprocessing.active_children() == []
    assert content(tmp_path) == before


@pytest.mark.parametrize("tasks", [[], [Task(SERIES, [], "default", 3)]], ids=["task", "candle"])
def test_without_candles_the_result_is_empty(tasks: list[Task], tmp_path: Path) -> None:
    """No row, no error, in a folder that had to be made."""
    out = tmp_path / "new" / "folder"

    report = backtest.run(tasks, out)

    assert sorted(content(out)) == FILES
    assert pq.read_schema(out / "forecasts.parquet") == SCHEMA
    assert forecasts(out).empty
    assert [one["candles"] for one in strict(out / "report.json").values()] == [0] * len(tasks)
    assert list(summary.lines(report)) == [f"{SERIES}: 0 candles, model default"] * len(tasks)


def test_the_number_of_processes_changes_nothing(tmp_path: Path) -> None:
    """Both files are the same to the byte, although the first series ends last."""
    tasks = [Task(SERIES, walk(300), "default", 3), Task(OTHER, still(40), "default", 6)]

    for processes in (1, 2):
        backtest.run(tasks, tmp_path / str(processes), processes=processes)

    one, two = content(tmp_path / "1"), content(tmp_path / "2")
    assert sorted(one) == FILES
    assert one == two


@pytest.mark.parametrize("processes", [1, 3])
def test_progress_reaches_the_candles_of_every_task(processes: int, tmp_path: Path) -> None:
    """It never goes back, and a task without candles has none to reach."""
    counts, seen = [1_200, 0, 30], list[list[int]]()
    tasks = [Task(SERIES, walk(count), "random-walk", 1) for count in counts]

    backtest.run(
        tasks, tmp_path, processes=processes, on_progress=lambda done: seen.append(list(done))
    )

    assert seen[-1] == counts
    assert all(np.less_equal(before, after).all() for before, after in pairwise(seen))


def test_report_compares_with_the_baseline_and_every_expert(tmp_path: Path) -> None:
    """At every scored horizon, in JSON that every reader takes and that says what was returned."""
    report = run(walk(120), tmp_path, horizon=6)

    read = strict(tmp_path / "report.json")[str(SERIES)]
    assert read["model"] == "default"
    assert read["candles"] == 120
    assert list(read["comparison"]) == ["1", "3", "6"]
    for one in read["comparison"].values():
        assert list(one["against"]) == ["baseline", *EXPERTS]
        for difference in one["against"].values():
            assert difference["ratio"] > 0
            assert math.isfinite(difference["statistic"])
            assert 0 <= difference["p_value"] <= 1
    assert read["comparison"] == report["comparison"]
    assert read["coverage"] == report["coverage"]


def crps(change: float, quantiles: Array) -> float:
    """Work out twice the mean pinball loss."""
    gaps = zip(QUANTILE_LEVELS, (change - quantiles).tolist(), strict=True)
    return 2 * math.fsum(max(p * gap, (p - 1) * gap) for p, gap in gaps) / 9


def test_ratio_is_that_of_the_kept_forecasts_to_the_random_walks(tmp_path: Path) -> None:
    """By hand, one candle ahead, from the origins on that are compared and by the target's time."""
    candles = walk(150, missing=range(70, 73))
    logs = {c.open_time: math.log(c.close) for c in candles}
    report = run(candles, tmp_path)
    rows = forecasts(tmp_path)
    said = np.log(rows[rows["horizon"] == 1][QUANTILES].to_numpy())
    scores = np.array([-1.959964, -1.644854, -1.281552, -0.67449, 0])
    scores = np.array([*scores, *-scores[3::-1]])

    own, naive, total, weight = 0.0, 0.0, 0.0, 0.0
    for number, (candle, row) in enumerate(zip(candles, said, strict=True)):
        if number:
            total = (
                0.97 * total + (logs[candle.open_time] - logs[candles[number - 1].open_time]) ** 2
            )
            weight = 0.97 * weight + 1
        target = logs.get(candle.open_time + HOUR_MS)
        if number >= len(candles) // 3 and target is not None:
            origin = logs[candle.open_time]
            own += crps(target - origin, row - origin)
            naive += crps(target - origin, math.sqrt(total / weight) * scores)

    one = report["comparison"]["1"]
    assert one["against"]["baseline"]["ratio"] == pytest.approx(own / naive, rel=1e-5)
    assert one["crps"] == pytest.approx(own / one["origins"], rel=1e-5)
    assert one["origins"] == len(candles) - len(candles) // 3 - 2


@pytest.mark.filterwarnings("default:Mean of empty slice")
def test_report_of_a_series_shorter_than_its_horizon_is_json(tmp_path: Path) -> None:
    """What is unknown is null."""
    run(walk(5), tmp_path, horizon=24)

    read = strict(tmp_path / "report.json")[str(SERIES)]
    assert read["coverage"]["90"][-1] is None
    assert read["comparison"]["24"]["crps"] is None
