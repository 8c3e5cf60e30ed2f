"""Teaching: claimed learners are taken up, taught what was claimed, and saved."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import structlog

from models import state
from models.learner import Learner
from shared.candle import Candle, Series, Timeframe
from shared.errors import DecodeError, StateError, StoreError
from shared.limits import Limits
from shared.records import Claim, Entry
from shared.wire import decode_candle
from worker.kept import KeptLearners
from worker.progress import Progress
from worker.recall import check, recalled
from worker.spares import Spares

NEVER_THE_CANDLES_FAULT = (StoreError, MemoryError, OSError)
# A candle is condemned after three claims of it alone. Where three that were only to bury it have
# died too, it is not the candle that does the harm.
_CONDEMNED, _HOPELESS = 3, 6
# A candle that a River model takes so long for keeps its neighbours waiting.
_SLOW_S = 1.0
# Spare learners, in claims: as many kinds of series can have a turn each.
_SPARES = 4

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Model:
    """Which model the workers run, and how its states are signed."""

    name: str
    signer: state.Signer
    horizon: Callable[[str], int]
    """Candles ahead for a series."""
    fleet: str
    """Names the model, its horizons and the signing key: workers of another name wait."""

    def fingerprint(self, series: Series) -> str:
        """Return what the states of a series are stamped with."""
        return state.fingerprint(self.name, self.horizon(str(series)))

    def identity(self, series: Series) -> str:
        """Return the fingerprint and the key that signs, as `shared.header.identity_of` does."""
        return f"{self.fingerprint(series)}-{self.signer.key_id}"


class Teacher:
    """Teaches some claims at a time.

    Parameters
    ----------
    model
        Which model all of them run.
    limits
        How long one series, or several in step, may learn at a stretch.
    most
        Claims that are taught at a time.
    """

    def __init__(
        self,
        model: Model,
        limits: Limits,
        most: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._series_s = limits.series_ms / 1_000
        self._clock = clock
        self._state_every = limits.state_every
        self._kept = KeptLearners(limits.kept_series, clock)
        self._spares = Spares(model.name, most, kept=_SPARES * most)

    def start(self) -> None:
        """Begin with other claims; learners that were not done with those before are let go."""
        self._spares.let_go_of_taken()

    def done(self) -> None:
        """Be done with these claims: their learners can take up others."""
        self._spares.give_back()

    def begin(self, claim: Claim) -> Progress:
        """Take up what a claim's series has learned, as it was handed out.

        Raises
        ------
        StateError
            When it cannot be gone on from: the series has to be learned again.
        """
        return self._begin(claim, None)

    def begin_kept(self, claim: Claim) -> Progress:
        """Take up what was kept here of a claim's series.

        Raises
        ------
        StateError
            When it is not here, or nobody can go on from it: what Redis holds has to be read.
        """
        body = self._kept.find(claim.series, claim.etag)
        if body is None:
            raise StateError("the learner is not kept here")
        return self._begin(claim, body)

    def _begin(self, claim: Claim, body: bytes | None) -> Progress:
        horizon = self._model.horizon(str(claim.series))
        fingerprint = self._model.fingerprint(claim.series)
        _refuse(claim)
        learner = self._spares.free(claim.series.timeframe, horizon)
        if body is not None:
            learner = state.take_up(body, learner)
            check(learner, claim)
            _spare(claim, learner)
        elif claim.state:
            learner = self._recalled(claim, fingerprint, learner)
        else:
            self._spares.blank(learner)
            _spare(claim, learner)
        self._spares.take(learner)
        return Progress(claim, fingerprint, learner, body)

    def _recalled(self, claim: Claim, fingerprint: str, into: Learner) -> Learner:
        try:
            spare = partial(_spare, claim)
            return recalled(claim, self._model.signer, fingerprint, into, before=spare)
        except StateError:
            if claim.behind:  # it may be one of them that has raised
                self._spares.renew(into)
            raise

    def _again(self, work: Progress) -> Progress:
        """Take it up once more, in a new learner: nobody knows what a raise has left in the other.

        Nor may that one take up any other state, or one of those that were taught with it.
        """
        self._spares.let_go(work.learner)
        return self._begin(work.claim, work.body)

    def taught(self, works: Sequence[Progress]) -> list[Progress]:
        """Learn what was claimed, series of a kind in step; some may learn but a part of it.

        Those of a kind come in the order in which they were begun, the longest first: who still
        has candles to learn then lies in the first rows.
        """
        taught: list[Progress] = []
        for group in _kinds(work for work in works if not work.claim.condemned):
            if self._in_step(group):
                taught += group
            else:
                taught += [self._alone(self._again(work)) for work in group]
        return taught + [self._alone(work) for work in works if work.claim.condemned]

    def _in_step(self, works: Sequence[Progress]) -> bool:
        """Learn series of a kind candle by candle; whether all went well.

        Where it did not, none of the learners is of use any more: which candle of which series it
        was shows when each is taught alone.
        """
        deadline = self._clock() + self._series_s
        try:
            everyone = self._spares.together([work.learner for work in works])
            learned = 0
            for upto in sorted({len(work.claim.entries) for work in works}):
                active = [work for work in works if len(work.claim.entries) >= upto]
                group = self._spares.together([work.learner for work in active])
                group.learn_many(self._rounds(active, range(learned, upto), deadline))
                learned = upto
            heard = zip(works, everyone.outlooks(), everyone.scores(), strict=True)
            for work, said, scores in heard:
                work.said, work.scores = said, scores
        except NEVER_THE_CANDLES_FAULT:
            raise
        except Exception:
            # As a rule a candle does it, and is named when its series is taught alone.
            log.warning("taught one by one", series=len(works), exc_info=True)
            return False
        return True

    def _rounds(
        self, works: Sequence[Progress], turns: range, deadline: float
    ) -> Iterator[list[Candle]]:
        """Hand out candle by candle of each while there is time; note those that were learned."""
        for turn in turns:
            if turn and self._clock() > deadline:
                return
            entries = [work.claim.entries[turn] for work in works]
            candles = [decode_candle(*entry) for entry in entries]
            yield candles
            for work, entry, candle in zip(works, entries, candles, strict=True):
                work.note(entry, candle)
                work.learner.tire(_SLOW_S)

    def _alone(self, work: Progress, entries: Sequence[Entry] | None = None) -> Progress:
        """Learn entries in order until one raises or the series' time is over."""
        claim = work.claim
        if claim.condemned and not _is_spared(work):
            work.bury(claim.entries[0], "kills workers", "three claims of it alone died")
            return work
        deadline = self._clock() + self._series_s
        for entry in claim.entries if entries is None else entries:
            try:
                work.learn(entry)
            except NEVER_THE_CANDLES_FAULT:
                raise
            except Exception as error:  # noqa: BLE001 -- whatever a model raises is its candle's
                # The raise may have left the model half-taught: take it up again before the candle.
                good, work = work.entries, self._again(work)
                for learned in good:
                    work.learn(learned)
                reason = "undecodable" if isinstance(error, DecodeError) else "model raised"
                work.bury(entry, reason, error)
                break
            work.learner.tire(_SLOW_S)
            if self._clock() > deadline:
                break
        return work

    def saved(self, work: Progress, *, keep: bool) -> Progress:
        """Save what was learned, or as much of it as leaves a state that can be saved.

        With ``keep`` the learner is kept here too, if there is room.
        """
        keeps = partial(self._kept.keep, work.claim.series) if keep else _keeps_nothing
        while True:
            try:
                work.save(self._model.signer, keeps, self._state_every)
            except NEVER_THE_CANDLES_FAULT:
                raise
            except Exception as error:  # noqa: BLE001 -- what a candle leaves behind is its own too
                entries, work = work.entries, self._again(work)
                if len(entries) == 1:
                    work.bury(entries[0], "model raised", error)
                    work.save(self._model.signer, keeps, self._state_every)
                    return work
                # Any of them may have done it: keep what can be kept, and the rest has its turn.
                work = self._alone(work, entries[: len(entries) // 2])
            else:
                return work


def _refuse(claim: Claim) -> None:
    """Refuse a record that nobody can go on from."""
    if claim.condemned and claim.attempts >= _HOPELESS:
        raise StateError("claims died that had only to load it and to bury a candle")
    if claim.spoilt:
        raise StateError(f"{claim.spoilt} in the model's record is missing or no number")
    if claim.sequence and not claim.state and not claim.is_kept:
        raise StateError("the state is missing")


def _spare(claim: Claim, learner: Learner) -> None:
    """Let River models rest that may be what kills, before a candle is buried for it.

    A challenger rests first; where that does not help, whoever else there is.
    """
    if claim.condemned and (again := claim.attempts - _CONDEMNED) <= 1:
        learner.rest("three claims of one candle alone died", all_of_them=again > 0)


def _is_spared(work: Progress) -> bool:
    """Whether a River model rests now that may be what killed, and did not before."""
    return work.learner.pop_news()


def _keeps_nothing(*_: object) -> bool:
    return False


def _kinds(works: Iterable[Progress]) -> Iterable[list[Progress]]:
    """Put works together whose learners are of a kind."""
    kinds: dict[tuple[Timeframe, int], list[Progress]] = {}
    for work in works:
        kinds.setdefault(work.learner.kind, []).append(work)
    return kinds.values()
