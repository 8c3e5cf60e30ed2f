"""The same candles through Bytewax, a stream engine: state in memory, or snapshots of it on disk.

It has no log that a killed process could take its candles from again, and no forecast that anybody
else could read: what a source and a sink would cost is left out, in its favour.
"""

import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import TestingSink, TestingSource, run_main
from river.compose import Pipeline
from river.linear_model import LinearRegression
from river.preprocessing import StandardScaler

from benchmarks.rivals import HORIZON
from models.learner import Learner
from shared.candle import Candle, Timeframe

Step: TypeAlias = Callable[[Any, Candle], tuple[Any, Any]]
"""Takes what is known (nothing at first) and a candle; returns what is known then, and is said."""

_SERIES = "bench:BARE/USDT:1h"
_EPOCH = timedelta(seconds=1)
_AHEAD = (1, 3, 6, 12, 18, 24)
_LAGS = 6


def our_learner(known: Learner | None, candle: Candle) -> tuple[Learner, Any]:
    """Learn, score and forecast as the service does in a backlog."""
    learner = known or Learner(Timeframe("1h"), HORIZON)
    learner.learn_one(candle)
    return learner, learner.said


class Regressions:
    """Six small River models, one for each of six horizons: of the close, without bands."""

    def __init__(self) -> None:
        self.models = {ahead: Pipeline(StandardScaler(), LinearRegression()) for ahead in _AHEAD}
        self.closes: deque[float] = deque(maxlen=_LAGS + 1)
        self.waiting: deque[tuple[dict[str, float], float]] = deque(maxlen=max(_AHEAD))

    def learn_one(self, candle: Candle) -> dict[int, float]:
        """Learn the returns that this candle ends; return the closes ahead."""
        for ahead, model in self.models.items():
            if len(self.waiting) >= ahead:
                seen, close = self.waiting[-ahead]
                model.learn_one(seen, candle.close / close - 1)
        self.closes.append(candle.close)
        closes = list(self.closes)
        x = {str(lag): closes[-1 - lag] / closes[-2 - lag] - 1 for lag in range(len(closes) - 1)}
        self.waiting.append((x, candle.close))
        return {
            ahead: candle.close * (1 + model.predict_one(x)) for ahead, model in self.models.items()
        }


def small_models(known: Regressions | None, candle: Candle) -> tuple[Regressions, Any]:
    """Learn and forecast with six small regressions."""
    regressions = known or Regressions()
    return regressions, regressions.learn_one(candle)


def rate(step: Step, candles: Sequence[Candle], *, durable: bool) -> float:
    """Return candles a second; with ``durable`` the state is written each second."""
    said: list[Any] = []
    flow = Dataflow("bench")
    source = op.input("candles", flow, TestingSource([(_SERIES, candle) for candle in candles]))
    op.output("forecasts", op.stateful_map("learn", source, step), TestingSink(said))
    with tempfile.TemporaryDirectory() as folder:
        recovery = None
        if durable:
            init_db_dir(Path(folder), 1)
            recovery = RecoveryConfig(folder)
        began = time.perf_counter()
        run_main(flow, epoch_interval=_EPOCH, recovery_config=recovery)
        took = time.perf_counter() - began
    if len(said) != len(candles):
        raise SystemExit(f"Bytewax said {len(said)} forecasts of {len(candles)} candles")
    return len(candles) / took
