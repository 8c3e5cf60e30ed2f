"""The first hundred candles of a series: CRPS over the naive forecast's, and coverage.

    python -m benchmarks.young [FOLDER] [--starts N] [--only NAME]

Series are begun at random places of each file, with the shipped prior and without.
"""

import argparse
import os
from itertools import pairwise, product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy import HORIZONS, LONGEST, SHARED, files_of
from models.baseline import RandomWalk
from models.learner import Learner
from models.memory import Array
from models.scoring import crps
from producers.files import CandleFile
from shared.forecast import QUANTILE_LEVELS
from worker.cores import forked

CANDLES = 100
ENDS = (1, 6, 20, 50, CANDLES)
MODELS = {"prior": "default", "no prior": "default@none"}
ROWS = np.array(HORIZONS) - 1


def begin(file: CandleFile, start: int, model: str) -> tuple[Array, NDArray[np.bool_]]:
    """Return losses, ours and the naive forecast's, and hits of the 90 % band, by candle: (100, 5).

    Losses are in units of the median move of a candle, so that starts can be averaged.
    """
    candles = file.candles(start, start + CANDLES + LONGEST)
    logs = np.log([candle.close for candle in candles])
    learner, naive = Learner(file.series.timeframe, LONGEST, model), RandomWalk()
    said = np.empty((2, CANDLES, len(HORIZONS), len(QUANTILE_LEVELS)))
    for number, candle in enumerate(candles[:CANDLES]):
        learner.learn_one(candle)
        naive.learn_one(candle.close)
        both = learner.outlook().quantiles, naive.forecast_quantiles(LONGEST, QUANTILE_LEVELS)
        said[:, number] = [np.log(quantiles[ROWS] / candle.close) for quantiles in both]
    moved = np.stack([logs[h : h + CANDLES] - logs[:CANDLES] for h in HORIZONS], axis=1)
    losses = crps(moved[..., None], said) / (np.median(abs(np.diff(logs))) + 1e-9)
    return losses, (said[0, ..., 1] <= moved) & (moved <= said[0, ..., -2])


def run(file: CandleFile, model: str, starts: int) -> str:
    """Return the table of one file and model as text."""
    chance = np.random.default_rng(0)
    places = chance.integers(0, len(file) - CANDLES - LONGEST, starts).tolist()
    found = [begin(file, place, model) for place in places]
    ours, naive = np.mean([losses for losses, _ in found], axis=0)
    hits = np.mean([inside for _, inside in found], axis=0)
    lines = []
    for low, high in pairwise(ENDS):
        ratio = ours[low:high].mean(0) / naive[low:high].mean(0)
        covered = hits[low:high].mean(0)
        shown = " ".join(f"{value:.3f}" for value in ratio)
        lines.append(
            f"{low + 1:>3}-{high:<3} {shown}  {' '.join(f'{share:5.1%}' for share in covered)}"
        )
    return "\n".join(lines)


def main() -> None:
    """Print a table for each file and model."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", default=SHARED / "data")
    parser.add_argument("--starts", type=int, default=60)
    parser.add_argument("--only", default="", help="files whose name holds this")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    files = [file for file in files_of(options.folder) if options.only in Path(file.path).stem]
    tasks = list(product(files, MODELS))
    with forked(options.processes) as pool:
        arguments = ((file, MODELS[name], options.starts) for file, name in tasks)
        tables = pool.map(run, *zip(*arguments, strict=True))
        for (file, name), table in zip(tasks, tables, strict=True):
            said = f"candles, CRPS / naive at {HORIZONS}, 90 % coverage"
            print(f"{Path(file.path).stem}, {name}: {said}")
            print(table, flush=True)


if __name__ == "__main__":
    main()
