"""The way of a claim: learn the candles beyond the cursor, commit, publish."""

import contextlib
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from models import state
from models.learner import Learner
from shared.candle import Candle
from shared.errors import DecodeError, StateError, StoreError
from shared.records import Claim, Commit, DeadLetter, Entry
from shared.store import Store
from shared.wire import decode_candle, encode_forecast
from worker.publish import forecast_of

log = structlog.get_logger(__name__)

_NEVER_THE_CANDLES_FAULT = (StoreError, MemoryError, OSError)


@dataclass(frozen=True, slots=True)
class Model:
    """Which model the workers run, and how its states are signed."""

    name: str
    signer: state.Signer
    horizon: Callable[[str], int]
    """Candles ahead for a series."""
    fleet: str
    """Names the model, its horizons and the signing key: workers of another name wait."""


@dataclass(slots=True)
class Tally:
    """What one job did; RQ keeps it as the job's result."""

    candles: int = 0
    commits: int = 0
    conflicts: int = 0
    dead_letters: int = 0
    rebuilds: int = 0
    released: int = 0
    withheld: int = 0
    """Forecasts that could not be published; their candles are learned all the same."""


@dataclass(slots=True)
class _Progress:
    """How far one claim got."""

    learner: Learner
    last: Candle | None = None
    since: int | None = None
    learned: int = 0
    entries: list[Entry] = field(default_factory=list)
    dead_letter: DeadLetter | None = None


