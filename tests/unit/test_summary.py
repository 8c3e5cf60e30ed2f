"""What a backtest found, in words."""

from typing import Any

import pytest

from worker import summary

DAY_MS = 86_400_000


def difference(ratio: float | None, p_value: float | None) -> dict[str, float | None]:
    """Return how one compares with another."""
    return {"ratio": ratio, "statistic": 0.0, "p_value": p_value}


def result(**changed: object) -> dict[str, Any]:
    """Return what a report holds of one series, two horizons, of which one was never scored."""
    against = {"baseline": difference(0.98765, 0.0123), "SlowLevel(66)": difference(None, None)}
    unknown = dict.fromkeys(against, difference(None, None))
    return {
        "candles": 7,
        "model": "m",
        "prior": None,
        "comparison": {
            "1": {"origins": 4, "crps": 0.01, "against": against},
            "3": {"origins": 0, "crps": None, "against": unknown},
        },
        "coverage": {"50": [0.5, 0.5], "80": [0.8, 0.8], "90": [0.9125, None], "95": [0.95, 0.95]},
        **changed,
    }


def prior(until: int | None, before: int | None) -> dict[str, Any]:
    """Return what a report says of the prior."""
    counts = {"compared": 4_000, "compared_before": before}
    return {"digest": "6ae5", "trained_until": until, **counts}


def test_ratios_and_coverage_are_said_by_horizon() -> None:
    """Each other forecaster has a column; a horizon that was never scored has a dash."""
    nothing = {"candles": 0, "model": "m"}

    lines = [line.split() for line in summary.lines({"a": result(), "b": nothing})]

    assert lines[0] == ["a:", "7", "candles,", "model", "m"]
    assert {"baseline,", "SlowLevel(66)"} < set(lines[1])
    assert lines[2:] == [
        ["1", "0.9877", "(0.012)", "-", "91.25%"],
        ["3", "-", "-", "-"],
        ["b:", "0", "candles,", "model", "m"],
    ]


@pytest.mark.parametrize(
    ("p_value", "said"), [(0.0009, "(<0.001)"), (0.0012, "(0.001)"), (None, "(-)")]
)
def test_how_sure_a_difference_is(p_value: float | None, said: str) -> None:
    """Of small p-values no more than that; of losses always apart by the same there is none."""
    assert summary.cell(difference(0.95, p_value)) == f"0.9500 {said}"


def test_what_the_prior_may_have_seen_is_said_beside_the_figures() -> None:
    """How many, of how many, and until when it was trained."""
    one = result(prior=prior(19_783 * DAY_MS, 1_500))

    said = list(summary.lines({"a": one}))[1]

    for part in ("BEWARE", "1,500 of the 4,000", "before 2024-03-01 00:00 UTC", "6ae5"):
        assert part in said


@pytest.mark.parametrize("one", [None, prior(19_783 * DAY_MS, 0)], ids=["no prior", "later"])
def test_of_candles_that_no_prior_has_seen_nothing_is_said(one: dict[str, Any] | None) -> None:
    """Without a prior, or past its time, the figures are what they are."""
    assert summary.seen_before(one) == ""
    assert not any("BEWARE" in line for line in summary.lines({"a": result(prior=one)}))


def test_a_prior_that_does_not_say_may_have_seen_all() -> None:
    """One made before priors kept that time is not taken for innocent."""
    assert "does not say" in summary.seen_before(prior(None, None))
