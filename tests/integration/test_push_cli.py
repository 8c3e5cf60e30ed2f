"""Candles from a pipe through the real command line and a real server."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest

from shared.candle import Candle, Series
from shared.store import Store
from tests.integration.steps import HOUR, SERIES, T0, candles, walk

if TYPE_CHECKING:
    from tests.conftest import Server

OTHER = Series.parse("test:ETH/USDT:1h")
Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., subprocess.Popen[bytes]]


def line(candle: Candle, series: Series | None = SERIES, **other: Any) -> str:
    """A candle as a line."""
    found = {name: getattr(candle, name) for name in Candle.__slots__}
    named = {} if series is None else {"series": str(series)}
    return json.dumps(named | found | other) + "\n"


def lines(found: list[Candle], series: Series | None = SERIES) -> str:
    """Candles as lines."""
    return "".join(line(candle, series) for candle in found)


def send(process: subprocess.Popen[bytes], text: str) -> None:
    """Write to the pipe of a command, which stays open."""
    pipe: IO[bytes] | None = process.stdin
    assert pipe is not None
    pipe.write(text.encode())
    pipe.flush()


def test_mixed_series_arrive_exactly_and_again_is_duplicates(candlecast: Run, store: Store) -> None:
    """Each candle is in its log with every digit, whatever spelled it; a second time harms none."""
    whole = walk(700)
    text = "".join(line(c) + line(c, OTHER, open_time=c.open_time // 1_000) for c in whole)

    first, second = (candlecast("push", lines=text) for _ in range(2))

    assert (first.returncode, first.stderr) == (second.returncode, second.stderr) == (0, "")
    assert "1400 accepted, 0 duplicates, 0 revised, 0 refused" in first.stdout
    assert "0 accepted, 1400 duplicates, 0 revised, 0 refused" in second.stdout
    assert store.candles(SERIES) == store.candles(OTHER) == whole
    assert store.overview()["jobs"]["candles"] > 0


def test_an_open_pipe_gives_each_candle_as_it_comes(
    start: Start, store: Store, eventually: Callable[..., None], tmp_path: Path
) -> None:
    """Before the pipe ends, and with the series named once."""
    process = start("push", "--series", str(SERIES), stdin=subprocess.PIPE)

    for count in (1, 2, 3):
        send(process, lines(candles(count - 1, 1), None))
        eventually(lambda count=count: store.candles(SERIES) == candles(0, count), "it is there")

    assert process.poll() is None
    process.communicate()
    assert process.returncode == 0
    assert "3 accepted" in (tmp_path / "push-0.log").read_text()


def test_a_bad_line_ends_it_with_its_number(candlecast: Run, store: Store) -> None:
    """Exit code 1; what was before it is there, and counted."""
    text = lines(candles(0, 2)) + line(candles(2, 1)[0], close="n/a") + lines(candles(3, 1))

    done = candlecast("push", lines=text)

    assert done.returncode == 1
    assert done.stderr == "candlecast: line 3: close='n/a': must be a number, such as 42000.1\n"
    assert "2 accepted" in done.stdout
    assert store.candles(SERIES) == candles(0, 2)


def test_skip_bad_keeps_bad_lines_and_goes_on(candlecast: Run, store: Store) -> None:
    """Those of a series are its dead letters; those of none are counted and logged."""
    bad = line(candles(2, 1)[0], close="n/a")

    done = candlecast("push", "--skip-bad", lines=lines(candles(0, 2)) + bad + "{\n" + bad)

    assert done.returncode == 0
    assert "2 accepted" in done.stdout
    assert "2 bad rows in the dead letters; 1 bad lines of no series" in done.stdout
    assert "line 4: line='{'" in done.stderr
    found = list(store.dead_letters.newest())
    assert [(letter.series, letter.candle) for letter in found] == [(str(SERIES), bad.strip())] * 2
    assert found[-1].error.startswith("line 3: close='n/a'")


def test_a_gap_before_the_first_line_ends_it(candlecast: Run, store: Store) -> None:
    """It says from when on to send again; that, or the source's word, is then taken."""
    store.append(SERIES, candles(0, 3))
    text = lines(candles(7, 2))

    done = candlecast("push", lines=text)

    assert done.returncode == 1
    assert f"{SERIES}: the log ends with the candle of {T0 + 2 * HOUR}" in done.stderr
    assert f"send again from {T0 + 3 * HOUR} on" in done.stderr
    assert store.candles(SERIES) == candles(0, 3)
    done = candlecast("push", lines=lines(candles(3, 3)))
    assert (done.returncode, store.candles(SERIES)) == (0, candles(0, 6))
    done = candlecast("push", "--gap-ok", lines=text)
    assert (done.returncode, store.candles(SERIES)) == (0, candles(0, 6) + candles(7, 2))
    assert "; 1 hole" in done.stdout


