"""What a champion must show, and when one is worse than another."""

import dataclasses
import math

import pytest

from models.gate import Bar, Showing
from models.learner import Learner
from shared.candle import Timeframe
from tests.integration.steps import walk

BAR = Bar(candles=500, skill=0.0, coverage=(0.85, 0.95))
GOOD = Showing(candles=1_000, skill=0.04, error=0.01, coverage=0.9, is_finite=True)


def but(**shown: object) -> Showing:
    """A good showing but for this."""
    return dataclasses.replace(GOOD, **shown)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("showing", "reasons"),
    [
        (GOOD, []),
        (but(skill=0.0, coverage=0.85, candles=500), []),
        (but(candles=499), ["499 candles learned, 500 asked"]),
        (but(skill=-0.001), ["skill -0.0010, 0.0000 asked"]),
        (but(skill=None, error=None, coverage=None), ["nothing scored yet"]),
        (but(coverage=0.951), ["coverage of the 90 % band 0.9510, 0.85 to 0.95 asked"]),
        (but(coverage=0.849), ["coverage of the 90 % band 0.8490, 0.85 to 0.95 asked"]),
        (but(is_finite=False), ["what it says is not finite"]),
        (
            but(is_finite=False, candles=2, skill=-1.0),
            [
                "what it says is not finite",
                "2 candles learned, 500 asked",
                "skill -1.0000, 0.0000 asked",
            ],
        ),
    ],
)
def test_each_reason_is_named(showing: Showing, reasons: list[str]) -> None:
    """All of them at once, with what is asked."""
    assert showing.shortfalls(BAR) == reasons


@pytest.mark.parametrize(
    ("showing", "margin", "is_worse"),
    [
        (but(skill=0.021), None, False),
        (but(skill=0.019), None, True),
        (but(skill=0.019, error=0.005), None, True),
        (but(skill=0.031, error=0.005), None, False),
        (but(skill=0.019, error=0.5), None, True),
        (but(skill=0.021, error=None), None, False),
        (but(skill=0.019), 0.03, False),
        (but(skill=0.009), 0.03, True),
        (but(skill=0.5, is_finite=False), None, True),
        (but(skill=None), None, True),
    ],
)
def test_worse_is_worse_by_more_than_noise(
    showing: Showing, margin: float | None, *, is_worse: bool
) -> None:
    """Or by more than a margin; what is not finite is worse than anything."""
    assert showing.is_worse_than(GOOD, margin) is is_worse


@pytest.mark.parametrize("champion", [but(skill=None), but(is_finite=False)])
def test_nothing_is_worse_than_what_has_nothing_to_show(champion: Showing) -> None:
    """A champion that says nothing sound holds nobody off."""
    assert not but(skill=-1.0).is_worse_than(champion)


def test_a_learner_shows_what_it_publishes() -> None:
    """The skill is the mean of the scored horizons; the error is of its order, and falls."""
    learner, errors = Learner(Timeframe("1h"), 24), []
    for candles in (walk(900)[:300], walk(900)[300:]):
        learner.learn_many(candles)
        showing = Showing.of(learner)
        assert showing.error is not None
        errors.append(showing.error)

    horizons = learner.scores()["horizons"].values()
    skills = [scores["recent"]["crps_skill"] for scores in horizons]
    inside = [scores["recent"]["coverage_90"] for scores in horizons]
    assert showing.skill == pytest.approx(sum(skills) / 5)
    assert showing.coverage == pytest.approx(sum(inside) / 5)
    assert (showing.candles, showing.is_finite) == (900, True)
    assert dataclasses.replace(Showing.of_scores(learner.scores()), error=showing.error) == showing
    assert 0 < errors[1] < errors[0] < 1


def test_a_model_that_is_poisoned_is_not_finite() -> None:
    """One number that is none in what it has learned is enough."""
    learner = Learner(Timeframe("1h"), 3)
    learner.learn_many(walk(300))
    assert Showing.of(learner).is_finite

    learner.forecaster.tracker.sizes[:] = math.nan  # type: ignore[attr-defined]
    learner.recalled()

    assert not Showing.of(learner).is_finite


def test_nothing_learned_shows_nothing() -> None:
    """A new learner has no skill, and says nothing that is not finite."""
    showing = Showing.of(Learner(Timeframe("1h"), 3))

    assert showing == Showing(candles=0, skill=None, error=None, coverage=None, is_finite=True)
