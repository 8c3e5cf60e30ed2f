"""What a state has made of NumPy's and Python's: here, by functions that look at what they get.

What a state names of these is found here instead. So nobody has NumPy take numbers for the
addresses of objects, or Python call what only looks like something of its own.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from math import prod
from random import Random
from statistics import NormalDist
from types import NoneType
from typing import Any

import numpy as np
from numpy.random import MT19937, PCG64, BitGenerator, Generator, RandomState, SeedSequence

# By which NumPy's arrays are read back; it knows in which order they lay.
_FILLED: Callable[..., Any] = import_module("numpy._core.numeric")._frombuffer  # noqa: SLF001
_SCALAR: Callable[..., Any] = import_module("numpy._core.multiarray").scalar
_BITS: Any = import_module("numpy.random.bit_generator")
# As many numbers has MT19937.
_KEY = 624
_LAST_CHARACTER = 0x10FFFF
# None of nothing: of these any number would fit into no bytes.
_TYPE = re.compile(r"[biufcmMOSU][1-9]\d*")


class Array:
    """Stands for NumPy's arrays where a state names them; it is none, and makes none."""


def refused(what: str) -> ValueError:
    """Return what is raised of what no state does that was written by us.

    What was read is told by its type alone: its own words would be its own methods'.
    """
    return ValueError(f"{what} is not allowed in a state")


def empty_array(kind: object, *_: object) -> Any:
    """Return an empty array, to be filled in."""
    if kind is not Array:
        raise refused("an array of another kind")
    return np.empty(0, np.int8)


def array_over(buffer: Any, dtype: Any, shape: Any, order: Any, axes: Any = None) -> Any:
    """Return an array of bytes, a copy: others may look into those that were read."""
    if type(buffer) not in (bytes, bytearray):
        raise refused(f"an array over a {type(buffer).__name__}")
    _check_bytes(dtype, shape, buffer)
    if type(order) is not str or not (axes is None or _is_of(int, axes)):
        raise refused("an order of other than axes")
    return _FILLED(bytearray(buffer), dtype, shape, order, axes)


def fill_array(array: Any, state: Any) -> None:
    """Fill in an empty array, with as much as its shape says.

    Once: what is filled in again lets go of memory that others may look into.
    """
    if array.size or type(state) is not tuple or len(state) != 5:  # noqa: PLR2004 -- as NumPy has it
        raise refused("an array that is filled in again")
    _, shape, dtype, _, content = state
    if type(content) is list:
        is_of_objects = isinstance(dtype, np.dtype) and dtype.kind == "O"
        if not is_of_objects or _size(shape) != len(content):
            raise refused(f"an array of {len(content)} objects for its shape")
    else:
        _check_bytes(dtype, shape, content)
    array.__setstate__(state)


def _check_bytes(dtype: Any, shape: Any, content: Any) -> None:
    """Refuse what is no bytes of numbers or text, and just as many as there have to be."""
    if not isinstance(dtype, np.dtype) or dtype.hasobject:
        raise refused("an array of objects, of bytes")
    if type(content) not in (bytes, bytearray) or _size(shape) * dtype.itemsize != len(content):
        raise refused("an array of other bytes than its shape takes")
    if dtype.kind == "U":
        points = np.frombuffer(content, np.dtype("u4").newbyteorder(dtype.byteorder))
        if points.size and points.max() > _LAST_CHARACTER:
            raise refused("text of what is no character")


def _size(shape: Any) -> int:
    if not _is_of(int, shape) or min(shape, default=0) < 0:
        raise refused("a shape of other than lengths")
    return prod(shape)


def _is_of(kind: type, found: Any) -> bool:
    return type(found) is tuple and all(type(one) is kind for one in found)


def dtype_of(name: Any, *_: object) -> Any:
    """Return a type of numbers, text or objects, without fields.

    One of its own: those of NumPy are one for everybody, and it may be told a byte order.
    """
    if type(name) is not str or not _TYPE.fullmatch(name):
        raise refused("a dtype of other than a name")
    return np.dtype(name, copy=True)


def fill_dtype(dtype: Any, state: Any) -> None:
    """Tell a type its byte order; all else stays as it is already.

    With fields, or another size or other flags, NumPy would take numbers for objects.
    """
    own = dtype.__reduce__()[2]
    is_data = type(state) is tuple and {*map(type, state)} <= {int, str, NoneType}
    if not is_data or (state[0], *state[2:]) != (own[0], *own[2:]):
        raise refused(f"a dtype other than {dtype}")
    # Some have no order.
    if state[1] not in ((own[1],) if own[1] == "|" else ("<", ">")):
        raise refused(f"a dtype other than {dtype}")
    dtype.__setstate__(state)


