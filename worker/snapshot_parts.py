"""What snapshots need of the store, of the registry and of who judges."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from models.learner import Learner
from shared.candle import Series
from shared.model_record import Champion, ModelRecord
from worker.version import Verdict


class Records(Protocol):
    """What a snapshot needs of the store."""

    def series(self) -> list[Series]:
        """Return every known series."""

    def faults(self, names: Sequence[Series]) -> dict[Series, str]:
        """Say of each of these that cannot be read why not."""

    def models(self, names: Sequence[Series]) -> list[ModelRecord]:
        """Return the committed models of several series, without their states."""

    def model(self, series: Series) -> ModelRecord:
        """Return one committed model, with its state."""

    def set_snapshot(
        self,
        series: Series,
        *,
        version: int,
        alias: str | None,
        revision: int,
        champion: Champion | None = None,
    ) -> None:
        """Note the newest version and the revision it holds, and a new champion."""


class Registry(Protocol):
    """Where versions are kept."""

    def write(
        self, record: ModelRecord, metrics: Mapping[str, float], verdict: Mapping[str, str]
    ) -> int:
        """Keep a committed model as a new version of its series and return its number.

        Raises
        ------
        RegistryError
            When the version could not be written; a later one may be.
        """

    def prune(self, series: Series, upto: int) -> int:
        """Delete the oldest versions up to a number, a few of them; say how many went."""

    def answers(self) -> bool:
        """Whether it takes anything at all."""

    def crown(
        self, series: Series, version: int, *, champion: bool, before: str | None = None
    ) -> None:
        """Name a version the champion of its series, or its challenger; ``before`` was the last."""

    def mark_retired(self, series: Series, version: int) -> bool:
        """Note on what is kept of a series that it is retired, until it comes to life again.

        Returns
        -------
        Whether this version is there; where it is not, nothing is noted.
        """


class Court(Protocol):
    """Who says whether a model becomes the champion of its series."""

    def verdict(self, record: ModelRecord, learner: Learner) -> Verdict:
        """Hold a committed model against what is asked, and against the champion there is."""
