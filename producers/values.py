"""Single values as JSON has them: times in any unit or spelling, and numbers."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from producers.columns import BAND_WIDTH, UNITS
from shared.errors import InvalidValue

_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?\s*")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read_number(name: str, value: object) -> float:
    """Return a number, which may be text: many programs send it so.

    Raises
    ------
    InvalidValue
        When it is none; ``name`` says of which field.

    >>> read_number("close", 7), read_number("close", "42000.10")
    (7.0, 42000.1)
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number or (isinstance(value, str) and _NUMBER.fullmatch(value)):
        try:
            return float(value)  # type: ignore[arg-type]
        except OverflowError:
            pass
    raise InvalidValue(name, value, "must be a number, such as 42000.1")


def read_time(value: object) -> int:
    """Return a time as UTC milliseconds.

    It is ISO 8601, UTC where it names no zone, or a number whose size says whether it is seconds,
    milli-, micro- or nanoseconds (unambiguous for times between 1973 and 2286).

    Raises
    ------
    InvalidValue
        When it is none of these, or no whole millisecond.

    >>> read_time("2024-01-01T01:00+01:00"), read_time(1_704_067_200), read_time("2024-01-01")
    (1704067200000, 1704067200000, 1704067200000)
    """
    ms = _from_number(value) if _is_number(value) else _from_text(value)
    if ms is None:
        remedy = "must be UTC milliseconds, such as 1704067200000, or ISO 8601, to the millisecond"
        raise InvalidValue("open_time", value, remedy)
    return ms


def _is_number(value: object) -> bool:
    if isinstance(value, str):
        return _NUMBER.fullmatch(value) is not None
    return isinstance(value, int | float) and not isinstance(value, bool)


def _from_number(value: object) -> int | None:
    number = Decimal(str(value).strip())
    if not number.is_finite():
        return None
    for lowest, (_, factor, divisor) in UNITS.items():
        if lowest <= number < lowest * BAND_WIDTH:
            ms, rest = divmod(number * factor, divisor)
            return None if rest or ms % 1 else int(ms)
    return None


def _from_text(value: object) -> int | None:
    if not isinstance(value, str):
        return None
    try:
        time = datetime.fromisoformat(value.strip())
    except ValueError:
        return None
    since = (time if time.tzinfo else time.replace(tzinfo=UTC)) - _EPOCH
    ms, rest = divmod(since, timedelta(milliseconds=1))
    return None if rest else ms
