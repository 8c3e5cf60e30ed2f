"""What a signed state may not do: name what harms, fill in what is shared, import or open."""

import hmac
import io
import pickle
import sys
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from functools import partial
from importlib import import_module
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from river import linear_model
from river.stream import Cache

from models import state
from models.learner import Learner
from shared.errors import StateError
from shared.header import MAGIC, START
from tests.unit.test_state import FINGERPRINT, SERIES, SIGNER, signed, taught

# As NumPy's own pickles name them.
ARRAY: Any = np.ndarray
np_core: Any = import_module("numpy._core")


class Attack:
    """Would run a function when unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("owned",)


class Asking:
    """Would be an attribute of something when unpickled."""

    def __init__(self, owner: object, name: str) -> None:
        self.asked = owner, name

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, self.asked


def holding(value: object, **parameters: Any) -> tuple[Any, ...]:
    """What a state holds, but for the values of its model."""
    own, arrays, both, [(print_, numbers, _)] = pickle.loads(state.body(taught(3)))
    return own | parameters, arrays, both, [(print_, numbers, pickle.dumps(value))]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (Attack(), "builtins.print is not allowed"),
        (pickle.Unpickler, "_pickle.Unpickler is not allowed"),
        (state.fingerprint, "models.envelope.fingerprint is not allowed"),
        (Cache, "river.stream.cache.Cache is not allowed"),
        (Asking(linear_model.LinearRegression(), "__class__"), "__class__ of LinearRegression is"),
        (Asking(linear_model.LinearRegression(), "__init__"), "__init__ of LinearRegression is"),
        (Asking(NormalDist(), "samples"), "samples of NormalDist is"),
        (Asking(linear_model.LinearRegression(), "optimizer"), "optimizer of LinearRegression is"),
        (Asking(linear_model.LinearRegression, "mro"), "mro of EstimatorMeta is not allowed"),
        (Learner, "models.learner.Learner is not allowed"),
        (state._Unpickler, "models.state._Unpickler is not allowed"),
    ],
)
def test_signed_strangers_are_refused(
    value: object, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Even signed, a state names classes of the allow-list only."""
    with pytest.raises(StateError, match=why):
        state.load(signed(holding(value)), SIGNER, FINGERPRINT, SERIES)

    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("only text", "holds a str, not a learner"),
        (Attack(), "builtins.print is not allowed"),
        ((linear_model.LinearRegression, b"", b"", []), "LinearRegression is not allowed"),
    ],
)
def test_around_what_its_models_hold_is_nothing_but_data(body: object, why: str) -> None:
    """There not even River's classes are named."""
    with pytest.raises(StateError, match=why):
        state.load(signed(body), SIGNER, FINGERPRINT, SERIES)


def built(owner: object, state: object) -> bytes:
    """A pickle that fills a state in to something it names."""
    parts = (pickle.dumps(one, protocol=2)[2:-1] for one in (owner, state))
    return pickle.PROTO + b"\x02" + b"".join(parts) + pickle.BUILD + pickle.STOP


@pytest.mark.parametrize(
    ("owner", "state_"),
    [
        (linear_model.LinearRegression, (None, {"learn_one": 1.5})),
        (linear_model.LinearRegression, {"learn_one": 1.5}),
        (np.dtype("V8"), (3, "|", None, ("f",), {"f": (np.dtype("O"), 0)}, 8, 1, 27)),
        (np.dtype("V8"), (3, "|", (np.dtype("O"), (1,)), None, None, 8, 1, 27)),
        (np.dtype("O"), (3, "|", None, None, None, -1, -1, 0)),
        (np.dtype("f8"), (3, "<", None, None, None, 64, -1, 0)),
        (np.dtype("f8"), "text"),
    ],
)
def test_what_there_is_once_for_all_is_not_changed(owner: object, state_: object) -> None:
    """Nor is a type of NumPy's made of objects that are none."""
    before = linear_model.LinearRegression.learn_one
    with pytest.raises(pickle.UnpicklingError, match="is not to be changed by a state"):
        state._Unpickler(io.BytesIO(built(owner, state_)), ["builtins"]).load()

    assert linear_model.LinearRegression.learn_one is before


class Made:
    """Would call something when unpickled."""

    def __init__(self, maker: object, *args: object) -> None:
        self.made = maker, args

    def __reduce__(self) -> tuple[Any, ...]:
        return self.made


class Told(linear_model.LinearRegression):
    """Would tell whoever copies it what to call."""

    def __reduce__(self) -> tuple[Any, ...]:
        return linear_model.LinearRegression, (), {"__reduce_ex__": 1}


@pytest.mark.parametrize(
    "way",
    [
        lambda: Made(ARRAY, (1,), "O", bytes(8)),
        lambda: Made(partial(ARRAY, (1,), "O", bytes(8))),
        lambda: Made(partial(ARRAY, (1,)), "O", bytes(8)),
        lambda: Made(np_core.multiarray._reconstruct, np.matrix, (0,), b"b"),
        lambda: Made(np_core.numeric._frombuffer, bytes(8), np.dtype("O"), (1,), "C"),
        lambda: Made(np_core.multiarray.scalar, np.dtype("O"), bytes(8)),
        lambda: Made(np_core.numeric._frombuffer, np.array([None]), np.dtype("i8"), (1,), "C"),
        lambda: Made(linear_model.LinearRegression().clone),
        lambda: Made(partial(dict)),
        Told,
    ],
)
def test_numbers_are_not_taken_for_objects(way: Callable[[], object]) -> None:
    """Whoever could, would have made whatever lies at an address: a way to call anything."""
    with pytest.raises(StateError):
        state.load(signed(holding([way()])), SIGNER, FINGERPRINT, SERIES)


