"""What each opcode of a pickle in a signed state may do, and that nothing else happens."""

import io
import pickle
import sys
from collections import Counter, OrderedDict, deque
from typing import Any

import numpy as np
import pytest
from river import linear_model

from models.unpickler import Unpickler

HERE = "tests.unit.test_opcodes"
MADE: list[str] = []


class Collector(list[Any]):
    """A list whose instances have room for what is called in place of its methods."""


class Mapping(dict[Any, Any]):
    """A dict of a user's."""


def noted() -> str:
    """Note that it was called."""
    MADE.append("called")
    return "called"


def named(module: str, name: str) -> bytes:
    """Name something."""
    return f"c{module}\n{name}\n".encode()


def plain(value: object) -> bytes:
    """Some plain data."""
    if isinstance(value, bytes):
        return b"C" + bytes([len(value)]) + value
    return pickle.dumps(value, protocol=2)[2:-1]


def call(function: bytes, *args: bytes) -> bytes:
    """Call what lies there."""
    return function + b"(" + b"".join(args) + b"tR"


def put(number: int) -> bytes:
    """Remember what lies on top."""
    return b"q" + bytes([200 + number])


def get(number: int) -> bytes:
    """Take what was remembered."""
    return b"h" + bytes([200 + number])


def new(kind: bytes, *args: bytes) -> bytes:
    """Make an instance as honest pickles do."""
    return kind + b"(" + b"".join(args) + b"t\x81"


def with_(owner: bytes, name: str, value: bytes) -> bytes:
    """Give an instance something by a name."""
    return owner + b"}" + plain(name) + value + b"sb"


def with_key(value: bytes) -> bytes:
    """What MT19937 is filled in with, but for its numbers."""
    return b"}" + plain("state") + b"}" + plain("key") + value + b"ss"


def array(shape: object, dtype: str, content: bytes) -> bytes:
    """What an empty array is filled in with."""
    return b"(\x4b\x01" + plain(shape) + call(DTYPE, plain(dtype)) + b"\x89" + content + b"tb"


LINEAR = named("river.linear_model.lin_reg", "LinearRegression")
SCALER = named("river.preprocessing.scale", "StandardScaler")
DTYPE, NDARRAY = named("numpy", "dtype"), named("numpy", "ndarray")
ORDERED = named("collections", "OrderedDict")
PARTIAL, COUNTER = named("functools", "partial"), named("collections", "Counter")
RECONSTRUCT = named("numpy._core.multiarray", "_reconstruct")
BUFFER = named("numpy._core.numeric", "_frombuffer")
SCALAR = named("numpy._core.multiarray", "scalar")
EMPTY = call(RECONSTRUCT, NDARRAY, plain((0,)), plain(b"b"))
ONE = new(LINEAR)
CLONE = call(named("builtins", "getattr"), ONE, plain("clone"))
BITS = named("numpy.random._mt19937", "MT19937")
MADE_BITS = call(named("numpy.random._pickle", "__bit_generator_ctor"), BITS)
GENERATOR = named("numpy.random._pickle", "__generator_ctor")
STATE = named("numpy.random._pickle", "__randomstate_ctor")
SEEDS = named("numpy.random.bit_generator", "__pyx_unpickle_SeedSequence")
SLOT = named("river.tree.splitter.ebst_splitter", "EBSTNode")
EIGHT = plain(bytes(8))
PAIRS = b"]" + plain("__reduce__") + ONE + b"\x86a"


def read(body: bytes, modules: tuple[str, ...] = (HERE,)) -> Any:
    """Read a pickle as those in a signed state are read."""
    return Unpickler(io.BytesIO(b"\x80\x04" + body + b"."), modules).load()


