"""Rows of candles in answers of every shape."""

from typing import Any

import pytest

from producers.answers import read_rows
from producers.rows import ExchangeError

T0 = 1_704_067_200_000
NUMBERS = [1.0, 3.0, 0.5, 2.0, 7.0]
WANTED = [[T0, *NUMBERS], [T0 + 3_600_000, *NUMBERS]]


def objects(*names: str, times: tuple[Any, Any] = (T0, T0 + 3_600_000)) -> list[dict[str, Any]]:
    """Two rows with fields of these names."""
    return [dict(zip(names, [time, *NUMBERS], strict=False)) for time in times]


LONG = ("open_time", "open", "high", "low", "close", "volume")
SHAPES = {
    "lists": (WANTED, "", {}),
    "objects": (objects(*LONG), "", {}),
    "short names": (objects("t", "o", "h", "l", "c", "v"), "", {}),
    "seconds": (objects("time", *LONG[1:], times=(T0 // 1_000, T0 // 1_000 + 3_600)), "", {}),
    "text": (objects("date", *LONG[1:], times=("2024-01-01", "2024-01-01T01:00:00Z")), "", {}),
    "new to old": (WANTED[::-1], "", {}),
    "inside": ({"data": [{"candles": WANTED}]}, "data.0.candles", {}),
    "a dot in a key": ({"a.b": WANTED}, "a.b", {}),
    "names of its own": (
        [{"when": t, "mid": dict(zip("ohlc", row, strict=False)), "n": 7.0} for t, *row in WANTED],
        "",
        {
            "open_time": "when",
            "volume": "n",
            **{name: f"mid.{name[0]}" for name in ("open", "high", "low", "close")},
        },
    ),
    "another order": (
        [[t, "x", o, c, h, low, v] for t, o, h, low, c, v in WANTED],
        "",
        dict(zip(LONG[1:], "24536", strict=True)),
    ),
}


@pytest.mark.parametrize(("answer", "rows", "fields"), SHAPES.values(), ids=SHAPES)
def test_shapes(answer: Any, rows: str, fields: dict[str, str]) -> None:
    """Each becomes the same rows, in order of time."""
    assert read_rows(answer, rows, fields) == WANTED


def test_what_a_row_lacks_is_left_to_who_reads_candles() -> None:
    """A price that is null is a bad candle of its time; a market may have no volume at all."""
    (first, second) = read_rows([{"t": T0, "o": None, "h": 3, "l": 1, "c": 2}, {"t": T0 + 1}])

    assert first == [T0, None, 3, 1, 2, None]
    assert second == [T0 + 1, *[None] * 5]
    assert read_rows([]) == []


def test_rows_without_a_time_are_left_out() -> None:
    """They belong nowhere."""
    assert read_rows([*WANTED, ["soon", *NUMBERS], None, 7]) == WANTED


WRONG: dict[str, tuple[Any, str, str]] = {
    "an object": (
        {"data": [1], "next": "secret"},
        "",
        "no list at its top but an object",
    ),
    "nothing there": ({"data": {}}, "data.candles", "no list at 'data.candles' but nothing"),
    "text": ("secret", "", "no list at its top but a str"),
    "no close": (
        objects("t", "o", "h", "l"),
        "",
        "no close at close or c but .* t, o, h, l",
    ),
    "short lists": ([[T0, 1.0]], "", "no high at 2 but a list of 2"),
    "rows of text": (["secret"], "", "no open_time at open_time or .* but a str"),
    "no times": (objects(*LONG, times=("a", "b")), "", "no row has a time at 'open_time', such as"),
}


@pytest.mark.parametrize(("answer", "rows", "says"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_read_says_what_is_there_and_what_to_set(
    answer: Any, rows: str, says: str
) -> None:
    """An answer may be wrong for what was set, and hold what nobody should read in a log."""
    with pytest.raises(ExchangeError, match=says) as error:
        read_rows(answer, rows)

    assert "say in `" in str(error.value)
    assert "secret" not in str(error.value)
