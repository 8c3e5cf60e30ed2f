"""Forecasts that wait for their targets."""

from collections.abc import Sequence
from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.memory import Array, Memory

Slots: TypeAlias = NDArray[np.int64]
Whole: TypeAlias = int | NDArray[np.int64]
"""One number, or one for each of several stacked series, shape (n, 1)."""


class Pending(Memory):
    """What was known at each origin, kept by horizon until the target candle arrives.

    Horizon h has a ring of h rows, so that the row which a candle completes lies just where the
    row of the same candle goes. A row carries the open time of its target and is given back only
    to the candle of exactly that time: where the target candle is missing, the row is dropped,
    and never matched with a neighbour.

    Parameters
    ----------
    horizons
        Rising numbers of candles ahead, m of them.
    width
        Numbers in a row.

    Attributes
    ----------
    rows
        All rows of all rings, shape (sum of horizons, width); what runs on for every waiting
        origin may be added to a whole column.
    """

    def __init__(self, horizons: tuple[int, ...] = (1,), width: int = 1) -> None:
        self.horizons = horizons
        self.width = width
        total = sum(horizons)
        self._remember(rows=(total, width), targets=(total,))
        self.targets: Array
        self.rows: Array
        self.targets[:] = -1
        self._lengths = np.array(horizons)
        self._starts = np.cumsum(self._lengths) - self._lengths

    def slots(self, position: Whole) -> Slots:
        """Where the rows of the candle at ``position`` go, and those it completes lie: (m,)."""
        slots: Slots = self._starts + position % self._lengths
        return slots

    def due(self, slots: Slots, open_time: Whole) -> tuple[Array, Array]:
        """Return the rows whose time may have come.

        Returns
        -------
        rows
            Shape (m, width), a copy; where unknown, finite but meaningless.
        known
            Shape (m,): 1 where the candle of ``open_time`` is the row's target, else 0. Learning
            with steps multiplied by it learns nothing from the rest.
        """
        at = (*self.leading, slots)
        known = self.targets[at] == open_time
        return self.rows[at], known.astype(np.float64)

    def put(self, slots: Slots, targets: NDArray[np.int64], rows: Array) -> None:
        """Keep a row for each horizon: open times of the targets (m,), numbers (m, width)."""
        at = (*self.leading, slots)
        self.targets[at] = targets
        self.rows[at] = rows


def knots(horizon: int) -> tuple[int, ...]:
    """Horizons at which things are learned; those between are interpolated.

    >>> knots(24)
    (1, 2, 3, 4, 6, 8, 12, 16, 24)
    >>> knots(7)
    (1, 2, 3, 4, 6, 7)
    """
    return with_last((1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64), horizon)


@cache
def between(known: tuple[int, ...], wanted: tuple[int, ...]) -> Array:
    """Matrix (wanted, known) that interpolates linearly in the logarithm of the horizon.

    Beyond the longest and the shortest known horizon their values stay.
    """
    at = np.log(known)
    return np.column_stack([np.interp(np.log(wanted), at, unit) for unit in np.eye(len(known))])


def with_last(horizons: Sequence[int], last: int) -> tuple[int, ...]:
    """Return the horizons below ``last``, and ``last``."""
    return (*(horizon for horizon in horizons if horizon < last), last)
