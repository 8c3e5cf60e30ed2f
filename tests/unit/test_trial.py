"""What a backtest reports of one series."""

import math
from collections.abc import Container, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import catalog, entry
from models.baseline import RandomWalk
from models.hours import HOUR_MS, MONDAY_MS
from models.learner import Learner
from models.learners import Outlook
from models.memory import Array
from shared.candle import Candle, Timeframe
from shared.forecast import QUANTILE_LEVELS
from tests.priors import draw_prior
from worker import trial
from worker.trial import Trial

HOUR = Timeframe("1h")


class Mute(RandomWalk):
    """A forecaster that has nothing to say."""

    def forecast_quantiles(self, horizon: int, levels: Sequence[float]) -> Array:
        """Return no numbers."""
        return np.full((horizon, len(levels)), np.nan)


def walk(count: int, *, missing: Container[int] = ()) -> list[Candle]:
    """Draw hourly candles of a random walk, without those at the hours that are missing."""
    steps = np.random.default_rng(4).normal(0, 0.01, count + 1)
    closes = (100 * np.exp(np.cumsum(steps))).tolist()
    return [
        hourly(hour, o, c) for hour, (o, c) in enumerate(pairwise(closes)) if hour not in missing
    ]


def hourly(hour: int, first: float, close: float) -> Candle:
    """Return an hourly candle without wicks."""
    return Candle(
        MONDAY_MS + hour * HOUR_MS, first, max(first, close), min(first, close), close, 1.0
    )


def tried(candles: list[Candle], model: str, horizon: int) -> tuple[dict[str, Any], list[Outlook]]:
    """Return the report of a trial, and what was said at each origin."""
    one = Trial(Learner(HOUR, horizon, model))
    said = list(one.run(candles))
    assert [candle for candle, _ in said] == candles
    return one.report(), [outlook for _, outlook in said]


def moves(candles: list[Candle], ahead: int) -> list[float | None]:
    """Return what the close moved by the candle so many hours later, None where it is missing."""
    closes = {c.open_time: c.close for c in candles}
    ends = [closes.get(c.open_time + ahead * HOUR_MS) for c in candles]
    return [end and math.log(end / c.close) for c, end in zip(candles, ends, strict=True)]


def crps(change: float, quantiles: Array) -> float:
    """Work out twice the mean pinball loss."""
    gaps = zip(QUANTILE_LEVELS, (change - quantiles).tolist(), strict=True)
    return 2 * math.fsum(max(p * gap, (p - 1) * gap) for p, gap in gaps) / 9


def returns(candle: Candle, outlook: Outlook, ahead: int) -> Array:
    """Return the quantiles of the log return that were said."""
    return np.asarray(np.log(outlook.quantiles[ahead - 1]) - math.log(candle.close))


@pytest.mark.parametrize(("count", "first"), [(90, 30), (6_100, 2_000)])
def test_comparison_begins_when_all_have_learned(count: int, first: int) -> None:
    """It leaves out a third of the origins, at most 2,000, and those without a target."""
    report, _ = tried(walk(count), "random-walk", 3)

    assert report["compared_from"] == MONDAY_MS + first * HOUR_MS
    assert report["horizons"] == [1, 3]
    assert [one["origins"] for one in report["comparison"].values()] == [
        count - first - 1,
        count - first - 3,
    ]


def test_a_model_without_experts_is_compared_with_the_baseline_alone() -> None:
    """The random walk is the baseline: they are equally good."""
    report, _ = tried(walk(90), "random-walk", 3)

    for one in report["comparison"].values():
        assert list(one["against"]) == ["baseline"]
        assert one["against"]["baseline"]["ratio"] == 1


def test_where_nothing_else_is_said_than_the_baseline_nothing_is_told_apart() -> None:
    """A p-value of what differs by rounding alone would look like evidence."""
    report, _ = tried(walk(1_500), "random-walk", 3)

    for one in report["comparison"].values():
        assert one["against"]["baseline"] == {"ratio": 1, "statistic": 0, "p_value": 1}