@pytest.mark.parametrize(
    ("options", "setting", "says"),
    [
        (["--series", "BTC"], {}, "series='BTC': write exchange:symbol:timeframe"),
        ([], {"CANDLECAST_MAX_SERIES": "1"}, "there are 1 series"),
        ([], {"CANDLECAST_REDIS_URL": "redis://127.0.0.1:1/0"}, "Redis at 127.0.0.1:1/0"),
    ],
)
def test_what_is_wrong_around_it_is_one_line(
    options: list[str], setting: dict[str, str], says: str, candlecast: Run, store: Store
) -> None:
    """Exit code 2."""
    store.append(OTHER, candles(0, 1))

    done = candlecast("push", *options, lines=lines(candles(0, 1)), **setting)

    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_closed_input_is_one_line(server: "Server") -> None:
    """Its descriptor may be another's by then, such as that of Redis."""
    command = f"{Path(sys.executable).with_name('candlecast')} push <&-"

    done = subprocess.run(
        ["sh", "-c", command], env=server.env, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "standard input is closed" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_after_what_was_read_is_sent(
    number: signal.Signals,
    start: Start,
    store: Store,
    eventually: Callable[..., None],
    tmp_path: Path,
) -> None:
    """A log that is full when the signal comes has room soon after; the pipe is still open."""
    limited = {"CANDLECAST_MAX_WAITING": "500"}
    process = start("push", stdin=subprocess.PIPE, **limited)
    send(process, lines(walk(520)) + lines(walk(3), OTHER))
    eventually(lambda: len(store.candles(OTHER)) == 3, "the other series goes on")
    eventually(lambda: len(store.candles(SERIES)) == 500, "the log is full")

    process.send_signal(number)
    store.link.redis.hset(store.keys.model(str(SERIES)), "cursor", T0 + 400 * HOUR)

    assert process.wait(timeout=30) == 0
    said = (tmp_path / "push-0.log").read_text()
    assert "523 accepted" in said
    assert "Traceback" not in said
    assert store.candles(SERIES) == walk(520)


def test_what_cannot_be_sent_in_time_is_no_success(
    start: Start, store: Store, eventually: Callable[..., None], tmp_path: Path
) -> None:
    """The summary says how many lines were read and not sent."""
    process = start("push", stdin=subprocess.PIPE, CANDLECAST_MAX_WAITING="500")
    send(process, lines(walk(520)))
    eventually(lambda: len(store.candles(SERIES)) == 500, "the log is full")

    process.send_signal(signal.SIGTERM)

    assert process.wait(timeout=30) == 1
    said = (tmp_path / "push-0.log").read_text()
    assert re.search(r"500 accepted, .*; 20 not pushed", said)


def test_redis_away_is_waited_for(
    server: "Server", start: Start, store: Store, eventually: Callable[..., None], tmp_path: Path
) -> None:
    """Redis takes no writes for a while (too few replicas); what was read goes when it does."""
    process = start("push", stdin=subprocess.PIPE)
    send(process, lines(candles(0, 1)))
    eventually(lambda: store.candles(SERIES) == candles(0, 1), "it has begun")
    store.link.redis.config_set("min-replicas-to-write", 1)
    try:
        send(process, lines(candles(1, 2)))
        said = tmp_path / "push-0.log"
        eventually(lambda: "redis_unavailable" in said.read_text(), "it waits")
    finally:
        store.link.redis.config_set("min-replicas-to-write", 0)

    eventually(lambda: store.candles(SERIES) == candles(0, 3), "it goes on")
    process.communicate()
    assert process.returncode == 0
    assert server.url not in said.read_text()
