"""Scores of whole columns, and the test of Diebold and Mariano."""

import math

import numpy as np
import pytest
from scipy.stats import t as student

from models.evaluation import below, changes, coverage, diebold_mariano, inside, losses, shares
from models.memory import Array

LEVELS = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)
NAN = math.nan


def overlapping(count: int, horizon: int, seed: int) -> Array:
    """Draw losses of forecasts that overlap: each is that of the sum of ``horizon`` shocks."""
    shocks = np.random.default_rng(seed).normal(size=count + horizon - 1)
    return abs(np.convolve(shocks, np.ones(horizon), "valid"))


def plain(loss: Array, other: Array, horizon: int) -> tuple[float, ...]:
    """Work the test out as the papers write it, one term at a time."""
    n = len(loss)
    d = [a - b for a, b in zip(loss.tolist(), other.tolist(), strict=True)]
    mean = sum(d) / n
    variance = 0.0
    for lag in range(-(2 * horizon - 1), 2 * horizon):
        k = abs(lag)
        covariance = sum((d[t] - mean) * (d[t - k] - mean) for t in range(k, n)) / n
        variance += (1 - k / (2 * horizon)) * covariance
    correction = (n + 1 - 2 * horizon + horizon * (horizon - 1) / n) / n
    statistic = mean / math.sqrt(variance / n) * math.sqrt(correction)
    p_value = 2 * student.sf(abs(statistic), n - 1)
    return sum(loss) / sum(other), statistic, p_value


def test_changes_are_found_by_time_across_holes() -> None:
    """A return ends at the candle of its target's time; where there is none it is unknown."""
    times, closes = np.array([0, 10, 20, 40, 50]), np.array([1.0, 2.0, 4.0, 16.0, 8.0])
    targets = times[:, None] + np.array([10, 20, 40])

    moved = changes(times, closes, targets)

    expected = [
        [math.log(2), math.log(4), math.log(16)],
        [math.log(2), NAN, math.log(4)],
        [NAN, math.log(4), NAN],
        [-math.log(2), NAN, NAN],
        [NAN, NAN, NAN],
    ]
    assert moved == pytest.approx(np.array(expected), nan_ok=True)


def test_losses_are_twice_the_mean_pinball_loss() -> None:
    """At each origin and horizon, over the nine levels; an unknown return has no loss."""
    rng = np.random.default_rng(2)
    moved = rng.normal(size=(6, 2))
    moved[4, 1] = NAN
    quantiles = np.sort(rng.normal(size=(6, 2, 9)))

    lost = losses(moved, quantiles)

    for origin, horizon in np.ndindex(6, 2):
        y, row = float(moved[origin, horizon]), quantiles[origin, horizon].tolist()
        pinball = [
            p * (y - q) if y >= q else (1 - p) * (q - y) for p, q in zip(LEVELS, row, strict=True)
        ]
        expected = 2 * sum(pinball) / 9
        assert lost[origin, horizon] == pytest.approx(expected, nan_ok=True)
    assert np.flatnonzero(np.isnan(lost)).tolist() == [9]


def test_coverage_is_the_share_of_known_returns_inside_each_band() -> None:
    """Both ends of a band belong to it; by horizon, of the returns that are known."""
    quantiles = np.tile(np.arange(-4.0, 5.0), (5, 2, 1))
    moved = np.array([[0.0, -4.0], [1.0, 4.0], [-2.0, NAN], [3.5, 4.1], [-3.0, NAN]])

    covered = coverage(inside(moved, quantiles))

    assert covered == {
        "50": [2 / 5, 0],
        "80": [3 / 5, 0],
        "90": [4 / 5, 0],
        "95": [1, pytest.approx(2 / 3)],
    }


@pytest.mark.parametrize("horizon", [1, 3, 24])
def test_difference_is_what_the_papers_say(horizon: int) -> None:
    """Bartlett weights over 2h - 1 lags on both sides, then the correction for small samples."""
    loss, other = overlapping(250, horizon, 1), overlapping(250, horizon, 2)

    assert diebold_mariano(loss, other, horizon) == pytest.approx(plain(loss, other, horizon))


