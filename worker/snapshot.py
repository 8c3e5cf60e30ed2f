"""Snapshots: the models that moved since their last one become new versions in MLflow.

Orchestration only: MLflow itself is behind `Registry`, implemented in ``worker.registry``.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import structlog

from models import state
from shared.candle import Series
from shared.errors import CandlecastError, StateError, StoreError
from shared.model_record import ModelRecord
from worker.recall import recalled

log = structlog.get_logger(__name__)

_PAGE = 64
# MLflow refuses "/" and ":" in names; what stands for them cannot be in a symbol itself.
_TO_NAME = str.maketrans({"/": "-", "-": "~", ":": "_"})


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
        self, series: Series, *, version: int, alias: str | None, revision: int
    ) -> None:
        """Note the newest version and the revision it holds."""


class Registry(Protocol):
    """Where versions are kept."""

    def write(self, record: ModelRecord, metrics: Mapping[str, float]) -> int:
        """Keep a committed model as a new version of its series and return its number.

        Raises
        ------
        RegistryError
            When the version could not be written; a later one may be.
        """


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


def take_snapshots(
    records: Records,
    registry: Registry,
    signer: state.Signer,
    *,
    budget_s: float,
    renew: Callable[[], bool] = lambda: True,
    clock: Callable[[], float] = time.monotonic,
) -> Report:
    """Write a version of each model that moved, oldest snapshot first, while the budget lasts.

    Workers go on meanwhile: each model is read in one call between two of their commits, so it is
    whole. A series that fails is reported and the next one is taken; what is not done is found
    again by the next round. Two rounds at once lose nothing but time.

    Parameters
    ----------
    records
        The store.
    registry
        Where versions go.
    signer
        Checks a state before it is kept: what no worker could load must not become a version.
    budget_s
        Seconds after which no further series is begun.
    renew
        Called before each series, to keep the right to take snapshots alive; False ends the round.
    clock
        Seconds that only rise.

    Raises
    ------
    StoreError
        When Redis fails: then no series can be read.
    """
    deadline = clock() + budget_s
    names = records.series()
    faults = records.faults(names)
    report = Report(failed={str(series): fault for series, fault in faults.items()})
    for series, fault in faults.items():
        log.error("snapshot failed", series=str(series), error=fault)
    moved = _moved(records, [series for series in names if series not in faults])
    for done, series in enumerate(moved):
        if clock() >= deadline or not renew():
            report.left = len(moved) - done
            log.warning("snapshots wait for the next round", left=report.left)
            break
        try:
            version = _take(records, registry, signer, series)
        except StoreError:
            raise
        except CandlecastError as error:
            report.failed[str(series)] = str(error)
            log.error("snapshot failed", series=str(series), error=str(error))  # noqa: TRY400
        else:
            if version is not None:
                report.written[str(series)] = version
    return report


def archive(
    records: Records, registry: Archive, signer: state.Signer, record: ModelRecord
) -> int | None:
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
    if version and not _has_moved(record) and registry.mark_retired(series, version):
        return version
    if record.sequence == 0:
        return None
    version = _write(records, registry, signer, record)
    registry.mark_retired(series, version)
    return version


def model_name(series: Series) -> str:
    """Return the name of a series' registered model; no two series share one.

    ``exchange.symbol.timeframe``, in the symbol ``/`` as ``-``, ``:`` as ``_``, ``-`` as ``~``.

    >>> model_name(Series.parse("binance:BTC/USDT:1h"))
    'binance.BTC-USDT.1h'
    >>> model_name(Series.parse("okx:BTC/USD:BTC-260327:1d"))
    'okx.BTC-USD_BTC~260327.1d'
    """
    return f"{series.exchange}.{series.symbol.translate(_TO_NAME)}.{series.timeframe}"


def metrics_of(scores: Mapping[str, Any]) -> dict[str, float]:
    """Flatten a learner's scores to names for MLflow; what has no value yet is left out.

    ``crps_h6`` is the recent score 6 candles ahead, ``crps_total_h6`` that over all candles,
    ``crps`` the mean of the recent ones over the scored horizons.

    >>> recent = {"1": {"recent": {"mape": 0.01}}, "6": {"recent": {"mape": 0.03, "mae": None}}}
    >>> metrics_of({"horizons": recent})
    {'mape_h1': 0.01, 'mape_h6': 0.03, 'mape': 0.02}
    """
    horizons = scores["horizons"]
    metrics = {
        f"{name}{'' if group == 'recent' else f'_{group}'}_h{horizon}": float(value)
        for horizon, groups in horizons.items()
        for group, values in groups.items()
        for name, value in values.items()
        if value is not None and math.isfinite(value)
    }
    for name in {name: None for groups in horizons.values() for name in groups["recent"]}:
        known = [
            metrics[key] for key in (f"{name}_h{horizon}" for horizon in horizons) if key in metrics
        ]
        if known:
            metrics[name] = sum(known) / len(known)
    return metrics


def _moved(records: Records, names: Sequence[Series]) -> list[Series]:
    """Return what has commits beyond its snapshot, the longest without one first."""
    aged = [
        (*_freshness(record), str(record.series), record.series)
        for start in range(0, len(names), _PAGE)
        for record in records.models(names[start : start + _PAGE])
        if _has_moved(record)
    ]
    return [series for *_, series in sorted(aged, key=lambda row: row[:3])]


def _has_moved(record: ModelRecord) -> bool:
    return record.sequence > 0 and record.revision != record.snapshot_revision


def _freshness(record: ModelRecord) -> tuple[bool, int]:
    """Order by market time since the snapshot: a live series commits once a candle."""
    commits = record.revision - (record.snapshot_revision or 0)
    return record.snapshot_revision is not None, -commits * record.series.timeframe.ms


def _take(records: Records, registry: Registry, signer: state.Signer, series: Series) -> int | None:
    """Write one version; None where another round was faster."""
    record = records.model(series)
    if not _has_moved(record):
        return None
    return _write(records, registry, signer, record)


def _write(records: Records, registry: Registry, signer: state.Signer, record: ModelRecord) -> int:
    series = record.series
    if not record.state or record.fingerprint is None:
        raise StateError("the state is missing; the next candle makes a worker learn it again")
    learner = recalled(record, signer, record.fingerprint)
    if record.behind:
        if record.fingerprint != state.fingerprint(learner.model, learner.horizon):
            raise StateError("the state is of another model; the next candle learns it again")
        record = replace(record, state=state.dump(learner, signer, series), behind=[])
    # Nobody vouches for the scores that lie beside the state.
    version = registry.write(record, metrics_of(learner.scores()))
    records.set_snapshot(series, version=version, alias=None, revision=record.revision)
    log.info("snapshot written", series=str(series), version=version, sequence=record.sequence)
    return version
