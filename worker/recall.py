"""A committed learner from what Redis holds of it: a state, and candles that it has not learned."""

from collections.abc import Sequence

from models import state
from models.learner import Learner
from shared.candle import Series
from shared.errors import StateError
from shared.records import Entry
from shared.wire import decode_candle


def recalled(
    raw: bytes,
    behind: Sequence[Entry],
    signer: state.Signer,
    fingerprint: str,
    series: Series,
    into: Learner | None = None,
) -> Learner:
    """Load a state and learn the entries after it, which some worker has learned already.

    Parameters
    ----------
    raw, signer, fingerprint, series, into
        As for `models.state.load`.
    behind
        Entries of the log after those that the state has learned.

    Raises
    ------
    StateError
        When the state cannot be loaded, or an entry cannot be learned: it is not the one that was.
    """
    learner = state.load(raw, signer, fingerprint, series, into)
    for entry in behind:
        try:
            learner.learn_one(decode_candle(*entry))
        except (MemoryError, OSError):
            raise
        except Exception as error:  # whatever a model makes of a candle that is not its own
            at = entry[0].decode(errors="replace")
            raise StateError(
                f"the entry {at} after the state cannot be learned: {error}"
            ) from error
    return learner