def test_equal_forecasters_are_told_apart_as_seldom_as_claimed() -> None:
    """Although their losses overlap six candles, p-values of equal ones are about uniform."""
    horizon, count = 6, 600
    p_values = np.array(
        [
            diebold_mariano(
                overlapping(count, horizon, 2 * seed),
                overlapping(count, horizon, 2 * seed + 1),
                horizon,
            ).p_value
            for seed in range(600)
        ]
    )

    assert 0.03 < (p_values < 0.05).mean() < 0.1
    for share in (0.25, 0.5, 0.75):
        assert (p_values < share).mean() == pytest.approx(share, abs=0.06)


def test_a_better_forecaster_is_found() -> None:
    """Its statistic is negative, its p-value small; the other way round all is turned round."""
    loss = overlapping(600, 3, 5)
    other = 1.1 * loss + 0.1 * overlapping(600, 3, 6)

    better, worse = diebold_mariano(loss, other, 3), diebold_mariano(other, loss, 3)

    assert better.statistic < -5
    assert better.p_value < 1e-6
    assert better.ratio == pytest.approx(loss.mean() / other.mean())
    assert better.ratio < 0.9
    assert worse == pytest.approx((1 / better.ratio, -better.statistic, better.p_value))


def test_origins_without_both_losses_are_left_out() -> None:
    """Where one of the two is unknown the other does not count either, in the ratio neither."""
    loss, other = overlapping(80, 2, 7), overlapping(80, 2, 8)
    holed, holed_other = loss.copy(), other.copy()
    holed[[3, 40]], holed_other[[41, 79]] = NAN, NAN
    kept = np.delete(np.arange(80), [3, 40, 41, 79])

    difference = diebold_mariano(holed, holed_other, 2)

    assert difference == pytest.approx(plain(loss[kept], other[kept], 2))


def test_too_few_origins_tell_nothing() -> None:
    """Thirty of those that are known are needed, and ten for each candle ahead."""
    loss, other = overlapping(31, 2, 9), overlapping(31, 2, 10)
    loss[2] = NAN

    assert np.isfinite(diebold_mariano(loss, other, 2)).all()
    assert np.isnan(diebold_mariano(loss[:-1], other[:-1], 2)).all()
    loss, other = overlapping(240, 24, 9), overlapping(240, 24, 10)
    assert np.isfinite(diebold_mariano(loss, other, 24)).all()
    assert np.isnan(diebold_mariano(loss[:-1], other[:-1], 24)).all()
    assert np.isnan(diebold_mariano(np.array([]), np.array([]), 1)).all()


def test_shares_below_count_what_lies_on_a_quantile_by_half() -> None:
    """Of four known returns one is below, two are on it to within a tick's hair, one is above."""
    quantiles = np.zeros((5, 1, 9))
    moved = np.array([[-1.0], [0.0], [1e-9], [2.0], [NAN]])

    assert shares(below(moved, quantiles)) == [[0.5] * 9]
    assert shares(below(moved[4:], quantiles[4:])) == [[None] * 9]


def test_losses_that_do_not_differ_tell_nothing() -> None:
    """The same losses are equally good for certain; over losses of nil there is no ratio."""
    loss = overlapping(50, 2, 11)

    assert diebold_mariano(loss, loss, 2) == (1, 0, 1)
    assert np.isnan(diebold_mariano(loss, np.zeros(50), 2)).all()


def test_losses_that_differ_by_the_same_everywhere_are_not_called_equal() -> None:
    """There is a ratio, and nothing by which to say how sure it is."""
    difference = diebold_mariano(np.full(50, 0.5), np.ones(50), 2)

    assert difference.ratio == 0.5
    assert np.isnan(difference[1:]).all()


@pytest.mark.parametrize("difference", [0.1, 1e-4, 1e-10])
def test_the_same_difference_at_every_origin_is_no_evidence(difference: float) -> None:
    """Not even where it is only the same but for rounding."""
    loss = np.random.default_rng(3).random(500) / 100

    found = diebold_mariano(loss + difference, loss, 1)

    assert found.ratio > 1
    assert np.isnan(found[1:]).all()
