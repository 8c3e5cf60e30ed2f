"""Bytes of candles: one spelling for each number, and errors that keep what was read."""

import hashlib

import pytest

from shared.candle import Candle
from shared.errors import DecodeError
from shared.wire import decimal, decode_candle, decode_forecast, encode_candle, slice_digest


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"),
        (-0.0, "0"),
        (0.1, "0.1"),
        (1e22, "1e+22"),
        (64123.45, "64123.45"),
        (1e-9, "1e-09"),
    ],
)
def test_each_number_has_one_spelling(value: float, text: str) -> None:
    """Equal numbers are equal bytes, else an equal candle would look revised."""
    assert decimal(value) == text
    assert float(text) == value


def test_a_candle_reads_back_from_its_log_entry() -> None:
    """What was appended is what is learned."""
    candle = Candle(1_600_000_000_000, 1.5, 2.25, 1.0, 2.0, 0.0)
    open_time, *numbers = encode_candle(candle)
    flat = [part.encode() for pair in zip("ohlcv", numbers, strict=True) for part in pair]

    assert decode_candle(f"{open_time}-0".encode(), flat) == candle


@pytest.mark.parametrize(
    "numbers",
    [[b"o", b"x"], [b"o", b"1"], [b"o", b"2", b"h", b"1", b"l", b"1", b"c", b"1", b"v", b"1"]],
)
def test_an_entry_that_is_no_candle_is_an_error_that_keeps_it(numbers: list[bytes]) -> None:
    """Nonsense, missing fields and impossible prices are told with their bytes."""
    with pytest.raises(DecodeError, match="candle 5-0") as caught:
        decode_candle(b"5-0", numbers)

    assert caught.value.raw == b" ".join(numbers[1::2])


def test_the_digest_is_that_of_ids_and_fields() -> None:
    """The worker's digest is the commit script's: SHA-1 over everything in order."""
    entries = [(b"1-0", [b"o", b"1"]), (b"2-0", [b"o", b"2"])]

    assert slice_digest(entries) == hashlib.sha1(b"1-0o12-0o2").hexdigest()


def test_json_that_is_no_forecast_is_an_error_that_keeps_it() -> None:
    """A reader is told what it read."""
    with pytest.raises(DecodeError) as caught:
        decode_forecast(b'{"schema": 2}')

    assert caught.value.raw == b'{"schema": 2}'
