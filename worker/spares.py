"""Learners kept to take up states, and to learn in step with others of their kind."""

from collections.abc import Sequence
from copy import deepcopy

import numpy as np

from models.learner import Learner
from models.learners import Learners
from shared.candle import Timeframe


class Spares:
    """Learners of each kind, in the rows of one array: loading into one is quicker than making it.

    Parameters
    ----------
    model
        Name in the catalog.
    most
        How many of a kind can be taken at once.
    kept
        How many there may be in all when none is taken; one has about 100 KB.
    """

    def __init__(self, model: str, most: int, kept: int) -> None:
        self._model = model
        self._most = most
        self._kept = kept
        self._kinds: dict[tuple[Timeframe, int], _Kind] = {}  # the one wanted last is the last

    def free(self, timeframe: Timeframe, horizon: int) -> Learner:
        """Return the next one of a kind that nobody has; whoever has a use for it takes it."""
        name = timeframe, horizon
        kind = self._kinds.pop(name, None)
        if kind is None:
            kind = _Kind(Learner(timeframe, horizon, self._model), self._most)
        self._kinds[name] = kind
        return kind.free()

    def blank(self, learner: Learner) -> None:
        """Make one of them as if it were new."""
        learner.recall(deepcopy(self._kinds[learner.kind].nothing))

    def take(self, learner: Learner) -> None:
        """Have the one that is the next of its kind, until all are given back."""
        kind = self._kinds[learner.kind]
        if learner is kind.free():
            kind.taken += 1

    def together(self, learners: Sequence[Learner]) -> Learners:
        """Return the first that were taken of a kind as a group.

        Raises
        ------
        ValueError
            When they are others, or in another order.
        """
        return self._kinds[learners[0].kind].together(learners)

    def renew(self, learner: Learner) -> None:
        """Put a new one in place of the next of its kind: a raise may have left something in it."""
        self._kinds[learner.kind].renew()

    def let_go(self, learner: Learner) -> None:
        """Never give this one again, nor any other that is of its kind and there by now."""
        kind = self._kinds.get(learner.kind)
        if kind and any(learner is one for one in kind.learners):
            del self._kinds[learner.kind]

    def let_go_of_taken(self) -> None:
        """Never give those again that were taken and not given back, nor others of their kinds."""
        self._kinds = {name: kind for name, kind in self._kinds.items() if not kind.taken}

    def give_back(self) -> None:
        """Let all be free again; of too many those kinds go that were not wanted longest."""
        for kind in self._kinds.values():
            kind.taken = 0
        there = sum(len(kind.learners) for kind in self._kinds.values())
        while there > self._kept and len(self._kinds) > 1:
            there -= len(self._kinds.pop(next(iter(self._kinds))).learners)


class _Kind:
    """Learners of one kind; ``taken`` of them, from the first on, are in use."""

    _GROUPS = 8

    def __init__(self, first: Learner, most: int) -> None:
        self.nothing = first.memory()
        self.learners = [first]
        self.taken = 0
        self._parameters = first.parameters
        self._rows = np.zeros((most, first.extent))
        self._groups: dict[int, Learners] = {}
        first.gather(self._rows[0])

    def free(self) -> Learner:
        if self.taken == len(self.learners):
            self.learners.append(self._new())
        return self.learners[self.taken]

    def renew(self) -> None:
        self.learners[self.taken] = self._new()
        self._groups = {n: group for n, group in self._groups.items() if n <= self.taken}

    def _new(self) -> Learner:
        learner = Learner(**self._parameters)
        learner.gather(self._rows[self.taken])
        return learner

    def together(self, learners: Sequence[Learner]) -> Learners:
        if any(one is not other for one, other in zip(learners, self.learners, strict=False)):
            raise ValueError("these do not lie in the first rows, in order")
        group = self._groups.get(len(learners))
        if group is None:
            if len(self._groups) == self._GROUPS:
                self._groups.clear()  # claims that are full come again and again, others do not
            group = self._groups[len(learners)] = Learners(self.learners[: len(learners)])
        return group
