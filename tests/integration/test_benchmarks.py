"""Benchmarks that run in little: they measure nothing here, but they still do what they say."""

import json
import subprocess
import sys
from typing import Any

import pytest

pytestmark = pytest.mark.timeout(180)


def figures(*command: str) -> dict[str, Any]:
    """Run a benchmark and return the medians by name."""
    ran = subprocess.run(
        [sys.executable, "-m", *command, "--json"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return {row["what"]: row["median"] for row in json.loads(ran.stdout)["rows"]}


def test_no_worker_grows_in_a_short_soak() -> None:
    """Memory and open files; logs and RQ's keys are full only after a minute, which is too long."""
    found = figures("benchmarks.soak", "--minutes", "0.25", "--series", "20", "--rate", "80")

    assert found["worker, resident, last of first"] <= 1.1
    assert found["files open in a worker, last of first"] == 1
    assert found["keys of RQ, last third"] > 0


def test_a_backlog_is_measured_beside_a_stream_engine() -> None:
    """Both have learned every candle, or there would be no figure."""
    pytest.importorskip("bytewax", reason="there is none for this Python")

    found = figures("benchmarks.replay", "--candles", "300", "--repeat", "1", "--bytewax")

    assert found["of the bare loop"] > 0
    assert sum(name.startswith("Bytewax") for name in found) == 4
