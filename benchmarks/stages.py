"""Where the time of an update goes: one updater in this process, each of its steps timed."""

import functools
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from benchmarks.report import Report
from benchmarks.stage import Market, random_walk, stage
from models import state
from models.learner import Learner
from shared.store import Store
from worker import update
from worker.teaching import Model
from worker.update import Updater

WARM = 200
_FLEET = "stages"
_STEPS: tuple[tuple[str, Any, str], ...] = (
    ("claim", Store, "claim"),
    ("load the state", state, "load"),
    ("learn and score", Learner, "learn_one"),
    ("outlook", Learner, "outlook"),
    ("save the state", state, "dump"),
    ("scores", Learner, "scores"),
    ("forecast", update, "forecast_of"),
    ("forecast as JSON", update, "encode_forecast"),
    ("commit", Store, "commit"),
)


def add_stages(report: Report, size: int, repeat: int) -> None:
    """Add the microseconds of each step for each update, the server's own time beside them."""
    spent: dict[str, list[float]] = defaultdict(list)
    with stage(0) as made:
        store = made.store
        updater = Updater(store, _model())
        market = Market(store, size, random_walk(WARM + repeat, seed=1), "S")
        market.append(WARM)
        _drain(updater)
        for _ in range(repeat):
            market.append()
            for step, seconds in _one_round(updater).items():
                spent[step].append(seconds / size * 1e6)
    for step, values in spent.items():
        report.add(f"step: {step}", "µs an update", values)


def _one_round(updater: Updater) -> dict[str, float]:
    redis = updater.store.link.redis
    with _timed() as spent:
        before, began = _server_s(redis), time.perf_counter()
        _drain(updater)
        spent["all of it"] = time.perf_counter() - began
    spent["the server's processor time"] = _server_s(redis) - before
    return spent


def _drain(updater: Updater) -> None:
    store = updater.store
    store.tick(_FLEET)
    while store.link.redis.zcard(store.keys.pending):
        updater.run()


def _server_s(redis: Any) -> float:
    used = redis.info("cpu")
    return float(used["used_cpu_user"] + used["used_cpu_sys"])


def _model() -> Model:
    return Model("default", state.Signer(b"benchmark" * 4), lambda _: 24, _FLEET)


@contextmanager
def _timed() -> Iterator[dict[str, float]]:
    spent: dict[str, float] = defaultdict(float)
    with ExitStack() as stack:
        for step, owner, name in _STEPS:
            timed = _timer(getattr(owner, name), spent, step)
            stack.enter_context(patch.object(owner, name, timed))
        yield spent


def _timer(function: Callable[..., Any], spent: dict[str, float], step: str) -> Callable[..., Any]:
    @functools.wraps(function)
    def timed(*args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            spent[step] += time.perf_counter() - began

    return timed
