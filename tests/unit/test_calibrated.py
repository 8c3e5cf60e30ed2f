"""River models with bands that hold what they claim."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from river import base

from models import catalog, state
from models.calibrated import calibrated
from models.conformal import Conformal
from models.features import CLOCK, NAMES
from models.learner import Learner
from models.proof import prove
from shared.candle import Series, Timeframe
from shared.errors import InvalidValue, StateError
from tests.unit import own_models, rivers
from tests.unit.test_learner import candles, check

HERE = "tests.unit.own_models"
SERIES = Series.parse("x:BTC/USDT:1h")
EXAMPLES = ("snarimax", "holt-winters", "regression")
SIGNER = state.Signer(b"k" * 32)
RIVERS = [name for name, one in vars(rivers).items() if isinstance(one, base.Estimator)]
OWN = state.Signer(b"k" * 32, modules=[HERE])


def learner(name: str, horizon: int = 6) -> Learner:
    """A new one; names without a dot are of the catalog or of the module beside."""
    path = name if name in EXAMPLES else f"{HERE}.{name}"
    return Learner(Timeframe("1h"), horizon, path)


def forecaster(one: Learner) -> Conformal:
    """What it wraps a River model in."""
    assert isinstance(one.forecaster, Conformal)
    return one.forecaster


@pytest.mark.parametrize("name", [*EXAMPLES, "biased"])
def test_bands_hold_what_they_claim(name: str) -> None:
    """Whatever the model says: also one that is always too high by three per cent."""
    one = learner(name)
    stream = candles(3_000)
    one.learn_many(stream)
    outlook = one.outlook()

    check(outlook, 6)
    assert outlook.status == "live"
    for horizon, scores in one.scores()["horizons"].items():
        for band in (50, 80, 90, 95):
            assert scores["recent"][f"coverage_{band}"] == pytest.approx(band / 100, abs=0.05), (
                f"{band} % of {name}, {horizon} ahead"
            )


@pytest.mark.parametrize("name", EXAMPLES)
def test_learning_one_by_one_comes_to_the_same(name: str) -> None:
    """And forecasts from the second candle on."""
    stream = candles(120)
    one, other = learner(name), learner(name)
    one.learn_many(stream[:2])
    check(one.outlook(), 6)
    one.learn_many(stream[2:])
    for candle in stream:
        other.learn_one(candle)

    assert np.array_equal(one.outlook().quantiles, other.outlook().quantiles)


@pytest.mark.parametrize("name", EXAMPLES)
def test_those_of_the_catalog_can_be_saved(name: str) -> None:
    """With nothing allowed beside ours and River's; what was saved goes on to the same bits."""
    prove(name, SIGNER)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("closure", "its state cannot be saved .*lambda"),
        ("gambler", "learns otherwise from the same candles: .*seeded"),
        ("forgetful", "goes on otherwise from what it saved"),
        ("deaf", "after 400 candles: Deaf: TypeError"),
    ],
)
def test_what_cannot_be_saved_exactly_is_refused_with_the_reason(name: str, says: str) -> None:
    """Before it has learned anything of somebody's market."""
    prove(f"{HERE}.good", OWN)
    with pytest.raises(InvalidValue, match=says):
        prove(f"{HERE}.{name}", OWN)


def test_a_state_names_only_modules_that_are_allowed() -> None:
    """The remedy is named; of the allowed ones only what they define themselves."""
    with pytest.raises(InvalidValue, match=r"own_models.Stubborn is not allowed.*STATE_MODULES"):
        prove(f"{HERE}.good", SIGNER)
    with pytest.raises(InvalidValue, match="is not allowed"):
        prove(f"{HERE}.good", state.Signer(b"k" * 32, modules=[f"{HERE}_too", "tests.unit.other"]))
    prove(f"{HERE}.good", state.Signer(b"k" * 32, modules=["tests"]))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("raising", "Stubborn: ValueError: no idea"),
        ("absurd", "Stubborn: ValueError: it expects a log return of"),
        ("silent", "Stubborn: ValueError: it expects a log return of nan"),
        ("own_error", "Stubborn: Unheard: of nobody's"),
        ("stopping", "Stubborn: StopIteration"),
        ("missing_file", "Stubborn: FileNotFoundError: no such file"),
        ("exiting", "Stubborn: SystemExit: 3"),
        ("untold", "Stubborn: Unspeakable"),
        ("unspoken", "Stubborn: Unspoken"),
        ("surrogate", "Stubborn: ValueError: bad ?"),
        ("coloured", "Stubborn: ValueError: no  [31m idea"),
        ("unteachable", "Unteachable: ValueError: no idea"),
    ],
)
def test_a_model_that_goes_wrong_harms_nobody(name: str, says: str) -> None:
    """The baseline speaks for as long, and the culprit is named; then it is heard again."""
    one, stream = learner(name), candles(140)
    one.learn_many(stream[:120])
    wrong, scores = one.outlook(), one.scores()
    one.learn_many(stream[120:])

    check(wrong, 6)
    assert (wrong.status, scores["finite"]) == ("fallback", False)
    assert scores["fault"].startswith(says)
    check(one.outlook(), 6)
    scores = one.scores()
    assert (one.outlook().status, scores["fault"], scores["faults"]) == ("live", "", 1)
    assert scores["last_fault"].startswith(says)
    assert scores["last_fault_at"] == stream[119].open_time
    assert np.isfinite(forecaster(one).tracker.sizes).all()


