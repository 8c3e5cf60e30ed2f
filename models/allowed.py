"""What a saved state may name, and what it may do with it: a second wall behind its signature.

Nothing but what honest pickles do. They say it in `models.unpickler`, by opcode.
"""

import sys
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Collection, Mapping
from random import Random
from statistics import NormalDist
from types import BuiltinFunctionType, FunctionType, MemberDescriptorType, MethodType, NoneType
from typing import Any

import numpy as np
from river._river_rust.vectordict import VectorDict
from river.base import Base
from river.time_series.holt_winters import Component

from models.remade import FILL, INSTEAD, fill_dtype, refused

OURS = {("shared.candle", "Timeframe")}
"""All that the states of our own models name."""
_CODE = (FunctionType, BuiltinFunctionType)
# More than a window of River's has; Rust ends the process where it finds no memory.
_MOST = 1 << 20

# River's packages that only compute: not its streams, caches, data sets and evaluations, which
# read and write files and the network. Of ours nothing: what a learner is made of it derives from
# its parameters.
_PACKAGES = tuple(
    f"river.{name}"
    for name in (
        *("_river_rust", "anomaly", "base", "compose", "covariance", "drift", "dummy", "ensemble"),
        *("facto", "feature_extraction", "feature_selection", "forest", "linear_model", "metrics"),
        *("multioutput", "neighbors", "optim", "preprocessing", "proba", "rules", "stats"),
        *("time_series", "tree"),
    )
)
# Among the detectors, too, lie data sets.
_CLOSED = ("river.drift.datasets",)
_BUILTINS = (
    *("bool", "bytearray", "complex", "dict", "float", "frozenset", "int", "list", "range", "set"),
    *("slice", "str", "tuple"),
)
_GLOBALS = (
    OURS
    | {("builtins", name) for name in _BUILTINS}
    | {("collections", name) for name in ("Counter", "OrderedDict", "deque")}
    | {
        ("numpy.random._mt19937", "MT19937"),
        ("numpy.random._pcg64", "PCG64"),
        ("numpy.random.bit_generator", "SeedSequence"),
        ("random", "Random"),
        ("river._river_rust.vectordict", "euclidean_distance_tuple"),
        ("river.forest.online_extra_trees", "ExtraTrees._detection_mode_all"),
        ("river.tree.splitter.ebst_splitter", "EBSTNode._update_estimator_univariate"),
        ("statistics", "NormalDist"),
    }
)


def _is_number(one: Any) -> bool:
    is_small = type(one) is not int or abs(one) <= _MOST
    return type(one) in (NoneType, bool, int, float) and is_small


def _is_dict(one: Any) -> bool:
    return type(one) in (NoneType, dict)


def _is_empty(one: Any) -> bool:
    return type(one) in (tuple, list) and not one


def _is_anything(_: Any) -> bool:
    return True


# What pickles call of Python's own and of River's, and with what: nothing that would be gone
# through, or asked for anything, while it is read. NumPy's are in `models.remade`.
_CALLED: Mapping[type, tuple[Callable[[Any], bool], ...]] = {
    complex: (_is_number, _is_number),
    range: (_is_number, _is_number, _is_number),
    slice: (_is_number, _is_number, _is_number),
    Counter: (_is_dict,),
    OrderedDict: (),
    Random: (),
    deque: (_is_empty, _is_number),
    Component: (_is_number, _is_number),
    VectorDict: (_is_dict, _is_anything, _is_dict, _is_number),
}


def is_in(module: str, packages: Collection[str]) -> bool:
    """Whether a module is one of these packages, or in one of them."""
    return any(f"{module}.".startswith(f"{one}.") for one in packages)


def may_name(module: str, name: str, packages: Collection[str]) -> bool:
    """Whether a state may name something there, if it is of that module's own."""
    if (module, name) in _GLOBALS:
        return True
    # A dot would lead through what a module has imported, or a class, to any other.
    return "." not in name and (_is_rivers(module) or is_in(module, packages))


def _is_rivers(module: str) -> bool:
    return is_in(module, _PACKAGES) and not is_in(module, _CLOSED)


def is_its_own(found: Any, module: str, name: str, packages: Collection[str]) -> bool:
    """Whether what was found is what may be named: of River's only classes, of others functions."""
    if (module, name) in _GLOBALS:
        return True
    if getattr(found, "__module__", None) != module:
        return False
    return isinstance(found, type) or (isinstance(found, _CODE) and is_in(module, packages))


