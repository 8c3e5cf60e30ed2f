"""The grid on which prices move."""

import numpy as np

from models.memory import Array, Memory
from models.quantiles import LEVELS

_COARSE = 1 / 8
_OUTWARD = 1e-9 * np.sign(LEVELS - 0.5)


class TickGrid(Memory):
    """The smallest step of the close, and quantiles put on its grid where that is coarse.

    Where a tick is a good part of what the price moves in a candle, the close lands on few
    prices, and quantiles between them are wrong whatever their level.

    Attributes
    ----------
    tick
        Smallest change of the close seen lately, in units of price; 0 before the first change.
    """

    _learned = ("tick", "close")

    def __init__(self) -> None:
        self.tick = 0.0
        self.close = 0.0

    def learn_one(self, close: float) -> None:
        """Take in a close; the tick grows slowly back when steps are larger."""
        step = abs(close - self.close) if self.close else 0.0
        if step > 1e-12 * close:
            self.tick = min(1.0001 * self.tick, step) if self.tick else step
        self.close = close

    def transform_one(self, returns: Array) -> Array:
        """Put quantiles on the grid.

        Parameters
        ----------
        returns
            Quantiles of the log return from the last close at the nine levels, shape (H, 9).

        Returns
        -------
        Shape (H, 9): rows whose 10-90 % spread is under eight ticks lie on whole ticks from the
        close, all but the median a hair outward so that the tick itself is inside; other rows are
        as given.
        """
        snapped = returns.copy()
        self.snap(snapped)
        return snapped

    def snap(self, returns: Array) -> None:
        """Put quantiles on the grid where they are."""
        tick = self.tick / self.close
        spreads = returns[:, 6] - returns[:, 2]
        if not tick or tick <= _COARSE * np.minimum.reduce(spreads):
            return
        coarse = tick > _COARSE * spreads
        ticks = np.round(np.expm1(returns[coarse]) / tick)
        returns[coarse] = np.log1p(np.maximum(ticks * tick, -0.99)) + _OUTWARD
