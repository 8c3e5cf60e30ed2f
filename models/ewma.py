"""An exponentially weighted mean."""

from models.memory import Memory


class Ewma(Memory):
    """Exponentially weighted mean, debiased: a plain mean at first, a moving one later.

    Parameters
    ----------
    span
        Number of values it looks back on: a new one weighs 2 / (span + 1) in the long run.

    Examples
    --------
    >>> mean = Ewma(span=3)
    >>> for value in (1.0, 4.0):
    ...     mean.update(value)
    >>> mean.get()
    3.0
    """

    _learned = ("_sum", "_weight")

    def __init__(self, span: float = 10.0) -> None:
        self.span = span
        self._rate = 2 / (span + 1)
        self._sum = self._weight = 0.0

    def update(self, x: float) -> None:
        """Take in a value."""
        self._weight += self._rate * (1 - self._weight)
        self._sum += self._rate * (x - self._sum)

    def get(self) -> float:
        """Return the mean; 0 before the first value."""
        return self._sum / self._weight if self._weight else 0.0
