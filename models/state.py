"""A learner as signed, versioned bytes: exact, and never unpickled unsigned."""

import contextlib
import hashlib
import hmac
import io
import json
import pickle
import sys
from collections.abc import Collection
from functools import cache
from typing import Any

import numpy as np
from river.__version__ import __version__ as river_version

from models import catalog
from models.allowed import is_in, is_its_own, may_name, method_of
from models.learner import Learner
from shared.candle import Series
from shared.errors import OtherModel, StateError
from shared.header import LENGTH, MAGIC, START, split

FORMAT = 5
"""Version of the bytes; part of the fingerprint."""

_VERSIONS = {"numpy": np.__version__, "river": river_version}

# What a user's estimators may take of a state: it is written to Redis every few candles.
_LARGEST = 16 << 20

# Not of the bytes' making: to learn a series again would throw away what is in them.
_SURROUNDINGS = (MemoryError, OSError)


class Signer:
    """Signs states with a secret key, and checks them with it or the one before.

    Parameters
    ----------
    key
        Secret of this installation.
    previous
        The key before it, accepted but not signed with: so a key rotates without loss.
    modules
        Packages whose classes and functions a state may name, beside ours and River's.

    Attributes
    ----------
    key_id
        Public name of the key: the first 8 hex digits of its SHA-256.
    """

    def __init__(
        self, key: bytes, previous: bytes | None = None, modules: Collection[str] = ()
    ) -> None:
        if not key:
            raise StateError("the state key is empty: set CANDLECAST_STATE_KEY")
        self.key_id = _key_id(key)
        self.modules = frozenset(modules)
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


@cache
def fingerprint(model: str, horizon: int) -> str:
    """Return 16 hex digits that name what a state belongs to.

    Model name and version, its parameters, the horizon, the hash of the shipped constants and the
    format of the state; neither the release of the code nor the versions of the libraries.
    """
    speaker, challenger = catalog.roles(model)
    entry = catalog.model(speaker)
    facts = [speaker, entry.version, dict(entry.parameters), horizon, entry.constants, FORMAT]
    facts += [fingerprint(challenger, horizon)] if challenger else []
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


@cache
def _facts(fingerprint: str, key_id: str) -> str:
    """Return what the headers of many series have in common: JSON but for its last brace."""
    facts = {"format": FORMAT, "fingerprint": fingerprint, "key": key_id, "libraries": _VERSIONS}
    return json.dumps(facts)[:-1]


def _header(fingerprint: str, key_id: str, series: str) -> bytes:
    header = f'{_facts(fingerprint, key_id)}, "series": {json.dumps(series)}}}'.encode()
    return LENGTH.pack(len(header)) + header


def dump(learner: Learner, signer: Signer, series: Series) -> bytes:
    """Return the learner as signed bytes that continue bit-identically when loaded.

    Laid out as `shared.header` says; in the header are format, fingerprint, series, key and library
    versions.
    """
    return sealed(body(learner, signer.modules), learner, signer, series)


def body(learner: Learner, modules: Collection[str] = ()) -> bytes:
    """Return the learner as bytes for this process alone: nobody else must take them up.

    What a user's estimators hold that could not be read back is forgotten, and they begin anew.
    """
    learner.forget_unless(lambda value: _can_be_read(value, modules))
    return pickle.dumps(learner.__getstate__(), protocol=5)


def _can_be_read(value: Any, modules: Collection[str]) -> str:
    """Return why something could not be read back from a state; nothing where it could."""
    try:
        raw = pickle.dumps(value, protocol=5)
        _Unpickler(io.BytesIO(raw), modules).load()
    except _SURROUNDINGS:
        raise
    except Exception as error:  # noqa: BLE001 -- whatever it is made of
        return f"{type(error).__name__}: {error}"
    if len(raw) > _LARGEST:
        return f"it takes {len(raw) >> 20} MB of a state, {_LARGEST >> 20} at most"
    return ""


def sealed(body: bytes, learner: Learner, signer: Signer, series: Series) -> bytes:
    """Return what `dump` does, of a learner whose body is there already."""
    print_ = fingerprint(learner.model, learner.horizon)
    content = _header(print_, signer.key_id, str(series)) + body
    return MAGIC + signer.sign(content) + content


