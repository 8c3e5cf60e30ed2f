"""Watching: a live model that has failed gives way to its champion."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from models.gate import Showing
from shared.candle import Series, Timeframe
from shared.errors import CandlecastError, StoreError
from shared.model_record import Champion, ModelRecord
from shared.records import Event
from shared.store import Store
from worker.judge import Judge
from worker.lifecycle import Restorer
from worker.version import showing_of

log = structlog.get_logger(__name__)

_PAGE = 64


@dataclass(frozen=True, slots=True)
class Patience:
    """How far below its champion a model may be, and for how long.

    Attributes
    ----------
    margin
        CRPS skill, not negative.
    seconds
        From when it was first seen there.
    """

    margin: float
    seconds: float


@dataclass(slots=True)
class Watched:
    """What one look at all series led to, ready for JSON."""

    rolled_back: dict[str, int] = field(default_factory=dict)
    """Version by series."""
    stuck: dict[str, str] = field(default_factory=dict)
    """Why a model that has failed is live still, by series."""
    unseen: int = 0
    """Series that seem to have failed, and have to wait for the next look."""


class Watch:
    """Rolls back live models that say what is not finite, or have lost skill to their champion.

    Skill falls with the market too: what counts is what the champion would show by now, had it
    learned the candles since. So a model goes only where the other is better on the same candles,
    and never twice for the same reason.

    Parameters
    ----------
    store, judge, restorer
        Where models are, who compares them and who puts them back.
    patience
        By timeframe.
    now_ms
        UTC milliseconds.
    clock
        Seconds that only rise.
    """

    def __init__(
        self,
        store: Store,
        judge: Judge,
        restorer: Restorer,
        patience: Callable[[Timeframe], Patience],
        *,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._judge = judge
        self._restorer = restorer
        self._patience = patience
        self._now_ms = now_ms
        self._clock = clock

    def look(self, *, budget_s: float, renew: Callable[[], bool] = lambda: True) -> Watched:
        """Look at every series; one that fails is reported and the next one is looked at.

        To look costs next to nothing, to compare a model with its champion does: that ends with the
        budget. Who has waited longest is compared first.

        Raises
        ------
        StoreError
            When Redis fails: then no series can be read.
        """
        watched = Watched()
        deadline = self._clock() + budget_s
        failed = self._failed()
        for done, series in enumerate(failed):
            if self._clock() > deadline or not renew():
                watched.unseen = len(failed) - done
                break
            self._try(series, watched)
        return watched

    def _failed(self) -> list[Series]:
        """Return the series whose live models seem to have failed, the longest first."""
        names = self._store.series()
        faults = self._store.faults(names)
        names = [series for series in names if series not in faults]
        found = [
            (record.below_since or 0, str(record.series), record.series)
            for start in range(0, len(names), _PAGE)
            for record in self._store.models(names[start : start + _PAGE])
            if record.champion and self._has_failed(record, record.champion)
        ]
        return [series for *_, series in sorted(found, key=lambda row: row[:2])]

    def _has_failed(self, record: ModelRecord, champion: Champion) -> bool:
        """Whether a model says what is not finite, or has been below its champion long enough."""
        live = Showing.of_scores(record.scores)
        if record.paused or (record.cursor or 0) <= champion.cursor:
            return False
        if not live.is_finite:
            return True
        patience, since = self._patience(record.series.timeframe), record.below_since
        if live.skill is None or not live.is_worse_than(showing_of(champion), patience.margin):
            if since is not None:
                self._store.note_below(record.series, None)
            return False
        if since is None:
            self._store.note_below(record.series, self._now_ms())
            return False
        return self._now_ms() - since >= patience.seconds * 1_000

    def _try(self, series: Series, watched: Watched) -> None:
        """Compare one, and put its champion back if that helps."""
        name, record = str(series), self._store.model(series)  # it may have moved on by now
        champion = record.champion
        if champion is None or not self._has_failed(record, champion):
            return
        try:
            why = self._case(record, champion)
            if why and self._roll_back(record, champion, why):
                watched.rolled_back[name] = champion.version
        except (MemoryError, StoreError):
            raise
        except Exception as error:  # whatever it is, the next series has nothing to do with it
            watched.stuck[name] = str(error) or type(error).__name__
            known = isinstance(error, CandlecastError)
            log.error("a failed model stays", series=name, error=str(error), exc_info=not known)  # noqa: TRY400

    def _case(self, record: ModelRecord, champion: Champion) -> str:
        """Say why the champion is to be put back; nothing where it would be no better by now."""
        live, series = Showing.of_scores(record.scores), record.series
        by_now = Showing.of(self._judge.by_now(record, champion))
        margin = self._patience(series.timeframe).margin
        if not live.is_worse_than(by_now, margin):
            # Its time begins anew: the same comparison at every look would cost a lot.
            self._store.note_below(series, self._now_ms())
            log.info(
                "the champion would do no better",
                series=str(series),
                skill=live.skill,
                champion=champion.version,
                by_now=by_now.skill,
            )
            return ""
        if not live.is_finite:
            return "what the live model says is not finite"
        return (
            f"skill {live.said_skill} of the live model, {by_now.said_skill} of version "
            f"{champion.version} on the same candles"
        )

    def _roll_back(self, record: ModelRecord, champion: Champion, why: str) -> bool:
        found = self._restorer.find(record.series, champion.version)
        if not found.version.is_champion:
            # Somebody has moved the alias: the next snapshot will note the new champion.
            log.info(
                "the champion is another by now",
                series=str(record.series),
                version=champion.version,
            )
            return False
        event = Event(event="rolled-back", version=champion.version, why=why)
        # A worker may have committed meanwhile: then the next look decides anew.
        done = self._restorer.put_back(found, event, etag=record.etag)
        facts = {"series": str(record.series), "version": champion.version, "why": why}
        if done:
            log.warning("rolled back to the champion", **facts)
        else:
            log.info("the model moved on before it could be rolled back", **facts)
        return done
