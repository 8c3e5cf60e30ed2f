"""The way of a claim: learn the candles beyond the cursor, commit, publish."""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from models import state
from models.learner import Learner
from shared.candle import Timeframe
from shared.errors import DecodeError, StateError, StoreError
from shared.records import Claim, Commit, Entry
from shared.store import Store
from shared.wire import encode_forecast
from worker.progress import Progress
from worker.publish import forecast_of

log = structlog.get_logger(__name__)

_NEVER_THE_CANDLES_FAULT = (StoreError, MemoryError, OSError)
# A candle is condemned after three claims of it alone. Where three that were only to bury it have
# died too, it is not the candle that does the harm.
_HOPELESS = 6


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
        # One of each kind that has done its claim, to take up the next series' state.
        self._idle: dict[tuple[Timeframe, int], Learner] = {}

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
            progress = self._progress(claim, fingerprint)
        except StateError as error:
            self._rebuild(claim, fingerprint, str(error), tally)
            return None
        forecast = self._publishable(progress, claim, fingerprint, offset, tally)
        self._idle[progress.learner.timeframe, progress.learner.horizon] = progress.learner
        return Commit(
            claim=claim,
            entries=progress.entries,
            learned=progress.learned,
            state=progress.saved,
            fingerprint=fingerprint,
            scores=progress.scores,
            since=progress.since,
            forecast=forecast,
            dead_letter=progress.dead_letter,
        )

    def _progress(self, claim: Claim, fingerprint: str) -> Progress:
        """Learn as many of the claim's candles as leave a state that can be kept."""
        entries = claim.entries
        if claim.condemned:
            progress = self._begin(claim, fingerprint)
            progress.bury(entries[0], "kills workers", "three claims of it alone died")
            return progress
        while True:
            progress = self._teach(claim, fingerprint, entries)
            try:
                progress.save(self.model.signer, claim.series)
            except _NEVER_THE_CANDLES_FAULT:
                raise
            except Exception as error:  # noqa: BLE001 -- what a candle leaves behind is its own too
                entries = progress.entries
                if len(entries) == 1:
                    progress = self._begin(claim, fingerprint)
                    progress.bury(entries[0], "model raised", error)
                    return progress
                # Any of them may have done it: keep what can be kept, and the rest has its turn.
                entries = entries[: len(entries) // 2]
            else:
                return progress

    def _begin(self, claim: Claim, fingerprint: str) -> Progress:
        return Progress(self._learner(claim, fingerprint), claim.state or b"", claim.since)

    def _learner(self, claim: Claim, fingerprint: str) -> Learner:
        if claim.condemned and claim.attempts >= _HOPELESS:
            raise StateError("claims died that had only to load it and to bury a candle")
        if claim.spoilt:
            raise StateError(f"{claim.spoilt} in the model's record is missing or no number")
        horizon = self.model.horizon(str(claim.series))
        if claim.state:
            # Taken away, so that one whose model raised is not used again.
            idle = self._idle.pop((claim.series.timeframe, horizon), None)
            learner = state.load(claim.state, self.model.signer, fingerprint, claim.series, idle)
            if learner.sequence != claim.sequence:
                raise StateError(
                    f"the state has learned {learner.sequence} candles, the series {claim.sequence}"
                )
            if (learner.hours.open_time or 0) > (claim.cursor or 0):
                raise StateError(
                    f"the state has learned up to {learner.hours.open_time}, the series up to "
                    f"{claim.cursor}"
                )
            return learner
        if claim.sequence:
            raise StateError("the state is missing")
        return Learner(claim.series.timeframe, horizon, self.model.name)

    def _teach(self, claim: Claim, fingerprint: str, entries: Sequence[Entry]) -> Progress:
        """Learn entries of the claim in order until one raises or the series' time is over."""
        deadline = self._clock() + self.store.limits.series_ms / 1_000
        progress = self._begin(claim, fingerprint)
        for entry in entries:
            try:
                progress.learn(entry)
            except _NEVER_THE_CANDLES_FAULT:
                raise
            except Exception as error:  # noqa: BLE001 -- whatever a model raises is its candle's
                # The raise may have left the model half-taught: take it up again before the candle.
                taught, progress = progress.entries, self._begin(claim, fingerprint)
                for good in taught:
                    progress.learn(good)
                reason = "undecodable" if isinstance(error, DecodeError) else "model raised"
                progress.bury(entry, reason, error)
                break
            if self._clock() > deadline:
                break
        return progress

    def _publishable(
        self, progress: Progress, claim: Claim, fingerprint: str, offset: float, tally: Tally
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
        self, progress: Progress, claim: Claim, fingerprint: str, offset: float
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
        answer = self.store.restore(
            claim.series,
            etag=claim.etag,
            cursor=None,
            state=b"",
            fingerprint=fingerprint,
            scores={},
            sequence=0,
            since=None,
        )
        if answer != "ok":
            tally.conflicts += 1
            log.info("rebuild lost to another worker", why=why)
            return
        tally.rebuilds += 1
        log.warning("series is learned again", why=why)
