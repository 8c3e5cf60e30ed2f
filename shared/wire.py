"""To and from bytes: candles as stream fields, forecasts as JSON."""

import hashlib
from collections.abc import Iterable, Mapping

from pydantic import ValidationError

from shared.candle import Candle
from shared.errors import DecodeError, InvalidValue
from shared.forecast import Forecast

_PRICES = ("open", "high", "low", "close", "volume")
CANDLE_FIELDS = ("o", "h", "l", "c", "v")


def decimal(value: float) -> str:
    """Spell a float as the shortest decimal that reads back to the same float64.

    One spelling for each number, so that equal candles have equal bytes.

    >>> decimal(1.0), decimal(0.1), decimal(-0.0)
    ('1', '0.1', '0')
    """
    return repr(float(value) + 0.0).removesuffix(".0")


def encode_candle(candle: Candle) -> tuple[str, str, str, str, str, str]:
    """Return open time and the five numbers as the store sends them."""
    return (str(candle.open_time), *(decimal(getattr(candle, name)) for name in _PRICES))  # type: ignore[return-value]


def decode_candle(entry_id: bytes, numbers: Mapping[bytes, bytes] | list[bytes]) -> Candle:
    """Read one entry of a candle log.

    Raises
    ------
    DecodeError
        When the entry is not a valid candle.
    """
    values = list(numbers.values()) if isinstance(numbers, Mapping) else numbers[1::2]
    try:
        return Candle(int(entry_id.partition(b"-")[0]), *map(float, values))
    except (InvalidValue, TypeError, ValueError) as error:
        raise DecodeError(
            f"candle {entry_id.decode(errors='replace')}: {error}", b" ".join(values)
        ) from error


def slice_digest(entries: Iterable[tuple[bytes, list[bytes]]]) -> str:
    """SHA-1 over ids and fields of log entries, as the commit script computes it."""
    digest = hashlib.sha1(usedforsecurity=False)
    for entry_id, values in entries:
        digest.update(entry_id + b"".join(values))
    return digest.hexdigest()


def encode_forecast(forecast: Forecast) -> bytes:
    """Return the JSON of the public contract."""
    return forecast.model_dump_json().encode()


def decode_forecast(raw: bytes) -> Forecast:
    """Read a published forecast.

    Raises
    ------
    DecodeError
        When the bytes are not a forecast of this schema.
    """
    try:
        return Forecast.model_validate_json(raw)
    except ValidationError as error:
        raise DecodeError(f"not a forecast of a known schema: {error}", raw) from error
