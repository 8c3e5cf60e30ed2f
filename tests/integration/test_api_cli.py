"""`candlecast api` as a process."""

import json
import re
import signal
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path

from shared.store import Store
from tests.integration.steps import SERIES
from tests.integration.test_api import NAME, WALK, learn

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Start = Callable[..., "subprocess.Popen[bytes]"]


def test_it_serves_until_it_is_ended(
    start: Start, store: Store, eventually: Callable[..., None], tmp_path: Path
) -> None:
    """It says where, and ends in good order."""
    learn(store, SERIES, WALK[:2])
    process = start("api", "--port", "0")
    log = tmp_path / "api-0.log"
    eventually(lambda: re.search(r"http://127\.0\.0\.1:\d+", log.read_text()), "it serves")
    address = re.search(r"http://127\.0\.0\.1:\d+", log.read_text())
    assert address
    with urllib.request.urlopen(f"{address[0]}/v1/forecast?series={NAME}", timeout=10) as answer:
        said = json.load(answer)
    with urllib.request.urlopen(f"{address[0]}/v1/stream?series={NAME}", timeout=10) as stream:
        first = stream.readline()
        process.send_signal(signal.SIGTERM)
        ended = process.wait(20)

    assert first == b"event: forecast\n"
    assert said["sequence"] == 2
    assert ended == 0


def test_what_is_wrong_is_one_line(candlecast: Run) -> None:
    """With the setting and the remedy, before anything listens."""
    done = candlecast("api", CANDLECAST_API_HOST="0.0.0.0")  # noqa: S104

    assert done.returncode == 2
    assert "api_host='0.0.0.0'" in done.stderr
    assert "CANDLECAST_API_TOKENS" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_new_token_is_printed_with_its_hash(candlecast: Run) -> None:
    """It needs no server."""
    first, second = (candlecast("api", "--new-token").stdout for _ in range(2))

    assert re.fullmatch(
        r"token, for the app: \S{43}\nfor CANDLECAST_API_TOKENS: [0-9a-f]{64}\n", first
    )
    assert first != second
