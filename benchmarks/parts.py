"""What each part of the default model buys: the CRPS without it, over the CRPS with all.

    python -m benchmarks.parts [FOLDER] [--only NAME] [--since DAY] [--processes N]

The same origins as in benchmarks.accuracy, of the files that reach beyond what the shipped prior
has seen. Above 1: the part is worth having.
"""

import argparse
import os
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import numpy as np

from benchmarks.accuracy import HORIZONS, LONGEST, SHARED, Case, case, files_of, score
from models import constants
from models.forecaster import ScaleMixtureForecaster
from models.memory import Array
from models.moves import fields_of
from models.network import PooledNetwork
from models.scale import RecursiveLeastSquares, SlowLevel
from shared.forecast import QUANTILE_LEVELS
from worker.cores import forked


def without(kind: type) -> Callable[[int], ScaleMixtureForecaster]:
    """Return what makes the model without one kind of scale expert."""

    def make(timeframe_ms: int) -> ScaleMixtureForecaster:
        made = whole(timeframe_ms)
        pairs = zip(made.experts, made.mixture.prior, strict=True)
        panel = tuple((expert, weight) for expert, weight in pairs if not isinstance(expert, kind))
        return ScaleMixtureForecaster(timeframe_ms, LONGEST, prior=made.prior, panel=panel)

    return make


def whole(timeframe_ms: int) -> ScaleMixtureForecaster:
    """Make the model with all its parts."""
    return ScaleMixtureForecaster(timeframe_ms, LONGEST, prior=constants.prior())


def without_prior(timeframe_ms: int) -> ScaleMixtureForecaster:
    """Make the model that begins with nothing."""
    return ScaleMixtureForecaster(timeframe_ms, LONGEST)


def without_mixing(timeframe_ms: int) -> ScaleMixtureForecaster:
    """Make the model whose experts keep the weights they start with."""
    made = whole(timeframe_ms)
    made.mixture.rate = 0.0
    return made


def without_calendar(timeframe_ms: int) -> ScaleMixtureForecaster:
    """Make the model for which all hours are alike."""
    made = whole(timeframe_ms)
    made.calendar.start_anew()
    made.calendar.learn_one = lambda *_: None  # type: ignore[method-assign]
    return made


def without_ticks(timeframe_ms: int) -> ScaleMixtureForecaster:
    """Make the model for which prices are smooth."""
    made = whole(timeframe_ms)
    made.ticks.snap = lambda _: None  # type: ignore[assignment, method-assign]
    return without_counts_of(made)


def without_counts(timeframe_ms: int) -> ScaleMixtureForecaster:
    """Make the model that does not count ticks."""
    return without_counts_of(whole(timeframe_ms))


def without_counts_of(made: ScaleMixtureForecaster) -> ScaleMixtureForecaster:
    """Trust the counts of ticks never."""
    made.counts.learn_one = lambda *_: None  # type: ignore[method-assign]
    made.counts.gains[:] = -1e6
    return made


VARIANTS: dict[str, Callable[[int], ScaleMixtureForecaster]] = {
    "all parts": whole,
    "no prior": without_prior,
    "no network": without(PooledNetwork),
    "no regression": without(RecursiveLeastSquares),
    "no slow levels": without(SlowLevel),
    "fixed weights": without_mixing,
    "no calendar": without_calendar,
    "no ticks": without_ticks,
    "no counts": without_counts,
}


def crps(one: Case, variant: str) -> list[float]:
    """Return the CRPS of a variant on a file, by horizon."""
    made = VARIANTS[variant](one.file.series.timeframe.ms)
    rows = np.array(HORIZONS) - 1
    said: Array = np.empty((len(one.file), len(HORIZONS), len(QUANTILE_LEVELS)))
    for number, candle in enumerate(one.file):
        made.learn_one(candle.close, fields_of(candle))
        if number >= one.start:
            quantiles = made.forecast_quantiles(LONGEST, QUANTILE_LEVELS)[rows]
            said[number] = np.log(quantiles / candle.close)
    return score(one, said)["crps"]


def main() -> None:
    """Print a row for each file and part."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", default=SHARED / "data")
    parser.add_argument("--only", default="", help="files whose name holds one of these (a,b)")
    parser.add_argument("--since", default="2024-03-01", help="scored from this day on (UTC)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    since = int(datetime.fromisoformat(options.since).replace(tzinfo=UTC).timestamp() * 1_000)
    names = options.only.split(",")
    all_of_them = (case(file, since) for file in files_of(options.folder))
    cases = [one for one in all_of_them if one.is_later and any(name in one.name for name in names)]
    if not cases:
        raise SystemExit(f"no file in {options.folder} is scored from {options.since} on")
    tasks = list(product(cases, VARIANTS))
    print(f"{'file':<22} {'part left out':<15} CRPS / all parts, {HORIZONS} ahead")
    with forked(options.processes) as pool:
        scored = pool.map(crps, *zip(*tasks, strict=True))
        full: list[float] = []
        ratios: dict[str, list[Array]] = {}
        for (one, variant), found in zip(tasks, scored, strict=True):
            if variant == "all parts":
                full = found
                continue
            ratios.setdefault(variant, []).append(np.array(found) / full)
            print(row(one.name, variant, ratios[variant][-1]), flush=True)
    for variant, of_files in ratios.items():
        print(row(f"mean of {len(of_files)}", variant, np.mean(of_files, axis=0)))


def row(name: str, variant: str, ratios: Array) -> str:
    """Return a line of the table."""
    return f"{name:<22} {variant:<15} " + " ".join(f"{ratio:.4f}" for ratio in ratios)


if __name__ == "__main__":
    main()
