"""The commands `dead-letters` on a real server."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from shared.candle import Candle, Series
from shared.records import DeadLetter
from shared.store import Store

HOUR = 3_600_000
T0 = 1_600_000_000_000 // HOUR * HOUR
BTC, ETH = (Series.parse(f"test:{symbol}/USDT:1h") for symbol in ("BTC", "ETH"))
COMMAND = str(Path(sys.executable).with_name("candlecast"))
Run = Callable[..., "subprocess.CompletedProcess[str]"]


class Server(Protocol):
    """The database of the test."""

    env: dict[str, str]


@pytest.fixture
def letters(store: Store) -> Store:
    """A store with three dead letters: revised, of a file's row, and one that raised."""
    store.append(BTC, [Candle(T0, 100, 101, 99, 100, 5.0)])
    store.append(BTC, [Candle(T0, 5, 6, 4, 5, 1.0)])
    row = json.dumps({"open_time": str(T0 + HOUR), "open": "\x1b[2J"})
    put = store.dead_letters.put
    put(ETH, DeadLetter(candle=row, reason="invalid", error="x.csv: row 2: no number"))
    error = "Traceback (most recent call last):\n  File \x1b]0;gone\x07\nValueError: too hot"
    put(BTC, DeadLetter(candle=f"{T0} 1 2 3", reason="model raised", error=error))
    return store


def test_dead_letters_are_a_line_each_the_newest_first(letters: Store, candlecast: Run) -> None:
    """Id, time, series, candle and the last line of the error; the rest is counted."""
    ids = [letter.id for letter in letters.dead_letters.newest()]

    done = candlecast("dead-letters", "list", "--count", "2")

    lines = [line.split("  ") for line in done.stdout.splitlines()]
    assert [line[0] for line in lines] == ids[:2]
    assert [line[2:] for line in lines] == [
        [str(BTC), "candle 2020-09-13 12:00", "model raised: ValueError: too hot"],
        [str(ETH), "candle 2020-09-13 13:00", "invalid: x.csv: row 2: no number"],
    ]
    assert "1 more" in done.stderr
    filtered = candlecast("dead-letters", "list", str(BTC), "--reason", "revised").stdout
    assert [line.split()[0] for line in filtered.splitlines()] == [ids[2]]


def test_dead_letters_as_json_hold_all_fields(letters: Store, candlecast: Run) -> None:
    """A program reads what was kept, with times in milliseconds."""
    newest, *_ = letters.dead_letters.newest()

    said = json.loads(candlecast("dead-letters", "list", "--count", "1", "--json").stdout)

    assert said == {
        "dead_letters": [
            {
                "id": newest.id,
                "time_ms": newest.time_ms,
                "series": str(BTC),
                "candle_open_time": T0,
                "candle": f"{T0} 1 2 3",
                "reason": "model raised",
                "error": newest.error,
            }
        ],
        "more": 2,
    }


def test_a_dead_letter_is_shown_whole_and_harmless(letters: Store, candlecast: Run) -> None:
    """The traceback is there; what would command the terminal is spelled out."""
    raised, row, _ = letters.dead_letters.newest()

    shown = [candlecast("dead-letters", "show", letter.id).stdout for letter in (raised, row)]

    assert shown[0].splitlines()[-1] == "ValueError: too hot"
    assert "Traceback (most recent call last):" in shown[0]
    assert r"\x1b]0;gone\x07" in shown[0]
    assert "2020-09-13 13:00:00 UTC" in shown[1]
    listed = candlecast("dead-letters", "list").stdout
    assert "\x1b" not in "".join([*shown, listed])


def test_a_misspelt_series_is_told_where_the_dead_letters_are(
    letters: Store, candlecast: Run
) -> None:
    """Nothing found is no error, but not the end of the answer either."""
    done = candlecast("dead-letters", "list", "test:BTC/USD:1h")

    assert (done.returncode, done.stdout) == (0, "")
    assert f"2 of {BTC}, 1 of {ETH}" in done.stderr
    assert candlecast("dead-letters", "export", "test:BTC/USD:1h").stdout == ""
    assert len(list(letters.dead_letters.newest())) == 3


