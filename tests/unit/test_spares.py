"""Learners kept to take up states: of each kind its own, and never more than are wanted."""

import pytest

from models.learner import Learner
from shared.candle import Timeframe
from worker.spares import Spares

HOUR, DAY = Timeframe("1h"), Timeframe("1d")


def taken(spares: Spares, timeframe: Timeframe, horizon: int, count: int) -> list[Learner]:
    """So many of a kind, in the order in which they were given."""
    learners = []
    for _ in range(count):
        learners.append(spares.free(timeframe, horizon))
        spares.take(learners[-1])
    return learners


def test_each_kind_gets_its_own_again() -> None:
    """By timeframe and horizon; no learner twice until it has been given back."""
    spares, kinds = Spares("random-walk", 4), [(HOUR, 24), (HOUR, 3), (DAY, 24)]

    first = [taken(spares, *kind, 2) for kind in kinds]
    spares.give_back()
    second = [taken(spares, *kind, 2) for kind in kinds]

    assert [[id(one) for one in some] for some in first] == [[id(o) for o in s] for s in second]
    assert len({id(one) for some in first for one in some}) == 6
    for (timeframe, horizon), some in zip(kinds, first, strict=True):
        assert {(one.timeframe, one.horizon) for one in some} == {(timeframe, horizon)}


def test_what_is_not_taken_is_free_for_the_next() -> None:
    """A state that could not be loaded leaves no hole."""
    spares = Spares("random-walk", 4)

    assert spares.free(HOUR, 3) is spares.free(HOUR, 3)
    (only,) = taken(spares, HOUR, 3, 1)
    assert spares.free(HOUR, 3) is not only


def test_kinds_that_nobody_wants_any_more_are_let_go() -> None:
    """A worker of many timeframes and horizons does not keep them all for ever."""
    spares = Spares("random-walk", 4)
    for horizon in range(1, 6):
        taken(spares, HOUR, horizon, 2)
    (kept, _), (gone, _) = taken(spares, HOUR, 7, 2), taken(spares, HOUR, 8, 2)
    spares.give_back()

    taken(spares, HOUR, 7, 1)
    spares.give_back()

    assert spares.free(HOUR, 7) is kept
    assert spares.free(HOUR, 8) is not gone


def test_only_the_first_ones_in_order_are_a_group() -> None:
    """Their arrays lie in rows one below the other."""
    spares = Spares("default", 4)
    one, two, three = taken(spares, HOUR, 3, 3)

    assert spares.together([one, two]) is spares.together([one, two])
    assert spares.together([one, two, three]).members == [one, two, three]
    for others in ([two, three], [two, one], [one, three]):
        with pytest.raises(ValueError, match="first rows"):
            spares.together(others)
