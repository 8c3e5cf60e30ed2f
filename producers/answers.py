"""Answers of data services: where their rows are, and which of their fields mean what."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import structlog

from producers.checks import COLUMNS
from producers.rows import ExchangeError
from producers.values import read_time
from shared.errors import InvalidValue

# Names that services give to the fields, the first one that a row has.
_NAMES = {
    "open_time": ("open_time", "openTime", "time", "timestamp", "datetime", "date", "t"),
    "open": ("open", "o"),
    "high": ("high", "h"),
    "low": ("low", "l"),
    "close": ("close", "c"),
    "volume": ("volume", "v", "vol"),
}
_SHOWN = 200

log = structlog.get_logger(__name__)


def read_rows(
    answer: object, rows: str = "", fields: Mapping[str, str] | None = None
) -> list[list[Any]]:
    """Return rows of open time (UTC milliseconds), open, high, low, close and volume, in order.

    Rows without a time belong nowhere: they are logged and left out.

    Parameters
    ----------
    answer
        What a service answered: a list of objects or of lists, or an object that holds one.
    rows
        Where in the answer the list is: keys and positions with dots between, as in
        ``data.0.candles``.
    fields
        Names or positions of fields in a row, where they are not the usual ones; ``quote.open``
        lies deeper. Rows that are lists have the fields in the order above.

    Raises
    ------
    ExchangeError
        When there is no such list, or its rows lack a field other than the volume.

    Examples
    --------
    >>> answer = {"data": [{"t": 1704067200, "o": "1", "h": "3", "l": "1", "c": "2", "v": 5}]}
    >>> read_rows(answer, "data")
    [[1704067200000, '1', '3', '1', '2', 5]]
    """
    found = _at(answer, rows)
    if not isinstance(found, list):
        place = f"at {rows!r}" if rows else "at its top"
        raise ExchangeError(
            f"the answer has no list {place} but {_told(found)}: say in `rows` where its rows are, "
            f"such as data.candles (the answer is {_told(answer)})"
        )
    if not found:
        return []
    places = _places(found[0], fields or {})
    timed = [read for row in found if (read := _timed([_at(row, place) for place in places]))]
    if without := len(found) - len(timed):
        example = str(next(row for row in found if not _timed([_at(row, places[0])])))[:_SHOWN]
        if not timed:
            raise ExchangeError(
                f"no row has a time at {places[0]!r}, such as {example}: say in `fields` which of "
                "a row's fields is open_time"
            )
        log.warning("rows_without_time", rows=without, example=example)
    return sorted(timed, key=lambda row: int(row[0]))


def _timed(row: Sequence[Any]) -> list[Any] | None:
    try:
        return [read_time(row[0]), *row[1:]]
    except InvalidValue:
        return None


def _places(row: object, fields: Mapping[str, str]) -> list[str]:
    """Return where the fields of a candle are in rows like this one."""
    usual: Mapping[str, tuple[str, ...]] = _NAMES
    if isinstance(row, list):
        usual = {name: (str(position),) for position, name in enumerate(COLUMNS)}
    places = []
    for name in COLUMNS:
        known = (fields[name],) if name in fields else usual[name]
        place = next((place for place in known if any(True for _ in _lookup(row, place))), None)
        # Markets without trades of their own (indices) have no volume.
        if place is None and name != "volume":
            raise ExchangeError(
                f"rows have no {name} at {' or '.join(known)} but {_told(row)}: say in `fields` "
                f"where it is, such as {name}={known[0]}"
            )
        places.append(place or known[0])
    return places


def _at(found: object, path: str) -> Any:
    """Return what lies at a dotted path; None where nothing does."""
    return next(_lookup(found, path), None)


def _lookup(found: object, path: str) -> Iterator[Any]:
    """Yield what lies at a dotted path, which may be null."""
    first, _, rest = path.partition(".")
    if not path:
        yield found
    elif isinstance(found, dict) and path in found:
        yield found[path]
    elif isinstance(found, dict) and first in found:
        yield from _lookup(found[first], rest)
    elif isinstance(found, list) and first.isdecimal() and int(first) < len(found):
        yield from _lookup(found[int(first)], rest)


def _told(found: object) -> str:
    """Say what something is, without what it holds: that may be a secret."""
    if isinstance(found, dict):
        return f"an object of {', '.join(map(str, found)) or 'nothing'}"[:_SHOWN]
    if isinstance(found, list):
        return f"a list of {len(found)}"
    return "nothing" if found is None else f"a {type(found).__name__}"