def take_up(body: bytes, into: Learner) -> Learner:
    """Read what `body` returned in this process; ``into`` is as for `load`.

    Raises
    ------
    StateError
        When it cannot be read.
    """
    try:
        return _take_up(pickle.loads(body), into)  # noqa: S301 -- it never left the process
    except _SURROUNDINGS:
        raise
    except Exception as error:
        raise StateError(f"{type(error).__name__}: {error}") from error


def load(
    raw: bytes, signer: Signer, fingerprint: str | None, series: Series, into: Learner | None = None
) -> Learner:
    """Read what `dump` returned; before the signature is known to be ours, nothing in it is.

    Parameters
    ----------
    fingerprint
        Of the model that is wanted; None for whichever it is of.
    into
        A learner that nobody needs any more. Where it is of the same kind it takes up the state, in
        a fifth of the time that loading into a new one takes; after an error it is of no use.

    Raises
    ------
    OtherModel
        When it is of another fingerprint.
    StateError
        When the bytes are no state, not signed by a known key, of another series or format, or
        cannot be read.
    """
    signature, content = raw[len(MAGIC) : START], raw[START:]
    if not raw.startswith(MAGIC):
        raise StateError(f"not a saved state: it begins with {raw[:8]!r}")
    if not signer.knows(content, signature):
        raise signer.refusal(content)
    body = _body(content, signer, fingerprint, str(series))
    try:
        held = _Unpickler(io.BytesIO(body), signer.modules).load()
        return _take_up(held, into, signer.modules)
    except _SURROUNDINGS:
        raise
    except Exception as error:  # whatever classes of another version make of what was theirs
        raise StateError(
            f"state cannot be read ({type(error).__name__}: {error}); it was written with "
            f"{split(content)[0].get('libraries')}, here are {_VERSIONS}"
        ) from error


def recast(raw: bytes, signer: Signer, series: Series, into: Learner) -> Learner:
    """Go on from a state of another pair of models, where what speaks now is one of both there.

    Raises
    ------
    StateError
        As `load` does, or where it is not.
    """
    found = load(raw, signer, None, series)
    is_known = split(raw[START:])[0]["fingerprint"] == fingerprint(found.model, found.horizon)
    other = found.recast(into.model) if is_known and found.kind == into.kind else None
    if other is None:
        raise OtherModel(f"state of {found.model}, wanted {into.model}")
    into.recall(other.memory())
    return into


def _body(content: bytes, signer: Signer, fingerprint: str | None, series: str) -> bytes:
    """Return the pickle behind the header, if that names what is wanted."""
    # As a rule it was written just like this; then it need not be read.
    usual = _header(fingerprint or "", signer.key_id, series)
    if content.startswith(usual):
        return content[len(usual) :]
    header, body = split(content)
    wanted = {"format": FORMAT, "fingerprint": fingerprint, "series": series}
    for name, value in wanted.items():
        if value is not None and header.get(name) != value:
            kind = OtherModel if name == "fingerprint" else StateError
            raise kind(f"state of {name} {header.get(name)}, wanted {value}")
    return body


def _check_model(name: str, modules: Collection[str]) -> None:
    """Refuse to import what a state names as its model, unless it is allowed or there already."""
    for path in catalog.paths(name):
        module = path.replace(":", ".").rpartition(".")[0]
        if module not in sys.modules and not is_in(module, modules):
            raise StateError(
                f"its model {path} is in no package that CANDLECAST_STATE_MODULES names"
            )


def _take_up(held: Any, into: Learner | None, modules: Collection[str] = ()) -> Learner:
    if not isinstance(held, tuple):
        raise TypeError(f"it holds a {type(held).__name__}, not a learner's parameters and memory")
    parameters, memory = held
    if into is None or into.parameters != parameters:
        _check_model(parameters["model"], modules)
        into = Learner(**parameters)
    into.recall(memory)
    return into


def _key_id(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()[:8]


class _Unpickler(pickle.Unpickler):
    """Finds classes of an allow-list only, as a second wall behind the signature."""

    def __init__(self, file: io.BytesIO, modules: Collection[str] = ()) -> None:
        super().__init__(file)
        self._modules = modules

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("builtins", "getattr"):
            return method_of
        if may_name(module, name, self._modules):
            found = super().find_class(module, name)
            if is_its_own(found, module, name, self._modules):
                return found
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a state")
