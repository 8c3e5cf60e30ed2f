"""Pictures of a version: what its model has said of the retained candles, and what came of it."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import structlog

from models import state
from models.learner import Learner
from shared.candle import Series
from shared.errors import CandlecastError, InvalidValue, StoreError
from worker.judge import Candles, Versions
from worker.report import pictures
from worker.trial import Trial
from worker.version import Version

log = structlog.get_logger(__name__)

# A model that has just begun says little of the one that is meant.
_LEAST = 300


class Hall(Versions, Protocol):
    """Where versions are, and pictures can be put beside them."""

    def attach(self, series: Series, version: int, files: Mapping[str, str]) -> str:
        """Put files beside a version; return where they are."""


class Gallery:
    """Draws versions, and puts the pictures beside them.

    Parameters
    ----------
    candles, hall
        The store and the registry.
    signer
        Checks the states of versions.
    every_s
        A series' champions are drawn once in so many seconds; 0 is never.
    """

    def __init__(
        self,
        candles: Candles,
        hall: Hall,
        signer: state.Signer,
        *,
        every_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._candles = candles
        self._hall = hall
        self._signer = signer
        self._every_s = every_s
        self._clock = clock
        self._drawn: dict[Series, float] = {}

    def promoted(self, series: Series, version: int) -> None:
        """Draw a new champion, unless one was drawn not long ago: it takes longer than all else."""
        last = self._drawn.get(series, -math.inf)
        if not self._every_s or self._clock() - last < self._every_s:
            return
        self._drawn[series] = self._clock()
        try:
            self.draw(series, version)
        except StoreError:
            raise
        except CandlecastError as error:  # the version is there all the same
            log.warning("no pictures", series=str(series), version=version, error=str(error))

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
        seen = [
            candle
            for candle in self._candles.candles(series, after=after)
            if candle.open_time <= chosen.cursor
        ]
        if len(seen) < _LEAST:
            raise InvalidValue("candles", len(seen), f"{_LEAST} before the version are needed")
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
        first, _ = self._candles.retained(series)
        latest = version.cursor - _LEAST * series.timeframe.ms
        older = [one for one in found if (first or 0) <= one.cursor <= latest]
        start = older[-1] if older else version
        raw = self._hall.state(series, start.number)
        learner = state.load(raw, self._signer, version.fingerprint, series)
        return (learner, start.cursor) if older else (Learner(**learner.parameters), None)