LINEAR = b"criver.linear_model.lin_reg\nLinearRegression\n)R"
CLONE = b"cbuiltins\ngetattr\n(" + LINEAR + b"\x8c\x05clonetR"


class Collector(list[Any]):
    """A list whose instances have room for what is called in place of its methods."""


@pytest.mark.parametrize(
    "body",
    [
        b"(" + CLONE + b"o",
        LINEAR + b"}\x8c\x06append" + CLONE + b"sb}a",
        LINEAR + b"}\x8c\x06extend" + CLONE + b"sb(}e",
        b"ctests.unit.test_wall\nCollector\n)R}\x8c\x06append" + CLONE + b"sb}a",
    ],
    ids=["made", "added to", "extended", "in a list"],
)
def test_no_opcode_calls_a_method(body: bytes) -> None:
    """Nor does one that puts something into what has it for a method."""
    reader = state._Unpickler(io.BytesIO(b"\x80\x04" + body + b"."), ["tests.unit.test_wall"])
    with pytest.raises((pickle.UnpicklingError, KeyError), match=r"is not to be added to|111"):
        reader.load()


@pytest.mark.parametrize(
    "value",
    [
        np.arange(6.0).reshape(2, 3).T,
        np.arange(24.0).reshape(2, 3, 4).transpose(1, 0, 2),
        np.arange(10.0)[::2],
        np.array(3.0),
        np.array(["a", None, 3], object),
        np.array([1, 2], ">i4"),
        np.array(["text", "more"]),
        np.float32(1.5),
        np.random.RandomState(1),
        np.random.default_rng(1),
        np.random.Generator(np.random.MT19937(2)),
        np.array([[1], deque([2, 3]), Counter("ab"), {4}, OrderedDict(a=1)], object),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("protocol", [4, 5])
def test_what_is_honest_is_read(value: Any, protocol: int) -> None:
    """Arrays, numbers and what draws, by either protocol that Python writes."""
    raw = pickle.dumps(value, protocol)
    read, wanted = state._Unpickler(io.BytesIO(raw)).load(), pickle.loads(raw)

    if hasattr(value, "normal"):
        assert read.normal() == wanted.normal()
    else:
        assert read.dtype == wanted.dtype
        assert np.array_equal(read, wanted)


@pytest.mark.parametrize("model", ["json.tool.main", "json.tool", "default@../../etc/passwd"])
def test_a_state_imports_and_opens_nothing_by_its_models_name(model: str) -> None:
    """Though whoever wrote it has the key."""
    sys.modules.pop("json.tool", None)
    with pytest.raises(StateError, match=r"in no package|names no prior"):
        state.load(signed(holding([], model=model)), SIGNER, FINGERPRINT, SERIES)

    assert "json.tool" not in sys.modules


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("models.state", "io.FileIO"),
        ("models.state", "Any"),
        ("models.memory", "np_core._internal.ctypes.CDLL"),
        ("models.skill", "Memory"),
        ("shared.candlestick", "Candle"),
        ("shared.candle", "Series"),
        ("river.base", "estimator.Estimator"),
        ("models.state", "pickle.loads"),
        ("models.learner", "Learner.parameters.fget"),
        ("models.state", "_Unpickler.find_class"),
        ("river.utils.rolling", "BaseRolling.__getattr__"),
        ("river.tree", "HoeffdingTreeRegressor.clone"),
        ("river.drift.datasets", "Apple"),
        ("river.drift.datasets.apple", "Apple"),
        ("river.tree.utils", "do_naive_bayes_prediction"),
    ],
)
def test_no_way_leads_through_a_module(module: str, name: str) -> None:
    """A class is found where it was defined, never through what another module imports."""
    body = pickle.PROTO + b"\x04c" + f"{module}\n{name}\n".encode() + b"."

    with pytest.raises(pickle.UnpicklingError, match="is not allowed in a state"):
        state._Unpickler(io.BytesIO(body)).load()


@pytest.mark.parametrize(
    ("name", "may"),
    [
        ("Stubborn", True),
        ("doubled", True),
        ("timedelta", False),
        ("random", False),
        ("good", False),
        ("ERRORS", False),
        ("Stubborn.learn_one", False),
    ],
)
def test_of_ones_own_are_named_classes_and_functions(name: str, *, may: bool) -> None:
    """Not what a module has imported, nor what it holds: that is one for the whole process."""
    module = "tests.unit.own_models"
    body = pickle.PROTO + b"\x04c" + f"{module}\n{name}\n".encode() + b"."
    reader = state._Unpickler(io.BytesIO(body), [module])
    if may:
        assert reader.load().__module__ == module
        return
    with pytest.raises(pickle.UnpicklingError, match="is not allowed in a state"):
        reader.load()


def test_no_key_is_no_key() -> None:
    """Where there is none before, what nobody's key has signed is not taken for its."""
    raw = signed(holding([]))
    content = raw[START:]
    nobodys = MAGIC + hmac.digest(b"", content, "sha256") + content
    with pytest.raises(StateError, match="does not match its signature"):
        state.load(nobodys, SIGNER, FINGERPRINT, SERIES)
