"""What a signed state may not do: name what harms, fill in what is shared, import or open."""

import io
import pickle
import sys
from typing import Any

import numpy as np
import pytest
from river import linear_model
from river.stream import Cache

from models import state
from models.learner import Learner
from shared.errors import StateError
from tests.unit.test_state import FINGERPRINT, SERIES, SIGNER, signed, taught


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


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (Attack(), "builtins.print is not allowed"),
        (pickle.Unpickler, "_pickle.Unpickler is not allowed"),
        (state.fingerprint, "models.envelope.fingerprint is not allowed"),
        (Cache, "river.stream.cache.Cache is not allowed"),
        (Asking(linear_model.LinearRegression(), "__class__"), "__class__ of LinearRegression is"),
        (Asking(linear_model.LinearRegression(), "optimizer"), "optimizer of LinearRegression is"),
        (Asking(linear_model.LinearRegression, "mro"), "mro of EstimatorMeta is not allowed"),
        (Learner, "models.learner.Learner is not allowed"),
        (state._Unpickler, "models.state._Unpickler is not allowed"),
        ("only text", "holds a str, not a learner"),
    ],
)
def test_signed_strangers_are_refused(
    body: object, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Even signed, a state names classes of the allow-list only, and holds a learner."""
    with pytest.raises(StateError, match=why):
        state.load(signed(body), SIGNER, FINGERPRINT, SERIES)

    assert capsys.readouterr().out == ""


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
    ],
)
def test_what_there_is_once_for_all_is_not_changed(owner: object, state_: object) -> None:
    """Nor is a type of NumPy's made of objects that are none."""
    before = linear_model.LinearRegression.learn_one
    with pytest.raises(pickle.UnpicklingError, match="is not to be changed by a state"):
        state._Unpickler(io.BytesIO(built(owner, state_)), ["builtins"]).load()

    assert linear_model.LinearRegression.learn_one is before


@pytest.mark.parametrize("model", ["json.tool.main", "json.tool", "default@../../etc/passwd"])
def test_a_state_imports_and_opens_nothing_by_its_models_name(model: str) -> None:
    """Though whoever wrote it has the key."""
    learner = taught(3)
    body: object = ({**learner.parameters, "model": model}, learner.memory(), [])
    sys.modules.pop("json.tool", None)
    with pytest.raises(StateError, match=r"in no package|names no prior"):
        state.load(signed(body), SIGNER, FINGERPRINT, SERIES)

    assert "json.tool" not in sys.modules


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("models.state", "io.FileIO"),
        ("models.state", "Any"),
        ("models.memory", "np._core._internal.ctypes.CDLL"),
        ("models.skill", "Memory"),
        ("shared.candlestick", "Candle"),
        ("shared.candle", "Series"),
        ("river.base", "estimator.Estimator"),
        ("models.state", "pickle.loads"),
        ("models.learner", "Learner.parameters.fget"),
        ("models.state", "_Unpickler.find_class"),
        ("river.utils.rolling", "BaseRolling.__getattr__"),
        ("river.tree", "HoeffdingTreeRegressor.clone"),
    ],
)
def test_no_way_leads_through_a_module(module: str, name: str) -> None:
    """A class is found where it was defined, never through what another module imports."""
    body = pickle.PROTO + b"\x04c" + f"{module}\n{name}\n".encode() + b"."

    with pytest.raises(pickle.UnpicklingError, match="is not allowed in a state"):
        state._Unpickler(io.BytesIO(body)).load()
