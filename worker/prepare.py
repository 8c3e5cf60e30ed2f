"""What a model learns while another one holds the field, to be ready when it has it."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from zlib import crc32

import structlog

from models.learner import Learner
from shared.candle import Series
from shared.errors import StateError
from shared.header import identity_of
from shared.records import Claim
from shared.standby import Prepared, Standing
from shared.store import Store
from worker.progress import Progress
from worker.recall import loaded
from worker.teaching import Model, Teacher

log = structlog.get_logger(__name__)

_TOGETHER = 64
_LESSON = 250
LESSON_S = 30
"""Longer nobody prepares at a stretch: what hangs is ended by the kernel, as a job would be."""
_STRETCH_S = 1.0
_WALK_S = 10.0
# So often a series was begun and not ended before it is left: once among others, then alone.
_DEADLY = 3
# After so long nobody has it in hand any more: the kernel ends what takes longer.
_DEAD_MS = 1_000 * (LESSON_S + 5)


class Preparer:
    """Teaches the retained candles of each series, and has the states stand by.

    They are what the series would come to by being learned again from its first retained candle,
    or what a model that has held the field before goes on to. The newest candle is left to be
    learned by those who take over, who then have something to say at once.

    Parameters
    ----------
    store
        Where the candles are, and the states go.
    model
        What waits.
    rolls
        Whether it is to take the field once ready, and so to prepare in place of another model.
    """

    def __init__(
        self,
        store: Store,
        model: Model,
        *,
        rolls: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._model = model
        self._rolls = self._comes_first = rolls
        self._clock = clock
        limits = replace(store.limits, series_ms=int(1_000 * _STRETCH_S), kept_series=0)
        self._teacher = Teacher(model, limits, _TOGETHER, clock)
        self._together = 1
        self._walks_at = clock()
        self._todo: list[Series] = []
        self._known: set[Series] = set()
        self._unready: set[Series] = set()
        self._left: set[Series] = set()
        self._begun: list[Series] = []
        self._goes_on: dict[str, bool] = {}
        self._heir = ""
        self.is_ready = False
        """Whether every series has been found to be ready, or to be nothing to wait for."""

    def prepare(self, until: float) -> None:
        """Prepare until this time of the clock, if nobody else does, or nothing is left to do."""
        self._end()  # a lesson that failed killed nobody
        self._walks()  # so that it is known at once of how many series it has to be ready for
        goes_on = True
        while self._is_heir() and goes_on and self._clock() < until and self._walks():
            goes_on = self._step()

    def _is_heir(self) -> bool:
        """Say how far it is, and whether it is this model that prepares."""
        fleet, count = self._model.fleet, len(self._known)
        ready = count - len(self._unready)
        heir = self._store.standby.name_heir(
            fleet, ready, count, rolls=self._rolls, first=self._comes_first
        )
        self._comes_first = False
        if heir != fleet:
            # What it has prepared may be replaced meanwhile.
            self.is_ready, self._todo, self._walks_at = False, [], self._clock()
            if heir and heir != self._heir:
                log.warning("another model prepares, this one does not", heir=heir, own=fleet)
        self._heir = heir
        return heir == fleet

    def _walks(self) -> bool:
        """Whether there are series to look at now."""
        if not self._todo and self._clock() >= self._walks_at:
            # Others of this model do the same: they should not meet.
            own = f"{os.getpid()} "
            self._todo = sorted(self._store.series(), key=lambda one: crc32(f"{own}{one}".encode()))
            self._unready |= set(self._todo) - self._known
            self._known = set(self._todo)
            self._unready &= self._known
            self.is_ready &= not self._unready
            if not self._todo:
                self._ended_walk()
        return bool(self._todo)

    def _step(self) -> bool:
        """Look at some series, and teach those that are not ready; whether there were any to."""
        group, rest = self._todo[-_TOGETHER:], self._todo[:-_TOGETHER]
        identities = [self._model.identity(series) for series in group]
        unready = [
            one for one in self._store.standby.look(group, identities) if not self._is_done(one)
        ]
        self._unready = self._unready - set(group) | {one.series for one in unready}
        # For what is reserved another walk has to come.
        behind = [one for one in unready if not one.reserved]
        self._todo = rest + [one.series for one in behind]
        if behind:
            self.is_ready, left = False, len(self._left)
            taught = self._teach(self._not_deadly(behind)[: self._together])
            return taught or len(self._left) > left
        if not self._todo:
            self._ended_walk()
        return True

    def _not_deadly(self, behind: Sequence[Standing]) -> Sequence[Standing]:
        """Return those that nobody has in hand or died of; else one of which somebody may have.

        A series that has taken some alone is left to those who take over: they bury the candle.
        """
        names = [one.series for one in behind]
        begun = self._store.standby.begun(self._model.fleet, names)
        safe = [one for one, (times, _) in zip(behind, begun, strict=True) if not times]
        doubtful = []
        for one, (times, ago_ms) in zip(behind, begun, strict=True):
            is_long_ago = not 0 <= ago_ms <= _DEAD_MS
            if times >= _DEADLY and is_long_ago:
                log.warning("cannot be prepared", series=str(one.series), why="workers died of it")
                self._left.add(one.series)
            elif times and is_long_ago:
                doubtful.append(one)
        return safe or doubtful[:1]

    def _ended_walk(self) -> None:
        is_ready = not self._unready
        if is_ready and not self.is_ready:
            log.info("prepared", own=self._model.fleet, series=len(self._known))
        elif not is_ready:
            log.info("waits for those who learn to go on", series=len(self._unready))
        self.is_ready = is_ready
        self._walks_at = self._clock() + _WALK_S

    def _is_done(self, standing: Standing) -> bool:
        """Whether what is left of a series can wait until the model has the field.

        That is so with as many candles as any worker learns again that takes a series up.
        """
        few = standing.ahead <= self._store.limits.state_every + 1
        return few or standing.series in self._left or self._can_go_on(standing)

    def _can_go_on(self, standing: Standing) -> bool:
        """Whether the state in force can be gone on from, or there is none."""
        if not standing.head:
            return True
        of = identity_of(standing.head) or ""
        own = self._model.identity(standing.series)
        if of not in self._goes_on and of != own:
            self._goes_on[of] = self._loads(standing.series)
        return of == own or self._goes_on[of]

    def _loads(self, series: Series) -> bool:
        model = self._model
        raw = self._store.model(series).state or b""
        into = Learner(series.timeframe, model.horizon(str(series)), model.name)
        try:
            loaded(raw, model.signer, model.fingerprint(series), series, into)
        except StateError:
            return False
        return True

    def _teach(self, behind: Sequence[Standing]) -> bool:
        began, names = self._clock(), [one.series for one in behind]
        if not names:
            return False
        self._store.standby.begin(self._model.fleet, names)
        self._begun = names
        seen = {one.series: one.seen for one in behind}
        claims = [claim for one in behind if (claim := self._claim(one))]
        self._teacher.start()
        # Who has candles left when others are done has to lie in the first rows: the longest first.
        claims.sort(key=lambda claim: len(claim.entries), reverse=True)
        works = [work for claim in claims if (work := self._begin(claim))]
        saved = [self._teacher.saved(work, keep=False) for work in self._teacher.taught(works)]
        rows = [
            (prepared, self._model.identity(prepared.series), seen[prepared.series])
            for work in saved
            if (prepared := self._prepared(work))
        ]
        self._teacher.done()
        self._store.standby.prepare(self._model.fleet, rows)
        self._end()
        self._pace(self._clock() - began)
        return True

    def _end(self) -> None:
        """Note that nobody has died of what was begun last."""
        if self._begun:
            self._store.standby.end(self._model.fleet, self._begun)
            self._begun = []

    def _pace(self, took_s: float) -> None:
        """Teach fewer at a time where that took long: who waits has to look, and may be stopped."""
        if took_s > 2 * _STRETCH_S:
            self._together = max(1, self._together // 2)
        elif took_s < _STRETCH_S:
            self._together = min(_TOGETHER, 2 * self._together)

    def _claim(self, standing: Standing) -> Claim | None:
        """Return a lesson as if it were claimed; None where the series has changed meanwhile."""
        series, identity = standing.series, self._model.identity(standing.series)
        prepared = None
        if standing.cursor is not None:
            prepared = self._store.standby.find(series, identity)
            if prepared is None:
                self._store.standby.drop(series, identity, standing.cursor)
            if prepared is None or prepared.cursor != standing.cursor:
                return None
        return Claim(
            series=series,
            etag="",
            cursor=standing.cursor,
            attempts=0,
            condemned=False,
            suspect=False,
            revision=0,
            sequence=prepared.sequence if prepared else 0,
            since=prepared.since if prepared else None,
            state=prepared.state if prepared else None,
            fingerprint=self._model.fingerprint(series),
            appended_at=None,
            snapshot=None,
            entries=self._store.standby.entries(standing, _LESSON),
            spoilt=None,
        )

    def _begin(self, claim: Claim) -> Progress | None:
        try:
            return self._teacher.begin(claim)
        except StateError as error:
            log.warning("prepared anew", series=str(claim.series), why=str(error))
            identity = self._model.identity(claim.series)
            self._store.standby.drop(claim.series, identity, claim.cursor)
            return None

    def _prepared(self, work: Progress) -> Prepared | None:
        """Return what a lesson came to: up to a candle that cannot be learned, where one is there.

        Such a series is left to those who take over: they bury the candle.
        """
        series = work.claim.series
        if work.dead_letter:
            log.warning("cannot be prepared", series=str(series), why=work.dead_letter.reason)
            self._left.add(series)
        if work.last is None:
            return None
        return Prepared(
            series=series,
            cursor=work.last.open_time,
            sequence=work.sequence,
            since=work.since,
            state=work.saved or b"",
        )
