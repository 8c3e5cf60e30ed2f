"""Rules: when each of them holds, and what is no rule."""

import json
from typing import Any

import pytest

from shared.alert import Rule, Seen, Verdict, read_rules
from shared.errors import InvalidValue
from tests.unit.forecasts import HOUR, T0, forecast

DRIFT = {
    "count": 1,
    "signal": "error",
    "before": 0.7,
    "after": 1.1,
    "since": T0 - 40 * HOUR,
    "found_at": T0 - HOUR,
}
# The forecast by hand says 92 to 108 two candles ahead, four quantiles on each side of 100.


def rule(kind: str, **fields: Any) -> Rule:
    """One rule as the settings spell it."""
    (read,) = read_rules([{"kind": kind, **fields}])
    return read


def judged(one: Rule, **fields: Any) -> Verdict | None:
    """What it says of a series."""
    seen: dict[str, Any] = {"forecast": forecast(), "now_ms": T0 + HOUR} | fields
    return one.judge(Seen(**seen))


@pytest.mark.parametrize(
    ("limits", "holds", "value"),
    [
        ({"quantile": 0.975, "horizon": 2, "above": 107.9}, True, 108.0),
        ({"quantile": 0.975, "horizon": 2, "above": 108.0}, False, 108.0),
        ({"quantile": 0.975, "above": 107.9}, False, 104.0),
        ({"quantile": 0.025, "below": 96.1}, True, 96.0),
        ({"below": 100.0}, False, 100.0),
        ({"below": 100.1}, True, 100.0),
    ],
)
def test_a_price_at_its_target(limits: dict[str, float], holds: bool, value: float) -> None:  # noqa: FBT001
    """A quantile of it beyond a price."""
    verdict = judged(rule("price", **limits))

    assert verdict
    assert (verdict.is_raised, verdict.value) == (holds, value)
    assert verdict.limit == (limits.get("above") or limits.get("below"))


@pytest.mark.parametrize(
    ("close", "holds"), [(96.0, False), (104.0, False), (95.9, True), (104.1, True)]
)
def test_a_close_outside_of_what_was_said(close: float, holds: bool) -> None:  # noqa: FBT001
    """So many candles before, whatever was said in between."""
    now, before = forecast(2, 3, last_close=close), [forecast(0, 1), forecast(1, 2)]
    wide = judged(rule("outside", horizon=2), forecast=now, earlier=before)
    near = judged(rule("outside"), forecast=now, earlier=before)

    assert wide
    assert near
    assert (wide.is_raised, near.is_raised) == (False, holds)
    assert judged(rule("outside"), forecast=now, earlier=before[:1]) is None


@pytest.mark.parametrize(
    ("one", "fields", "holds"),
    [
        (rule("volatility", above=0.015, horizon=2), {}, True),
        (rule("volatility", above=0.015), {}, False),
        (rule("stale"), {"now_ms": T0 + 2 * HOUR + 5_000}, False),
        (rule("stale"), {"now_ms": T0 + 2 * HOUR + 5_001}, True),
        (rule("stale", for_s=60), {"now_ms": T0 + 2 * HOUR + 65_000}, False),
        (rule("stale", for_s=60), {"now_ms": T0 + 2 * HOUR + 65_001}, True),
        (rule("drift"), {}, False),
        (rule("drift", candles=2), {"forecast": forecast(drift=DRIFT)}, True),
        (rule("drift", candles=1), {"forecast": forecast(drift=DRIFT)}, False),
        (rule("below-champion"), {}, False),
        (rule("below-champion"), {"below_since": T0}, True),
        (rule("fallback"), {}, False),
        (rule("fallback"), {"forecast": forecast(status="fallback")}, True),
    ],
)
def test_what_the_others_hold_for(one: Rule, fields: dict[str, Any], holds: bool) -> None:  # noqa: FBT001
    """At their limit they do not."""
    verdict = judged(one, **fields)

    assert verdict
    assert verdict.is_raised is holds


@pytest.mark.parametrize("kind", ["price", "volatility"])
def test_what_lies_beyond_the_forecast_is_not_judged(kind: str) -> None:
    """Neither raised nor cleared."""
    assert judged(rule(kind, horizon=3, above=1.0)) is None


def test_a_rule_is_for_series_by_name_or_pattern() -> None:
    """For all, where nothing is said."""
    one = rule("stale", series="x:*:1h")

    assert one.concerns("x:BTC/USDT:1h")
    assert not one.concerns("x:BTC/USDT:1m")
    assert rule("stale").concerns("y:ETH/EUR:1d")


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ([{"kind": "nonsense"}], "alerts.0"),
        ([{"kind": "stale", "colour": "red"}], "alerts.0.stale.colour"),
        ([{"kind": "price", "horizon": 1}], "say either above or below"),
        ([{"kind": "price", "above": 1, "below": 2}], "say either above or below"),
        ([{"kind": "price", "above": 1, "quantile": 0.3}], "quantile must be one of 0.025"),
        ([{"kind": "outside", "high": 0.99}], "high must be one of 0.025"),
        ([{"kind": "volatility"}], "alerts.0.volatility.above"),
        ([{"kind": "stale"}, {"kind": "stale", "for_s": 9}], "two rules are called that"),
    ],
)
def test_what_is_no_rule_is_named(rules: list[dict[str, Any]], says: str) -> None:
    """By its place and the remedy."""
    with pytest.raises(InvalidValue, match=says):
        read_rules(rules)


def test_rules_of_one_kind_have_names() -> None:
    """That of the kind, unless one is given."""
    read = read_rules(json.loads('[{"kind": "stale"}, {"kind": "stale", "name": "late"}]'))

    assert [one.name for one in read] == ["stale", "late"]