def test_a_model_that_grows_without_bounds_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it is written; and it is refused at the start, where it shows there."""
    one, stream = learner("witness"), candles(200)
    one.learn_many(stream[:100])
    state.dump(one, OWN, SERIES)
    kept = len(forecaster(one).estimators[0].lessons)
    monkeypatch.setattr(state, "_LARGEST", 100_000)
    one.learn_many(stream[100:])
    state.dump(one, OWN, SERIES)

    assert kept == 99
    assert forecaster(one).estimators[0].lessons == []
    assert one.scores()["fault"].startswith("Witness begins anew: it takes 0 MB of a state")
    with pytest.raises(InvalidValue, match="after 400 candles: Witness begins anew"):
        prove(f"{HERE}.witness", OWN)


def test_a_parameter_may_be_of_numpys() -> None:
    """What is the same number is the same model, to the last bit and no further."""
    told = [calibrated(own_models.Stubborn(says=one)).parameters for one in (0.1, np.float64(0.1))]
    near = calibrated(own_models.Stubborn(says=np.nextafter(0.1, 1))).parameters
    whole, small = (
        calibrated(own_models.Stubborn(wrong_at=one)).parameters  # type: ignore[arg-type]
        for one in (3, np.int64(3))
    )

    assert told[0] == told[1] != near
    assert whole == small
    assert calibrated(own_models.Stubborn(says=np.bool_(1))).parameters  # type: ignore[arg-type]


@pytest.mark.parametrize(("says", "fault"), [(900.0, False), (1_100.0, True)])
def test_what_is_absurd_is_not_heard(says: float, *, fault: bool) -> None:
    """More than a thousand standard deviations away."""
    one = learner("good")
    one.learn_many(candles(100))
    wrapped = forecaster(one)
    inputs = np.zeros(0)
    wrapped.fault = ""
    wrapped._expect = lambda inputs: says * wrapped.deviation  # type: ignore[method-assign]  # noqa: ARG005
    wrapped.attempt(wrapped._hear, inputs)

    assert bool(wrapped.fault) is fault


@pytest.mark.parametrize(
    "name", ["rivers.selected", pytest.param("own_models.drawn", marks=pytest.mark.at_length)]
)
def test_in_every_process_it_is_the_same(name: str) -> None:
    """Python orders a set otherwise in each; a seed that is given draws the same everywhere."""
    code = f"""
from models import state
from models.learner import Learner
from shared.candle import Series, Timeframe
from tests.unit.test_learner import candles