def test_what_the_baseline_said_in_the_models_place_counts_as_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A model of which nothing can be published is as good as what is published instead."""
    mute = entry.Model(version=1, create=lambda _timeframe, _horizon: Mute())
    monkeypatch.setattr(catalog, "MODELS", {"mute": mute})

    report, outlooks = tried(walk(90), "mute", 1)

    assert {outlook.status for outlook in outlooks} == {"fallback"}
    ratio = report["comparison"]["1"]["against"]["baseline"]["ratio"]
    assert ratio == pytest.approx(1, abs=1e-6)


def test_coverage_and_reliability_are_those_of_what_was_said() -> None:
    """Shares of the known returns from the first compared origin on, past a hole by time."""
    candles = walk(150, missing=range(90, 95))
    report, outlooks = tried(candles, "default", 3)

    for column, ahead in enumerate((1, 3)):
        known = [
            (move, returns(candle, outlook, ahead))
            for candle, outlook, move in list(
                zip(candles, outlooks, moves(candles, ahead), strict=True)
            )[len(candles) // 3 :]
            if move is not None
        ]
        inside = [row[1] <= move <= row[7] for move, row in known]
        assert report["coverage"]["90"][column] == pytest.approx(np.mean(inside))
        below = np.mean([move <= row for move, row in known], axis=0)
        assert report["reliability"]["below"][column] == pytest.approx(below)
    assert report["reliability"]["levels"] == list(QUANTILE_LEVELS)


def test_ticks_on_the_end_of_a_band_are_inside() -> None:
    """Where quantiles lie on coarse ticks, coverage is that of the prices that are published."""
    closes = (12 + np.random.default_rng(5).normal(0, 0.9, 601).round()).tolist()
    candles = [hourly(hour, o, c) for hour, (o, c) in enumerate(pairwise(closes))]
    report, outlooks = tried(candles, "default", 1)

    ends = [outlook.quantiles[0, [1, 7]] for outlook in outlooks[200:-1]]
    later = [candle.close for candle in candles[201:]]
    inside = [low <= close <= high for (low, high), close in zip(ends, later, strict=True)]
    assert report["coverage"]["90"] == [pytest.approx(np.mean(inside), abs=0.005)]


def test_skill_over_time_is_that_of_30_windows_of_all_origins() -> None:
    """Each ends where the next begins, and the last with the last candle."""
    candles = walk(200)
    report, outlooks = tried(candles, "default", 1)
    over_time, changes = report["skill_over_time"], moves(candles, 1)
    baseline = Learner(HOUR, 1, "random-walk")

    losses = []
    for candle, outlook, move in zip(candles, outlooks, changes, strict=True):
        baseline.learn_one(candle)
        if move is not None:
            both = returns(candle, outlook, 1), returns(candle, baseline.outlook(), 1)
            losses.append([crps(move, quantiles) for quantiles in both])
    assert len(over_time["until"]) == len(over_time["skill"][0]) == 30
    assert over_time["until"][-1] == candles[-1].open_time
    assert over_time["until"] == sorted(set(over_time["until"]))
    begin = 0
    for until, skill in zip(over_time["until"], over_time["skill"][0], strict=True):
        end = (until - MONDAY_MS) // HOUR_MS + 1
        own, naive = np.sum(losses[begin:end], axis=0)
        assert skill == pytest.approx(1 - own / naive, abs=1e-4)
        begin = end


def test_windows_without_a_target_have_no_skill() -> None:
    """The last two origins of five have no candle three ahead, nor has the one before them."""
    report, _ = tried(walk(5), "random-walk", 3)

    assert len(report["skill_over_time"]["until"]) == 5
    assert [skill is None for skill in report["skill_over_time"]["skill"][1]] == [
        *(False, False),
        *(True, True, True),
    ]


def test_fan_is_the_last_closes_and_what_was_said_of_them() -> None:
    """The last 200 origins with the next candle's 90 % band, and the last outlook whole."""
    candles = walk(230)
    report, outlooks = tried(candles, "random-walk", 2)
    fan = report["fan"]

    assert fan["open_times"] == [candle.open_time for candle in candles[30:]]
    assert fan["closes"] == [candle.close for candle in candles[30:]]
    bands = [outlook.quantiles[0, [1, 4, 7]].tolist() for outlook in outlooks[30:]]
    assert np.array(fan["one_ahead"]) == pytest.approx(np.array(bands), rel=1e-6)
    # The band of one candle before goes right up to where the fan begins.
    assert fan["ahead_times"][0] == fan["one_ahead_times"][-1]
    assert len(fan["ahead_times"]) == len(outlooks[-1].target_times)
    assert fan["quantiles"] == outlooks[-1].quantiles.tolist()


def test_scores_are_those_of_the_learner() -> None:
    """The report says what a live series says of itself."""
    candles, learner = walk(60), Learner(HOUR, 2)
    for one in candles:
        learner.learn_one(one)

    report, _ = tried(candles, "default", 2)

    assert report["candles"] == 60
    assert report["scores"] == learner.scores()


def test_scoring_bit_by_bit_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Origins are scored when all their targets have come: as if all had waited for the end."""
    candles = walk(150, missing=range(90, 95))
    reports = []
    for chunk in (7, 1_000):
        monkeypatch.setattr(trial, "_CHUNK", chunk)
        reports.append(tried(candles, "default", 6)[0])

    assert reports[0] == reports[1]


def test_what_the_prior_may_have_seen_is_counted(tmp_path: Path) -> None:
    """Compared origins before the end of its training; unknown where the prior does not say."""
    found = []
    # The same numbers each time, of which the file read last is spoken of.
    for place, until in enumerate((MONDAY_MS + 50 * HOUR_MS, MONDAY_MS, None)):
        path = tmp_path / f"{place}.npz"
        replace(draw_prior(0), trained_until=until).save(path)
        report, _ = tried(walk(90), catalog.with_prior("default", str(path)), 3)
        found.append(report["prior"])

    # Compared are the origins from the thirtieth on.
    assert [one["compared"] for one in found] == [60, 60, 60]
    assert [one["compared_before"] for one in found] == [20, 0, None]
    assert found[0]["trained_until"] == MONDAY_MS + 50 * HOUR_MS
    assert found[0]["digest"] == draw_prior(0).digest


@pytest.mark.parametrize("model", ["default@none", "random-walk"])
def test_without_prior_nothing_was_seen(model: str) -> None:
    """The report says that there is none."""
    assert tried(walk(30), model, 3)[0]["prior"] is None


def test_without_candles_there_is_nothing_to_compare() -> None:
    """Only that there were none."""
    report, _ = tried([], "default", 3)

    assert report["candles"] == 0
    assert set(report) == {"candles", "scores"}
