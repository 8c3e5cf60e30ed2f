"""The demo as somebody meets it: started, watched, stopped, started again."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(180)

COMMAND = str(Path(sys.executable).with_name("candlecast"))


def processes_of(folder: Path) -> list[str]:
    """Command lines of all processes that name the folder, or that the demo started for it."""
    marker = f"CANDLECAST_DATA_DIR={folder}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            if str(folder).encode() in command or marker in (process / "environ").read_bytes():
                found.append(command.replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def read_json(url: str) -> dict[str, list[dict[str, object]]]:
    """What a page of rq-dashboard's own interface says."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        return dict(json.load(answer))


def test_the_demo_shows_forecasts_keeps_models_and_leaves_nothing_behind(
    tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """Two series are forecast and snapshot, the dashboard shows jobs, and the end is clean."""
    # What a shell starts in the background ignores Ctrl-C, and so would the demo.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    data, out = tmp_path / "data", tmp_path / "out"
    options = ["--simulated", "--data", str(data)]
    with out.open("wb") as log:
        demo = subprocess.Popen(
            [COMMAND, "demo", *options], stdout=log, stderr=log, start_new_session=True
        )
    try:
        says = r"simulated:(BTC|ETH)/USDT:1m  learned \d+ .* \+1 [\d.]+ \[[\d.]+, [\d.]+\]"
        eventually(
            lambda: {m[1] for m in re.finditer(says, out.read_text())} == {"BTC", "ETH"},
            "both series are forecast",
            seconds=90,
        )
        dashboard = re.search(r"rq-dashboard +(http://127\.0\.0\.1:\d+)", out.read_text())
        assert dashboard
        queues = read_json(f"{dashboard[1]}/0/data/queues.json")["queues"]
        workers = read_json(f"{dashboard[1]}/0/data/workers.json")["workers"]
        jobs = read_json(f"{dashboard[1]}/0/data/jobs/candles/finished/8/asc/1.json")["jobs"]
    finally:
        # As Ctrl-C on a terminal does: to every process of the group.
        os.killpg(demo.pid, signal.SIGINT)
        code = demo.wait(60)

    assert code == 0, out.read_text()
    assert re.search(r"\d written, 0 failed, 0 left", out.read_text())
    assert "candles" in {queue["name"] for queue in queues}
    assert [worker["queues"] for worker in workers].count(["candles"]) == 2
    assert jobs
    assert "learn the candles that are due" in str(jobs[0])
    assert re.search(r"simulated:BTC/USDT:1m: version \d+", out.read_text())
    assert processes_of(data) == []


def test_a_second_start_carries_on(tmp_path: Path) -> None:
    """Candles and models of the first start are still there."""
    first = _run_for(9, tmp_path)
    second = _run_for(9, tmp_path)

    # What the second shows first is no less than what the first showed last.
    assert min(_learned(second)[:2]) >= min(_learned(first)[-2:]) > 0
    assert processes_of(tmp_path) == []


def test_a_second_demo_on_the_same_folder_is_refused(
    tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """Two servers on one append-only file would spoil it."""
    with (tmp_path / "out").open("wb") as log:
        command = [COMMAND, "demo", "--simulated", "--data", str(tmp_path)]
        demo = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        eventually(lambda: "rq-dashboard" in (tmp_path / "out").read_text(), "it runs")
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    finally:
        demo.send_signal(signal.SIGTERM)
        demo.wait(60)

    assert done.returncode == 2
    assert "another demo runs" in done.stderr


def _run_for(seconds: int, data: Path) -> str:
    done = subprocess.run(
        [COMMAND, "demo", "--simulated", "--seconds", str(seconds), "--data", str(data)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _learned(shown: str) -> list[int]:
    return [int(n) for n in re.findall(r"learned (\d+)", shown)]


def test_the_demo_is_its_own_whatever_the_surroundings_set(tmp_path: Path) -> None:
    """A folder with a space, a `.env` beside and settings of a real service change nothing."""
    data = tmp_path / "my data"
    (tmp_path / ".env").write_text("CANDLECAST_PREFIX=theirs:\n")
    theirs = {
        "CANDLECAST_PREFIX": "theirs:",
        "CANDLECAST_MLFLOW_TRACKING_URI": "http://127.0.0.1:1",
    }

    done = subprocess.run(
        [COMMAND, "demo", "--simulated", "--seconds", "8", "--data", str(data)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=tmp_path,
        env=os.environ | theirs,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert max(_learned(done.stdout)) > 0
    assert "2 written, 0 failed" in done.stdout
    assert processes_of(data) == []
