"""Learners kept between claims: found by their token alone, and no more of them than allowed."""

from shared.candle import Series
from worker.kept import KeptLearners

A, B, C = (Series.parse(f"test:{name}/USDT:1m") for name in "ABC")
WEEKLY = Series.parse("test:A/USDT:1w")


class Clock:
    """Seconds that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        """The time it is."""
        return self.now


def test_a_learner_is_found_under_its_newest_token_alone() -> None:
    """Another token is of a commit, a restore or a rebuild by somebody else."""
    kept = KeptLearners(2)

    assert kept.find(A, "1") is None
    assert kept.keep(A, "1", b"first")
    assert kept.keep(A, "2", b"second")

    assert kept.find(A, "2") == b"second"
    assert kept.find(A, "1") is None
    assert kept.find(B, "2") is None


def test_of_too_many_the_first_stay() -> None:
    """All come in turn: to let the oldest go would be to let that go which comes next."""
    kept = KeptLearners(2)
    assert kept.keep(A, "1", b"a")
    assert kept.keep(B, "2", b"b")

    assert not kept.keep(C, "3", b"c")

    assert (kept.find(A, "1"), kept.find(B, "2"), kept.find(C, "3")) == (b"a", b"b", None)
    assert kept.keep(A, "4", b"newer")
    assert not KeptLearners(0).keep(A, "1", b"a")


def test_what_does_not_come_back_makes_room() -> None:
    """After three of its candles a series has another worker, or has ended."""
    clock = Clock()
    kept = KeptLearners(1, clock)
    kept.keep(A, "1", b"a")

    clock.now = 179.0
    assert not kept.keep(B, "2", b"b")
    clock.now = 181.0
    assert kept.keep(B, "2", b"b")

    assert kept.find(A, "1") is None


def test_a_slow_series_does_not_keep_the_place_of_others() -> None:
    """Whichever is not to come back goes, however long ago others were kept."""
    clock = Clock()
    kept = KeptLearners(3, clock)
    for series in (WEEKLY, A, B):
        kept.keep(series, "1", b"1")

    clock.now = 100.0
    assert not kept.keep(C, "2", b"2")
    assert kept.keep(A, "3", b"3")
    clock.now = 200.0
    assert kept.keep(C, "4", b"4")

    assert [kept.find(s, t) for s, t in ((WEEKLY, "1"), (A, "3"), (B, "1"), (C, "4"))] == [
        b"1",
        b"3",
        None,
        b"4",
    ]
