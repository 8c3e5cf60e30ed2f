"""Used learners: given back by kind, and never more than a few."""

from models.learner import Learner
from shared.candle import Timeframe
from worker.spares import Spares

HOUR, DAY = Timeframe("1h"), Timeframe("1d")
KINDS = [(HOUR, 24, 2), (HOUR, 3, 1), (DAY, 24, 2)]


def _some(timeframe: Timeframe, horizon: int, count: int) -> list[Learner]:
    return [Learner(timeframe, horizon, "random-walk") for _ in range(count)]


def _left(spares: Spares, timeframe: Timeframe, horizon: int) -> list[Learner]:
    taken = []
    while (learner := spares.take(timeframe, horizon)) is not None:
        taken.append(learner)
    return taken


def test_each_kind_gets_its_own() -> None:
    """By timeframe and horizon; each learner once."""
    spares, hourly, short, daily = Spares(9), *(_some(*kind) for kind in KINDS)

    spares.put([*hourly, *short, *daily])

    for kind, learners in zip(KINDS, (hourly, short, daily), strict=True):
        timeframe, horizon, _ = kind
        assert {id(found) for found in _left(spares, timeframe, horizon)} == set(map(id, learners))
    assert spares.take(Timeframe("1m"), 24) is None


def test_so_many_in_all_are_kept() -> None:
    """However many series there are, and in however many kinds: one of each at least."""
    spares = Spares(6)

    spares.put(_some(HOUR, 24, 50))
    assert len(_left(spares, HOUR, 24)) == 6

    for _ in range(3):
        spares.put([*_some(HOUR, 24, 50), *_some(DAY, 24, 50)])
    assert [len(_left(spares, frame, 24)) for frame in (HOUR, DAY)] == [3, 3]

    spares.put([learner for horizon in range(1, 21) for learner in _some(HOUR, horizon, 2)])
    assert sum(len(_left(spares, HOUR, horizon)) for horizon in range(1, 21)) == 20
