"""Drifts of real errors beside River's ADWIN: found, mistaken, how late; and what haste is worth.

    python -m benchmarks.drift [FOLDER] [--candles N] [--only NAME]

Of each file the default model's two signals are taken (`models.drift`). Both detectors look for
drifts in them, in the same numbers shuffled one by one and in pieces of 128, which keep what
neighbours have in common (no change in them lasts), and in shuffled ones that are moved by a part
of their standard deviation from some candle on. Then the quantiles learn as fast as at the start
after each drift, and the CRPS is divided by that of the model as it is.
"""

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
from river.drift import ADWIN

from benchmarks.accuracy import SHARED, files_of
from models.drift import BLOCK, DriftDetector
from models.forecaster import ScaleMixtureForecaster
from models.learner import Learner
from models.memory import Array
from models.scoring import ROW
from producers.files import CandleFile
from worker.cores import forked

SHUFFLES, PIECE, CALM, AFTER = 5, 128, 8_000, 4_000
SHIFTS = (0.25, 0.5, 1.0)
HORIZON = 24
# ADWIN wants values between 0 and 1.
LARGEST = 5.0


class Found(NamedTuple):
    """What one detector made of a file's signals."""

    real: int
    mistaken: int
    in_pieces: int
    delays: tuple[float, ...]


def own(values: Array) -> list[int]:
    """Return at which values a drift is found."""
    detector, found = DriftDetector(), []
    for place, value in enumerate(values.tolist()):
        before = detector.count
        detector.learn_many([place], [(value, 0.0)])
        found += [place] * (detector.count - before)
    return found


def adwin(values: Array) -> list[int]:
    """Do the same with River's, as it is by default."""
    detector, found = ADWIN(), []  # type: ignore[no-untyped-call]
    for place, value in enumerate(values.tolist()):
        detector.update(value)  # type: ignore[no-untyped-call]
        found += [place] * detector.drift_detected
    return found


def judged(detect: Callable[[Array], list[int]], signals: Array) -> Found:
    """Return what a detector finds, by mistake and how late, in the signals of a file (n, 2)."""
    chance = np.random.default_rng(0)
    real, mistaken, in_pieces, delays = 0, 0, 0, []
    for signal in signals.T:
        real += len(detect(signal))
        for _ in range(SHUFFLES):
            shuffled = chance.permutation(signal)
            mistaken += len(detect(shuffled))
            pieces = signal[: len(signal) // PIECE * PIECE].reshape(-1, PIECE)
            in_pieces += len(detect(chance.permutation(pieces).ravel()))
            start = CALM + int(chance.integers(BLOCK))
            delays.append([late(detect, shuffled, start, shift) for shift in SHIFTS])
    return Found(real, mistaken, in_pieces, tuple(np.median(delays, axis=0)))


def late(detect: Callable[[Array], list[int]], values: Array, start: int, shift: float) -> int:
    """Return after how many candles a shift, in standard deviations, is found."""
    moved = np.resize(values, start + AFTER)
    moved[start:] += shift * values.std()
    return min((place - start for place in detect(moved) if place >= start), default=AFTER)


def signals_of(file: CandleFile, count: int) -> Array:
    """Return what is watched of the default model, scaled to [0, 1], shape (n, 2)."""
    learner = Learner(file.series.timeframe, HORIZON)
    seen: list[Sequence[float]] = []

    def see(_times: Sequence[int], signals: Sequence[Sequence[float]]) -> None:
        seen.extend(signals)

    learner.drift.learn_many = see  # type: ignore[method-assign, assignment]
    learner.learn_many(file.candles(0, count))
    found = np.array(seen)
    return np.asarray(found[~np.isnan(found[:, 0])] / LARGEST)


def losses(file: CandleFile, count: int, *, hasty: bool) -> Array:
    """Return the CRPS at each horizon, with quantiles that are hasty after a drift or not."""
    learner = Learner(file.series.timeframe, HORIZON)
    model = cast("ScaleMixtureForecaster", learner.forecaster)
    for candle in file.candles(0, count):
        before = learner.drift.count
        learner.learn_one(candle)
        if hasty and learner.drift.count > before:
            model.tracker.candles[:] = 0
    return np.asarray(learner.prequential.total[ROW["crps"]])


def run(file: CandleFile, count: int) -> str:
    """Return the lines of one file."""
    signals = signals_of(file, count)
    ratios = losses(file, count, hasty=True) / losses(file, count, hasty=False)
    lines = [f"{Path(file.path).stem}: {len(signals):,} candles"]
    for detect in (own, adwin):
        real, mistaken, in_pieces, delays = judged(detect, signals)
        shown = ", ".join(f"{delay:,.0f}" for delay in delays)
        mistakes = f"{mistaken} and {in_pieces} mistaken"
        lines.append(f"  {detect.__name__:<6} {real} found, {mistakes}, {shown} late")
    shown = " ".join(f"{ratio:.5f}" for ratio in ratios)
    return "\n".join([*lines, f"  hasty CRPS / CRPS, by horizon: {shown}"])


def main() -> None:
    """Print what was found of each file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", default=SHARED / "data")
    parser.add_argument("--candles", type=int, default=20_000)
    parser.add_argument("--only", default="", help="files whose name holds this")
    options = parser.parse_args()
    files = [file for file in files_of(options.folder) if options.only in Path(file.path).stem]
    print(
        f"mistaken: in {SHUFFLES} shuffles of both signals, one by one and in pieces of {PIECE}; "
        f"late: by the median, candles after shifts of {SHIFTS} standard deviations"
    )
    with forked(os.cpu_count() or 1) as pool:
        for lines in pool.map(run, files, [options.candles] * len(files)):
            print(lines, flush=True)


if __name__ == "__main__":
    main()
