"""Who signs states, and tells those that are signed."""

import contextlib
import hashlib
import hmac
from collections.abc import Collection

from shared.errors import StateError
from shared.header import split


class Signer:
    """Signs states with a secret key, and checks them with it or the one before.

    Parameters
    ----------
    key
        Secret of this installation.
    previous
        The key before it, accepted but not signed with: so a key rotates without loss.
    modules
        Packages whose classes and functions a state may name, beside River's; None where it may
        name nothing: then it is read as plain data, whatever is signed.

    Attributes
    ----------
    key_id
        Public name of the key: the first 8 hex digits of its SHA-256.
    """

    def __init__(
        self, key: bytes, previous: bytes | None = None, modules: Collection[str] | None = ()
    ) -> None:
        if not key:
            raise StateError("the state key is empty: set CANDLECAST_STATE_KEY")
        self.key_id = _key_id(key)
        self.modules = None if modules is None else frozenset(modules)
        self._key = key
        self._keys = {_key_id(secret): secret for secret in (key, previous) if secret}

    def sign(self, content: bytes) -> bytes:
        """Return the HMAC-SHA256 of the content, 32 bytes."""
        return hmac.digest(self._key, content, "sha256")

    def knows(self, content: bytes, signature: bytes) -> bool:
        """Whether a known key made this signature; the content itself is not looked at."""
        return any(
            hmac.compare_digest(hmac.digest(key, content, "sha256"), signature)
            for key in self._keys.values()
        )

    def refusal(self, content: bytes) -> StateError:
        """Return why `knows` may have said no, by what the content claims of itself."""
        key_id = None
        with contextlib.suppress(StateError):
            key_id = split(content)[0].get("key")
        if not isinstance(key_id, str):
            return StateError("state is cut short or changed: its header cannot be read")
        if key_id in self._keys:
            return StateError(
                f"state does not match its signature by key {key_id}: it was changed or cut short"
            )
        return StateError(
            f"state signed with key {key_id[:8]!r}, known are {', '.join(self._keys)}: set "
            "CANDLECAST_STATE_KEY_PREVIOUS to the key before, or let the series be rebuilt"
        )


def _key_id(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()[:8]
