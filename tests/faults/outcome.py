"""What a run came to: what must equal the fault-free run, and the line of the table."""

import hashlib
import json
from dataclasses import dataclass, fields
from typing import Any

from models import state
from models.learner import Learner
from shared.candle import Series
from shared.header import START, split
from shared.model_record import ModelRecord
from shared.store import Store
from tests.faults.sources import Source
from worker.recall import caught_up

_MAY_DIFFER = ("issued_at", "latency_ms", "revision")


@dataclass(frozen=True)
class Outcome:
    """One series in the end: what faults must not change."""

    forecast: dict[str, Any]
    sequence: int
    since: int | None
    model: str
    """SHA-256 of the pickled learner, without the header, which names the signing key."""


@dataclass(frozen=True)
class Row:
    """One fault of the table."""

    fault: str
    injected: int
    lost: int
    doubled: int
    differing: int
    recovery_s: float

    @property
    def faultless(self) -> bool:
        """Whether all is zero that has to be."""
        return not (self.lost or self.doubled or self.differing)

    def texts(self) -> list[str]:
        """Its cells."""
        counts = (self.injected, self.lost, self.doubled, self.differing)
        return [self.fault, *(f"{count:,}" for count in counts), f"{self.recovery_s:.1f}"]


TITLES = ("fault", "injected", "lost", "doubled", "differing", "worst recovery, s")
assert len(TITLES) == len(fields(Row))


def outcome_of(store: Store, series: Series) -> Outcome:
    """Read what a series came to."""
    record = store.model(series)
    (raw,) = store.forecasts([series])
    forecast = json.loads(raw or b"{}")
    for name in _MAY_DIFFER:
        forecast.pop(name, None)
    forecast.get("model", {}).pop("snapshot", None)
    return Outcome(forecast, record.sequence, record.since, _digest(record))


def lost_and_doubled(store: Store, source: Source, dead: int = 0) -> tuple[int, int]:
    """Count candles that were neither learned nor meant to be dead letters, and those too many."""
    record = store.model(source.series)
    expected = len(source.candles) - dead
    held = dict(store.link.redis.xrange(store.keys.candles(str(source.series))))
    # As Redis returns them, the entries of a log cannot be doubled; they can be missing or wrong.
    wrong = sum(held.get(at) != dict(_pairs(values)) for at, values in source.log)
    beyond = len(held) - len(source.candles) + sum(at not in held for at, _ in source.log)
    missing = max(expected - record.sequence, wrong, record.lost, 0)
    return missing, max(record.sequence - expected, beyond, -record.lost, 0)


def _pairs(values: list[bytes]) -> Any:
    return zip(values[::2], values[1::2], strict=True)


def _digest(record: ModelRecord) -> str:
    """Digest what has been learned, however much of it is in the state."""
    if not record.state:
        return "none"
    body = split(record.state[START:])[1]
    learner = caught_up(state.take_up(body, Learner(record.series.timeframe, 1)), record)
    return hashlib.sha256(state.body(learner)).hexdigest()
