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
    spares, kinds = Spares("random-walk", 4, 8), [(HOUR, 24), (HOUR, 3), (DAY, 24)]

    first = [taken(spares, *kind, 2) for kind in kinds]
    spares.give_back()
    second = [taken(spares, *kind, 2) for kind in kinds]

    assert [[id(one) for one in some] for some in first] == [[id(o) for o in s] for s in second]
    assert len({id(one) for some in first for one in some}) == 6
    for (timeframe, horizon), some in zip(kinds, first, strict=True):
        assert {(one.timeframe, one.horizon) for one in some} == {(timeframe, horizon)}


def test_what_is_not_taken_is_free_for_the_next() -> None:
    """A state that could not be loaded leaves no hole."""
    spares = Spares("random-walk", 4, 8)

    assert spares.free(HOUR, 3) is spares.free(HOUR, 3)
    (only,) = taken(spares, HOUR, 3, 1)
    assert spares.free(HOUR, 3) is not only


def test_kinds_that_nobody_wanted_longest_are_let_go() -> None:
    """A worker of many timeframes and horizons does not keep them all for ever."""
    spares, kinds = Spares("random-walk", 4, 8), range(1, 4)
    learners = {horizon: taken(spares, HOUR, horizon, 3)[0] for horizon in kinds}
    spares.give_back()

    assert [spares.free(HOUR, horizon) is learners[horizon] for horizon in (2, 3)] == [True, True]
    assert spares.free(HOUR, 1) is not learners[1]


def test_kinds_in_turn_are_all_kept_while_there_is_room() -> None:
    """Though no group wants more than one of them."""
    spares, seen = Spares("random-walk", 4, 12), set()
    for _ in range(3):
        for horizon in (1, 2, 3):
            seen |= {id(learner) for learner in taken(spares, HOUR, horizon, 4)}
            spares.give_back()

    assert len(seen) == 12


@pytest.mark.parametrize("raised", [True, False])
def test_what_may_be_half_taught_takes_up_nothing_any_more(raised: bool) -> None:  # noqa: FBT001
    """Where a model raised, and where a claim was left before its end."""
    spares = Spares("random-walk", 4, 8)
    (used,), (other,) = taken(spares, HOUR, 3, 1), taken(spares, DAY, 3, 1)
    if raised:
        spares.let_go(used)
        spares.give_back()
    else:
        spares.let_go_of_taken()

    assert spares.free(HOUR, 3) is not used
    assert (spares.free(DAY, 3) is other) == raised


def test_only_the_first_ones_in_order_are_a_group() -> None:
    """Their arrays lie in rows one below the other."""
    spares = Spares("default", 4, 8)
    one, two, three = taken(spares, HOUR, 3, 3)

    assert spares.together([one, two]) is spares.together([one, two])
    assert spares.together([one, two, three]).members == [one, two, three]
    for others in ([two, three], [two, one], [one, three]):
        with pytest.raises(ValueError, match="first rows"):
            spares.together(others)
