"""How far off the bands of a forecaster seem that is perfectly calibrated, in its worst thousand.

    python -m benchmarks.calibrated [--candles N ...] [--runs N]

Returns are drawn from a normal distribution that is known, so that the 90 % band of the next h
candles is exact. Forecasts h ahead overlap: a thousand of them count as some thousand / h, and the
worst of all windows of 1,000 in a row is off by chance alone.
"""

import argparse

import numpy as np

from models.distribution import normal_scores
from models.memory import Array
from models.skill import SCORED_HORIZONS

WINDOW = 1_000


def worst_thousand(inside: Array) -> Array:
    """Return how far the share inside the 90 % band is from .9 in the worst 1,000 in a row.

    ``inside`` has shape (origins, horizons), what is returned (horizons,): 0 for fewer origins.
    """
    hits = np.vstack([np.zeros(inside.shape[1]), np.cumsum(inside, axis=0)])
    shares: Array = (hits[WINDOW:] - hits[:-WINDOW]) / WINDOW
    return np.asarray(abs(shares - 0.9).max(0, initial=0.0))


def hits_of_the_exact_band(returns: Array) -> Array:
    """Return 1 where the sum of the next h standard normal returns is inside its band, else 0."""
    sums = np.cumsum(np.concatenate([[0.0], returns]))
    count = len(returns) - SCORED_HORIZONS[-1]
    edge = float(normal_scores((0.95,))[0])
    moved = np.stack([sums[h : h + count] - sums[:count] for h in SCORED_HORIZONS], axis=1)
    return np.asarray(abs(moved) <= edge * np.sqrt(SCORED_HORIZONS), np.float64)


def main() -> None:
    """Print the mean over some runs, for each length and horizon, in points."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--candles", type=int, nargs="+", default=[88_104, 7_320])
    parser.add_argument("--runs", type=int, default=20)
    options = parser.parse_args()
    if min(options.candles) < WINDOW or options.runs < 1:
        parser.error(f"--candles: at least {WINDOW}; --runs: at least 1")
    print(f"origins, points off in the worst 1,000 at {SCORED_HORIZONS} ahead, mean (most)")
    for count in options.candles:
        chance = np.random.default_rng(0)
        runs = chance.normal(size=(options.runs, count + SCORED_HORIZONS[-1]))
        found = 100 * np.array([worst_thousand(hits_of_the_exact_band(run)) for run in runs])
        cells = zip(found.mean(0), found.max(0), strict=True)
        print(f"{count:>7,}  " + "  ".join(f"{mean:.1f} ({most:.1f})" for mean, most in cells))


if __name__ == "__main__":
    main()
