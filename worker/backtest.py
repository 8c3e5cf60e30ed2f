"""The live code path over files of candles, without Redis: every forecast, scored and compared."""

import json
import multiprocessing
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from models.learner import Learner
from shared.candle import Candle, Series
from shared.forecast import QUANTILE_LEVELS
from worker.cores import forked
from worker.publish import significant
from worker.trial import Trial

PAGE = "report.html"
"""Name of the page with tables and pictures, which others write beside the results."""

_ORIGINS_A_CHUNK = 1_000
_LOOK_S = 0.2
_TIME = pa.timestamp("ms", tz="UTC")
SCHEMA = pa.schema(
    [
        ("series", pa.string()),
        ("candle_open_time", _TIME),
        ("horizon", pa.int16()),
        ("last_close", pa.float64()),
        ("target_time", _TIME),
        *((f"q{level:g}", pa.float64()) for level in QUANTILE_LEVELS),
    ]
)


class Candles(Protocol):
    """Candles of a series, oldest first."""

    def __len__(self) -> int:
        """Return how many there are."""

    def __iter__(self) -> Iterator[Candle]:
        """Yield them."""


@dataclass(frozen=True, slots=True)
class Task:
    """One series to run a model over."""

    series: Series
    candles: Candles
    model: str
    horizon: int


def run(
    tasks: Sequence[Task],
    out: Path,
    *,
    processes: int = 1,
    on_progress: Callable[[Sequence[int]], object] = lambda _: None,
) -> dict[str, Any]:
    """Run every task and write ``forecasts.parquet`` and ``report.json``.

    Half a backtest never looks like one: what was there before stays until all of it is done.

    Parameters
    ----------
    tasks
        Each series once.
    out
        Folder; made where it is missing.
    processes
        How many series run at once.
    on_progress
        Called now and then with the candles done of each task.

    Raises
    ------
    CandlecastError
        When one of the processes was killed.

    Returns
    -------
    What ``report.json`` holds: for each series its scores, and the comparison of the forecasts
    with the baseline's and with each expert's alone.
    """
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".backtest-", dir=out) as folder:
        draft = Path(folder)
        parts = [draft / f"{number}.parquet" for number in range(len(tasks))]
        report = dict(
            zip(
                (str(task.series) for task in tasks),
                _in_processes(tasks, parts, processes, on_progress),
                strict=True,
            )
        )
        with pq.ParquetWriter(draft / "forecasts.parquet", SCHEMA, compression="zstd") as writer:
            for part in parts:
                file = pq.ParquetFile(part)
                for group in range(file.num_row_groups):
                    writer.write_table(file.read_row_group(group))
        text = json.dumps(report, indent=2, allow_nan=False)
        (draft / "report.json").write_text(text + "\n")
        # Whatever comes next, the page of an earlier backtest must not lie beside other forecasts.
        (out / PAGE).unlink(missing_ok=True)
        for name in ("forecasts.parquet", "report.json"):
            (draft / name).replace(out / name)
    return report


def _in_processes(
    tasks: Sequence[Task],
    parts: Sequence[Path],
    processes: int,
    on_progress: Callable[[Sequence[int]], object],
) -> list[dict[str, Any]]:
    done = multiprocessing.get_context("fork").Array("q", len(tasks))
    with forked(min(processes, len(tasks)), _share, done) as pool:
        futures: list[Future[dict[str, Any]]] = [
            pool.submit(_run_one, number, task, part)
            for number, (task, part) in enumerate(zip(tasks, parts, strict=True))
        ]
        left: set[Future[dict[str, Any]]] = set(futures)
        while left:
            ended, left = wait(left, timeout=_LOOK_S, return_when=FIRST_EXCEPTION)
            on_progress(done[:])
            for future in ended:
                future.result()
    return [future.result() for future in futures]


_done: Any = None


def _share(done: Any) -> None:
    global _done  # noqa: PLW0603 -- shared memory reaches a process only when it is begun
    _done = done


def _run_one(number: int, task: Task, part: Path) -> dict[str, Any]:
    learner = Learner(task.series.timeframe, task.horizon, task.model)
    trial = Trial(learner)
    with pq.ParquetWriter(part, SCHEMA, compression="zstd") as writer:
        for chunk in _chunks(trial.run(task.candles)):
            writer.write_table(_table(task.series, chunk))
            _done[number] = learner.sequence
    return {"model": task.model, **trial.report()}


def _chunks(rows: Iterable[Any]) -> Iterator[list[Any]]:
    chunk: list[Any] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == _ORIGINS_A_CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _table(series: Series, chunk: Sequence[Any]) -> pa.Table:
    """One row for each origin and horizon: ``target_time`` is the close of the target candle."""
    horizons = len(chunk[0][1].target_times)
    quantiles = significant(np.concatenate([outlook.quantiles for _, outlook in chunk]))
    opened = np.repeat([candle.open_time for candle, _ in chunk], horizons)
    closes = np.repeat([candle.close for candle, _ in chunk], horizons)
    targets = np.concatenate([outlook.target_times for _, outlook in chunk])
    columns = [
        pa.array([str(series)] * len(opened)),
        pa.array(opened, _TIME),
        pa.array(np.tile(np.arange(1, horizons + 1, dtype=np.int16), len(chunk))),
        pa.array(closes),
        pa.array(targets.astype(np.int64), _TIME),
        *(pa.array(quantiles[:, level]) for level in range(len(QUANTILE_LEVELS))),
    ]
    return pa.table(columns, schema=SCHEMA)
