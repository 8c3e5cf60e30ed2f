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
from typing import Any

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


def read_json(url: str) -> dict[str, Any]:
    """What a page of rq-dashboard's own interface says."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        return dict(json.load(answer))


class Demo:
    """A demo in a terminal, beside what would mislead it."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "my data"
        self._folder, self._out = folder, folder / "out"
        (folder / ".env").write_text("CANDLECAST_PREFIX=theirs:\n")
        theirs = {"PREFIX": "theirs:", "MLFLOW_TRACKING_URI": "http://127.0.0.1:1"}
        self._env = os.environ | {f"CANDLECAST_{name}": value for name, value in theirs.items()}
        # What a shell starts in the background ignores Ctrl-C, and so would the demo.
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def run(self, *options: str) -> "subprocess.CompletedProcess[str]":
        """Run it to its end."""
        command = [COMMAND, "demo", "--simulated", "--data", str(self.data), *options]
        return subprocess.run(
            command, cwd=self._folder, env=self._env, capture_output=True, text=True, check=False
        )

    def start(self) -> None:
        """Begin."""
        command = [COMMAND, "demo", "--simulated", "--data", str(self.data)]
        with self._out.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self._folder,
                env=self._env,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def end(self) -> int:
        """Press Ctrl-C, which goes to every process of the group; return the exit code."""
        os.killpg(self._process.pid, signal.SIGINT)
        return self._process.wait(60)

    @property
    def said(self) -> str:
        """All that it has shown since it was started."""
        return self._out.read_text()


def learned(said: str) -> dict[str, list[int]]:
    """How many candles of each series a demo has shown as learned, beside its forecasts."""
    shown = r"simulated:(BTC|ETH)/USDT:1m  learned (\d+) .* \+1 [\d.]+ \[[\d.]+, [\d.]+\]"
    found: dict[str, list[int]] = {}
    for name, count in re.findall(shown, said):
        found.setdefault(name, []).append(int(count))
    return found


def test_the_demo_is_watched_stopped_and_started_again(
    tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """Two series are forecast and snapshot; the end is clean, and the next start carries on.

    A folder with a space, a `.env` beside and settings of a real service change nothing; a second
    one on the same folder is refused, as two servers on one append-only file would spoil it.
    """
    demo = Demo(tmp_path)
    demo.start()
    try:
        eventually(lambda: len(learned(demo.said)) == 2, "both series are forecast", seconds=90)
        # The first job goes on for a while after what it has learned is shown.
        eventually(lambda: "learned " in str(finished(demo.said)), "a job is done")
        shown = dashboard(demo.said)
        page = read(demo.said, "page")
        another = demo.run()
    finally:
        code = demo.end()

    assert code == 0, demo.said
    assert (another.returncode, "another demo runs" in another.stderr) == (2, True)
    assert "<title>Candlecast</title>" in page
    assert "candles" in shown["queues"]
    assert shown["workers"].count(["candles"]) == 2
    assert re.search(r"'learned \d+ candles in \d+ commits, last of simulated:", shown["jobs"])
    assert "2 written, 0 failed, 0 left" in demo.said
    assert re.search(r"simulated:BTC/USDT:1m: version \d+", demo.said)
    assert processes_of(demo.data) == []

    again = demo.run("--seconds", "9")
    before, after = learned(demo.said), learned(again.stdout)

    assert again.returncode == 0, again.stdout + again.stderr
    # What the second shows first is no less than what the first showed last.
    assert all(after[name][0] >= counts[-1] > 0 for name, counts in before.items())
    assert processes_of(demo.data) == []


def read(said: str, name: str) -> str:
    """What is shown at an address that the demo has said."""
    address = re.search(rf"{name} +(http://127\.0\.0\.1:\d+)", said)
    assert address
    with urllib.request.urlopen(address[1], timeout=10) as answer:
        return str(answer.read().decode())


def pages_of(said: str) -> str:
    """Where rq-dashboard's own interface is."""
    address = re.search(r"rq-dashboard +(http://127\.0\.0\.1:\d+)", said)
    assert address
    return f"{address[1]}/0/data"


def finished(said: str) -> list[dict[str, Any]]:
    """The jobs that are done, as it shows them."""
    jobs: list[dict[str, Any]] = read_json(f"{pages_of(said)}/jobs/candles/finished/8/asc/1.json")[
        "jobs"
    ]
    return jobs


def dashboard(said: str) -> dict[str, Any]:
    """What rq-dashboard shows at the address that the demo has said."""
    pages = pages_of(said)
    return {
        "queues": {queue["name"] for queue in read_json(f"{pages}/queues.json")["queues"]},
        "workers": [each["queues"] for each in read_json(f"{pages}/workers.json")["workers"]],
        "jobs": str(finished(said)),
    }