class Updater:
    """Claims, learns and commits until nothing is due or the job's time is over.

    Attributes
    ----------
    worker
        Name that its claims bear, so that they can be given back when it is known to have died.
    """

    def __init__(
        self, store: Store, model: Model, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.store = store
        self.model = model
        self.worker = ""
        self._clock = clock

    def run(self) -> Tally:
        """Work for at most the job's time; what is left rings for the next job."""
        tally, limits = Tally(), self.store.limits
        deadline = self._clock() + limits.job_ms / 1_000
        ring = 1
        while ring > 0 and self._clock() < deadline:
            batch = self.store.claim(self.model.fleet, self.worker)
            if batch.holder != self.model.fleet or not batch.claims:
                return tally
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
        ready: list[Commit] = []
        untouched: Sequence[Claim] = ()
        ring, flushed = 0, self._clock()
        for done, claim in enumerate(claims):
            if done and self._clock() > deadline:
                untouched = claims[done:]
                break
            with structlog.contextvars.bound_contextvars(
                series=str(claim.series), sequence=claim.sequence
            ):
                commit = self._learn(claim, offset, tally)
            if commit:
                ready.append(commit)
            if ready and self._clock() - flushed > self.store.limits.flush_ms / 1_000:
                ring = self._flush(ready, tally)
                ready, flushed = [], self._clock()
        if ready:
            ring = self._flush(ready, tally)
        if untouched:
            tally.released += len(untouched)
            ring = self.store.release(untouched)
        return ring

    def _flush(self, commits: Sequence[Commit], tally: Tally) -> int:
        won, ring = self.store.commit(commits)
        for commit, kept in zip(commits, won, strict=True):
            if not kept:
                tally.conflicts += 1
                log.info("commit lost to another worker", series=str(commit.claim.series))
                continue
            tally.commits += 1
            tally.candles += commit.learned
            sequence = commit.claim.sequence + commit.learned
            log.debug("committed", series=str(commit.claim.series), sequence=sequence)
            if commit.dead_letter:
                tally.dead_letters += 1
                log.error(
                    "candle dead-lettered",
                    series=str(commit.claim.series),
                    candle=commit.dead_letter.candle,
                    reason=commit.dead_letter.reason,
                )
        return ring

    def _learn(self, claim: Claim, offset: float, tally: Tally) -> Commit | None:
        """Learn one claim; None where the series has to be rebuilt first."""
        fingerprint = state.fingerprint(self.model.name, self.model.horizon(str(claim.series)))
        try:
            progress = _Progress(self._learner(claim, fingerprint), since=claim.since)
        except StateError as error:
            self._rebuild(claim, fingerprint, str(error), tally)
            return None
        if claim.condemned:
            self._bury(progress, claim.entries[0], "kills workers", "three claims of it alone died")
        else:
            self._teach(progress, claim, fingerprint)
        return Commit(
            claim=claim,
            entries=progress.entries,
            learned=progress.learned,
            state=state.dump(progress.learner, self.model.signer, claim.series),
            fingerprint=fingerprint,
            scores=progress.learner.scores(),
            since=progress.since,
            forecast=self._publishable(progress, claim, fingerprint, offset, tally),
            dead_letter=progress.dead_letter,
        )

    def _learner(self, claim: Claim, fingerprint: str) -> Learner:
        if claim.spoilt:
            raise StateError(f"{claim.spoilt} in the model's record is no number")
        if claim.state:
            learner = state.load(claim.state, self.model.signer, fingerprint, claim.series)
            if learner.sequence != claim.sequence:
                raise StateError(
                    f"the state has learned {learner.sequence} candles, the series {claim.sequence}"
                )
            return learner
        if claim.cursor is not None:
            raise StateError("the state is missing")
        return self._new_learner(claim)

    def _new_learner(self, claim: Claim) -> Learner:
        horizon = self.model.horizon(str(claim.series))
        return Learner(claim.series.timeframe, horizon, self.model.name)

    def _teach(self, progress: _Progress, claim: Claim, fingerprint: str) -> None:
        """Learn the claim's candles in order until one raises or the series' time is over."""
        deadline = self._clock() + self.store.limits.series_ms / 1_000
        for entry in claim.entries:
            try:
                self._learn_entry(progress, entry)
            except _NEVER_THE_CANDLES_FAULT:
                raise
            except Exception as error:  # noqa: BLE001 -- whatever a model raises is its candle's
                # The raise may have left the model half-taught: take it up again before the candle.
                progress.learner = self._learner(claim, fingerprint)
                taught, progress.entries, progress.learned = progress.entries, [], 0
                for good in taught:
                    self._learn_entry(progress, good)
                reason = "undecodable" if isinstance(error, DecodeError) else "model raised"
                self._bury(progress, entry, reason, "".join(traceback.format_exception(error)))
                return
            if self._clock() > deadline:
                return

    @staticmethod
    def _learn_entry(progress: _Progress, entry: Entry) -> None:
        candle = decode_candle(*entry)
        progress.learner.learn_one(candle)
        progress.last = candle
        progress.learned += 1
        progress.entries.append(entry)
        if progress.since is None:
            progress.since = candle.open_time

    @staticmethod
    def _bury(progress: _Progress, entry: Entry, reason: str, error: str) -> None:
        candle = b" ".join([entry[0].partition(b"-")[0], *entry[1][1::2]])
        progress.entries.append(entry)
        progress.dead_letter = DeadLetter(
            candle=candle.decode(errors="replace"), reason=reason, error=error
        )

    def _publishable(
        self, progress: _Progress, claim: Claim, fingerprint: str, offset: float, tally: Tally
    ) -> bytes | None:
        """Return the forecast; None where the model says what cannot be published."""
        try:
            return self._forecast(progress, claim, fingerprint, offset)
        except _NEVER_THE_CANDLES_FAULT:
            raise
        except Exception:  # one series' nonsense must not cost its neighbours their commits
            tally.withheld += 1
            log.exception("forecast withheld")
            return None

    def _forecast(
        self, progress: _Progress, claim: Claim, fingerprint: str, offset: float
    ) -> bytes | None:
        if progress.last is None or progress.since is None:
            return None
        issued_at = int(offset + self._clock() * 1_000)
        live = len(claim.entries) == 1 and not claim.suspect and claim.appended_at is not None
        forecast = forecast_of(
            claim.series,
            progress.last,
            progress.learner.outlook(),
            model=self.model.name,
            fingerprint=fingerprint,
            snapshot=claim.snapshot,
            revision=claim.revision + 1,
            sequence=claim.sequence + progress.learned,
            since=progress.since,
            issued_at=issued_at,
            latency_ms=max(0, issued_at - claim.appended_at)
            if live and claim.appended_at
            else None,
        )
        return encode_forecast(forecast)

    def _rebuild(self, claim: Claim, fingerprint: str, why: str, tally: Tally) -> None:
        """Start the series again before its first retained candle: never guess at a state."""
        learner = self._new_learner(claim)
        answer = self.store.restore(
            claim.series,
            etag=claim.etag,
            cursor=None,
            state=state.dump(learner, self.model.signer, claim.series),
            fingerprint=fingerprint,
            scores=learner.scores(),
            sequence=0,
            since=None,
        )
        tally.rebuilds += 1
        log.warning("series is learned again", why=why, answer=answer)
