"""Header: how the bytes of a state begin, and what they say of themselves before their pickle.

Magic, HMAC-SHA256 of all that follows, length of the header, header (JSON), pickle. Whoever reads a
header without the key may show it, and must not act upon it.
"""

import json
import re
import struct
from typing import Any

from shared.errors import StateError

MAGIC = b"CCST"
LENGTH = struct.Struct(">H")
START = len(MAGIC) + 32
_KEY_ID = re.compile(r"[0-9a-f]{8}")
_FINGERPRINT = re.compile(r"[0-9a-f]{16}")


def split(content: bytes) -> tuple[dict[str, Any], bytes]:
    """Take header and pickle apart; also of bytes that nobody vouches for.

    Raises
    ------
    StateError
        When there is no header.
    """
    try:
        (length,) = LENGTH.unpack_from(content)
        end = LENGTH.size + length
        return dict(json.loads(content[LENGTH.size : end])), content[end:]
    except (RecursionError, TypeError, ValueError, struct.error) as error:
        raise StateError(f"the state's header cannot be read: {error}") from error


def identity_of(raw: bytes) -> str | None:
    """Return what a state is of: its model's fingerprint and the key that signed it, as it says.

    >>> head = b'{"fingerprint": "00c0ffee00c0ffee", "key": "3eb1bd43"}'
    >>> identity_of(MAGIC + bytes(32) + LENGTH.pack(len(head)) + head)
    '00c0ffee00c0ffee-3eb1bd43'
    """
    key_id = key_of(raw)
    print_ = str(split(raw[START:])[0].get("fingerprint")) if key_id else ""
    return f"{print_}-{key_id}" if _FINGERPRINT.fullmatch(print_) else None


def key_of(raw: bytes) -> str | None:
    """Return the id of the key that signed a state, read from its beginning; None of no state.

    >>> head = b'{"key": "3eb1bd43"}'
    >>> key_of(MAGIC + bytes(32) + LENGTH.pack(len(head)) + head + b"a pickle, or its beginning")
    '3eb1bd43'
    """
    try:
        key_id = str(split(raw[START:])[0].get("key"))
    except StateError:
        return None
    return key_id if raw.startswith(MAGIC) and _KEY_ID.fullmatch(key_id) else None