one = Learner(Timeframe("1h"), 2, "tests.unit.{name}")
stream = candles(120)
one.learn_many(stream[:60])
signer, series = state.Signer(b"k", modules=["tests"]), Series.parse("x:BTC/USDT:1h")
one = state.load(state.dump(one, signer, series), signer, None, series)
one.learn_many(stream[60:])
assert not one.scores()["last_fault"], one.scores()["last_fault"]
print(one.outlook().quantiles.tobytes().hex())
"""
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": str(seed)},
            cwd=Path(__file__).parents[2],
            check=True,
            capture_output=True,
        ).stdout
        for seed in (1, 3)
    }

    assert len(said) == 1
    assert said != {b""}


@pytest.mark.parametrize("name", RIVERS)
def test_of_rivers_models_there_are_few_that_cannot_be_saved(name: str) -> None:
    """Trees, forests, neighbours and rules, that lean on much that no estimator is."""
    path = f"tests.unit.rivers.{name}"
    stream = candles(160)
    one = Learner(Timeframe("1h"), 1, path)
    one.learn_many(stream[:150])
    again = state.load(state.dump(one, SIGNER, SERIES), SIGNER, None, SERIES)
    for each in (one, again):
        each.learn_many(stream[150:])

    assert one.scores()["fault"] == ""
    assert one.scores() == again.scores()
    assert np.array_equal(one.outlook().quantiles, again.outlook().quantiles)


@pytest.mark.parametrize("name", [*EXAMPLES, "default"])
def test_a_still_market_that_moves_spoils_nothing(name: str) -> None:
    """One error of a thousand standard deviations is one error."""
    stream = candles(1_000)
    still = [replace(c, open=100.0, high=100.0, low=100.0, close=100.0) for c in stream[:200]]
    factor = 103 / stream[200].open
    prices = ("open", "high", "low", "close")
    moving = [replace(c, **{one: factor * getattr(c, one) for one in prices}) for c in stream[200:]]
    one = Learner(Timeframe("1h"), 6, name)
    one.learn_many([*still, *moving])
    recent = [group["recent"]["crps_skill"] for group in one.scores()["horizons"].values()]

    assert min(recent) > -0.1


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("hoarder", "Hoarder begins anew: ValueError: datetime.timedelta"),
        ("locked", "Locked begins anew: OSError: my disk"),
    ],
)
def test_what_could_not_be_read_back_is_forgotten(name: str, says: str) -> None:
    """Before it is written; the model begins anew, and its series goes on."""
    one, stream = learner(name), candles(720)
    one.learn_many(stream[:700])
    before = state.load(state.dump(one, OWN, SERIES), OWN, state.fingerprint(one.model, 6), SERIES)
    one.learn_many(stream[700:])
    raw = state.dump(one, OWN, SERIES)
    again = state.load(raw, OWN, state.fingerprint(one.model, 6), SERIES)

    assert forecaster(before).estimators[0].count == 700
    assert forecaster(again).estimators[0].count == 0
    assert says in again.scores()["fault"]
    assert one.pop_news()
    assert again.sequence == 720


def test_a_state_imports_no_model_that_is_not_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though whoever wrote it has the key."""
    raw = state.dump(learner("good"), OWN, SERIES)
    monkeypatch.delitem(sys.modules, HERE)
    with pytest.raises(StateError, match=r"is not allowed|is in no package"):
        state.load(raw, SIGNER, state.fingerprint(f"{HERE}.good", 6), SERIES)
    assert HERE not in sys.modules


def test_an_error_of_the_system_is_nobodys() -> None:
    """The candle is learned later, by somebody with more memory."""
    one = learner("starved")
    with pytest.raises(MemoryError):
        one.learn_many(candles(140))


def test_a_regressor_is_taught_what_came_of_each_origin() -> None:
    """By names, in standard deviations; where the target is missing nothing is taught."""
    one, stream = learner("witness", horizon=3), candles(60)
    missing = stream.pop(40)
    said = []
    for candle in stream:
        one.learn_one(candle)
        said.append(forecaster(one).deviation.copy())
    for place, witness in enumerate(forecaster(one).estimators):
        ahead = place + 1
        lessons = [
            (np.log(later.close / origin.close) / said[at][place])
            for at, origin in enumerate(stream)
            for later in stream
            if later.open_time - origin.open_time == ahead * 3_600_000
        ]
        assert [y for _, y in witness.lessons] == pytest.approx(lessons)
        assert all(x.keys() == {*NAMES, *CLOCK} for x, _ in witness.lessons)
    assert missing.open_time not in {candle.open_time for candle in stream}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (f"{HERE}.missing", "has no attribute 'missing'"),
        ("nobody_has.this", "PYTHONPATH"),
        (f"{HERE}.number", "an estimator of River's"),
        (f"{HERE}.scaler", "neither a forecaster nor a regressor"),
        (f"{HERE}.dated", r"Stubborn\.says: .*a parameter has to be a number, a text"),
        ("magic", "use one of default, random-walk, snarimax, holt-winters, regression, or pack"),
    ],
)
def test_what_is_no_model_is_refused(name: str, says: str) -> None:
    """With the remedy."""
    with pytest.raises(InvalidValue, match=says):
        catalog.model(name)


def test_what_a_model_is_made_of_is_part_of_its_fingerprint() -> None:
    """And so is the version that its author gives it."""
    own = ("good", "biased", "raising", "second", "fine", "finer")
    names = [f"{HERE}.{name}" for name in own]

    assert len({state.fingerprint(name, 24) for name in names}) == len(own)
    assert catalog.model(names[3]).version == 2
    assert "tests" in [path.name for path in catalog.sources(names[0])]
    others = ("default", "snarimax", "models.examples.x", "river.linear_model.LinearRegression")
    assert [catalog.sources(name) for name in others] == [[]] * len(others)
