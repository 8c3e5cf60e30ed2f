"""RQ's entry points: they put the parts together from the settings, and nothing else."""

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import cache
from typing import TYPE_CHECKING, Any

import structlog
from rq import get_current_job

from config import logs, settings
from models import catalog, state
from models.conformal import STOPWATCH
from models.gate import Bar
from shared.candle import Series, Timeframe
from shared.errors import RegistryError, StoreError
from shared.keys import HOUSEKEEPING_QUEUE
from shared.limits import RULES
from shared.store import Store
from worker.proving import prove_own
from worker.teaching import Model
from worker.update import Updater

if TYPE_CHECKING:
    from models.learner import Learner
    from worker.judge import Judge
    from worker.lifecycle import Restorer
    from worker.pictures import Gallery
    from worker.registry import MlflowRegistry
    from worker.snapshot import Snapshots
    from worker.watch import Watch

_NAMED = 3

log = structlog.get_logger(__name__)


@cache
def configured() -> settings.Settings:
    """Read the settings once a process, and set logging up by them."""
    read = settings.load()
    logs.configure(level=read.log_level, fmt=read.log_format)
    return read


@cache
def store() -> Store:
    """Connect to Redis once a process."""
    read = configured()
    return Store.connect(read.redis_url, prefix=read.prefix, limits=read.limits())


@cache
def signer() -> state.Signer:
    """Return what signs states and checks them.

    Where no River model is set, whatever a state has for its model is read as plain data.
    """
    read = configured()
    has_river = read.state_modules or any(map(catalog.has_river, (read.model, read.challenger)))
    if read.state_modules:
        says = "whoever has the state key can have workers run what these hold"
        log.warning("states_may_name", modules=read.state_modules, says=says)
    return state.Signer(*read.signing_keys(), modules=read.state_modules if has_river else None)


@cache
def model(*, proven: bool = True) -> Model:
    """Return the model that the settings name, one of a user's when it is proven to be sound.

    Raises
    ------
    InvalidValue
        When the catalog has none of that name, it cannot be saved, or horizons are set for what is
        no series.
    """
    read = configured()
    name = _with_challenger(catalog.with_prior(read.model, read.prior), read)
    if proven and catalog.is_own(name):
        prove_own(name, signer())
    horizons = sorted(read.horizons.items())
    for wanted_by, _ in horizons:
        Series.parse(wanted_by) if ":" in wanted_by else Timeframe(wanted_by)
    wanted = {str(horizon): state.fingerprint(name, horizon) for _, horizon in horizons}
    facts = json.dumps([horizons, wanted, RULES], sort_keys=True)
    digest = hashlib.sha256(facts.encode()).hexdigest()
    fleet = f"{name}-{digest[:16]}-{signer().key_id}"
    return Model(name, signer(), read.horizon, fleet)


def _with_challenger(speaker: str, read: settings.Settings) -> str:
    """Return the name of both; a River model has at least the default one behind it."""
    challenger = read.challenger or catalog.stand_in(speaker)
    if challenger and catalog.model(challenger).pooled:
        challenger = catalog.with_prior(challenger, read.prior)
    return catalog.paired(speaker, challenger)


@cache
def updater() -> Updater:
    """Return the process's updater; from then on it is known how long models of users take."""
    STOPWATCH.read = time.perf_counter
    return Updater(store(), model())


@cache
def registry() -> "MlflowRegistry":
    """Open MLflow's store once a process; candle workers never import what that takes."""
    from worker.registry import MlflowRegistry

    read = configured()
    return MlflowRegistry(
        read.tracking_uri(),
        model=model().name,
        run_snapshots=read.run_snapshots,
    )


def bar(timeframe: Timeframe) -> Bar:
    """Return what the settings ask of a champion."""
    candles, skill, coverage = configured().gate(str(timeframe))
    return Bar(candles=candles, skill=skill, coverage=coverage)


@cache
def judge() -> "Judge":
    """Return who holds models against the gate and their champions."""
    from worker.judge import Judge

    return Judge(store(), registry(), signer(), bar)


@cache
def watch() -> "Watch":
    """Return what rolls back models that have failed."""
    from worker.watch import Patience, Watch

    read = configured()
    return Watch(
        store(), judge(), restorer(), lambda timeframe: Patience(*read.patience(str(timeframe)))
    )


@cache
def snapshots() -> "Snapshots":
    """Return what makes versions of models."""
    from worker.snapshot import Snapshots

    parts = store(), registry(), signer(), judge()
    return Snapshots(*parts, keep=configured().versions_kept)


