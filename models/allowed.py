"""What a saved state may name: a second wall behind its signature."""

from collections import deque
from collections.abc import Callable, Collection, Mapping
from functools import partial
from importlib import import_module
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, Self

import numpy as np
from river.base import Base

OURS = {("shared.candle", "Timeframe")}
"""All that the states of our own models name."""
_CODE = (FunctionType, BuiltinFunctionType)
# By which NumPy's arrays are read back; it knows in which order they lay.
_FILLED: Callable[..., Any] = import_module("numpy._core.numeric")._frombuffer  # noqa: SLF001
# Of these there is one in a process: what is changed in it is changed for everybody.
_SHARED = (type, *_CODE, MethodType, ModuleType)

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
    | {("collections", name) for name in ("Counter", "OrderedDict", "defaultdict", "deque")}
    | {
        ("functools", "partial"),  # of what else may be named
        ("numpy", "dtype"),
        ("numpy._core.multiarray", "scalar"),
        ("numpy.random._mt19937", "MT19937"),
        ("numpy.random._pcg64", "PCG64"),
        ("numpy.random.bit_generator", "SeedSequence"),
        ("numpy.random.bit_generator", "__pyx_unpickle_SeedSequence"),
        ("numpy.random._pickle", "__bit_generator_ctor"),
        ("numpy.random._pickle", "__generator_ctor"),
        ("numpy.random._pickle", "__randomstate_ctor"),
        ("random", "Random"),
        ("river._river_rust.vectordict", "euclidean_distance_tuple"),
        ("river.forest.online_extra_trees", "ExtraTrees._detection_mode_all"),
        ("river.tree.splitter.ebst_splitter", "EBSTNode._update_estimator_univariate"),
        ("statistics", "NormalDist"),
    }
)


def is_in(module: str, packages: Collection[str]) -> bool:
    """Whether a module is one of these packages, or in one of them."""
    return any(f"{module}.".startswith(f"{one}.") for one in packages)


def may_name(module: str, name: str, packages: Collection[str]) -> bool:
    """Whether a state may name something there, if it is of that module's own."""
    if (module, name) in _GLOBALS:
        return True
    # A dot would lead through what a module has imported, or a class, to any other.
    is_rivers = is_in(module, _PACKAGES) and not is_in(module, _CLOSED)
    return "." not in name and (is_rivers or is_in(module, packages))


def is_its_own(found: Any, module: str, name: str, packages: Collection[str]) -> bool:
    """Whether what was found is what may be named: of River's only classes, of others functions."""
    if (module, name) in _GLOBALS:
        return True
    if getattr(found, "__module__", None) != module:
        return False
    return isinstance(found, type) or (isinstance(found, _CODE) and is_in(module, packages))


def method_of(owner: Any, name: str) -> Any:
    """Return a method of an estimator: for this alone may a state ask for an attribute.

    As its class has it: what lies in an instance is the state's.
    """
    places = [vars(kind) for kind in type(owner).__mro__] if isinstance(owner, Base) else []
    found = next((place[name] for place in places if name in place), None)
    if name.startswith("__") or not isinstance(found, FunctionType):
        raise ValueError(f"{name} of {type(owner).__name__} is not allowed in a state")
    return MethodType(found, owner)


def may_be_built(owner: Any, state: Any) -> bool:
    """Whether a state may fill in what it has made: no class or function, no dtype of its own.

    A dtype's is as the dtype is already: neither with fields, nor of another size or other flags,
    by which NumPy would take numbers for objects.
    """
    if isinstance(owner, np.dtype):
        own = owner.__reduce__()[2]
        return isinstance(state, tuple) and state[2:] == own[2:] and state[2:5] == (None,) * 3
    parts = state if isinstance(state, tuple) else (state,)
    names = [name for part in parts if isinstance(part, dict) for name in part]
    # By these an object tells others, such as `copy`, what to call.
    tells = any(isinstance(name, str) and name.startswith("__") for name in names)
    return not (tells or isinstance(owner, _SHARED))


def may_be_filled(owner: Any) -> bool:
    """Whether a state may add to this: a collection, by its class's own means."""
    own_means = getattr(owner, "__dict__", {})
    is_collection = isinstance(owner, list | deque | set | dict)
    return is_collection and not {"append", "extend"} & own_means.keys()


def may_be_called(function: Any) -> bool:
    """Whether reading a state may call this: no method of an estimator's, however it is bound."""
    return not isinstance(function, MethodType | partial)


class Array:
    """Stands for NumPy's arrays where a state names them: nobody makes one of it but `array_of`.

    The class itself would take any bytes for the addresses of objects.
    """

    def __new__(cls, *_: Any, **__: Any) -> Self:
        """Refuse."""
        raise ValueError("numpy.ndarray is not allowed in a state but to be reconstructed")


def array_of(kind: Any, *_: Any) -> Any:
    """Return an empty array, to be filled in."""
    if kind is not Array:
        raise ValueError(f"an array of {kind} is not allowed in a state")
    return np.empty(0, np.int8)


def filled(buffer: Any, *how: Any) -> Any:
    """Return an array of bytes, a copy: into what an array of objects holds nobody may write."""
    if not isinstance(buffer, bytes | bytearray):
        raise TypeError(f"an array over a {type(buffer).__name__} is not allowed in a state")
    return _FILLED(bytearray(buffer), *how)


INSTEAD: Mapping[tuple[str, str], Any] = {
    ("builtins", "getattr"): method_of,
    ("numpy", "ndarray"): Array,
    ("numpy._core.multiarray", "_reconstruct"): array_of,
    ("numpy._core.numeric", "_frombuffer"): filled,
}
"""What is found where a state names these."""
