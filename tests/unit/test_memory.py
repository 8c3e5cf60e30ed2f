"""Memory in one buffer: what is saved, and that it is whole."""

import pickle
from copy import deepcopy

import numpy as np

from models.ewma import Ewma
from models.hours import DAY_MS, HOUR_MS, TradingHours
from models.memory import Array, Memory


class Counter(Memory):
    """Counts in an array, in a number and in a part."""

    _learned = ("number", "part", "parts")

    def __init__(self, size: int = 2) -> None:
        self.size = size
        self._remember(first=(size,), second=(size, size))
        self.first: Array
        self.second: Array
        self.number = 0
        self.part = Ewma(3)
        self.parts = (Ewma(5), Ewma(7))

    def learn_one(self) -> None:
        """Count in every place."""
        self.number += 1
        self.first += 1
        self.second += np.arange(self.size)
        for part in (self.part, *self.parts):
            part.update(self.number)


def test_arrays_share_one_buffer() -> None:
    """Two arrays of 2 and 4 numbers are one buffer of 6."""
    counter = Counter(2)
    counter.learn_one()

    assert counter.buffer.tolist() == [1, 1, 0, 1, 0, 1]


def test_saved_memory_goes_on_where_it_was() -> None:
    """A copy through pickle holds the same and learns the same from there."""
    counter = Counter(3)
    counter.learn_one()
    copy = pickle.loads(pickle.dumps(counter))

    for one in (counter, copy):
        one.learn_one()

    assert copy.memory() == counter.memory()
    assert copy.size == 3
    assert copy.first.base is copy.buffer


def test_copy_is_independent() -> None:
    """What the original learns later is not in the copy."""
    counter = Counter()
    copy = pickle.loads(pickle.dumps(counter))

    counter.learn_one()

    assert copy.number == 0
    assert not copy.buffer.any()
    assert copy.part.get() == copy.parts[0].get() == 0


def test_clone_forgets() -> None:
    """River's clone has the parameters and none of what was learned."""
    counter = Counter(4)
    counter.learn_one()

    clone = counter.clone()

    assert clone.size == 4
    assert clone.number == 0
    assert not clone.buffer.any()


def test_what_changes_in_place_is_not_shared() -> None:
    """Not between a learner and its copy, and not with what was saved."""
    hours = TradingHours()
    for day in range(0, 21, 2):
        hours.learn_one(day * DAY_MS)
    saved = pickle.dumps(hours)
    copy = deepcopy(hours)

    hours.learn_one(23 * DAY_MS)

    assert pickle.dumps(copy) == pickle.dumps(pickle.loads(saved)) == saved
    assert pickle.dumps(hours) != saved


def test_what_follows_from_the_memory_is_worked_out_again() -> None:
    """The next candles of a session market are where they were, though they are not saved."""
    hours = TradingHours()
    for hour in range(24 * 21):
        if 8 <= hour % 24 < 16:
            hours.learn_one(hour * HOUR_MS)
    assert hours.is_session

    copy = pickle.loads(pickle.dumps(hours))

    assert copy.path.tolist() == hours.path.tolist()
    for hour in (24 * 21 + 8, 24 * 21 + 9):
        hours.learn_one(hour * HOUR_MS)
        copy.learn_one(hour * HOUR_MS)
        assert copy.path.tolist() == hours.path.tolist()
