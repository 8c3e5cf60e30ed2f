"""The ways to push from one's own program, as the page about them shows them."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.candle import Candle, Series
from shared.keys import Keys
from shared.store import Store
from shared.wire import decimal
from tests.conftest import Server
from tests.integration.examples import ROOT, Run, shown
from tests.integration.steps import HOUR

PAGE = "own-candles.md"
SERIES = Series.parse("mine:BTC/USDT:1h")
T0 = 1_704_067_200_000
# Where languages spell the same number in different ways, and where they just do not.
AWKWARD = [
    *(0.0, 1e-7, 1.5e-7, 1e-5, 9.9999e-5, 1e-4, 0.1, 1 / 3, 1.0, 42_100.0, 123_456.789),
    *(999_999_999_999_999.9, 1e15, 1e16, 1.2345678901234567e19, 1e21, 1e22, 5e-324, 1.7e308),
]


@pytest.fixture
def run(server: Server, tmp_path: Path) -> Run:
    """Run a program in a folder that has what the page says is to be had once."""
    run = Run(tmp_path, server)
    run("sh", "-euc", shown(PAGE, "sh", "config append-script"))
    return run


def awkward() -> list[Candle]:
    """Candles whose volumes are spelled in many ways."""
    return [Candle(T0 + i * HOUR, 2.0, 3.5, 1.0, 2.5, volume) for i, volume in enumerate(AWKWARD)]


def rows(candles: list[Candle]) -> str:
    """Candles as the JSON that the program in Node.js reads."""
    return json.dumps([[getattr(candle, name) for name in Candle.__slots__] for candle in candles])


def test_python(run: Run, store: Store) -> None:
    """Ten lines; what is sent again is counted as such, and a worker is woken."""
    example = shown(PAGE, "python", "Store.connect")

    assert run(sys.executable, "-c", example) == f"3 0 0 None {T0 + 2 * HOUR}\n"
    assert run(sys.executable, "-c", example) == f"0 3 0 None {T0 + 2 * HOUR}\n"

    assert len(example.strip().splitlines()) <= 10
    assert [candle.volume for candle in store.candles(SERIES)] == [7.25] * 3
    assert store.overview()["jobs"]["candles"] == 1


def test_redis_cli(
    run: Run,
    store: Store,
    start: Callable[..., subprocess.Popen[bytes]],
    eventually: Callable[..., None],
) -> None:
    """Candles are in the log as if pushed in Python, and a worker finds them without a doorbell."""
    if shutil.which("redis-cli") is None:
        pytest.skip("redis-cli is not installed")
    example = shown(PAGE, "sh", "EVALSHA")

    answers = [run("sh", "-euc", example).split("\n") for _ in range(2)]

    last = str(T0 + HOUR)
    assert answers == [
        ["ok", *"20000", "", last, "2", "1", ""],
        ["ok", *"02000", "", last, "2", "1", ""],
    ]
    assert store.overview()["jobs"]["candles"] == 0
    start("worker")
    eventually(lambda: store.model(SERIES).sequence == 2, "both are learned")
    pushed = [Candle(T0, 42, 43.5, 41, 42.5, 7.25), Candle(T0 + HOUR, 42.5, 44, 42, 43.125, 0)]
    assert store.candles(SERIES) == pushed
    assert store.append(SERIES, pushed).duplicates == 2


def test_node_js(run: Run, store: Store) -> None:
    """Every number is spelled as in Python, so that both are sources of the same candles."""
    (run.folder / "candles.json").write_text(rows(awkward()))
    (run.folder / "push.mjs").write_text(shown(PAGE, "js", "EVALSHA"))

    said = run("node", "push.mjs")

    count, last = len(AWKWARD), T0 + (len(AWKWARD) - 1) * HOUR
    assert said == f"ok {count} 0 0 0 0  {last} {count} 1\n"
    assert store.candles(SERIES) == awkward()
    answer = store.append(SERIES, awkward())
    assert (answer.duplicates, answer.revised) == (count, 0)


def test_node_js_goes_on_across_batches_and_holes(run: Run, store: Store) -> None:
    """Each append names the candle before it."""
    whole = [
        Candle(T0 + i * HOUR, 2.0, 3.0, 1.0, 2.5, i / 7) for i in (*range(500), *range(505, 900))
    ]
    (run.folder / "candles.json").write_text(rows(whole))
    (run.folder / "push.mjs").write_text(shown(PAGE, "js", "EVALSHA"))

    said = run("node", "push.mjs")

    assert [text.split()[1:6] for text in said.splitlines()] == [
        ["500", "0", "0", "0", "0"],
        ["395", "0", "0", "0", "1"],
    ]
    assert store.candles(SERIES) == whole


def test_the_page_lists_what_the_script_is_given(run: Run, store: Store) -> None:
    """Values of ARGV are the defaults, and KEYS those of the installation."""
    limits = store.limits
    example = shown(PAGE, "sh", "EVALSHA")
    page = (ROOT / "docs" / PAGE).read_text()
    argv = re.findall(r"^\| (\d+) \| `?([^`|]+?)`? \|", page, re.MULTILINE)

    assert [value for _, value in argv] == [
        *(str(limits.claim_series), str(SERIES), str(limits.max_series), str(SERIES.timeframe.ms)),
        *("0", "-1", str(limits.max_waiting), str(limits.unclosed_grace_ms)),
        str(limits.dead_letters),
    ]
    assert " ".join(value for _, value in argv) in example
    assert (run.folder / "append.keys").read_text().split() == Keys().of_scripts
    assert f"The {len(Keys().of_scripts)} KEYS" in page


@pytest.mark.parametrize("number", AWKWARD)
def test_the_page_says_how_numbers_are_spelled(number: float) -> None:
    """An exponent from 1e16 on and below 0.0001, of two digits or more."""
    has_exponent = number != 0 and not 1e-4 <= number < 1e16

    assert bool(re.search(r"e[+-]\d\d+$", decimal(number))) == has_exponent


def test_another_prefix_has_other_keys(run: Run) -> None:
    """The keys are those of the installation whose settings are read."""
    keys = run("env", "CANDLECAST_PREFIX=other:", "candlecast", "config", "append-script", "--keys")

    assert keys.split() == Keys("other:").of_scripts
