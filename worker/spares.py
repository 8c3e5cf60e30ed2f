"""Learners kept to take up states, and to learn in step with others of their kind."""

from collections.abc import Sequence
from copy import deepcopy

import numpy as np

from models.learner import Learner
from models.learners import Learners
from shared.candle import Timeframe


class Spares:
    """Learners of each kind, in the rows of one array; to make one takes twenty times its loading.

    Parameters
    ----------
    model
        Name in the catalog.
    most
        How many of a kind there may be at once; one has about 100 KB.
    """

    def __init__(self, model: str, most: int) -> None:
        self._model = model
        self._most = most
        self._kinds: dict[tuple[Timeframe, int], _Kind] = {}

    def free(self, timeframe: Timeframe, horizon: int) -> Learner:
        """Return the next one of a kind that nobody has; whoever has a use for it takes it."""
        kind = self._kinds.get((timeframe, horizon))
        if kind is None:
            kind = _Kind(Learner(timeframe, horizon, self._model), self._most)
            self._kinds[timeframe, horizon] = kind
        return kind.free()

    def blank(self, learner: Learner) -> None:
        """Make one of them as if it were new."""
        learner.recall(deepcopy(self._kinds[learner.timeframe, learner.horizon].nothing))

    def take(self, learner: Learner) -> None:
        """Have one of them, until all are given back."""
        self._kinds[learner.timeframe, learner.horizon].taken += 1

    def let_go(self, learner: Learner) -> None:
        """Never give this one again, nor any other that is of its kind and there by now."""
        kind = self._kinds.get((learner.timeframe, learner.horizon))
        if kind and any(learner is one for one in kind.learners):
            del self._kinds[learner.timeframe, learner.horizon]

    def give_back(self) -> None:
        """Let go of all; of kinds that were not wanted lately too, if there are many learners."""
        learners = sum(len(kind.learners) for kind in self._kinds.values())
        if learners > 2 * self._most:
            self._kinds = {name: kind for name, kind in self._kinds.items() if kind.taken}
        for kind in self._kinds.values():
            kind.taken = 0

    def together(self, learners: Sequence[Learner]) -> Learners:
        """Return the first that were taken of a kind as a group.

        Raises
        ------
        ValueError
            When they are others, or in another order.
        """
        first = learners[0]
        return self._kinds[first.timeframe, first.horizon].together(learners)


class _Kind:
    """Learners of one kind; ``taken`` of them, from the first on, are in use."""

    def __init__(self, first: Learner, most: int) -> None:
        self.nothing = first.memory()
        self.learners: list[Learner] = []
        self.taken = 0
        self._parameters = first.parameters
        self._rows = np.zeros((most, first.extent))
        self._groups: dict[int, Learners] = {}

    def free(self) -> Learner:
        if self.taken == len(self.learners):
            learner = Learner(**self._parameters)
            learner.gather(self._rows[self.taken])
            self.learners.append(learner)
        return self.learners[self.taken]

    def together(self, learners: Sequence[Learner]) -> Learners:
        if any(one is not other for one, other in zip(learners, self.learners, strict=False)):
            raise ValueError("these do not lie in the first rows, in order")
        count = len(learners)
        if count not in self._groups:
            self._groups[count] = Learners(self.learners[:count])
        return self._groups[count]
