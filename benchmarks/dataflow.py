"""The same candles through Bytewax, a stream engine: state in memory, or snapshots of it on disk.

It has no log that a killed process could take its candles from again, and no forecast that anybody
else could read: what a source and a sink would cost is left out, in its favour. As many candles are
handed over at once as one append of the service holds.
"""

import pickle
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulBatchLogic
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import TestingSink, TestingSource, run_main
from river.compose import Pipeline
from river.linear_model import LinearRegression
from river.preprocessing import StandardScaler

from benchmarks.rivals import HORIZON
from models.learner import Learner
from shared.candle import Candle, Timeframe
from shared.store import APPEND_LIMIT

_SERIES = "bench:BARE/USDT:1h"
_EPOCH = timedelta(seconds=1)
_AHEAD = (1, 3, 6, 12, 18, 24)
_LAGS = 6


class Model(Protocol):
    """What learns candles."""

    def learn_many(self, candles: Sequence[Candle]) -> None:
        """Learn some candles in a row, and forecast after each."""


def our_learner() -> Learner:
    """Return the service's learner, which forecasts and scores after each candle."""
    return Learner(Timeframe("1h"), HORIZON)


class Regressions:
    """Six small River models of the return ahead, by six lagged returns: no bands, no scores."""

    def __init__(self) -> None:
        self.models = {ahead: Pipeline(StandardScaler(), LinearRegression()) for ahead in _AHEAD}
        self.closes: deque[float] = deque(maxlen=_LAGS + 1)
        self.waiting: deque[tuple[dict[str, float], float]] = deque(maxlen=max(_AHEAD))
        self.said: dict[int, float] = {}

    def learn_many(self, candles: Sequence[Candle]) -> None:
        """Learn the returns that each candle ends, and say the closes ahead."""
        for candle in candles:
            self._learn(candle.close)

    def _learn(self, close: float) -> None:
        for ahead, model in self.models.items():
            if len(self.waiting) >= ahead:
                seen, before = self.waiting[-ahead]
                model.learn_one(seen, close / before - 1)
        self.closes.append(close)
        closes = list(self.closes)
        x = {str(lag): closes[-1 - lag] / closes[-2 - lag] - 1 for lag in range(len(closes) - 1)}
        self.waiting.append((x, close))
        self.said = {a: close * (1 + model.predict_one(x)) for a, model in self.models.items()}


class Batches(StatefulBatchLogic):  # type: ignore[misc]
    """Hands a model all candles that have come at once."""

    def __init__(self, make: Callable[[], Model], snapshot: bytes | None) -> None:
        self.model = pickle.loads(snapshot) if snapshot else make()  # noqa: S301 -- its own

    def on_batch(self, values: Sequence[Candle]) -> tuple[list[int], bool]:
        """Learn; what goes on is how many there were."""
        self.model.learn_many(values)
        return [len(values)], False

    def snapshot(self) -> bytes:
        """Return a copy of what has been learned."""
        return pickle.dumps(self.model, protocol=5)


def rate(make: Callable[[], Model], candles: Sequence[Candle], *, durable: bool) -> float:
    """Return candles a second; with ``durable`` the state is written each second."""
    learned: list[Any] = []
    flow = Dataflow("bench")
    feed = TestingSource([(_SERIES, candle) for candle in candles], batch_size=APPEND_LIMIT)
    taught = op.stateful_batch("learn", op.input("candles", flow, feed), partial(Batches, make))
    op.output("learned", taught, TestingSink(learned))
    with tempfile.TemporaryDirectory() as folder:
        recovery = None
        if durable:
            init_db_dir(Path(folder), 1)
            recovery = RecoveryConfig(folder)
        began = time.perf_counter()
        run_main(flow, epoch_interval=_EPOCH, recovery_config=recovery)
        took = time.perf_counter() - began
    if sum(count for _, count in learned) != len(candles):
        raise SystemExit(f"Bytewax has not learned {len(candles)} candles")
    return len(candles) / took
