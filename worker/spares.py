"""Learners that have done their claims, kept to take up the states of other series."""

from collections import defaultdict
from collections.abc import Iterable

from models.learner import Learner
from shared.candle import Timeframe


class Spares:
    """A few used learners of each kind; to load into one takes a fifth of the time.

    Parameters
    ----------
    most
        How many are kept in all, each kind its share; one has about 100 KB.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kinds: defaultdict[tuple[Timeframe, int], list[Learner]] = defaultdict(list)

    def take(self, timeframe: Timeframe, horizon: int) -> Learner | None:
        """Give one away, so that it comes back only when all went well with it."""
        alike = self._kinds[timeframe, horizon]
        return alike.pop() if alike else None

    def put(self, learners: Iterable[Learner]) -> None:
        """Take learners back, as far as they are worth their memory."""
        for learner in learners:
            self._kinds[learner.timeframe, learner.horizon].append(learner)
        for alike in self._kinds.values():
            del alike[max(1, self._most // len(self._kinds)) :]
