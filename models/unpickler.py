"""Reads the pickles in a state that is signed, and lets nothing in that was not written by us."""

import io
import pickle
from collections import deque
from collections.abc import Collection
from typing import Any, ClassVar

from models.allowed import (
    OURS,
    REPLACED,
    check_call,
    check_new,
    fill_in,
    is_its_own,
    may_name,
)
from models.remade import refused


class Foreign(pickle.UnpicklingError):
    """Something that none of our own models is made of."""


class Plain(pickle.Unpickler):
    """Reads what our own models hold: plain data."""

    def find_class(self, module: str, name: str) -> Any:
        """Find a timeframe, and nothing else."""
        if (module, name) not in OURS:
            raise Foreign(f"{module}.{name} is not allowed in a state")
        return super().find_class(module, name)


# The one in which each opcode can be told what it may do.
_IN_PYTHON: Any = pickle._Unpickler  # noqa: SLF001
# Python 3 writes none of these here: two call, others look elsewhere for what they name.
_UNUSED = (
    *(pickle.INST, pickle.OBJ, pickle.EXT1, pickle.EXT2, pickle.EXT4),
    *(pickle.PERSID, pickle.BINPERSID, pickle.NEXT_BUFFER, pickle.READONLY_BUFFER),
)


class Unpickler(_IN_PYTHON):  # type: ignore[misc]
    """Reads what River's models hold too: of each opcode it does what honest pickles have it do.

    - GLOBAL and STACK_GLOBAL find what `models.allowed` names, or what stands there instead.
    - REDUCE calls a class or a function, one that pickles do call, with what they give it.
    - NEWOBJ makes an instance of a class of River's, of numbers; NEWOBJ_EX of a user's alone.
    - BUILD fills in an instance in the way of its class, with names from a dict of its own.
    - APPEND(S) add to lists and deques, SETITEM(S) to dicts, ADDITEMS to sets: by their classes'
      own means, never by a method that an instance has.

    A user's classes and functions are called with whatever it says: they are a user's own code.
    """

    dispatch: ClassVar[dict[int, Any]] = {
        opcode: read
        for opcode, read in _IN_PYTHON.dispatch.items()
        if opcode not in {ord(unused) for unused in _UNUSED}
    }

    def __init__(self, file: io.BytesIO, modules: Collection[str] = ()) -> None:
        super().__init__(file)
        self._modules = modules

    def find_class(self, module: str, name: str) -> Any:
        """Find what may be named."""
        if instead := REPLACED.get((module, name)):
            return instead
        if may_name(module, name, self._modules):
            found = super().find_class(module, name)
            if is_its_own(found, module, name, self._modules):
                return found
        raise refused(f"{module}.{name}")

    def load_reduce(self) -> None:
        """Call what was found, with what was read."""
        function, args = self.stack[-2:]
        check_call(function, args, self._modules)
        super().load_reduce()

    dispatch[pickle.REDUCE[0]] = load_reduce

    def load_newobj(self) -> None:
        """Make an instance."""
        kind, args = self.stack[-2:]
        check_new(kind, args, self._modules)
        super().load_newobj()

    dispatch[pickle.NEWOBJ[0]] = load_newobj

    def load_newobj_ex(self) -> None:
        """Make an instance of a user's, with arguments by name."""
        kind, args, _ = self.stack[-3:]
        check_new(kind, args, self._modules, by_name=True)
        super().load_newobj_ex()

    dispatch[pickle.NEWOBJ_EX[0]] = load_newobj_ex

    def load_build(self) -> None:
        """Fill in what was made last."""
        state = self.stack.pop()
        fill_in(self.stack[-1], state, self._modules)

    dispatch[pickle.BUILD[0]] = load_build

    def load_append(self) -> None:
        """Add one to a list."""
        item = self.stack.pop()
        _extend(self.stack[-1], [item])

    dispatch[pickle.APPEND[0]] = load_append

    def load_appends(self) -> None:
        """Add several to a list."""
        items = self.pop_mark()
        _extend(self.stack[-1], items)

    dispatch[pickle.APPENDS[0]] = load_appends

    def load_setitem(self) -> None:
        """Add one to a dict."""
        self._allow_dict(self.stack[-3])
        super().load_setitem()

    dispatch[pickle.SETITEM[0]] = load_setitem

    def load_setitems(self) -> None:
        """Add several to a dict, which lies aside while they are read."""
        self._allow_dict(self.metastack[-1][-1])
        super().load_setitems()

    dispatch[pickle.SETITEMS[0]] = load_setitems

    def load_additems(self) -> None:
        """Add several to a set."""
        items = self.pop_mark()
        if type(self.stack[-1]) is not set:
            raise refused(f"to add to a {type(self.stack[-1]).__name__}")
        self.stack[-1].update(items)

    dispatch[pickle.ADDITEMS[0]] = load_additems

    @staticmethod
    def _allow_dict(owner: Any) -> None:
        if not isinstance(owner, dict):
            raise refused(f"to add to a {type(owner).__name__}")


def _extend(owner: Any, items: list[Any]) -> None:
    """Add to a list or a deque as its class does, whatever an instance has for its methods."""
    kind = next((kind for kind in (list, deque) if isinstance(owner, kind)), None)
    if kind is None:
        raise refused(f"to add to a {type(owner).__name__}")
    kind.extend(owner, items)
