"""How settings are spelled: by timeframe (``1m=2,*=3``), hashes, keys and addresses."""

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Annotated

from pydantic import AfterValidator, HttpUrl

_LEAST_BYTES = 24
HORIZONS = {
    **dict.fromkeys(("1m", "3m"), 30),
    **dict.fromkeys(("5m", "10m", "15m", "30m", "1h", "2h", "3h"), 24),
    **dict.fromkeys(("4h", "6h", "8h", "12h"), 12),
    **dict.fromkeys(("1d", "3d"), 7),
    "1w": 4,
}
"""Candles ahead, by timeframe, where nothing else is set."""


def by_timeframe(value: str) -> Iterator[tuple[str, str]]:
    """Yield timeframe and text of each part; a bare text is that of all timeframes, ``*``.

    Raises
    ------
    ValueError
        When one of them is there twice.
    """
    seen: set[str] = set()
    for part in filter(None, map(str.strip, value.split(","))):
        name, _, text = part.rpartition("=")
        name = name.strip() or "*"
        if name in seen:
            raise ValueError(f"{name} is there twice")
        seen.add(name)
        yield name, text.strip()


def ranges(value: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield timeframe and both ends of each part: ``*=0.85-0.95``.

    Raises
    ------
    ValueError
        When a part has not two ends.
    """
    for name, text in by_timeframe(value):
        least, dash, most = text.partition("-")
        if not dash:
            raise ValueError(f"{name}={text} must be lowest and highest, such as 0.85-0.95")
        yield name, (least, most)


def spelled(value: object) -> str:
    """Return a value as it is read: a range by its ends."""
    return "-".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _sha256(text: str) -> str:
    if not re.fullmatch("[0-9a-fA-F]{64}", text):
        raise ValueError("is no hash: `candlecast api --new-token` prints a token with its own")
    return text


Sha256 = Annotated[str, AfterValidator(_sha256)]


def _origin(text: str) -> str:
    if not re.fullmatch(r"https?://[a-z0-9.:\[\]-]+", text):
        raise ValueError(
            f"{text!r} is no origin: write https://app.example, in small letters, no path"
        )
    return text


def _url(text: str) -> str:
    if text:
        HttpUrl(text)
    return text


def _secret(text: str) -> str:
    try:
        key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        key = b""
    if text and (not text.startswith("whsec_") or len(key) < _LEAST_BYTES):
        raise ValueError('is no key: echo "whsec_$(openssl rand -base64 32)" makes one')
    return text


Origin = Annotated[str, AfterValidator(_origin)]
Url = Annotated[str, AfterValidator(_url)]
Secret = Annotated[str, AfterValidator(_secret)]
