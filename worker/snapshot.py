"""Snapshots: the models that moved since their last one become new versions in MLflow.

Orchestration only: MLflow itself is behind `Registry`, implemented in ``worker.registry``.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import structlog

from models import state
from models.learner import Learner
from shared.candle import Series
from shared.errors import CandlecastError, RegistryError, StateError, StoreError
from shared.model_record import ModelRecord
from worker.recall import recalled
from worker.snapshot_parts import Court, Records, Registry
from worker.version import CHALLENGER, CHAMPION, Verdict, champion_of, metrics_of

log = structlog.get_logger(__name__)

_PAGE = 64
# To look which versions are old costs as much as to delete one.
_PRUNED_EVERY = 5
# What fails so many series one after the other may fail them all.
_FAILURES = 3


@dataclass(slots=True)
class Report:
    """What one round of snapshots did, ready for JSON."""

    written: dict[str, int] = field(default_factory=dict)
    """Version by series."""
    failed: dict[str, str] = field(default_factory=dict)
    """Error by series."""
    left: int = 0
    """Series that moved and had to wait for the next round."""
    promoted: dict[str, int] = field(default_factory=dict)
    """Those of the versions written that are champions now."""
    overtaken: bool = False
    """Whether another round has begun meanwhile."""
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
    """

    def __init__(
        self,
        records: Records,
        registry: Registry,
        signer: state.Signer,
        court: Court,
        *,
        keep: int = 10,
    ) -> None:
        self._records = records
        self._registry = registry
        self._signer = signer
        self._court = court
        self._keep = keep

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
        spoilt = self._records.faults(names)
        report = Report(failed={str(series): fault for series, fault in spoilt.items()})
        for series, fault in spoilt.items():
            log.error("snapshot failed", series=str(series), error=fault)
        moved = self._moved([series for series in names if series not in spoilt])
        faults: list[str] = []
        for done, series in enumerate(moved):
            report.overtaken = not renew()
            if clock() >= deadline or report.overtaken or report.gave_up:
                report.left = len(moved) - done
                log.warning("snapshots wait for the next round", left=report.left)
                break
            self._try(series, report, faults)
            if len(faults) == _FAILURES:
                self._ask(faults, report)
        self._ask(faults, report)
        return report

    def _try(self, series: Series, report: Report, faults: list[str]) -> None:
        """Write one version and report it; ``faults`` are those of the registry, in a row."""
        try:
            self._take(series, report)
        except (MemoryError, StoreError):
            raise
        except Exception as error:  # whatever it is, the next series has nothing to do with it
            says, known = str(error) or type(error).__name__, isinstance(error, CandlecastError)
            report.failed[str(series)] = says
            log.error("snapshot failed", series=str(series), error=says, exc_info=not known)  # noqa: TRY400
            if isinstance(error, RegistryError):
                faults.append(says)
        else:
            faults.clear()

    def _ask(self, faults: list[str], report: Report) -> None:
        """Give up where the registry has failed, and does not take anything either."""
        if faults and not self._registry.answers():
            report.gave_up = faults[-1]
        faults.clear()  # each of them has trouble of its own

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
        version = self._write(*self._whole(record), None)
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

    def _take(self, series: Series, report: Report) -> None:
        """Write one version, unless another round was faster, and judge it."""
        record = self._records.model(series)
        if not _has_moved(record):
            return
        record, learner = self._whole(record)
        verdict = self._court.verdict(record, learner)
        version = self._write(record, learner, verdict)
        passed, before = verdict.passed, record.snapshot_alias
        self._registry.crown(series, version, champion=passed, before=before)
        crowned = champion_of(version, record, verdict.showing) if verdict.passed else None
        self._records.set_snapshot(
            series,
            version=version,
            alias=CHAMPION if verdict.passed else CHALLENGER,
            revision=record.revision,
            champion=crowned or verdict.champion,
        )
        report.written[str(series)] = version
        if verdict.passed:
            report.promoted[str(series)] = version
        self._prune(series, version)

    def _whole(self, record: ModelRecord) -> tuple[ModelRecord, Learner]:
        """Load a committed model, with all that its state lacks."""
        if not record.state or record.fingerprint is None:
            raise StateError("the state is missing; the next candle makes a worker learn it again")
        learner = recalled(record, self._signer, record.fingerprint)
        if record.behind:
            if record.fingerprint != state.fingerprint(learner.model, learner.horizon):
                raise StateError("the state is of another model; the next candle learns it again")
            whole = state.dump(learner, self._signer, record.series)
            record = replace(record, state=whole, behind=[])
        return record, learner

    def _write(self, record: ModelRecord, learner: Learner, verdict: Verdict | None) -> int:
        tags = verdict.tags if verdict else {}
        # Nobody vouches for the scores that lie beside the state.
        version = self._registry.write(record, metrics_of(learner.scores()), tags)
        log.info(
            "snapshot written",
            series=str(record.series),
            version=version,
            sequence=record.sequence,
            **tags,
        )
        return version

    def _prune(self, series: Series, version: int) -> None:
        upto = version - self._keep
        if upto < 1 or version % _PRUNED_EVERY:
            return
        try:
            gone = self._registry.prune(series, upto)
        except CandlecastError as error:  # they are found again next time
            log.warning("old versions stay for now", series=str(series), error=str(error))
        else:
            log.info("old versions deleted", series=str(series), versions=gone)


def _has_moved(record: ModelRecord) -> bool:
    return record.sequence > 0 and record.revision != record.snapshot_revision


def _freshness(record: ModelRecord) -> tuple[bool, int]:
    """Order by market time since the snapshot: a live series commits once a candle."""
    commits = record.revision - (record.snapshot_revision or 0)
    return record.snapshot_revision is not None, -commits * record.series.timeframe.ms
