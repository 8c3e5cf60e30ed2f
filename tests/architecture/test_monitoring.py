"""What is watched exists, is explained, and fires where it should."""

import json
import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

FOLDER = ROOT / "monitoring"
PAGE = (ROOT / "docs" / "monitoring.md").read_text()
METRIC = re.compile(r"candlecast_[a-z0-9_]+")
(GROUP,) = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
RULES: list[dict[str, Any]] = GROUP["rules"]
DASHBOARD = json.loads((FOLDER / "grafana" / "dashboards" / "candlecast.json").read_text())
EXPRESSIONS = [rule["expr"] for rule in RULES] + [
    target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]
]


def explained() -> set[str]:
    """The metrics of the page, with what a histogram has."""
    rows = re.findall(r"^\| `(candlecast_\w+)` \| (\w+) \|", PAGE, re.MULTILINE)
    names = {name for name, _ in rows}
    of_histograms = {name for name, kind in rows if kind == "histogram"}
    parts = ("_bucket", "_count", "_sum", "_gcount", "_gsum")
    return names | {f"{name}{part}" for name in of_histograms for part in parts}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_what_is_asked_for_exists(expression: str) -> None:
    """By the page, which a test holds against what is served."""
    assert set(METRIC.findall(expression)) <= explained()


def test_each_alert_is_explained_with_its_severity() -> None:
    """And the page explains no other."""
    rows = re.findall(r"^\| `(Candlecast\w+)` \| (\w+) \| .{10,} \| .{4,} \|$", PAGE, re.MULTILINE)

    assert rows == [(rule["alert"], rule["labels"]["severity"]) for rule in RULES]


def test_each_alert_is_tested_both_ways() -> None:
    """Once it fires, once it does not."""
    tests = yaml.safe_load((FOLDER / "alerts_test.yml").read_text())["tests"]
    asked = [one for test in tests for one in test["alert_rule_test"]]
    for rule in RULES:
        fires = {bool(one["exp_alerts"]) for one in asked if one["alertname"] == rule["alert"]}
        assert fires == {True, False}, rule["alert"]


def test_panels_say_what_they_show() -> None:
    """In words, each in a place of its own."""
    places = set()
    for panel in DASHBOARD["panels"]:
        assert panel["title"]
        assert panel["description"]
        place = panel["gridPos"]
        places |= {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
    assert len(places) == sum(p["gridPos"]["w"] * p["gridPos"]["h"] for p in DASHBOARD["panels"])
    assert max(x for x, _ in places) < 24


@pytest.mark.system
@pytest.mark.parametrize(
    "arguments",
    [("test", "rules", "alerts_test.yml"), ("check", "config", "--syntax-only", "prometheus.yml")],
)
def test_promtool_agrees(arguments: tuple[str, ...]) -> None:
    """With every rule, and what is expected of it."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool comes with Debian's package prometheus")
    done = subprocess.run(
        [promtool, *arguments], cwd=FOLDER, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
