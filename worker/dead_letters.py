"""Dead letters for those who look after them: picked, and written as text or JSON."""

import json
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from shared.dead_letters import REASONS, DeadLetters, KeptLetter
from shared.errors import CandlecastError, InvalidValue

# Redis refuses numbers beyond 64 bits.
_ID = re.compile(r"\d{1,19}-\d{1,19}", re.ASCII)
_TIME = re.compile(r"\d{1,13}", re.ASCII)
_SHORT = 100


def checked_ids(letter_ids: Sequence[str]) -> list[str]:
    """Return the ids, each once.

    Raises
    ------
    InvalidValue
        When one is none.
    """
    for letter_id in letter_ids:
        if not _ID.fullmatch(letter_id):
            remedy = (
                "an id is <milliseconds>-<number>, as `candlecast dead-letters list` shows them"
            )
            raise InvalidValue("id", letter_id, remedy)
    return list(dict.fromkeys(letter_ids))


def matching(letters: DeadLetters, series: str | None, reason: str | None) -> Iterator[KeptLetter]:
    """Yield the letters of a series and a reason, the newest first.

    Raises
    ------
    InvalidValue
        When nothing is ever set aside for such a reason.
    """
    if reason is not None and reason not in REASONS:
        raise InvalidValue("reason", reason, f"use one of {', '.join(map(repr, REASONS))}")
    return (letter for letter in letters.newest(series) if reason in (None, letter.reason))


def found(letters: DeadLetters, letter_id: str) -> KeptLetter:
    """Return one letter.

    Raises
    ------
    CandlecastError
        When it is not, or no longer, there.
    """
    (checked,) = checked_ids([letter_id])
    letter = letters.get(checked)
    if letter is None:
        raise CandlecastError(f"there is no dead letter {letter_id}; the oldest go by themselves")
    return letter


def nothing(letters: DeadLetters) -> str:
    """Say that there are none such; and where there are others, so that a misspelt name shows."""
    counts = Counter(letter.series for letter in letters.newest())
    others = ", ".join(f"{count} of {printable(name)}" for name, count in counts.most_common(10))
    return f"no such dead letters; there are {others}" if others else "no dead letters"


def as_json(letter: KeptLetter) -> dict[str, Any]:
    """Return all of a letter, ready for JSON; times are UTC milliseconds."""
    return {
        "id": letter.id,
        "time_ms": letter.time_ms,
        "series": letter.series,
        "candle_open_time": candle_open_time(letter),
        "candle": letter.candle,
        "reason": letter.reason,
        "error": letter.error,
    }


def line(letter: KeptLetter) -> str:
    """Return a letter as one line; the last line of an error says most."""
    opens = candle_open_time(letter)
    lines = letter.error.strip().splitlines() or [""]
    return "  ".join(
        (
            *(letter.id, _utc(letter.time_ms), printable(letter.series)),
            f"candle {'of unknown time' if opens is None else _utc(opens)[:-3]}",
            f"{printable(letter.reason)}: {printable(lines[-1])[:_SHORT]}",
        )
    )


def page(letter: KeptLetter) -> str:
    """Return all of a letter, for people."""
    opens = candle_open_time(letter)
    rows = {
        "id": letter.id,
        "set aside": f"{_utc(letter.time_ms)} UTC",
        "series": printable(letter.series),
        "candle of": "unknown time" if opens is None else f"{_utc(opens)} UTC",
        "candle": printable(letter.candle),
        "reason": printable(letter.reason),
    }
    error = "\n".join(printable(text) for text in letter.error.rstrip().splitlines())
    return "\n".join([*(f"{name:<10} {text}" for name, text in rows.items()), "", error])


def candle_open_time(letter: KeptLetter) -> int | None:
    """Return the candle's open time; None where what was refused does not say it.

    A candle from a log begins with it; a row of a file has it by name, one of an exchange first.
    """
    text = letter.candle
    try:
        row = json.loads(text) if text[:1] in ("{", "[") else text.split()
        first = str(row["open_time"] if isinstance(row, dict) else row[0])
    except (ValueError, LookupError, RecursionError):
        return None
    return int(first) if _TIME.fullmatch(first) else None


def printable(text: str) -> str:
    r"""Escape what would move the cursor or worse: rows of strangers stand in dead letters.

    >>> print(printable("BTC\x1b[2J"))
    BTC\x1b[2J
    """
    return "".join(
        char if char.isprintable() or char == "\t" else repr(char)[1:-1] for char in text
    )


def _utc(time_ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time_ms / 1_000))
