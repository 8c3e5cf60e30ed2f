"""River models with bands that hold what they claim."""

import itertools
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from river import base

from models import catalog, conformal, state
from models.conformal import Conformal
from models.features import CLOCK, NAMES
from models.learner import Learner
from models.proof import prove
from shared.candle import Series, Timeframe
from shared.errors import InvalidValue, StateError
from tests.unit import rivers
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
        ("surrogate", "Stubborn: ValueError: bad ?"),
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


def test_a_model_that_rests_is_neither_taught_nor_heard() -> None:
    """It is named, another speaks for sixteen candles, and then it is heard again."""
    one, stream = learner("good"), candles(200)
    one.learn_many(stream[:121])
    assert one.rest("it is slow")
    one.learn_many(stream[121:130])
    raw = state.dump(one, OWN, SERIES)
    one = state.load(raw, OWN, state.fingerprint(one.model, 6), SERIES)
    resting = one.outlook(), one.scores()["fault"], one.rest("again")
    one.learn_many(stream[130:137])
    tired = forecaster(one).estimators[0].count, one.outlook().status
    one.learn_one(stream[137])

    assert resting[0].status == "fallback"
    assert resting[1] == "Stubborn rests for 16 candles: it is slow"
    assert resting[2] is False
    assert tired == (121, "fallback")
    assert (forecaster(one).estimators[0].count, one.outlook().status) == (122, "live")
    scores = one.scores()
    assert (scores["fault"], scores["faults"], scores["last_fault"]) == ("", 1, resting[1])
    assert scores["last_fault_at"] == stream[120].open_time


def test_rests_grow_until_a_model_has_been_awake_for_long() -> None:
    """Twice as long each time, and it may rest again as soon as it would be taught."""
    one, stream = learner("good"), candles(1_400)
    one.learn_many(stream[:100])
    spans, at = [], 100
    for _ in range(3):
        assert one.rest("again")
        before = at
        while one.scores()["fault"]:
            one.learn_one(stream[at])
            at += 1
            if forecaster(one).resting == 1:
                break
        spans.append(at - before)
    one.learn_many(stream[at:])
    one.rest("at last")

    assert spans == [16, 32, 64]
    assert one.scores()["last_fault"] == "Stubborn rests for 16 candles: at last"


@pytest.mark.parametrize("again", [False, True])
def test_who_is_slow_twice_in_a_row_rests(again: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001
    """And nobody else: not the other of a pair, nor one that was slow once."""
    one, stream = Learner(Timeframe("1h"), 6, f"holt-winters+{HERE}.good"), candles(100)
    one.learn_many(stream[:60])
    times = itertools.count(0, 3)
    for candle in stream[60:62]:
        assert one.shadow
        slow = again or candle is stream[60]
        monkeypatch.setattr(conformal.STOPWATCH, "read", float)
        monkeypatch.setattr(forecaster(one.shadow), "attempt", timed(one.shadow, times, slow=slow))
        one.learn_one(candle)
        one.tire(2.0)
    scores = one.scores()

    assert scores["fault"] == ""
    says = "Stubborn rests for 16 candles: a candle took it 6.0 s" if again else ""
    assert scores["challenger"]["fault"] == says


def timed(one: Learner, times: Iterator[int], *, slow: bool) -> Callable[..., None]:
    """What `attempt` does, by a clock that goes three seconds each time, or stands still."""
    attempt = type(forecaster(one)).attempt

    def do(*args: Any) -> None:
        conformal.STOPWATCH.read = times.__next__ if slow else float
        attempt(forecaster(one), *args)
        conformal.STOPWATCH.read = float

    return do


def test_a_model_of_ours_cannot_rest() -> None:
    """What kills there is the candle; where there is a River model beside it, that may be it."""
    assert not Learner(Timeframe("1h"), 6).rest("it may be it")
    assert Learner(Timeframe("1h"), 6, f"default+{HERE}.good").rest("it may be it")
    pair = Learner(Timeframe("1h"), 6, f"holt-winters+{HERE}.good")
    assert pair.rest("it may be it", all_of_them=False)
    assert (pair.scores()["fault"], pair.pop_news(), pair.pop_news()) == ("", True, False)
    assert pair.scores()["challenger"]["fault"]


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
        ("hoarder", "Hoarder begins anew: UnpicklingError: datetime.timedelta"),
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
        (f"{HERE}.dated", "a parameter has to be a number, a text"),
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
