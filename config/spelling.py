"""How settings that differ by timeframe are spelled: ``1m=2,*=3``."""

from collections.abc import Iterator


def by_timeframe(value: str) -> Iterator[tuple[str, str]]:
    """Yield timeframe and text of each part; a bare text is that of all timeframes, ``*``."""
    for part in filter(None, map(str.strip, value.split(","))):
        name, _, text = part.rpartition("=")
        yield name.strip() or "*", text.strip()


def spelled(value: object) -> str:
    """Return a value as it is read: a range by its ends."""
    return "-".join(map(str, value)) if isinstance(value, tuple) else str(value)