@cache
def gallery() -> "Gallery":
    """Return who draws versions; loaded when the first one is drawn."""
    from worker.pictures import Gallery

    return Gallery(store(), registry(), judge(), signer(), every_s=configured().pictures_every_s)


@cache
def restorer() -> "Restorer":
    """Return what puts versions back in force."""
    from worker.lifecycle import Restorer

    name, horizon = model().name, model().horizon

    def fingerprint(series: Series) -> str:
        return state.fingerprint(name, horizon(str(series)))

    def goes_on(series: Series, learner: "Learner") -> bool:
        """Whoever challenged it then, and does now."""
        is_same = catalog.roles(learner.model)[0] == catalog.roles(name)[0]
        return is_same and learner.horizon == horizon(str(series))

    return Restorer(store(), registry(), signer(), fingerprint, goes_on)


def update_pending() -> dict[str, int]:
    """Learn what is due (queue ``candles``)."""
    working = updater()
    with _named():
        try:
            tally = working.run()
        except Exception:
            _describe(f"failed with {_listed(working.in_hand)} in hand")
            raise
        counts = dataclasses.asdict(tally)
        if any(counts.values()):
            log.info("learned", **counts)
            last = _listed(working.in_hand)
            _describe(f"learned {tally.candles} candles in {tally.commits} commits, last of {last}")
    return counts


def snapshot_moved(wait_s: float = 0) -> dict[str, Any]:
    """Roll back what has failed, and put the models that moved into MLflow (``housekeeping``).

    Where MLflow fails, the next round comes sooner, and later each time.
    """
    rounds = store().rounds
    if waits_for := _field_of_others():
        log.warning("snapshots wait: another model learns", fleet=waits_for)
        return {"skipped": f"another model learns: {waits_for}"}
    with _named(), store().snapshot_lock(wait_s=wait_s) as renew:
        if renew is None:
            return {"skipped": "another round of snapshots is under way"}
        try:
            done = _round(renew)
            counts = (len(done["written"]), len(done["failed"]), done["left"])
            _describe("{} versions written, {} series failed, {} left".format(*counts))
        except StoreError:
            raise
        except Exception as error:
            next_s = rounds.failed(str(error) or type(error).__name__)
            if not isinstance(error, RegistryError):
                raise
            log.error("snapshots wait", error=str(error), next_s=next_s)  # noqa: TRY400
            return {"skipped": str(error)}
        if done["gave_up"]:
            log.error(
                "snapshots wait", error=done["gave_up"], next_s=rounds.failed(done["gave_up"])
            )
        elif not done["overtaken"]:
            rounds.went_well()
    return done


def _field_of_others() -> str:
    """Return who learns, where they are not of these settings: their models are not ours to judge.

    So it is while workers of other settings take over, before housekeeping is started anew.
    """
    holder = store().overview()["fleet"] or ""
    return "" if holder == model(proven=False).fleet else holder


def _round(renew: Callable[[], bool]) -> dict[str, Any]:
    """Look at what is live, write versions, and draw a few with the time that is left."""
    budget_s = configured().snapshot_budget_s
    watching, taking = watch(), snapshots()  # to load MLflow is no part of it
    deadline = time.monotonic() + budget_s
    watched = watching.look(budget_s=budget_s / 3, renew=renew)
    report = taking.take(budget_s=deadline - time.monotonic(), renew=renew)
    if configured().pictures_every_s and not (report.gave_up or report.overtaken):
        left_s = deadline - time.monotonic()
        gallery().promoted(report.promoted, budget_s=left_s, renew=renew)
    return dataclasses.asdict(watched) | dataclasses.asdict(report)


def preload(queue: str) -> None:
    """Load what a queue's jobs need before the first one waits for it."""
    if queue == HOUSEKEEPING_QUEUE:
        import worker.registry  # noqa: F401


def let_go() -> None:
    """Let the registry go, and its folder: nothing else sees to that as a forked process ends."""
    for part in (watch, gallery, snapshots, restorer, judge, registry):
        part.cache_clear()


def rq_connection() -> Any:
    """Return a connection for RQ's own use."""
    return Store.connect(configured().redis_url).link.redis


def _named() -> AbstractContextManager[None]:
    """Name the job in the log lines of its time, and in no later ones."""
    job = get_current_job()
    return structlog.contextvars.bound_contextvars(job=job.id if job else None)


def _describe(text: str) -> None:
    """Say what the job did, for whoever looks at it in rq-dashboard or `rq info`."""
    if job := get_current_job():
        job.description = text


def _listed(series: Sequence[Series]) -> str:
    names = ", ".join(map(str, series[:_NAMED])) or "nothing"
    return f"{names} and {len(series) - _NAMED} more" if len(series) > _NAMED else names
