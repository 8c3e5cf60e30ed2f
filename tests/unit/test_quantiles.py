"""Tracking of the quantiles of the standardised error."""

import numpy as np
import pytest

from models.memory import Array
from models.quantiles import LEVELS, QuantileTracker

SIZES = np.array(((0.5, 1.1, 1.7, 2.4), (0.6, 1.2, 1.8, 2.5)))


def test_starts_normal() -> None:
    """Before the first error the quantiles are those of a normal distribution."""
    quantiles = QuantileTracker((1, 6)).predict_one()

    expected = [-1.96, -1.645, -1.282, -0.674, 0, 0.674, 1.282, 1.645, 1.96]
    assert quantiles[0] == pytest.approx(expected, abs=0.001)
    assert (quantiles[1] == quantiles[0]).all()


def test_starts_from_the_sizes_given() -> None:
    """Each horizon's own sizes serve both tails before the first error; the middle is none."""
    given = SIZES.copy()
    tracker = QuantileTracker((1, 6), given)

    assert tracker.predict_one().tolist() == [
        [-2.4, -1.7, -1.1, -0.5, 0, 0.5, 1.1, 1.7, 2.4],
        [-2.5, -1.8, -1.2, -0.6, 0, 0.6, 1.2, 1.8, 2.5],
    ]

    tracker.learn_one(np.array([9.0, -9.0]), np.ones(2))

    assert (tracker.sizes != SIZES).all()
    assert (given == SIZES).all()
    assert (tracker.clone().sizes == SIZES).all()


def test_follows_a_fat_tailed_skewed_error() -> None:
    """After 30,000 errors the share below each quantile is its level."""
    rng = np.random.default_rng(4)
    errors = rng.standard_t(4, 36_000) + rng.exponential(0.4, 36_000) - 0.4
    tracker = QuantileTracker((1,))
    below = np.zeros(9)
    for count, error in enumerate(errors):
        if count >= 30_000:
            below += error < tracker.predict_one()[0]
        tracker.learn_one(np.array([error]), np.ones(1))

    assert below / 6000 == pytest.approx(LEVELS, abs=0.02)


def test_unknown_errors_teach_nothing() -> None:
    """A horizon without a known target keeps its quantiles to the last bit."""
    tracker = QuantileTracker((1, 2))
    tracker.learn_one(np.array([3.0, -2.0]), np.ones(2))
    before = tracker.predict_one()[1].tolist()

    tracker.learn_one(np.array([3.0, 50.0]), np.array([1.0, 0.0]))

    assert tracker.predict_one()[1].tolist() == before


def test_long_horizons_learn_more_slowly() -> None:
    """Errors of long horizons overlap, so that each of them counts less."""
    tracker = QuantileTracker((1, 24))
    start = tracker.sizes.copy()

    tracker.learn_one(np.array([5.0, 5.0]), np.ones(2))

    moved = tracker.sizes - start
    assert (moved[0] > 5 * moved[1]).all()
    assert (moved[1] > 0).all()


def test_sizes_never_cross() -> None:
    """Each quantile of the size stays above the one before, whatever the errors."""
    tracker = QuantileTracker((1,))
    for error in np.random.default_rng(8).choice([0.0, 1.3, 1.31, 40.0], 5000):
        tracker.learn_one(np.array([error]), np.ones(1))

    assert (tracker.sizes > 0).all()
    assert (np.diff(tracker.sizes, axis=1) >= 0).all()


@pytest.mark.parametrize(("error", "sign"), [(9.0, 1), (0.0, -1)])
def test_gradient_says_which_scale_would_have_been_better(error: float, sign: int) -> None:
    """A large error asks for a larger scale, a small one for a smaller."""
    tracker = QuantileTracker((1,))

    tracker.learn_one(np.array([error]), np.ones(1))

    assert np.sign(tracker.gradient[0]) == sign


@pytest.mark.parametrize("start", [None, SIZES], ids=["normal", "given"])
@pytest.mark.parametrize("seen", [0, 10**5])
def test_quantiles_are_those_of_the_recipe(seen: int, start: Array | None) -> None:
    """Hundreds of errors leave the quantiles of a plain transcription of the recipe, part 6."""
    rng, horizons = np.random.default_rng(7), (1, 6)
    tracker = QuantileTracker(horizons, start)
    tracker.candles[:] = seen
    tail = (0.5, 0.8, 0.9, 0.95)
    size, tilt = np.tile((0.6745, 1.2816, 1.6449, 1.96), (2, 1)), np.zeros((2, 9))
    if start is not None:
        size[:] = start
    for n in range(seen + 1, seen + 500):
        z = rng.standard_t(4, 2) + 0.2
        for row, h in enumerate(horizons):
            base = max((n + 500) ** -0.7, 0.0007) / h**0.75
            old = size[row].copy()
            q = tilt[row] + np.array((*-old[::-1], 0, *old))
            g = LEVELS - (z[row] < q)
            for k in range(4):
                rate = 1.5 * (1 + 0.8 * k) * base
                size[row, k] += rate * ((abs(z[row]) > old[k]) - (1 - tail[k])) * old[k]
                if k:
                    size[row, k] = max(size[row, k], 1.02 * size[row, k - 1])
            slow = np.isin(LEVELS, (0.25, 0.5, 0.75))
            tilt[row] += 0.3 * base * (old[1] * g * np.where(slow, 1, 2) - tilt[row])
        tracker.learn_one(z, np.ones(2))
        assert tracker.gradient[1] == pytest.approx((g * q).sum() / 9)

    assert tracker.sizes == pytest.approx(size, rel=1e-9)
    assert tracker.tilts == pytest.approx(tilt, rel=1e-9)


def test_a_market_at_rest_leaves_something_to_grow_from() -> None:
    """After 20,000 errors of zero the middle half is covered again within 2,000 candles."""
    rng, tracker, inside = np.random.default_rng(3), QuantileTracker((1,)), []
    for number, error in enumerate((*np.zeros(20_000), *rng.standard_normal(2500))):
        low, high = tracker.predict_one()[0, [3, 5]]
        if number >= 22_000:
            inside.append(low <= error <= high)
        tracker.learn_one(np.array([error]), np.ones(1))

    assert np.mean(inside) > 0.35
