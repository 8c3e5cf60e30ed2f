"""Prequential scores."""

import json
import math

import numpy as np
import pytest

from models.distribution import NORMAL_SCORES
from models.memory import Array
from models.skill import Prequential

SIGMA = 0.01


def forecast(close: float, sigma: float, median: float = 0.0) -> Array:
    """Return normal price quantiles of one and two steps ahead, shape (2, 9)."""
    return close * np.exp(median + sigma * np.sqrt([[1], [2]]) * NORMAL_SCORES)


def scored(
    candles: int, sigma: float, *, naive: float = SIGMA, median: float = 0.0, missing: int = 0
) -> Prequential:
    """Score a forecaster of this scale on a random walk, with candle ``missing`` left out."""
    rng = np.random.default_rng(11)
    scores, close = Prequential(2), 100.0
    for position in range(candles):
        close *= math.exp(SIGMA * rng.standard_normal())
        if missing and position == missing:
            continue
        scores.learn_one(position, position, close)
        path = position + np.array([1, 2])
        scores.put(position, path, close, forecast(close, sigma, median), naive)
    return scores


def test_first_scores_are_those_of_one_forecast() -> None:
    """One forecast, one candle: every score is what the definition says."""
    scores = Prequential(1)
    scores.put(0, np.array([1]), 100.0, forecast(100, SIGMA, 0.002)[:1], 0.02)
    scores.learn_one(1, 1, 101.0)

    total = scores.scores()["1"]["total"]

    change, levels = math.log(1.01), [0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975]
    gaps = change - (0.002 + SIGMA * NORMAL_SCORES)
    pinball = [max(p * gap, (p - 1) * gap) for p, gap in zip(levels, gaps, strict=True)]
    assert total["candles"] == 1
    assert total["crps"] == pytest.approx(2 * np.mean(pinball))
    assert total["coverage_50"] == 0
    assert total["coverage_80"] == 1
    assert total["mae"] == pytest.approx(101 - 100 * math.exp(0.002))
    assert total["mae_naive"] == pytest.approx(1)
    assert total["mape"] == pytest.approx(total["mae"] / 101)
    assert total["direction_accuracy"] == 1
    assert total["brier"] == pytest.approx((1 - 0.5793) ** 2, abs=1e-3)
    assert total["qlike"] is None


def test_a_true_forecast_covers_and_has_no_skill_over_itself() -> None:
    """The walk's own distribution covers what it says, at one and at two steps."""
    scores = scored(4000, SIGMA)

    for horizon in ("1", "2"):
        total = scores.scores()[horizon]["total"]
        for band, slack in ((50, 0.03), (80, 0.025), (90, 0.02), (95, 0.015)):
            assert total[f"coverage_{band}"] == pytest.approx(band / 100, abs=slack)
        assert total["crps_skill"] == pytest.approx(0, abs=1e-6)
        assert total["brier"] == pytest.approx(0.25, abs=1e-6)
        assert total["direction_accuracy"] == 0.5
        assert total["mae_skill"] == pytest.approx(0, abs=1e-6)
    assert not scores.is_worse


def test_forecasts_of_missing_candles_are_not_scored() -> None:
    """A hole takes away one score at each horizon as target, and one as origin."""
    whole, holed = scored(10, SIGMA), scored(10, SIGMA, missing=5)

    assert [row["total"]["candles"] for row in whole.scores().values()] == [9, 8]
    assert [row["total"]["candles"] for row in holed.scores().values()] == [7, 6]


def test_much_too_wide_is_worse_than_the_baseline() -> None:
    """Three times too wide is noticed, beyond noise."""
    assert scored(1500, 3 * SIGMA).is_worse


def test_noise_is_not_worse() -> None:
    """A forecast a little off is not condemned, nor a bad one before there is evidence."""
    assert not scored(1500, 1.2 * SIGMA).is_worse
    assert not scored(150, 3 * SIGMA).is_worse


def test_better_than_a_bad_baseline() -> None:
    """Skill is positive where the baseline is too wide."""
    skill = scored(1500, SIGMA, naive=3 * SIGMA).skills()[0]

    assert [one.horizon for one in skill] == [1, 2]
    assert all((one.crps or 0) > 0.2 for one in skill)
    assert skill[0].candles == 1499


def test_recent_scores_forget() -> None:
    """After the forecaster mends its ways the recent coverage says so before the total."""
    scores, close = Prequential(1), 100.0
    for position in range(4000):
        scores.learn_one(position, position, close)
        median = 0.5 if position < 2000 else 0.0
        path = np.array([position + 1])
        scores.put(position, path, close, forecast(close, SIGMA, median)[:1], SIGMA)

    both = scores.scores()["1"]
    old = (math.exp(-2) - math.exp(-4)) / (1 - math.exp(-4))

    assert both["total"]["coverage_90"] == pytest.approx(0.5, abs=0.01)
    assert both["recent"]["coverage_90"] == pytest.approx(1 - old, abs=0.01)


def test_nothing_scored_is_null() -> None:
    """Before the first score everything is null, and JSON can say it."""
    scores = Prequential(30)

    assert [one.horizon for one in scores.skills()[0]] == [1, 3, 6, 12, 24, 30]
    assert scores.skills()[0][0].crps is None
    assert json.loads(json.dumps(scores.scores()))["30"]["total"]["mape"] is None


def test_unchanged_closes_have_no_direction() -> None:
    """Of three moves two were foreseen; the closes that did not move count neither way."""
    scores, close = Prequential(1), 100.0
    for position, step in enumerate((0, 1, 0, 1, 0, 0, -1, 0)):
        close += step
        scores.learn_one(position, position, close)
        scores.put(position, np.array([position + 1]), close, forecast(close, SIGMA, 0.002)[:1], 1)

    total = scores.scores()["1"]["total"]

    assert total["candles"] == 7
    assert total["direction_accuracy"] == pytest.approx(2 / 3)


def test_qlike_begins_with_the_hundredth_candle() -> None:
    """The first forecasts have no variance to speak of; from then on it is what Patton says."""
    scores = Prequential(1)
    for position in range(103):
        scores.learn_one(position, position, 100.0 + position % 2)
        if position == 99:
            assert scores.scores()["1"]["total"]["qlike"] is None
        quantiles = forecast(100.0, SIGMA)[:1] * (1 + position % 2 / 100)
        naive = 0.02 if position >= 99 else 1e-6
        scores.put(position, np.array([position + 1]), 100.0 + position % 2, quantiles, naive)

    total, change = scores.scores()["1"]["total"], math.log(1.01)

    assert total["qlike"] == pytest.approx(math.log(1e-4) + change**2 / 1e-4, rel=1e-2)
    assert total["qlike_baseline"] == pytest.approx(math.log(4e-4) + change**2 / 4e-4)


def test_qlike_allows_for_ticks() -> None:
    """Of a forecast of no change the one tick it missed is the loss, not a million."""
    scores, tick = Prequential(1), 0.5
    for position in range(300):
        close = 100 + tick * (position % 10 == 9)
        scores.learn_one(position, position, close)
        scores.put(position, np.array([position + 1]), close, forecast(close, 1e-9)[:1], 1e-9)

    total, variance = scores.scores()["1"]["total"], (tick / 100) ** 2 / 12

    expected = math.log(variance) + 0.2 * math.log1p(tick / 100) ** 2 / variance
    assert total["qlike"] == pytest.approx(expected, rel=0.01)
    assert total["qlike_baseline"] == pytest.approx(expected, rel=0.01)
