"""Forecasts that wait for their targets."""

import numpy as np
import pytest

from models.constants import HORIZONS
from models.pending import Pending, between, knots, with_last


def walk(pending: Pending, times: list[int]) -> dict[int, dict[int, int]]:
    """Put the time of each origin into its rows; return by time what came due, by horizon."""
    found: dict[int, dict[int, int]] = {}
    for time in times:
        slots = pending.slots(time)
        rows, known = pending.due(slots, time)
        found[time] = {
            horizon: int(row[0])
            for horizon, row, is_known in zip(pending.horizons, rows, known, strict=True)
            if is_known
        }
        targets = time + np.array(pending.horizons)
        pending.put(slots, targets, np.full((len(pending.horizons), 1), float(time)))
    return found


def test_rows_come_back_after_their_horizon() -> None:
    """Horizon h gives back at time t what was put at t - h."""
    found = walk(Pending((1, 3), 1), list(range(10)))

    assert found[0] == {}
    assert found[2] == {1: 1}
    assert found[9] == {1: 8, 3: 6}


def test_missing_target_is_dropped() -> None:
    """A row whose target candle is missing is matched with no other candle."""
    found = walk(Pending((1, 3), 1), [0, 1, 2, 4, 5, 6, 7])

    assert found[4] == {3: 1}
    assert found[5] == {1: 4, 3: 2}
    assert found[6] == {1: 5}
    assert found[7] == {1: 6, 3: 4}


def test_epoch_is_a_time_like_any_other() -> None:
    """A candle of time zero is nobody's target at the start."""
    _, known = Pending((1, 2), 1).due(np.array([0, 1]), 0)

    assert not known.any()


def test_rows_are_copies() -> None:
    """What is done to rows that came due leaves those that wait alone."""
    pending = Pending((2,), 1)
    rows, _ = pending.due(pending.slots(0), 0)

    rows += 5

    assert not pending.rows.any()


def test_knots_end_with_the_horizon() -> None:
    """Any horizon from 1 to 64 is a knot itself."""
    assert knots(1) == (1,)
    assert knots(5) == (1, 2, 3, 4, 5)
    assert knots(30) == (1, 2, 3, 4, 6, 8, 12, 16, 24, 30)
    assert knots(64) == (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
    assert with_last((1, 3, 6), 3) == (1, 3)


def test_horizons_of_its_own_are_left_as_they_are() -> None:
    """Nothing is mixed where the horizon is known."""
    assert (between(HORIZONS, HORIZONS) == np.eye(5)).all()


def test_between_two_horizons_it_is_linear_in_their_logarithm() -> None:
    """Each horizon leans on its two neighbours; beyond a day it is the last one."""
    matrix = between(HORIZONS, (2, 8, 18, 24, 25, 64))

    two, eight = np.log(2) / np.log(3), np.log(8 / 6) / np.log(2)
    eighteen = np.log(18 / 12) / np.log(2)
    last = [0, 0, 0, 0, 1]
    assert matrix == pytest.approx(
        np.array(
            [
                [1 - two, two, 0, 0, 0],
                [0, 0, 1 - eight, eight, 0],
                [0, 0, 0, 1 - eighteen, eighteen],
                *(last, last, last),
            ]
        )
    )
