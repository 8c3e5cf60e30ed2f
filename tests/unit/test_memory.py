"""Memory in one buffer: what is saved, and that it is whole."""

import pickle

import numpy as np

from models.ewma import Ewma
from models.hours import DAY_MS, TradingHours
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

    assert counter._buffer.tolist() == [1, 1, 0, 1, 0, 1]


def test_saved_memory_goes_on_where_it_was() -> None:
    """A copy through pickle holds the same and learns the same from there."""
    counter = Counter(3)
    counter.learn_one()
    copy = pickle.loads(pickle.dumps(counter))

    for one in (counter, copy):
        one.learn_one()

    assert copy.memory() == counter.memory()
    assert copy.size == 3
    assert copy.first.base is copy._buffer


def test_copy_is_independent() -> None:
    """What the original learns later is not in the copy."""
    counter = Counter()
    copy = pickle.loads(pickle.dumps(counter))

    counter.learn_one()

    assert copy.number == 0
    assert not copy._buffer.any()
    assert copy.part.get() == copy.parts[0].get() == 0


def test_clone_forgets() -> None:
    """River's clone has the parameters and none of what was learned."""
    counter = Counter(4)
    counter.learn_one()

    clone = counter.clone()

    assert clone.size == 4
    assert clone.number == 0
    assert not clone._buffer.any()


def test_memory_is_a_copy() -> None:
    """What is copied out does not change with what is learned later, nor is it shared."""
    hours = TradingHours()
    for day in range(0, 21, 2):
        hours.learn_one(day * DAY_MS)
    memory = hours.memory()
    kept = pickle.dumps(memory)
    one, two = TradingHours(), TradingHours()
    for other in (one, two):
        other.recall(memory)

    for other in (hours, one):
        other.learn_one(23 * DAY_MS)

    assert pickle.dumps(memory) == kept
    assert pickle.dumps(two.memory()) == kept
