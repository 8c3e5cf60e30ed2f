"""Estimators whose whole memory is one contiguous buffer and a few numbers."""

from copy import copy
from inspect import signature
from math import prod
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
    estimators, tuples of them) by name in ``_learned``. Saving copies just that; loading runs the
    constructor again, which derives all constants from the parameters, and puts the memory back.
    So nothing derived is stored, no bit is lost, and views into the buffer stay views.
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

    def memory(self) -> tuple[Any, ...]:
        """Copy out what was learned: the buffer, then ``_learned`` in order.

        Arrays and bytes are copied; what else can change (a forecaster that is no `Memory`) is not.
        """
        return self._buffer.tobytes(), *(_copy_out(getattr(self, name)) for name in self._learned)

    def recall(self, memory: tuple[Any, ...]) -> None:
        """Put back what `memory` copied out."""
        if memory[0]:
            self._buffer[:] = np.frombuffer(memory[0])
        for name, value in zip(self._learned, memory[1:], strict=True):
            setattr(self, name, _put_back(getattr(self, name), value))

    def __getstate__(self) -> tuple[dict[str, Any], tuple[Any, ...]]:
        parameters = {name: getattr(self, name) for name in self._parameters}
        return parameters, self.memory()

    def __setstate__(self, state: tuple[dict[str, Any], tuple[Any, ...]]) -> None:
        parameters, memory = state
        type(self).__init__(self, **parameters)
        self.recall(memory)


def _copy_out(value: Any) -> Any:
    if isinstance(value, Memory):
        return value.memory()
    if isinstance(value, tuple):
        return tuple(map(_copy_out, value))
    return _copied(value)


def _put_back(value: Any, memory: Any) -> Any:
    """Return ``memory``, or the part it belongs to, which has recalled it."""
    if isinstance(value, Memory):
        value.recall(memory)
        return value
    if isinstance(value, tuple):
        return tuple(map(_put_back, value, memory))
    return _copied(memory)


def _copied(value: Any) -> Any:
    return copy(value) if isinstance(value, bytearray | np.ndarray) else value
