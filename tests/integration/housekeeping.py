"""Housekeeping in the test's own process, on a real MLflow store: MLflow is imported once."""

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models import state
from models.gate import Bar
from models.learner import Learner
from shared.candle import Candle, Series
from shared.model_record import Champion
from shared.records import Event
from shared.store import Store
from shared.wire import decode_forecast
from tests.conftest import STATE_KEY
from tests.integration.steps import FLEET, SERIES
from tests.mlflow_store import furnish
from worker.judge import Judge
from worker.lifecycle import Restorer
from worker.snapshot import Report, Snapshots
from worker.teaching import Model
from worker.update import Updater
from worker.watch import Patience, Watch, Watched

SIGNER = state.Signer(STATE_KEY.encode())
HORIZON = 24
# A random walk has no skill, and its few candles cover what they cover.
EASY = Bar(candles=100, skill=-1.0, coverage=(0.0, 1.0))
HARD = Bar(candles=100, skill=1.0, coverage=(0.0, 1.0))


def widen(learner: Learner) -> None:
    """Make bands far too wide, and slow to come back."""
    learner.forecaster.tracker.sizes[:] *= 6  # type: ignore[attr-defined]
    learner.recalled()


@dataclass
class House:
    """A store, and the registry where its models are kept."""

    store: Store
    registry: Any

    @classmethod
    def at(cls, store: Store, folder: Path, **how: Any) -> "House":
        """Open a new SQLite store in a folder."""
        from worker.registry import MlflowRegistry

        furnish(folder)
        return cls(store, MlflowRegistry(f"sqlite:///{folder}/mlflow.db", **how))

    @property
    def champion(self) -> Champion:
        """The champion, as the store knows it."""
        champion = self.store.model(SERIES).champion
        assert champion
        return champion

    def boast(self, skill: float) -> None:
        """Have the store believe that the champion had shown this skill."""
        told = dataclasses.replace(self.champion, skill=skill).to_json()
        self.store.link.redis.hset(self.store.keys.model(str(SERIES)), "champion", told)

    def learn(self, candles: list[Candle], series: Series = SERIES) -> None:
        """Append candles and learn all that waits, as a worker would."""
        if candles:
            self.store.append(series, candles)
        self.store.link.redis.set(self.store.keys.fleet, FLEET)
        updater = Updater(self.store, Model("default", SIGNER, lambda _: HORIZON, FLEET))
        while self.store.overview()["pending"]:
            updater.run()
        # Housekeeping judges nothing while others than its own learn: here they have ended.
        self.store.link.redis.delete(self.store.keys.fleet)

    def judge(self, bar: Bar = EASY) -> Judge:
        """Who holds models against a gate and their champions."""
        return Judge(self.store, self.registry, SIGNER, lambda _: bar)

    def watch(self, now_s: float = 0.0, *, margin: float = 0.05) -> Watched:
        """Look at every series, at a time; an hour below the champion is too much."""
        patience = Patience(margin, 3_600)
        parts = self.store, self.judge(), self.restorer
        watch = Watch(*parts, lambda _: patience, now_ms=lambda: int(now_s * 1e3))
        return watch.look(budget_s=60)

    def change(self, how: Callable[[Learner], object]) -> None:
        """Change the committed model behind everybody's back, signed as workers sign."""
        learner = self.learner()
        how(learner)
        raw, scores = state.dump(learner, SIGNER, SERIES), json.dumps(learner.scores())
        key = self.store.keys.model(str(SERIES))
        self.store.link.redis.hset(key, mapping={"state": raw, "scores": scores})

    def snapshot(self, bar: Bar = EASY, keep: int = 10) -> Report:
        """Make versions of what moved."""
        parts = self.store, self.registry, SIGNER, self.judge(bar)
        return Snapshots(*parts, keep=keep).take(budget_s=60)

    @property
    def restorer(self) -> Restorer:
        """What puts versions back."""
        print_ = state.fingerprint("default", HORIZON)
        return Restorer(self.store, self.registry, SIGNER, lambda _: print_)

    def restore(self, version: int | None = None, *, accept_gap: bool = False) -> None:
        """Put a version back by hand."""
        found = self.restorer.find(SERIES, version)
        self.restorer.put_back(found, self.event(found.version.number), accept_gap=accept_gap)

    @staticmethod
    def event(version: int) -> Event:
        """What is told of a version that is put back by hand."""
        return Event(event="restored", version=version, why="by hand")

    def learner(self, series: Series = SERIES) -> Learner:
        """Load the committed learner of a series."""
        record, print_ = self.store.model(series), state.fingerprint("default", HORIZON)
        return state.load(record.state or b"", SIGNER, print_, series)

    def said(self, series: Series = SERIES) -> dict[str, Any]:
        """What is published, but for what differs by when and how often it was said."""
        (raw,) = self.store.forecasts([series])
        forecast = decode_forecast(raw or b"").model_dump()
        for name in ("issued_at", "latency_ms", "revision"):
            del forecast[name]
        return forecast | {"model": forecast["model"] | {"snapshot": None}}
