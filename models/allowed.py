"""What a saved state may name: a second wall behind its signature."""

from collections.abc import Collection
from typing import Any

from river.base import Base

# Our estimators and values, River's, NumPy's arrays.
_PACKAGES = ("models.", "river.")
_BUILTINS = ("bytearray", "complex", "float", "frozenset", "int", "range", "set", "slice")
_LEVELS = ("AdditiveLevel", "MultiplicativeLevel", "AdditiveSeason", "MultiplicativeSeason")
_GLOBALS = (
    {("builtins", name) for name in _BUILTINS}
    | {("collections", name) for name in ("Counter", "OrderedDict", "defaultdict", "deque")}
    | {
        ("numpy", "dtype"),
        ("numpy", "ndarray"),
        ("numpy._core.numeric", "_frombuffer"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "scalar"),
        ("random", "Random"),
        ("river._river_rust.vectordict", "VectorDict"),  # weights of its linear models
        ("river.time_series.snarimax", "Differencer"),
    }
    | {("river.time_series.holt_winters", name) for name in (*_LEVELS, "Trend")}
)


def is_in(module: str, packages: Collection[str]) -> bool:
    """Whether a module is one of these packages, or in one of them."""
    return any(f"{module}.".startswith(f"{one}.") for one in packages)


def may_name(module: str, name: str, packages: Collection[str]) -> bool:
    """Whether a state may name something there, if it is of that module's own."""
    if (module, name) in _GLOBALS:
        return True
    # A dot would lead through what a module has imported to any other.
    return "." not in name and (
        module == "shared.candle" or module.startswith(_PACKAGES) or is_in(module, packages)
    )


def is_its_own(found: Any, module: str, name: str, packages: Collection[str]) -> bool:
    """Whether what was found is what may be named: of ours and River's only estimators."""
    if (module, name) in _GLOBALS:
        return True
    if getattr(found, "__module__", None) != module:
        return False
    is_of_river = module.startswith("river.")
    is_part = isinstance(found, type) and (not is_of_river or issubclass(found, Base))
    return is_part or is_in(module, packages)
