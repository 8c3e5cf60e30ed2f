"""Pictures of a version: what its model has said of the retained candles, and what came of it."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import structlog

from models import state
from models.learner import Learner
from shared.candle import Series
from shared.errors import CandlecastError, InvalidValue, StoreError
from shared.model_record import ModelRecord
from worker.judge import Candles, Judge, Versions
from worker.recall import loaded
from worker.report import pictures
from worker.trial import Trial
from worker.version import Version

log = structlog.get_logger(__name__)

# A model that has just begun says little of the one that is meant.
_LEAST = 300
_A_ROUND = 3


class Hall(Versions, Protocol):
    """Where versions are, and pictures can be put beside them."""

    def attach(self, series: Series, version: int, files: Mapping[str, str]) -> str:
        """Put files beside a version; return where they are."""


class Drawn(Protocol):
    """Who remembers when a series was drawn."""

    def is_undrawn(self, series: Series, every_ms: float) -> bool:
        """Whether it was not drawn for so long, or never."""

    def note_drawn(self, series: Series) -> None:
        """Note that it is drawn now."""


class Store(Candles, Protocol):
    """What pictures need of the store."""

    @property
    def rounds(self) -> Drawn:
        """What is known of the rounds of snapshots."""

    def model(self, series: Series) -> ModelRecord:
        """Return one committed model."""


class Gallery:
    """Draws versions, and puts the pictures beside them.

    Parameters
    ----------
    store, hall
        Where candles are, and where versions.
    judge
        Knows what workers have learned.
    signer
        Checks the states of versions.
    every_s
        A series' champions are drawn once in so many seconds; 0 is never.
    """

    def __init__(
        self, store: Store, hall: Hall, judge: Judge, signer: state.Signer, *, every_s: float
    ) -> None:
        self._store = store
        self._hall = hall
        self._judge = judge
        self._signer = signer
        self._every_ms = every_s * 1_000

    def promoted(
        self,
        champions: Mapping[str, int],
        *,
        budget_s: float,
        renew: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> int:
        """Draw some new champions that were not drawn for long; return how many.

        To draw one takes longer than a snapshot: a few a round, with the time that it leaves.
        """
        deadline, drawn = clock() + budget_s, 0
        for name, version in champions.items() if self._every_ms else ():
            if drawn == _A_ROUND or clock() > deadline or not renew():
                break
            series = Series.parse(name)
            if self._store.rounds.is_undrawn(series, self._every_ms):
                drawn += self._try(series, version)
        return drawn

    def _try(self, series: Series, version: int) -> int:
        try:
            self.draw(series, version)
        except (MemoryError, StoreError):
            raise
        except Exception as error:  # the version is there all the same
            known = isinstance(error, CandlecastError)
            log.warning("no pictures", series=str(series), why=str(error), exc_info=not known)
        self._store.rounds.note_drawn(series)
        return 1

    def draw(self, series: Series, version: int) -> str:
        """Draw the fan, the reliability diagram and the skill over time; return where they are.

        What a model has said is not kept for long, so that it is said again: from the oldest
        version on that the retained candles reach back to, or from the first of them with a new
        model.

        Raises
        ------
        InvalidValue
            When there is no such version, or the retained candles are too few.
        StateError
            When a version cannot be loaded.
        RegistryError
            When MLflow fails.
        """
        found = self._hall.versions(series)
        chosen = next((one for one in found if one.number == version), None)
        if chosen is None:
            raise InvalidValue("version", version, f"{series} has none such")
        learner, after = self._beginning(series, chosen, found)
        record = replace(self._store.model(series), cursor=chosen.cursor)
        seen = list(self._judge.learned(record, after))
        if len(seen) < _LEAST:
            raise InvalidValue(
                "candles", len(seen), f"{_LEAST} before the version are needed that are still kept"
            )
        trial = Trial(learner)
        for _ in trial.run(seen):
            pass
        drawn = pictures(str(series), trial.report())
        files = {f"{kind}.svg": picture for kind, (_, picture) in drawn.items()}
        return self._hall.attach(series, version, files)

    def _beginning(
        self, series: Series, version: Version, found: Sequence[Version]
    ) -> tuple[Learner, int | None]:
        """Return the model that the pictures begin with, and its last candle."""
        first, _ = self._store.retained(series)
        latest = version.cursor - _LEAST * series.timeframe.ms
        kin = [
            one
            for one in found
            if (one.fingerprint, one.since, one.origin)
            == (version.fingerprint, version.since, version.origin)
        ]
        older = [one for one in kin if (first or 0) <= one.cursor <= latest]
        start = older[-1] if older else version
        raw = self._hall.state(series, start.number)
        learner = loaded(raw, self._signer, version.fingerprint, series)
        return (learner, start.cursor) if older else (Learner(**learner.parameters), None)
