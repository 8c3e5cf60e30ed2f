"""Estimators whose whole memory is one contiguous buffer and a few numbers."""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from inspect import signature
from math import prod
from operator import attrgetter
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray
from river import base

Array: TypeAlias = NDArray[np.float64]


def bounded(values: Array, limit: float) -> Array:
    """Return the values within [-limit, limit]; three times as fast as ``clip`` on a few."""
    return np.minimum(np.maximum(values, -limit), limit)


class Memory(base.Estimator):
    """A River estimator that can be saved quickly and exactly.

    What it learns is declared: arrays through `_remember`, everything else (numbers, other
    estimators, tuples of them) by name in ``_learned``. Saving takes just that; loading runs the
    constructor again, which derives all constants from the parameters, and puts the memory back.
    So nothing derived is stored, no bit is lost, and views into the buffer stay views.

    Parts that are of this kind too are found once and for all, when something is first saved or
    loaded: from then on they may change, but not be replaced.

    One that has learned may be given the memory of another of its kind, and then is that other:
    what is neither memory nor derived from the parameters must not outlast `recall_own`.
    """

    _learned: ClassVar[tuple[str, ...]] = ()
    _parameters: ClassVar[tuple[str, ...]] = ()
    _buffer: Array = np.zeros(0)

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._parameters = tuple(signature(cls).parameters)

    def _remember(self, **shapes: tuple[int, ...]) -> None:
        """Lay out zeroed arrays, attributes of these names, one after the other in the buffer."""
        sizes = {name: prod(shape) for name, shape in shapes.items()}
        self._buffer = np.zeros(sum(sizes.values()))
        start = 0
        for name, shape in shapes.items():
            setattr(self, name, self._buffer[start : start + sizes[name]].reshape(shape))
            start += sizes[name]

    def memory(self) -> list[tuple[Any, ...]]:
        """Return what was learned, part by part: to be pickled at once, for it is no copy."""
        return [part.own_memory() for part in self.all_parts]

    def recall(self, memory: Sequence[tuple[Any, ...]]) -> None:
        """Put back what `memory` returned."""
        for part, own in zip(self.all_parts, memory, strict=True):
            part.recall_own(own)

    def own_memory(self) -> tuple[Any, ...]:
        """Return what was learned here and not in a part: the buffer's bytes, then the rest."""
        return self._buffer.tobytes(), *self._read(self)

    def recall_own(self, own: tuple[Any, ...]) -> None:
        """Put back what `own_memory` returned."""
        if own[0]:
            self._buffer[:] = np.frombuffer(own[0])
        for name, value in zip(self._plain, own[1:], strict=True):
            setattr(self, name, value)

    @cached_property
    def all_parts(self) -> list["Memory"]:
        """Return this one and all its parts, depth first; a list that stays."""
        parts = (part for name in self._learned for part in _parts_in(getattr(self, name)))
        return [self, *(below for part in parts for below in part.all_parts)]

    @cached_property
    def _plain(self) -> list[str]:
        """Names of what is learned here."""
        return [name for name in self._learned if not tuple(_parts_in(getattr(self, name)))]

    @cached_property
    def _read(self) -> Callable[["Memory"], Sequence[Any]]:
        """Reads what is learned here: all at once, for a state is saved after every candle."""
        match self._plain:
            case []:
                return lambda _: ()
            case [name]:
                return lambda part: (getattr(part, name),)
            case names:
                return attrgetter(*names)

    @property
    def parameters(self) -> dict[str, Any]:
        """Arguments that make another of its kind."""
        return {name: getattr(self, name) for name in self._parameters}

    def __getstate__(self) -> tuple[dict[str, Any], list[tuple[Any, ...]]]:
        return self.parameters, self.memory()

    def __setstate__(self, state: tuple[dict[str, Any], list[tuple[Any, ...]]]) -> None:
        parameters, memory = state
        type(self).__init__(self, **parameters)
        self.recall(memory)


def _parts_in(value: Any) -> Iterator[Memory]:
    values = value if isinstance(value, tuple) else (value,)
    return (part for part in values if isinstance(part, Memory))
