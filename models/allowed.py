"""What a saved state may name: a second wall behind its signature."""

from collections.abc import Collection
from typing import Any

from river.base import Base

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
_BUILTINS = (
    *("bool", "bytearray", "complex", "dict", "float", "frozenset", "int", "list", "range", "set"),
    *("slice", "str", "tuple"),
)
_GLOBALS = (
    {("builtins", name) for name in _BUILTINS}
    | {("collections", name) for name in ("Counter", "OrderedDict", "defaultdict", "deque")}
    | {
        ("copy", "deepcopy"),
        ("functools", "partial"),  # of what else may be named
        ("numpy", "dtype"),
        ("numpy", "ndarray"),
        ("numpy._core.numeric", "_frombuffer"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "scalar"),
        ("numpy.random._mt19937", "MT19937"),
        ("numpy.random._pcg64", "PCG64"),
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
    return "." not in name and (
        module == "shared.candle" or is_in(module, _PACKAGES) or is_in(module, packages)
    )


def is_its_own(found: Any, module: str, name: str, packages: Collection[str]) -> bool:
    """Whether what was found is what may be named: of River's only classes."""
    if (module, name) in _GLOBALS:
        return True
    if getattr(found, "__module__", None) != module:
        return False
    return isinstance(found, type) or is_in(module, packages)


def method_of(owner: Any, name: str) -> Any:
    """Return a method of an estimator: for this alone may a state ask for an attribute."""
    found = getattr(owner, name) if isinstance(owner, Base) and name[:2] != "__" else None
    if found is None or getattr(found, "__self__", None) is not owner:
        raise ValueError(f"{name} of {type(owner).__name__} is not allowed in a state")
    return found
