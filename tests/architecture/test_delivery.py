"""What the workflows do: they are understood, and what they run exists."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PAGE = (ROOT / "docs" / "delivery.md").read_text()
MAKE = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
every_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def steps(path: Path) -> list[dict[str, Any]]:
    """All steps of a workflow."""
    jobs = yaml.safe_load(path.read_text())["jobs"].values()
    return [step for job in jobs for step in job["steps"]]


@every_workflow
def test_it_is_understood(path: Path) -> None:
    """By the schema of workflows."""
    check = str(Path(sys.executable).parent / "check-jsonschema")
    done = subprocess.run(
        [check, "--builtin-schema", "vendor.github-workflows", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout


@every_workflow
def test_it_has_few_rights_and_an_end(path: Path) -> None:
    """None but those that a job names, no credentials in a checkout, no job without a limit."""
    workflow = yaml.safe_load(path.read_text())
    checkouts = [s for s in steps(path) if s.get("uses", "").startswith("actions/checkout")]

    assert workflow["permissions"] == {}
    assert all(job["permissions"] and job["timeout-minutes"] for job in workflow["jobs"].values())
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


@every_workflow
def test_what_it_runs_exists(path: Path) -> None:
    """Targets, modules and scripts of ours; tools from outside have a version."""
    commands = "\n".join(step.get("run", "") for step in steps(path))

    assert set(re.findall(r"\bmake ([a-z-]+)", commands)) <= MAKE
    assert all(find_spec(name) for name in re.findall(r"python -m ([\w.]+)", commands))
    assert all((ROOT / name).exists() for name in re.findall(r"\.ci/[\w-]+", commands))
    assert len(re.findall("--spec ", commands)) == len(
        re.findall(r"--spec [\w-]+==[\d.]+ ", commands)
    )


def test_the_page_tells_of_each_command() -> None:
    """Those of every change, and what a release needs."""
    for command in (
        "benchmarks.smoke",
        "benchmarks.gate",
        ".ci/run",
        "test-system",
        "pip-audit",
        "release-notes",
    ):
        assert command in PAGE
        assert any(command in path.read_text() for path in WORKFLOWS)


@pytest.mark.parametrize(("version", "code"), [("Unreleased", 0), ("9.9.9", 1)])
def test_a_release_says_what_the_changelog_says(version: str, code: int) -> None:
    """And nothing is released of which it says nothing."""
    done = subprocess.run(
        [str(ROOT / ".ci" / "release-notes"), version], capture_output=True, text=True, check=False
    )

    assert done.returncode == code
    assert ("### Added" in done.stdout) is (code == 0)
    assert not re.search(r"^## ", done.stdout, re.MULTILINE)
