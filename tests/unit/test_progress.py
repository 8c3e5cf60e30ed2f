"""What a worker takes down of a claim: when a state is written, and when it is only kept."""

from unittest.mock import Mock, patch

import pytest

from models import state
from models.learner import Learner
from shared.candle import Candle, Series
from shared.records import Claim
from worker.progress import Progress

HOUR = 3_600_000
SERIES = Series.parse("test:BTC/USDT:1h")
SIGNER = state.Signer(b"k" * 32)
PRINT = state.fingerprint("default", 24)
ENTRY = (f"{20 * HOUR}-0".encode(), [b"o", b"1", b"h", b"1", b"l", b"1", b"c", b"1", b"v", b"1"])


def progress() -> Progress:
    """A kept learner of twenty candles that is about to learn one more."""
    learner = Learner(SERIES.timeframe, 24)
    for hour in range(20):
        learner.learn_one(Candle(hour * HOUR, 1.0, 1.0, 1.0, 1.0, 1.0))
    claim = Claim(
        series=SERIES,
        etag="etag",
        cursor=19 * HOUR,
        attempts=0,
        condemned=False,
        suspect=False,
        revision=20,
        sequence=20,
        since=0,
        state=None,
        fingerprint=PRINT,
        appended_at=None,
        snapshot=None,
        entries=[ENTRY],
        spoilt=None,
        is_kept=True,
    )
    return Progress(claim, PRINT, learner, state.body(learner))


@pytest.mark.parametrize("keeps", [True, False])
def test_what_cannot_be_kept_is_written(*, keeps: bool) -> None:
    """One of both, always: else nobody could go on from it."""
    work = progress()
    work.learn(ENTRY)

    work.save(SIGNER, lambda _etag, _body: keeps, 1_000_000)
    commit = work.commit(b"{}", {}, "worker")

    if keeps:
        assert (commit.state, commit.keeper) == (None, "worker")
    else:
        assert commit.keeper == ""
        assert commit.state is not None
        assert state.load(commit.state, SIGNER, PRINT, SERIES).sequence == 21


def test_what_raises_leaves_what_was_kept_in_its_place() -> None:
    """It is taken up again then, to find out which candle it was."""
    work = progress()
    work.learn(ENTRY)
    keep = Mock(return_value=True)

    with (
        patch.object(Learner, "scores", side_effect=ArithmeticError("none")),
        pytest.raises(ArithmeticError),
    ):
        work.save(SIGNER, keep, 8)

    keep.assert_not_called()