def method_of(owner: Any, name: str) -> Any:
    """Return a method of an estimator, or of a part of River's: for this alone is `getattr` called.

    As its class has it: what lies in an instance is the state's.
    """
    kind = type(owner)
    if type(name) is not str:
        raise refused(f"{type(name).__name__} of {kind.__name__}")
    is_such = isinstance(owner, Base) or _is_rivers(kind.__module__)
    places = [vars(base) for base in kind.__mro__] if is_such else []
    found = next((place[name] for place in places if name in place), None)
    if name.startswith("__") or not isinstance(found, FunctionType):
        raise refused(f"{name} of {kind.__name__}")
    return MethodType(found, owner)


REPLACED: Mapping[tuple[str, str], Any] = {**INSTEAD, ("builtins", "getattr"): method_of}
"""What is found where a state names these."""


def check_call(function: Any, args: Any, packages: Collection[str]) -> None:
    """Refuse to call what honest pickles do not, or with anything else than they do.

    A user's classes and functions take what they like.
    """
    is_found = isinstance(function, type | FunctionType | BuiltinFunctionType)
    if not is_found or type(args) is not tuple:
        raise refused(f"to call a {type(function).__name__}")
    if function in REPLACED.values() or is_in(function.__module__, packages):
        return
    is_component = isinstance(function, type) and issubclass(function, Component)
    may_be = _CALLED.get(Component if is_component else function)
    if may_be is None:
        raise refused(f"to call {function.__qualname__}")
    if len(args) > len(may_be):
        raise refused(f"{function.__qualname__} of so much")
    for may, one in zip(may_be, args, strict=False):
        if not may(one):
            raise refused(f"{function.__qualname__} of a {type(one).__name__}")


def check_new(kind: Any, args: Any, packages: Collection[str], *, by_name: bool = False) -> None:
    """Refuse to make an instance of anything but a class of River's, of numbers, or of a user's."""
    if not isinstance(kind, type) or issubclass(kind, type) or type(args) is not tuple:
        raise refused(f"an instance of a {type(kind).__name__}")
    if is_in(kind.__module__, packages):
        return
    if by_name or not (_is_rivers(kind.__module__) or kind is NormalDist):
        raise refused(f"an instance of {kind.__qualname__}")
    for one in args:
        if not _is_number(one):
            raise refused(f"{kind.__qualname__} of a {type(one).__name__}")


def fill_in(owner: Any, state: Any, packages: Collection[str]) -> None:
    """Fill in an instance, in the way of its class; what there is once for all stays as it is.

    With dicts that nobody else holds, or could fill in later, and by no names by which an object
    tells others, such as `copy`, what to call.
    """
    kind = type(owner)
    is_users = is_in(kind.__module__, packages)
    if isinstance(owner, np.dtype):
        fill_dtype(owner, state)
    elif kind in FILL:
        FILL[kind](owner, state)
    elif (is_users or _is_rivers(kind.__module__)) and not isinstance(owner, type):
        _fill(owner, state, is_users=is_users)
    else:
        raise refused(f"to change a {kind.__name__}")


def _fill(owner: Any, state: Any, *, is_users: bool) -> None:
    way = getattr(type(owner), "__setstate__", None)
    if way and type(state) is dict:
        way(owner, _named(state))
    elif way and (is_users or type(state) is bytes):
        way(owner, state)
    elif way:
        raise refused(f"{type(owner).__name__} of a {type(state).__name__}")
    else:
        by_name, by_slot = state if type(state) is tuple else (state, None)
        if by_name is not None:
            vars(owner).update(_named(by_name))
        for name, value in _named({} if by_slot is None else by_slot).items():
            if not isinstance(getattr(type(owner), name, None), MemberDescriptorType):
                raise refused(f"{name} of {type(owner).__name__}")
            setattr(owner, name, value)


def _named(state: Any) -> dict[str, Any]:
    """Return a copy of what is to be filled in by name; each name is one text, and saved once."""
    if type(state) is not dict:
        raise refused(f"to fill in a {type(state).__name__}")
    for name in state:
        if type(name) is not str or name.startswith("__"):
            raise refused(f"{name if type(name) is str else type(name)} in an instance")
    return {sys.intern(name): value for name, value in state.items()}
