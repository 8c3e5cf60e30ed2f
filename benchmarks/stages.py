"""Where the processor's time of an update goes: one updater in this process, its steps timed."""

import functools
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import structlog

from benchmarks.report import Report
from benchmarks.stage import Market, random_walk, stage
from models import state
from models.learners import Learners
from shared.store import Store
from worker import update
from worker.teaching import Model
from worker.update import Updater

WARM = 200
_FLEET = "stages"
_STEPS: tuple[tuple[str, Any, str], ...] = (
    ("claim", Store, "claim"),
    ("take up the learner", state, "take_up"),
    ("learn and score", Learners, "learn_many"),
    ("outlook", Learners, "outlooks"),
    ("scores", Learners, "scores"),
    ("keep the learner", state, "body"),
    ("sign the state", state, "sealed"),
    ("forecast", update, "forecast_of"),
    ("forecast as JSON", update, "encode_forecast"),
    ("commit", Store, "commit"),
)


def add_stages(report: Report, size: int, repeat: int) -> None:
    """Add the microseconds of processor that each step takes an update, and those of the server.

    What waits for the server takes none; the server's own are for producer and worker together.
    """
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    spent: dict[str, list[float]] = defaultdict(list)
    with stage(0) as made:
        updater = Updater(made.store, _model())
        updater.worker = "alone"
        market = Market(made.store, size, random_walk(WARM + repeat, seed=1), "S")
        market.append(WARM)
        _drain(updater)
        for _ in range(repeat):
            for step, seconds in _one_round(updater, market).items():
                spent[step].append(seconds / size * 1e6)
        held = made.store.model(market.names[0]).state or b""
    report.add("state of a series", "KB", len(held) / 1e3)
    for step, values in spent.items():
        report.add(f"step: {step}", "µs an update", values)


def _one_round(updater: Updater, market: Market) -> dict[str, float]:
    redis = updater.store.link.redis
    served, began = _server_s(redis), time.process_time()
    market.append()
    pushed = time.process_time() - began
    with _timed() as spent:
        began = time.process_time()
        _drain(updater)
        whole = time.process_time() - began
    spent["all else in the worker"] = whole - sum(spent.values())
    return {"push": pushed} | spent | {"the server": _server_s(redis) - served}


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
        began = time.process_time()
        try:
            return function(*args, **kwargs)
        finally:
            spent[step] += time.process_time() - began

    return timed
