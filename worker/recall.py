"""A committed learner from what Redis holds of it: a state, and candles that it has not learned."""

from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from models import state
from models.learner import Learner
from models.recast import recast, speaker
from shared.candle import Series
from shared.errors import OtherModel, StateError
from shared.records import Entry
from shared.wire import decode_candle

log = structlog.get_logger(__name__)


class Held(Protocol):
    """What a claim, or the record of a model, says of what was learned."""

    @property
    def series(self) -> Series:
        """Of which series."""

    @property
    def cursor(self) -> int | None:
        """Open time of the last candle learned."""

    @property
    def sequence(self) -> int:
        """Candles learned."""

    @property
    def state(self) -> bytes | None:
        """A learner as it was at some candle up to the cursor, signed."""

    @property
    def behind(self) -> Sequence[Entry]:
        """Entries of the log from there up to the cursor."""


def recalled(
    held: Held,
    signer: state.Signer,
    fingerprint: str,
    into: Learner | None = None,
    *,
    before: Callable[[Learner], object] = lambda _: None,
) -> Learner:
    """Load a state and learn the entries after it, which some worker has learned already.

    Where there is a learner to take it up, it may be of another pair of models.

    Parameters
    ----------
    held
        What there is.
    signer, fingerprint, into
        As for `models.state.load`.
    before
        Called with the learner before it learns anything.

    Raises
    ------
    StateError
        When the state cannot be loaded, an entry cannot be learned, or all of it is not as many
        candles as were learned: nobody can go on from it.
    """
    learner = loaded(held.state or b"", signer, fingerprint, held.series, into)
    before(learner)
    return caught_up(learner, held)


def loaded(
    raw: bytes,
    signer: state.Signer,
    fingerprint: str | None,
    series: Series,
    into: Learner | None = None,
) -> Learner:
    """Load a state, into a learner of another pair of models too if what speaks is in both.

    Where a challenger's part cannot be read any more, what speaks is read all the same: without a
    learner to take it up, that one alone.

    Raises
    ------
    StateError
        As `models.state.load` says.
    """
    try:
        return state.load(raw, signer, fingerprint, series, into)
    except StateError as error:
        is_other = isinstance(error, OtherModel)
        if into is None and is_other:
            raise
        try:
            if into is None:
                found = speaker(raw, signer, fingerprint, series)
            else:
                found = recast(raw, signer, series, into)
        except StateError as other:
            why = "" if str(other) == str(error) else f"; nor can it be gone on from: {other}"
            raise StateError(f"{error}{why}") from error
        if not is_other:
            log.warning("challenger cannot be read", series=str(series), why=str(error))
        return found


def caught_up(learner: Learner, held: Held) -> Learner:
    """Teach a learner the entries that its state lacked, and return it.

    Raises
    ------
    StateError
        As `recalled` says.
    """
    known = learner.hours.open_time or -1
    for entry in held.behind:
        if int(entry[0].partition(b"-")[0]) <= known:
            continue  # who wrote this state did not say where it stands: it was an older release
        try:
            learner.learn_one(decode_candle(*entry))
        except (MemoryError, OSError):
            raise
        except Exception as error:  # whatever a model makes of a candle that is not its own
            at = entry[0].decode(errors="replace")
            raise StateError(f"entry {at} after the state cannot be learned: {error}") from error
    check(learner, held)
    return learner


def check(learner: Learner, held: Held) -> None:
    """Refuse a learner that is of another time than its record.

    Raises
    ------
    StateError
        When it has learned another number of candles, or one beyond the cursor.
    """
    if learner.sequence != held.sequence:
        raise StateError(
            f"the state has learned {learner.sequence} candles, the series {held.sequence}"
        )
    if (learner.hours.open_time or 0) > (held.cursor or 0):
        raise StateError(
            f"the state has learned up to {learner.hours.open_time}, the series up to {held.cursor}"
        )
