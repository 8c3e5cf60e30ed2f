"""The way of a claim: learn the candles beyond the cursor, commit, publish."""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile

import structlog

from models import catalog
from shared.candle import Series
from shared.errors import StateError, StoreError
from shared.forecast import Forecast
from shared.header import identity_of
from shared.records import Claim, Commit, Event
from shared.standby import Prepared
from shared.store import Store
from shared.totals import counted
from shared.wire import encode_forecast
from worker.progress import Progress
from worker.publish import forecast_of
from worker.teaching import NEVER_THE_CANDLES_FAULT, Model, Teacher

log = structlog.get_logger(__name__)

_MOST_TOGETHER = 64


@dataclass(slots=True)
class Tally:
    """What one job did; RQ keeps it as the job's result."""

    candles: int = 0
    commits: int = 0
    conflicts: int = 0
    dead_letters: int = 0
    drifts: int = 0
    """How often models were seen to err otherwise than they did."""
    faults: int = 0
    """Candles at which a River model of a user's failed."""
    rebuilds: int = 0
    taken_over: int = 0
    """Series that went on from a state that stood by for this model."""
    released: int = 0
    withheld: int = 0
    """Forecasts that could not be published; their candles are learned all the same."""


class Updater:
    """Claims, learns and commits until nothing is due or the job's time is over.

    Attributes
    ----------
    worker
        Name that its claims bear, so that they can be given back when it is known to have died, and
        under which it keeps learners; without one it keeps none.
    in_hand
        Series of its newest claim.
    """

    def __init__(
        self, store: Store, model: Model, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.store = store
        self.model = model
        self.worker = ""
        self.in_hand: list[Series] = []
        self._clock = clock
        self._flush_s = store.limits.flush_ms / 1_000
        self._together = 1
        self._teacher = Teacher(model, store.limits, _MOST_TOGETHER, clock)

    def run(self) -> Tally:
        """Work while anything is due, at most for the job's time; what is left rings for the next.

        Doorbells that wait are no reason to stop: to end a job and take the next costs as much as
        twenty updates.
        """
        tally, limits = Tally(), self.store.limits
        deadline = self._clock() + limits.job_ms / 1_000
        ring = 0
        while self._clock() < deadline:
            batch = self.store.claim(self.model.fleet, self.worker)
            if batch.holder != self.model.fleet or not batch.claims:
                return tally
            self.in_hand = [claim.series for claim in batch.claims]
            offset = batch.now - self._clock() * 1_000
            try:
                ring = self._work(batch.claims, offset, deadline, tally)
            except (StoreError, OSError) as error:
                # This worker lives, so its claims are no deaths to be counted against a candle. But
                # what fails at one series alone must be found, lest it keep others from their turn.
                if isinstance(error, StoreError) or batch.claims[0].suspect:
                    with contextlib.suppress(StoreError):
                        self.store.release(batch.claims)
                raise
        self.store.ring(ring)
        return tally

    def _work(self, claims: Sequence[Claim], offset: float, deadline: float, tally: Tally) -> int:
        """Learn the claims in turn; commits leave together. Return the doorbells missing."""
        claims = sorted(claims, key=lambda claim: len(claim.entries))
        ready: list[Commit] = []
        done, ring, flushed = 0, 0, self._clock()
        while done < len(claims) and not (done and self._clock() > deadline):
            group = _alike(claims[done:], self._together)
            ready += self._learn_at_pace(group, offset, tally)
            done += len(group)
            if ready and self._clock() - flushed > self._flush_s:
                ring = self._flush(ready, tally)
                ready, flushed = [], self._clock()
        if ready:
            ring = self._flush(ready, tally)
        if untouched := claims[done:]:
            tally.released += len(untouched)
            ring = self.store.release(untouched)
        return ring

    def _flush(self, commits: Sequence[Commit], tally: Tally) -> int:
        won, ring = self.store.commit(commits)
        for commit, is_won in zip(commits, won, strict=True):
            if not is_won:
                tally.conflicts += 1
                log.info("commit lost to another worker", series=str(commit.claim.series))
                continue
            tally.commits += 1
            tally.candles += commit.learned
            sequence = commit.claim.sequence + commit.learned
            log.debug("committed", series=str(commit.claim.series), sequence=sequence)
            self._tell(commit, tally)
            if commit.dead_letter:
                tally.dead_letters += 1
                log.error(
                    "candle dead-lettered",
                    series=str(commit.claim.series),
                    candle=commit.dead_letter.candle,
                    reason=commit.dead_letter.reason,
                )
        return ring

    def _tell(self, commit: Commit, tally: Tally) -> None:
        """Say what a commit has shown of a model that somebody should know."""
        series, scores = str(commit.claim.series), commit.scores or {}
        if drifts := commit.counts.get("drifts"):
            tally.drifts += drifts
            log.warning("drift", series=series, new=drifts, **scores["drift"])
        if faults := commit.counts.get("faults"):
            tally.faults += faults
            both = (scores, scores.get("challenger") or {})
            told = [one["last_fault"] for one in both if one.get("last_fault")]
            log.warning("model failed", series=series, candles=faults, last=told)

    def _learn_at_pace(self, claims: Sequence[Claim], offset: float, tally: Tally) -> list[Commit]:
        """Learn claims together, next time as many as learn a candle while a flush may wait."""
        began = self._clock()
        commits = self._learn(claims, offset, tally)
        learned = sum(len(commit.entries) + len(commit.claim.behind) for commit in commits)
        pace_s = (self._clock() - began) / max(1, learned)
        self._together = max(1, min(_MOST_TOGETHER, int(self._flush_s / max(pace_s, 1e-6))))
        return commits

    def _learn(self, claims: Sequence[Claim], offset: float, tally: Tally) -> list[Commit]:
        """Learn some claims, the shortest first; those to be rebuilt first are left out.

        Each step is done for all before the next: what it runs and reads is in the processor's
        caches then.
        """
        self._teacher.start()
        # Who has candles left when others are done has to lie in the first rows: the longest first.
        begun = [work for claim in reversed(claims) if (work := self._begun(claim, tally))]
        named = bool(self.worker)
        saved = [self._teacher.saved(work, keep=named) for work in self._teacher.taught(begun)]
        commits = [
            work.commit(*self._publishable(work, offset, tally), self.worker) for work in saved
        ]
        self._teacher.done()
        return commits

    def _begun(self, claim: Claim, tally: Tally) -> Progress | None:
        if claim.is_kept:
            with contextlib.suppress(StateError):
                return self._teacher.begin_kept(claim)
            claim = self.store.with_state(claim)
        try:
            return self._teacher.begin(claim)
        except StateError as error:
            self._rebuild(claim, str(error), tally)
            return None

    def _publishable(
        self, work: Progress, offset: float, tally: Tally
    ) -> tuple[bytes | None, Mapping[str, int]]:
        """Return the forecast, None where the model says what cannot be published; and counts."""
        try:
            forecast = self._forecast(work, offset)
            return (encode_forecast(forecast), counted(forecast)) if forecast else (None, {})
        except NEVER_THE_CANDLES_FAULT:
            raise
        except Exception:  # one series' nonsense must not cost its neighbours their commits
            tally.withheld += 1
            log.exception(
                "forecast withheld", series=str(work.claim.series), sequence=work.sequence
            )
            return None, {"withheld": 1}

    def _forecast(self, work: Progress, offset: float) -> Forecast | None:
        claim = work.claim
        if work.last is None or work.since is None:
            return None
        issued_at = int(offset + self._clock() * 1_000)
        outlook = work.said or work.learner.outlook()
        speaker, challenger = catalog.roles(self.model.name)
        live = len(claim.entries) == 1 and not claim.suspect and claim.appended_at is not None
        return forecast_of(
            claim.series,
            work.last,
            outlook,
            model=challenger if outlook.voice == "challenger" else speaker,
            fingerprint=work.fingerprint,
            snapshot=claim.snapshot,
            revision=claim.revision + 1,
            sequence=work.sequence,
            since=work.since,
            issued_at=issued_at,
            latency_ms=max(0, issued_at - claim.appended_at)
            if live and claim.appended_at
            else None,
        )

    def _rebuild(self, claim: Claim, why: str, tally: Tally) -> None:
        """Go on from what stands by, or before the first retained candle: never guess at a state.

        What was in force stands by then, if it is another model's.
        """
        identity = self.model.identity(claim.series)
        was = identity_of(claim.state or b"")
        put_by = was if was and was != identity else ""
        prepared = self.store.standby.find(claim.series, identity)
        answer = self._restored(claim, prepared, put_by)
        if prepared and answer == "ok" and not put_by:
            # Nothing has taken its place: what cannot be read would be put in force for ever.
            self.store.standby.drop(claim.series, identity, prepared.cursor)
        if prepared and answer == "hole":
            prepared, answer = None, self._restored(claim, None, put_by)
        facts = {"series": str(claim.series), "sequence": claim.sequence, "why": why}
        if answer != "ok":
            tally.conflicts += 1
            log.info("rebuild lost to another worker", **facts)
        elif prepared:
            tally.taken_over += 1
            log.info("series goes on from what stood by", **facts, now=prepared.sequence)
        else:
            tally.rebuilds += 1
            log.warning("series is learned again", **facts)

    def _restored(self, claim: Claim, prepared: Prepared | None, put_by: str) -> str:
        return self.store.restore(
            claim.series,
            etag=claim.etag,
            cursor=prepared.cursor if prepared else None,
            state=prepared.state if prepared else b"",
            fingerprint=self.model.fingerprint(claim.series),
            scores={},
            sequence=prepared.sequence if prepared else 0,
            since=prepared.since if prepared else None,
            event=Event(event="taken-over") if prepared else None,
            put_by=put_by,
        )


def _alike(claims: Sequence[Claim], most: int) -> Sequence[Claim]:
    """Return the first claims, at most so many: those of one candle each, or those of more.

    A series with a backlog takes its time, which others should not have to wait for.
    """
    is_live = len(claims[0].entries) == 1
    alike = takewhile(lambda claim: (len(claim.entries) == 1) == is_live, claims)
    return tuple(islice(alike, most))
