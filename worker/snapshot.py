"""Snapshots: the models that moved since their last one become new versions in MLflow.

Orchestration only: MLflow itself is behind `Registry`, implemented in ``worker.registry``.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import structlog

from models import state
from models.learner import Learner
from shared.candle import Series
from shared.errors import CandlecastError, RegistryError, StateError, StoreError
from shared.model_record import Champion, ModelRecord
from worker.recall import recalled
from worker.version import CHALLENGER, CHAMPION, Verdict, champion_of, metrics_of

log = structlog.get_logger(__name__)

_PAGE = 64
# To look which versions are old costs as much as to delete one.
_PRUNED_AT_ONCE = 5
# What fails so many series one after the other fails them all.
_FAILURES = 3


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

    def prune(self, series: Series, keep: int) -> int:
        """Delete all versions but the newest and those that bear an alias; say how many went."""

    def crown(self, series: Series, version: int, *, champion: bool) -> None:
        """Name a version the champion of its series, or its challenger."""


class Court(Protocol):
    """Who says whether a model becomes the champion of its series."""

    def verdict(self, record: ModelRecord, learner: Learner) -> Verdict:
        """Hold a committed model against what is asked, and against the champion there is."""


class Archive(Registry, Protocol):
    """Where versions outlive their series."""

    def mark_retired(self, series: Series, version: int) -> bool:
        """Note on what is kept of a series that it is retired, until it comes to life again.

        Returns
        -------
        Whether this version is there; where it is not, nothing is noted.
        """


@dataclass(slots=True)
class Report:
    """What one round of snapshots did, ready for JSON."""

    written: dict[str, int] = field(default_factory=dict)
    """Version by series."""
    failed: dict[str, str] = field(default_factory=dict)
    """Error by series."""
    left: int = 0
    """Series that moved and had to wait for the next round."""
    gave_up: str = ""
    """The registry's error, where it failed so often that the round was ended."""


class Snapshots:
    """Makes versions of the models that moved.

    Parameters
    ----------
    records
        The store.
    registry
        Where versions go.
    signer
        Checks a state before it is kept: what no worker could load must not become a version.
    court
        Says which versions become champions.
    keep
        Versions of a series that stay, besides those that bear an alias.
    promoted
        Told each new champion.
    """

    def __init__(
        self,
        records: Records,
        registry: Archive,
        signer: state.Signer,
        court: Court,
        *,
        keep: int = 10,
        promoted: Callable[[Series, int], None] = lambda *_: None,
    ) -> None:
        self._records = records
        self._registry = registry
        self._signer = signer
        self._court = court
        self._keep = keep
        self._promoted = promoted

    def take(
        self,
        *,
        budget_s: float,
        renew: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> Report:
        """Write a version of each model that moved, oldest snapshot first, while the budget lasts.

        Workers go on meanwhile: each model is read in one call between two of their commits, so it
        is whole. A series that fails is reported and the next one is taken; what is not done is
        found again by the next round. Where the registry fails several series in a row, the round
        ends. Two rounds at once lose nothing but time.

        Parameters
        ----------
        budget_s
            Seconds after which no further series is begun.
        renew
            Called before each series, to keep the right to take snapshots alive; False ends the
            round.
        clock
            Seconds that only rise.

        Raises
        ------
        StoreError
            When Redis fails: then no series can be read.
        """
        deadline = clock() + budget_s
        names = self._records.series()
        faults = self._records.faults(names)
        in_a_row = 0
        report = Report(failed={str(series): fault for series, fault in faults.items()})
        for series, fault in faults.items():
            log.error("snapshot failed", series=str(series), error=fault)
        moved = self._moved([series for series in names if series not in faults])
        for done, series in enumerate(moved, 1):
            if clock() >= deadline or not renew():
                report.left = len(moved) - done + 1
                log.warning("snapshots wait for the next round", left=report.left)
                break
            in_a_row = 0 if self._try(series, report) else in_a_row + 1
            if in_a_row == min(_FAILURES, len(moved)):
                report.gave_up, report.left = report.failed[str(series)], len(moved) - done
                break
        return report

    def _try(self, series: Series, report: Report) -> bool:
        """Write one version and report it; return False where the registry has failed."""
        try:
            version = self._take(series)
        except StoreError:
            raise
        except CandlecastError as error:
            report.failed[str(series)] = str(error)
            log.error("snapshot failed", series=str(series), error=str(error))  # noqa: TRY400
            return not isinstance(error, RegistryError)
        if version is not None:
            report.written[str(series)] = version
        return True

    def archive(self, record: ModelRecord) -> int | None:
        """Keep a model whose series is about to be retired, and mark it so.

        Returns
        -------
        The version that holds the model; None where it has never learned, and so there is nothing.

        Raises
        ------
        RegistryError
            When it could not be kept.
        StateError
            When there is no state that a worker could load.
        """
        series, version = record.series, record.snapshot_version
        if version and not _has_moved(record) and self._registry.mark_retired(series, version):
            return version
        if record.sequence == 0:
            return None
        version = self._write(record)
        self._registry.mark_retired(series, version)
        return version

    def _moved(self, names: Sequence[Series]) -> list[Series]:
        """Return what has commits beyond its snapshot, the longest without one first."""
        aged = [
            (*_freshness(record), str(record.series), record.series)
            for start in range(0, len(names), _PAGE)
            for record in self._records.models(names[start : start + _PAGE])
            if _has_moved(record)
        ]
        return [series for *_, series in sorted(aged, key=lambda row: row[:3])]

    def _take(self, series: Series) -> int | None:
        """Write one version; None where another round was faster."""
        record = self._records.model(series)
        if not _has_moved(record):
            return None
        return self._write(record)

    def _write(self, record: ModelRecord) -> int:
        series = record.series
        if not record.state or record.fingerprint is None:
            raise StateError("the state is missing; the next candle makes a worker learn it again")
        learner = recalled(record, self._signer, record.fingerprint)
        if record.behind:
            if record.fingerprint != state.fingerprint(learner.model, learner.horizon):
                raise StateError("the state is of another model; the next candle learns it again")
            record = replace(record, state=state.dump(learner, self._signer, series), behind=[])
        verdict = self._court.verdict(record, learner)
        # Nobody vouches for the scores that lie beside the state.
        version = self._registry.write(record, metrics_of(learner.scores()), verdict.tags)
        self._registry.crown(series, version, champion=verdict.passed)
        self._records.set_snapshot(
            series,
            version=version,
            alias=CHAMPION if verdict.passed else CHALLENGER,
            revision=record.revision,
            champion=champion_of(version, record, verdict.showing) if verdict.passed else None,
        )
        log.info(
            "snapshot written",
            series=str(series),
            version=version,
            sequence=record.sequence,
            champion=verdict.passed,
            reasons=verdict.tags["reasons"],
        )
        if verdict.passed:
            self._promoted(series, version)
        if version % _PRUNED_AT_ONCE == 0:
            self._prune(series)
        return version

    def _prune(self, series: Series) -> None:
        try:
            gone = self._registry.prune(series, self._keep)
        except RegistryError as error:  # they are found again next time
            log.warning("old versions stay for now", series=str(series), error=str(error))
        else:
            log.info("old versions deleted", series=str(series), versions=gone)


def _has_moved(record: ModelRecord) -> bool:
    return record.sequence > 0 and record.revision != record.snapshot_revision


def _freshness(record: ModelRecord) -> tuple[bool, int]:
    """Order by market time since the snapshot: a live series commits once a candle."""
    commits = record.revision - (record.snapshot_revision or 0)
    return record.snapshot_revision is not None, -commits * record.series.timeframe.ms
