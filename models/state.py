"""A learner as signed, versioned bytes: exact, and never unpickled unsigned."""

import io
import pickle
import sys
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Any

from models import catalog, constants
from models.allowed import is_in
from models.conformal import told_of
from models.envelope import FORMAT, VERSIONS, fingerprint, header, inside, verified
from models.learner import Learner
from models.signer import Signer
from models.unpickler import Foreign, Plain, Unpickler
from shared.candle import Series
from shared.errors import StateError
from shared.header import MAGIC, split

__all__ = [
    "FORMAT",
    "Signer",
    "body",
    "dump",
    "fingerprint",
    "load",
    "sealed",
    "take_up",
]

# What a user's estimators may take of a state: it is written to Redis every few candles.
_LARGEST = 16 << 20

# Not of the bytes' making: to learn a series again would throw away what is in them.
SURROUNDINGS = (MemoryError, OSError, KeyboardInterrupt)


def dump(learner: Learner, signer: Signer, series: Series) -> bytes:
    """Return the learner as signed bytes that continue bit-identically when loaded.

    Laid out as `shared.header` says; in the header are format, fingerprint, series, key and library
    versions.
    """
    return sealed(body(learner, signer.modules, to_be_read=True), learner, signer, series)


def body(
    learner: Learner, modules: Collection[str] | None = (), *, to_be_read: bool = False
) -> bytes:
    """Return the learner as bytes for this process alone, unless it is to be read by others too.

    What a user's estimators hold that could not be saved, or then not be read back, is forgotten,
    and they begin anew.
    """
    if learner.is_ours:
        return _pickled(learner)
    try:
        raw = _pickled(learner)
        is_sound = len(raw) <= _LARGEST
        if is_sound and to_be_read:
            _read(raw, modules)
    except (MemoryError, KeyboardInterrupt):
        raise
    except BaseException:  # noqa: BLE001 -- whatever a user's estimators are made of
        is_sound = False
    if is_sound:
        return raw
    learner.forget_unless(lambda value: _can_be_read(value, modules))
    return _pickled(learner)


def _pickled(learner: Learner) -> bytes:
    """Return parameters, arrays, the values that are of no one model, and those of each.

    Values are pickles in the pickle: they are read only where they are wanted.
    """
    parameters, (arrays, own, *plain) = learner.__getstate__()
    parts: list[tuple[str, int, bytes]] = []
    at = 0
    for name, (numbers, values) in zip(catalog.roles(learner.model), learner.shares, strict=False):
        end = at + values - (not parts)
        told = pickle.dumps(plain[at:end], protocol=5)
        parts.append((fingerprint(name, learner.horizon), numbers, told))
        at = end
    both = pickle.dumps((own, plain[at:]), protocol=5)
    return pickle.dumps((parameters, arrays, both, parts), protocol=5)


def _can_be_read(value: Any, modules: Collection[str] | None) -> str:
    """Return why something could not be read back from a state; nothing where it could."""
    try:
        raw = pickle.dumps(value, protocol=5)
        values_of(raw, modules)
    except (MemoryError, KeyboardInterrupt):
        raise
    except BaseException as error:  # noqa: BLE001 -- whatever it is made of; no file of ours is read
        return told_of(error)
    if len(raw) > _LARGEST:
        return f"it takes {len(raw) >> 20} MB of a state, {_LARGEST >> 20} at most"
    return ""


def sealed(body: bytes, learner: Learner, signer: Signer, series: Series) -> bytes:
    """Return what `dump` does, of a learner whose body is there already."""
    print_ = fingerprint(learner.model, learner.horizon)
    content = header(print_, signer.key_id, str(series)) + body
    return MAGIC + signer.sign(content) + content


def take_up(body: bytes, into: Learner) -> Learner:
    """Read what `body` returned in this process; ``into`` is as for `load`.

    Raises
    ------
    StateError
        When it cannot be read.
    """
    try:
        return _take_up(_unpacked(pickle.loads(body), pickle.loads), into)  # noqa: S301 -- it never left the process
    except (MemoryError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise StateError(told_of(error)) from error


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
    content = verified(raw, signer)
    body = inside(content, signer, fingerprint, str(series))
    try:
        held = _read(body, signer.modules)
        return _take_up(held, into, signer.modules)
    except SURROUNDINGS:
        raise
    except BaseException as error:  # whatever classes of another version make of what was theirs
        raise StateError(
            f"state cannot be read ({told_of(error)}); it was written with "
            f"{split(content)[0].get('libraries')}, here are {VERSIONS}"
        ) from error


def check_model(name: str, modules: Collection[str] | None) -> None:
    """Refuse to import what a state names as its model, unless it is allowed or there already.

    Where a state may name nothing of River's (``modules`` is None), that is no model of it either.
    """
    if modules is None and catalog.has_river(name):
        raise StateError(f"its model {name} is a River model, and none is set here")
    for path in catalog.paths(name):
        module, _, last = path.replace(":", ".").rpartition(".")
        is_there = last in vars(sys.modules.get(module, object))
        if not is_in(module, modules or ()) and not is_there:
            raise StateError(
                f"its model {path} is in no package that CANDLECAST_STATE_MODULES names"
            )
    for role in catalog.roles(name):
        if not constants.may_be_named(catalog.prior_of(role)):
            raise StateError(f"its model {role} names no prior")


def _take_up(held: Any, into: Learner | None, modules: Collection[str] | None = ()) -> Learner:
    parameters, memory = held
    if into is None or into.parameters != parameters:
        check_model(parameters["model"], modules)
        into = Learner(**parameters)
    into.recall(memory)
    return into


def _read(body: bytes, modules: Collection[str] | None) -> tuple[dict[str, Any], tuple[Any, ...]]:
    """Return the parameters and the memory of what a state holds."""
    return _unpacked(outer(body), partial(values_of, modules=modules))


def outer(body: bytes) -> tuple[Any, ...]:
    """Return parameters, arrays and values not read yet, as `_pickled` puts them together."""
    held = Plain(io.BytesIO(body)).load()
    if not isinstance(held, tuple):
        raise TypeError(f"it holds a {type(held).__name__}, not a learner's parameters and memory")
    return held


def _unpacked(
    held: tuple[Any, ...], values: Callable[[bytes], Iterable[Any]]
) -> tuple[dict[str, Any], tuple[Any, ...]]:
    parameters, arrays, both, parts = held
    own, rest = values(both)
    plain = (value for _, _, raw in parts for value in values(raw))
    return parameters, (arrays, own, *plain, *rest)


def values_of(raw: bytes, modules: Collection[str] | None) -> Any:
    """Read values of a state: in C where they are plain data, as those of our own models are."""
    try:
        return Plain(io.BytesIO(raw)).load()
    except Foreign as error:
        if modules is None:
            raise StateError(f"{error}: no River model is set here") from error
        try:
            return Unpickler(io.BytesIO(raw), modules).load()
        except OSError as own:  # of what a user's class does there: no file of ours is read
            raise StateError(told_of(own)) from own