def scalar_of(dtype: Any, content: Any) -> Any:
    """Return a number of NumPy's."""
    _check_bytes(dtype, (), content)
    return _SCALAR(dtype, bytes(content))


def bits_of(kind: object) -> Any:
    """Return what draws bits, to be filled in."""
    if kind is MT19937:
        return MT19937()
    if kind is PCG64:
        return PCG64()
    raise refused("bits of another kind")


def generator_of(bits: Any) -> Any:
    """Return a generator that draws by these bits."""
    return Generator(_bits(bits))


def random_state_of(bits: Any) -> Any:
    """Return a random state that draws by these bits."""
    return RandomState(_bits(bits))


def _bits(found: Any) -> BitGenerator:
    if type(found) not in (MT19937, PCG64):
        raise refused(f"bits of a {type(found).__name__}")
    return found  # type: ignore[no-any-return]


def fill_bits(owner: Any, state: Any) -> None:
    """Fill in what draws, by numbers alone.

    MT19937 would read beyond its own where it was told to, and go through what looks like them.
    """
    held = state[0] if type(state) is tuple and state else state
    if type(held) is not dict or type(held.get("state")) is not dict:
        raise refused(f"a state of {type(owner).__name__} of a {type(held).__name__}")
    numbers = {**held["state"]}
    key, place = numbers.pop("key", None), numbers.get("pos", 0)
    is_key = type(key) is np.ndarray and key.dtype.kind == "u" and key.shape == (_KEY,)
    if not (key is None or is_key) or not {*map(type, numbers.values())} <= {int}:
        raise refused("bits of other than numbers")
    if not 0 <= place <= _KEY:
        raise refused(f"a place beyond {_KEY} numbers")
    owner.__setstate__(state)


def fill_random(owner: Any, state: Any) -> None:
    """Fill in Python's own, by numbers alone: it goes through them."""
    is_tuple = type(state) is tuple and len(state) == 3  # noqa: PLR2004 -- as Python has it
    if not is_tuple or not _is_of(int, state[1]):
        raise refused("a state of Random of other than numbers")
    owner.__setstate__(state)


def fill_by_tuple(owner: Any, state: Any) -> None:
    """Fill in what takes its parts one by one."""
    if type(state) is not tuple:
        raise refused(f"{type(owner).__name__} of a {type(state).__name__}")
    owner.__setstate__(state)


def seeds_of(kind: object, checksum: Any, state: object) -> Any:
    """Return a sequence of seeds, to be filled in."""
    if kind is not SeedSequence or type(checksum) is not int or state is not None:
        raise refused("seeds of another kind")
    return _BITS.__pyx_unpickle_SeedSequence(SeedSequence, checksum, None)  # noqa: SLF001


def partial_of(function: Any) -> Any:
    """Return a call that waits for its arguments, to be filled in: none is called while reading."""
    return partial(function)


def fill_partial(owner: Any, state: Any) -> None:
    """Give it arguments: a dict of its own, or whoever has that could fill in others later."""
    if type(state) is not tuple or [*map(type, state[1:])] != [tuple, dict, NoneType]:
        raise refused("a partial with more than arguments")
    function, args, named, _ = state
    # By these an object tells others, such as `copy`, what to call.
    if any(type(name) is not str or name.startswith("__") for name in named):
        raise refused("a partial with such a name")
    owner.__setstate__((function, args, {**named}, None))


def defaultdict_of(factory: Any = None) -> Any:
    """Return a dict with a default: what makes that is not called before it is missed."""
    return defaultdict(factory)


INSTEAD: Mapping[tuple[str, str], Any] = {
    ("collections", "defaultdict"): defaultdict_of,
    ("functools", "partial"): partial_of,
    ("numpy", "dtype"): dtype_of,
    ("numpy", "ndarray"): Array,
    ("numpy._core.multiarray", "_reconstruct"): empty_array,
    ("numpy._core.multiarray", "scalar"): scalar_of,
    ("numpy._core.numeric", "_frombuffer"): array_over,
    ("numpy.random._pickle", "__bit_generator_ctor"): bits_of,
    ("numpy.random._pickle", "__generator_ctor"): generator_of,
    ("numpy.random._pickle", "__randomstate_ctor"): random_state_of,
    ("numpy.random.bit_generator", "__pyx_unpickle_SeedSequence"): seeds_of,
}
"""What is found where a state names these."""

FILL: Mapping[type, Callable[[Any, Any], None]] = {
    MT19937: fill_bits,
    PCG64: fill_bits,
    RandomState: fill_bits,
    Random: fill_random,
    NormalDist: fill_by_tuple,
    SeedSequence: fill_by_tuple,
    np.ndarray: fill_array,
    partial: fill_partial,
}
"""How an instance of exactly these is filled in."""