REFUSED = {
    "calls an estimator's class": (call(LINEAR), "to call LinearRegression"),
    "calls an instance": (call(ONE), "to call a LinearRegression"),
    "calls a method": (call(CLONE), "to call a method"),
    "calls a partial": (call(call(PARTIAL, LINEAR)), "to call a partial"),
    "calls tuple": (call(named("builtins", "tuple"), plain([])), "to call tuple"),
    "calls dict": (call(named("builtins", "dict"), with_(ONE, "keys", CLONE)), "to call dict"),
    "has a list called for": (COUNTER + b"]R", "to call a type"),
    "counts an instance": (call(COUNTER, ONE), "Counter of a LinearRegression"),
    "counts what is like a dict": (call(COUNTER, call(COUNTER)), "Counter of a Counter"),
    "calls a function of River's": (
        call(named("river._river_rust.vectordict", "euclidean_distance_tuple"), plain(1), plain(2)),
        "to call euclidean_distance_tuple",
    ),
    "draws by a method": (call(GENERATOR, plain({}), CLONE), "missing|takes 1"),
    "draws by a dict": (call(GENERATOR, plain({})), "bits of a dict"),
    "has a state of a dict": (call(STATE, plain({})), "bits of a dict"),
    "draws bits by an estimator": (
        call(named("numpy.random._pickle", "__bit_generator_ctor"), LINEAR),
        "bits of another",
    ),
    "seeds an estimator": (call(SEEDS, LINEAR, plain(1), b"N"), "seeds of another"),
    "makes an instance of an instance": (ONE + b")\x81", "an instance of a LinearReg"),
    "makes a class": (
        new(named("river.base.estimator", "EstimatorMeta"), plain("X"), plain(()), plain({})),
        "an instance of a type",
    ),
    "makes a dtype": (new(DTYPE, plain("O")), "an instance of a function"),
    "makes a dict": (new(named("builtins", "dict")), "an instance of dict"),
    "makes one of an estimator": (new(LINEAR, ONE), "LinearRegression of a LinearRegression"),
    "makes one by name": (LINEAR + b")}\x92", "an instance of LinearRegression"),
    "has a list for arguments": (LINEAR + b"]\x81", "an instance of a EstimatorMeta"),
    "fills in a class": (LINEAR + plain({"learn_one": 1}) + b"b", "to change a EstimatorMeta"),
    "fills in a user's class": (
        named(HERE, "Collector") + plain({"append": 1}) + b"b",
        "to change a type",
    ),
    "fills in a function": (named(HERE, "noted") + plain({"x": 1}) + b"b", "to change a function"),
    "fills in a method": (CLONE + plain({"x": 1}) + b"b", "to change a method"),
    "fills in by a list": (ONE + b"]b", "to fill in a list"),
    "fills in by what is like a dict": (
        ONE + call(COUNTER, plain({"__reduce__": 1})) + b"b",
        "to fill in a Counter",
    ),
    "fills in by an instance": (ONE + with_(ONE, "items", CLONE) + b"b", "to fill in a Linear"),
    "fills in by pairs": (new(SCALER) + PAIRS + b"b", "StandardScaler of a list"),
    "tells copy": (with_(ONE, "__reduce_ex__", b"N"), "__reduce_ex__ in an instance"),
    "tells copy of a scaler": (with_(new(SCALER), "__deepcopy__", CLONE), "__deepcopy__ in"),
    "tells copy second": (ONE + b"N}" + plain("__class__") + LINEAR + b"s\x86b", "__class__ in"),
    "names by a number": (ONE + plain({1: 2}) + b"b", "int.* in an instance"),
    "sets what is no slot": (ONE + b"N" + plain({"clone": 1}) + b"\x86b", "clone of LinearReg"),
    "fills in a set": (b"\x8f" + plain({}) + b"b", "to change a set"),
    "adds to an estimator": (with_(ONE, "append", CLONE) + b"}a", "to add to a LinearRegression"),
    "extends an estimator": (with_(ONE, "extend", CLONE) + b"(}e", "to add to a LinearRegression"),
    "adds to an estimator's set": (
        with_(ONE, "add", CLONE) + b"(" + plain(1) + b"\x90",
        "to add to a LinearRegression",
    ),
    "sets in an array": (EMPTY + plain(0) + plain(0) + b"s", "to add to a ndarray"),
    "sets some in an array": (EMPTY + b"(" + plain(0) + plain(0) + b"u", "to add to a ndarray"),
    "an array of objects of bytes": (
        EMPTY + array((1,), "O8", EIGHT),
        "array of objects, of bytes",
    ),
    "an array of objects over bytes": (
        call(BUFFER, EIGHT, call(DTYPE, plain("O8")), plain((1,)), plain("C")),
        "array of objects, of bytes",
    ),
    "an array over an array": (
        call(BUFFER, EMPTY, call(DTYPE, plain("i8")), plain((1,)), plain("C")),
        "an array over a ndarray",
    ),
    "an array over too few bytes": (
        call(BUFFER, EIGHT, call(DTYPE, plain("i8")), plain((2,)), plain("C")),
        "other bytes than its shape",
    ),
    "a scalar of an object": (
        call(SCALAR, call(DTYPE, plain("O8")), EIGHT),
        "of objects, of bytes",
    ),
    "a scalar of too few": (call(SCALAR, call(DTYPE, plain("f8")), plain(b"1234")), "other bytes"),
    "makes an array": (call(NDARRAY, plain((1,)), plain("O"), EIGHT), "Array.. takes no arg"),
    "reconstructs a user's": (
        call(RECONSTRUCT, named(HERE, "Collector"), plain((0,)), plain(b"b")),
        "an array of another kind",
    ),
    "a list shorter than its shape": (EMPTY + array((50,), "O8", b"]Na"), "array of 1 objects"),
    "a list of numbers": (EMPTY + array((1,), "i8", b"]" + plain(1) + b"a"), "array of 1 objects"),
    "a shape beyond all memory": (EMPTY + array((1 << 62, 4), "i8", EIGHT), "other bytes than"),
    "a shape below nothing": (EMPTY + array((-1, -1), "i8", EIGHT), "a shape of other than"),
    "an array filled in again": (
        EMPTY + array((1,), "i8", EIGHT) + array((1,), "i8", EIGHT),
        "an array that is filled in again",
    ),
    "a dtype with fields": (call(DTYPE, plain([("a", "O")])), "a dtype of"),
    "a dtype with fields by a text": (call(DTYPE, plain("O,i8")), "a dtype of"),
    "a dtype of an instance": (call(DTYPE, ONE), "a dtype of"),
    "a shape of an instance": (
        call(BUFFER, EIGHT, call(DTYPE, plain("i8")), ONE, plain("C")),
        "a shape of other than",
    ),
    "bytes of an instance": (call(BUFFER, EIGHT, ONE, plain((1,)), plain("C")), "array of objects"),
    "a method by an instance": (
        call(named("builtins", "getattr"), ONE, ONE),
        "LinearRegression of LinearRegression",
    ),
    "names by an instance": (ONE + b"}" + ONE + b"Nsb", "LinearRegression.* in an instance"),
    "a dtype of nothing": (call(DTYPE, plain("S0")), "a dtype of"),
    "a partial with names": (
        call(PARTIAL, LINEAR) + b"(" + LINEAR + b")}" + plain({"x": 1}) + b"tb",
        "a partial with more",
    ),
    "a place beyond the numbers": (
        MADE_BITS + b"(" + plain({"state": {"pos": 1 << 30}}) + b"Ntb",
        "a place beyond 624",
    ),
    "goes through an instance": (call(ORDERED, b"]" + ONE + b"a"), "OrderedDict of so much"),
    "counts a list": (call(COUNTER, plain([1])), "Counter of a list"),
    "a deque of something": (call(named("collections", "deque"), plain([1])), "deque of a list"),
    "an instance of a size": (new(LINEAR, plain(1 << 40)), "LinearRegression of a int"),
    "draws by an instance": (
        named("random", "Random") + b")R(" + plain(3) + ONE + b"Ntb",
        "Random of other than numbers",
    ),
    "bits by an instance": (
        MADE_BITS + b"(" + with_key(ONE) + b"Ntb",
        "bits of other than numbers",
    ),
    "an order by an instance": (
        call(BUFFER, EIGHT, call(DTYPE, plain("i8")), plain((1,)), plain("K"), ONE),
        "an order of other",
    ),
    "a dtype that looks at what it gets": (
        call(DTYPE, plain("f8"))
        + b"("
        + b"".join([EMPTY, plain("<"), b"NNN", plain(-1), plain(-1), plain(0)])
        + b"tb",
        "a dtype other",
    ),
    "a partial that tells copy": (
        call(PARTIAL, LINEAR) + b"(" + LINEAR + b")" + plain({"__reduce__": 1}) + b"Ntb",
        "a partial with such a name",
    ),
    "no character": (call(SCALAR, call(DTYPE, plain("U1")), plain(b"\xff" * 4)), "no character"),
    "bits of a number": (MADE_BITS + plain(5) + b"b", "a state of MT19937 of a int"),
}


