"""Whether an update has become slower beside work that never changes; exit code 1 where it has.

    python -m benchmarks.smoke [--repeat N]

Both are timed by turns in one run and the best times divided, so that the machine drops out of the
ratio: an update of the
default model (learn, forecast, save), alone and in step with 63 others, and a plain River pipeline
that learns and predicts with as many numbers.
"""

import argparse
import sys
import time
from collections.abc import Callable

import numpy as np
from river import linear_model, preprocessing

from benchmarks.stage import random_walk
from models import state
from models.learner import Learner
from models.learners import Learners
from shared.candle import Candle, Timeframe

TOGETHER, WARM, CANDLES, HORIZON = 64, 300, 40, 24
# Of an update to a step of the pipeline; measured, and half as much again.
MOST = {1: 36.0, TOGETHER: 10.0}


def updates(count: int) -> Callable[[], float]:
    """Return what measures the seconds of one update of one of so many series."""
    learners = [Learner(Timeframe("1h"), HORIZON) for _ in range(count)]
    if count > 1:
        rows = np.zeros((count, learners[0].extent))
        for learner, row in zip(learners, rows, strict=True):
            learner.gather(row)
    markets = [random_walk(WARM, seed=seed) for seed in range(count)]
    group, step = Learners(learners), markets[0][1].open_time - markets[0][0].open_time
    group.learn_many(zip(*markets, strict=True))
    last = [market[-1] for market in markets]
    clock = iter(range(last[0].open_time + step, 2**62, step))

    def measure() -> float:
        began = time.perf_counter()
        for at, _ in zip(clock, range(CANDLES), strict=False):
            group.learn([_moved(candle, at) for candle in last])
            group.outlooks()
            for learner in learners:
                state.body(learner)
        return (time.perf_counter() - began) / CANDLES / count

    return measure


def pipeline() -> Callable[[], float]:
    """Return what measures the seconds of one step of a River pipeline with 37 numbers."""
    model = preprocessing.StandardScaler() | linear_model.LinearRegression()
    x = {f"x{number}": float(number % 7) for number in range(37)}

    def measure() -> float:
        began = time.perf_counter()
        for number in range(20 * CANDLES):
            x["x0"] = float(number % 11)
            model.predict_one(x)
            model.learn_one(x, 0.1)
        return (time.perf_counter() - began) / (20 * CANDLES)

    return measure


def _moved(candle: Candle, open_time: int) -> Candle:
    return Candle(open_time, candle.open, candle.high, candle.low, candle.close, candle.volume)


def main() -> None:
    """Print the ratios; exit with 1 where one is beyond its bound."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeat", type=int, default=9)
    options = parser.parse_args()
    beside, of_series = pipeline(), {count: updates(count) for count in MOST}
    fails = False
    for count, most in MOST.items():
        pairs = [(of_series[count](), beside()) for _ in range(options.repeat)]
        ratio = min(own for own, _ in pairs) / min(other for _, other in pairs)
        fails |= ratio > most
        print(f"an update, {count} in step: {ratio:.2f} steps of the pipeline; at most {most:g}")
    sys.exit(int(fails))


if __name__ == "__main__":
    main()
