"""What a signed state may not do: name what harms, import or open."""

import hmac
import io
import pickle
import sys
from collections.abc import Callable
from statistics import NormalDist
from types import ModuleType
from typing import Any

import pytest
from river import linear_model
from river.stream import Cache

from config import settings
from models import state
from models.learner import Learner
from models.recast import speaker
from models.unpickler import Unpickler
from shared.errors import StateError
from shared.header import MAGIC, START
from tests.unit import rivers
from tests.unit.test_state import FINGERPRINT, KEY, SERIES, SIGNER, signed, taught
from worker import jobs


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
        (Unpickler, "models.unpickler.Unpickler is not allowed"),
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


@pytest.mark.parametrize("read", [state.load, speaker])
@pytest.mark.parametrize(
    "model",
    [
        *("json.tool.main", "json.tool.main+default", "json.tool"),
        *("default@../../etc/passwd", f"default@{'a' * 300}", "default@é"),
    ],
)
def test_a_state_imports_and_opens_nothing_by_its_models_name(
    model: str, read: Callable[..., Learner]
) -> None:
    """Though whoever wrote it has the key."""
    sys.modules.pop("json.tool", None)
    with pytest.raises(StateError, match=r"in no package|names no prior"):
        read(signed(holding([], model=model)), SIGNER, FINGERPRINT, SERIES)

    assert "json.tool" not in sys.modules


def test_no_module_is_asked_for_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some import what they are asked for."""
    lazy: Any = ModuleType("lazy")
    lazy.__getattr__ = pytest.fail
    monkeypatch.setitem(sys.modules, "lazy", lazy)
    with pytest.raises(StateError, match="in no package"):
        state.check_model("lazy.model", ())


def test_a_package_that_is_named_need_not_be_there_yet() -> None:
    """It is imported for the model then, which is none here."""
    named = state.Signer(KEY, modules=["wsgiref.util"])
    with pytest.raises(StateError) as refused:
        state.load(
            signed(holding([], model="wsgiref.util.guess_scheme")), named, FINGERPRINT, SERIES
        )

    assert "in no package" not in str(refused.value)


def test_a_state_may_name_a_model_that_is_there_already() -> None:
    """Nothing is imported for it: no package has to be named for a pipeline of River's alone."""
    state.check_model(f"{rivers.__name__}.linear+default", ())
    with pytest.raises(StateError, match="in no package"):
        state.check_model("json.tool.main", ("tests",))


@pytest.mark.parametrize("read", [state.load, speaker])
def test_where_no_river_model_is_set_nothing_but_plain_data_is_read(
    read: Callable[..., Learner], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever model a state names: who signs it says that too."""
    monkeypatch.setattr(state, "Unpickler", pytest.fail)
    closed = state.Signer(KEY, modules=None)
    for model in ("default", "holt-winters", f"{rivers.__name__}.linear"):
        raw = signed(holding([linear_model.LinearRegression()], model=model))
        with pytest.raises(StateError, match=r"is set here|is not there"):
            read(raw, closed, FINGERPRINT, SERIES)

    own, arrays, _, parts = holding([])
    both = pickle.dumps((linear_model.LinearRegression(), []))
    with pytest.raises(StateError, match="is set here"):
        read(signed((own, arrays, both, parts)), closed, FINGERPRINT, SERIES)

    honest = taught(3)
    assert read(state.dump(honest, closed, SERIES), closed, FINGERPRINT, SERIES).sequence == 3


@pytest.mark.parametrize(
    ("ideas", "modules"),
    [
        ({}, None),
        ({"model": "default", "challenger": "random-walk"}, None),
        ({"model": "default@none"}, None),
        ({"model": "snarimax"}, frozenset()),
        ({"challenger": "my_ideas.momentum"}, frozenset()),
        ({"state_modules": "my_ideas"}, frozenset({"my_ideas"})),
    ],
)
def test_the_settings_say_whether_there_are_river_models(
    ideas: dict[str, Any], modules: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a worker of the default model alone reads plain data alone."""
    read = settings.Settings(state_key="k" * 32, **ideas)
    monkeypatch.setattr(jobs, "configured", lambda: read)

    assert jobs.signer.__wrapped__().modules == modules


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
        ("models.unpickler", "Unpickler.find_class"),
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

    with pytest.raises(ValueError, match="is not allowed in a state"):
        Unpickler(io.BytesIO(body)).load()


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
    reader = Unpickler(io.BytesIO(body), [module])
    if may:
        assert reader.load().__module__ == module
        return
    with pytest.raises(ValueError, match="is not allowed in a state"):
        reader.load()


def test_no_key_is_no_key() -> None:
    """Where there is none before, what nobody's key has signed is not taken for its."""
    raw = signed(holding([]))
    content = raw[START:]
    nobodys = MAGIC + hmac.digest(b"", content, "sha256") + content
    with pytest.raises(StateError, match="does not match its signature"):
        state.load(nobodys, SIGNER, FINGERPRINT, SERIES)