@pytest.mark.parametrize(("body", "why"), REFUSED.values(), ids=REFUSED)
def test_what_no_honest_pickle_does_is_refused(
    body: bytes, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing has happened by then: no method was called, no class is another."""
    calls: list[object] = []

    def clone(*args: object) -> None:
        calls.extend(args)

    monkeypatch.setattr(linear_model.LinearRegression, "clone", clone)
    monkeypatch.setattr(linear_model.LinearRegression, "__repr__", clone)
    before = dict(vars(linear_model.LinearRegression)), dict(vars(Collector)), dict(vars(noted))

    with pytest.raises((ValueError, TypeError), match=why):
        read(body)

    after = dict(vars(linear_model.LinearRegression)), dict(vars(Collector)), dict(vars(noted))
    assert not calls
    assert before == after


DTYPES = [
    (3, "|", ("f",), None, None, 8, 1, 27),
    (3, "|", ("O", (1,)), None, None, 8, 1, 27),
    (3, "<", None, ("f",), {"f": 0}, -1, -1, 0),
    (3, "<", None, None, None, 64, -1, 0),
    (3, "<", None, None, None, -1, -1, 1),
    (3, "x", None, None, None, -1, -1, 0),
    (3, ">", None, None, None, -1, -1, 63),
    "text",
]


@pytest.mark.parametrize("state", DTYPES)
@pytest.mark.parametrize("dtype", ["f8", "O8", "S8"])
def test_a_dtype_stays_as_it_is(dtype: str, state: object) -> None:
    """But for its byte order, and that in a copy."""
    with pytest.raises(ValueError, match="a dtype other than"):
        read(call(DTYPE, plain(dtype)) + plain(state) + b"b")


def test_the_byte_order_of_everybodys_dtype_is_not_changed() -> None:
    """Each is made anew, though a state asks for NumPy's own."""
    swapped = call(DTYPE, plain("f8"), b"\x89", b"\x89")
    swapped += plain((3, ">", None, None, None, -1, -1, 0)) + b"b"

    assert read(swapped) == np.dtype(">f8")
    assert np.dtype("f8").isnative


@pytest.mark.parametrize(
    "body",
    [
        *(b"(" + CLONE + b"o", b"(" + b"iriver.linear_model.lin_reg\nLinearRegression\n"),
        *(plain(b"1") + b"\x98", b"P1\n", plain(1) + b"Q", b"\x82\x01", b"\x97"),
    ],
)
def test_opcodes_that_no_pickle_has_are_none(body: bytes) -> None:
    """Neither those of Python 2 that call, nor those that look elsewhere."""
    with pytest.raises(KeyError):
        read(body)


def test_nobody_fills_in_later_what_was_filled_in() -> None:
    """A state keeps none of the dicts, lists and bytes that an instance was made of."""
    later = get(0) + plain("__reduce__") + b"Ns0"
    one = read(ONE + b"}" + put(0) + b"b" + put(1) + b"0" + later + get(1))
    asked = PARTIAL + b"(" + LINEAR + b"tR(" + LINEAR + b")}" + put(0) + b"Ntb" + put(1) + b"0"
    waiting = read(asked + later + get(1))
    content = b"\x96" + bytes([8]) + bytes(7) + bytes(8)
    over = call(BUFFER, content + put(0), call(DTYPE, plain("i8")), plain((1,)), plain("C"))
    held, numbers = read(over + put(1) + b"0" + get(0) + get(1) + b"\x86")
    objects = EMPTY + array((1,), "O8", b"]" + put(0) + b"Na") + put(1) + b"0"
    listed, array_ = read(objects + get(0) + get(1) + b"\x86")

    assert vars(one) == {}
    assert next(iter(vars(read(with_(ONE, "newest_of_all", b"N"))))) is sys.intern("newest_of_all")
    assert waiting.keywords == {}
    held[0] = 1
    listed[0] = 1
    assert numbers.tolist() == [0]
    assert array_.tolist() == [None]


@pytest.mark.parametrize(("opcode", "items"), [(b"a", b"N"), (b"e", b"(N")])
def test_a_list_is_added_to_by_its_class(opcode: bytes, items: bytes) -> None:
    """Not by what an instance of a user's has in place of the method."""
    name = {b"a": "append", b"e": "extend"}[opcode]
    one = with_(new(named(HERE, "Collector")), name, named(HERE, "noted"))

    assert read(one + items + opcode) == [None]
    assert not MADE


def test_a_users_own_may_be_made_of_anything() -> None:
    """Called, made and filled in with what it likes: whoever names a package trusts it."""
    own = call(named(HERE, "Collector"), plain([1]))
    by_name = named(HERE, "Mapping") + b")" + plain({"a": 1}) + b"\x92"

    assert read(own) == [1]
    assert read(new(named(HERE, "Collector"), ONE)) == []
    assert read(by_name) == {}
    assert read(call(named(HERE, "noted"))) == "called"
    assert MADE.pop() == "called"
    with pytest.raises(ValueError, match="not allowed"):
        read(own, ())


@pytest.mark.parametrize(
    "value",
    [
        np.arange(6.0).reshape(2, 3).T,
        np.arange(24.0).reshape(2, 3, 4).transpose(1, 0, 2),
        np.arange(10.0)[::2],
        np.zeros((0, 3)),
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
    found, wanted = Unpickler(io.BytesIO(raw)).load(), pickle.loads(raw)

    if hasattr(value, "normal"):
        assert found.normal() == wanted.normal()
    else:
        assert found.dtype == wanted.dtype
        assert np.array_equal(found, wanted)
