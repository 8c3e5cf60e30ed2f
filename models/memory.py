"""Estimators whose whole memory is one contiguous buffer and a few numbers."""

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cached_property
from inspect import signature
from itertools import accumulate, pairwise
from math import prod
from operator import attrgetter
from typing import Any, ClassVar, TypeAlias, TypeVar

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import DTypeLike, NDArray
from river import base

Array: TypeAlias = NDArray[np.float64]
MemoryT = TypeVar("MemoryT", bound="Memory")


def bounded(values: Array, limit: float | Array) -> Array:
    """Return the values within [-limit, limit]; three times as fast as ``clip`` on a few."""
    return np.minimum(np.maximum(values, -limit), limit)


class Memory(base.Estimator):
    """A River estimator that can be saved quickly and exactly.

    What it learns is declared: arrays through `_remember`, everything else (numbers, other
    estimators, tuples of them) by name in ``_learned``. Saving takes just that; loading runs the
    constructor again, which derives all constants from the parameters, and puts the memory back.
    So nothing derived is stored, no bit is lost, and views into the buffer stay views.

    Parts that are of this kind too are found once and for all, when something is first saved,
    loaded or gathered: from then on they may change, but not be replaced.

    Where several are `stacked`, ``leading`` is the index of the series, shape (n, 1).

    One that has learned may be given the memory of another of its kind, and then is that other:
    what is neither memory nor derived from the parameters must not outlast `recalled`.
    """

    _learned: tuple[str, ...] = ()
    _parameters: ClassVar[tuple[str, ...]] = ()
    _layout: tuple[tuple[str, tuple[int, ...], DTypeLike], ...] = ()
    buffer: Array = np.zeros(0)
    whole: Array | None = None
    leading: tuple[NDArray[np.int64], ...] = ()
    _stacked: Sequence["Memory"] = ()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._parameters = tuple(signature(cls).parameters)

    def _remember(self, *, single: Collection[str] = (), **shapes: tuple[int, ...]) -> None:
        """Lay out zeroed arrays, attributes of these names, one after the other in the buffer.

        Those named in ``single`` are float32, in memory as where they are saved, and of an even
        number of entries.
        """
        kinds = {name: np.float32 if name in single else np.float64 for name in shapes}
        self._layout = tuple((name, shape, kinds[name]) for name, shape in shapes.items())
        sizes = (prod(shape) * np.dtype(kind).itemsize // 8 for _, shape, kind in self._layout)
        self.lie_in(np.zeros(sum(sizes)))

    def lie_in(self, buffer: Array) -> None:
        """Make the arrays views into a buffer, as many at once as it has rows before its last axis.

        Parameters
        ----------
        buffer
            Shape (..., size); arrays of a declared shape become (..., *shape).
        """
        self.buffer, start = buffer, 0
        self.leading = (np.arange(len(buffer))[:, None],) if buffer.ndim > 1 else ()
        for name, shape, kind in self._layout:
            end = start + prod(shape) * np.dtype(kind).itemsize // 8
            view = buffer[..., start:end].view(kind)
            setattr(self, name, view.reshape(*buffer.shape[:-1], *shape))
            start = end

    def gather(self, into: Array | None = None) -> None:
        """Move the arrays of all parts into one buffer, to be saved and loaded at once.

        Those of several estimators of a kind that lie in the rows of one array can be `stacked`.
        """
        arrays = [part.buffer for part in self.all_parts]
        self.whole = np.concatenate(arrays, out=into)
        for part, own in zip(self.all_parts, self._split(self.whole), strict=True):
            part.lie_in(own)
            if part is not self:
                part.whole = None

    @cached_property
    def extent(self) -> int:
        """How many numbers the arrays of all parts hold."""
        return sum(part.buffer.size for part in self.all_parts)

    def memory(self) -> tuple[Any, ...]:
        """Return what was learned: to be pickled at once, for it is no copy.

        The bytes of all buffers, and of each part that has some its other values.
        """
        if self.whole is not None:
            arrays = self.whole.tobytes()
        else:
            arrays = b"".join(part.buffer.tobytes() for part in self.all_parts)
        return arrays, *[part.read_plain(part) for part in self.holders]

    def recall(self, memory: Sequence[Any]) -> None:
        """Put back what `memory` returned."""
        arrays, *values = memory
        whole = np.frombuffer(arrays)
        if len(whole) != self.extent:
            raise ValueError(f"a memory of {len(whole)} numbers, wanted {self.extent}")
        if self.whole is not None:
            self.whole[:] = whole
        else:
            for part, own in zip(self.all_parts, self._split(whole), strict=True):
                part.buffer[:] = own
        for part, own in zip(self.holders, values, strict=True):
            for name, value in zip(part.plain, own, strict=True):
                setattr(part, name, value)
        for part in self.all_parts:
            part.recalled()

    def recalled(self) -> None:
        """Work out anew what follows from the memory, now that it has been put back."""

    def _split(self, whole: Array) -> list[Array]:
        """Cut a buffer into those of all parts."""
        ends = accumulate((part.buffer.size for part in self.all_parts), initial=0)
        return [whole[start:end] for start, end in pairwise(ends)]

    @cached_property
    def all_parts(self) -> list["Memory"]:
        """Return this one and all its parts, depth first; a list that stays."""
        parts = (part for name in self._learned for part in _parts_in(getattr(self, name)))
        return [self, *(below for part in parts for below in part.all_parts)]

    @cached_property
    def part_names(self) -> list[str]:
        """Names of the parts that are one estimator each."""
        return [name for name in self._learned if isinstance(getattr(self, name), Memory)]

    @cached_property
    def holders(self) -> list["Memory"]:
        """Those of all parts that have other values than arrays."""
        return [part for part in self.all_parts if part.plain]

    @cached_property
    def plain(self) -> list[str]:
        """Names of what is learned here, arrays and parts left out."""
        return [name for name in self._learned if not tuple(_parts_in(getattr(self, name)))]

    @cached_property
    def read_plain(self) -> Callable[["Memory"], Sequence[Any]]:
        """Reads what is learned here: all at once, for a state is saved after every candle."""
        if len(self.plain) == 1:
            (name,) = self.plain
            return lambda part: (getattr(part, name),)
        return attrgetter(*self.plain)

    @property
    def members(self) -> Sequence[Any]:
        """Return those that are stacked here; this one alone, where it is no stack."""
        return self._stacked or (self,)

    @property
    def parameters(self) -> dict[str, Any]:
        """Arguments that make another of its kind."""
        return {name: getattr(self, name) for name in self._parameters}

    def __getstate__(self) -> tuple[dict[str, Any], tuple[Any, ...]]:
        return self.parameters, self.memory()

    def __setstate__(self, state: tuple[dict[str, Any], Sequence[Any]]) -> None:
        parameters, memory = state
        type(self).__init__(self, **parameters)
        self.recall(memory)


def stacked(parts: Sequence[MemoryT]) -> MemoryT:
    """Return several of a kind as one: each of its arrays has one more axis in front.

    They are the same numbers, not copies; parts are stacked too, but for those in tuples. What is
    no array is that of the first. One alone is returned as it is, without that axis: what works on
    stacks is written so that it does not mind.

    Raises
    ------
    ValueError
        When the buffers are not the rows, evenly spaced, of one array.
    """
    first = parts[0]
    if len(parts) == 1:
        return first
    starts = np.array([part.buffer.__array_interface__["data"][0] for part in parts])
    stride, *others = set(np.diff(starts).tolist())
    if others or any(part.buffer.base is not first.buffer.base for part in parts):
        raise ValueError("these do not lie in the rows of one array: gather them there first")
    stack = object.__new__(type(first))
    stack.__dict__.update(first.__dict__)
    shape, strides = (len(parts), first.buffer.size), (stride, first.buffer.itemsize)
    stack.lie_in(as_strided(first.buffer, shape, strides))
    stack._stacked = parts
    for name in first.part_names:
        setattr(stack, name, stacked([getattr(part, name) for part in parts]))
    return stack


def column(values: Sequence[float], axes: int = 1) -> Any:
    """Return a number for each of several series, shape (n, 1, ...); of one alone just that."""
    return np.array(values).reshape(-1, *(1,) * axes) if len(values) > 1 else values[0]


def rows(values: Sequence[Any]) -> Any:
    """Return an array for each of several series as one, shape (n, ...); of one alone just that."""
    return np.array(values) if len(values) > 1 else values[0]


def each(stack: Any, series: Sequence[Any]) -> Any:
    """Return what is to be iterated over to have the part of each series."""
    return stack if len(series) > 1 else (stack,)


def _parts_in(value: Any) -> Iterator[Memory]:
    values = value if isinstance(value, tuple) else (value,)
    return (part for part in values if isinstance(part, Memory))