def test_dead_letters_are_exported_and_dropped(
    letters: Store, candlecast: Run, tmp_path: Path
) -> None:
    """Lines of JSON, oldest first, never over an earlier export; then what is named goes."""
    ids = [letter.id for letter in letters.dead_letters.newest()]
    out = tmp_path / "letters.jsonl"

    printed = candlecast("dead-letters", "export").stdout
    assert [json.loads(line)["id"] for line in printed.splitlines()] == ids[::-1]
    assert candlecast("dead-letters", "export", str(BTC), "--out", str(out)).returncode == 0
    before = out.read_text()
    assert [json.loads(line)["id"] for line in before.splitlines()] == [ids[2], ids[0]]
    assert candlecast("dead-letters", "export", "--out", str(out)).returncode == 2
    assert out.read_text() == before

    both = ("--series", str(BTC), "--reason", "revised")
    assert candlecast("dead-letters", "drop", *both, "--yes").stdout == "1 dropped\n"
    assert [letter.id for letter in letters.dead_letters.newest()] == ids[:2]
    done = candlecast("dead-letters", "drop", ids[1], ids[2], "--yes")
    assert (done.returncode, done.stdout) == (1, "1 dropped\n")
    assert "1 of these ids are not there" in done.stderr
    misspelt = candlecast("dead-letters", "drop", "--series", "nope", "--yes")
    assert (misspelt.returncode, misspelt.stdout) == (0, "0 dropped\n")
    assert "no such dead letters; there are 1 of" in misspelt.stderr
    assert candlecast("dead-letters", "drop", "--all", "--yes").stdout == "1 dropped\n"
    assert list(letters.dead_letters.newest()) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["drop", "--all"], "--yes"),
        (["drop", "--yes"], "say which"),
        (["drop", "--all", "--series", str(BTC), "--yes"], "say which"),
        (["drop", "17", "--yes"], "<milliseconds>-<number>"),
        (["drop", "--reason", "mdoel raised", "--yes"], "'model raised'"),
        (["show", "17-0-0"], "<milliseconds>-<number>"),
        (["show", "17-0"], "no dead letter 17-0"),
        (["list", "--reason", "x"], "'revised'"),
    ],
)
def test_what_is_not_clear_is_not_done(
    letters: Store, candlecast: Run, arguments: list[str], says: str
) -> None:
    """One line with the remedy, exit code 2, and no letter is gone."""
    done = candlecast("dead-letters", *arguments)

    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert says in done.stderr
    assert len(list(letters.dead_letters.newest())) == 3


@pytest.mark.parametrize(("answer", "code", "left"), [("n", 1, 3), ("y", 0, 0)])
def test_on_a_terminal_one_is_asked(
    letters: Store, server: Server, answer: str, code: int, left: int
) -> None:
    """Only a yes drops anything."""
    ours, theirs = os.openpty()
    os.write(ours, f"{answer}\n".encode())

    done = subprocess.run(
        [COMMAND, "dead-letters", "drop", "--all"],
        stdin=theirs,
        env=server.env,
        capture_output=True,
        text=True,
        check=False,
    )
    os.close(ours)
    os.close(theirs)

    assert "Drop 3 dead letters for good?" in done.stderr
    assert done.returncode == code
    assert len(list(letters.dead_letters.newest())) == left


@pytest.mark.parametrize("count", ["0", "9" * 20])
def test_an_impossible_number_is_refused(candlecast: Run, count: str) -> None:
    """It is no traceback."""
    done = candlecast("dead-letters", "list", "--count", count)

    assert done.returncode == 2
    assert "Invalid value for '--count'" in done.stderr
