"""A challenger in the shadow of the model that speaks, and the change from one to the other."""

import sys

import numpy as np
import pytest

from models import catalog, shares, state
from models.contest import Contest
from models.evaluation import diebold_mariano
from models.learner import Learner
from models.learners import Learners
from models.memory import Array
from models.recast import recast, speaker
from shared.candle import Candle, Series, Timeframe
from shared.errors import InvalidValue, OtherModel, StateError
from tests.unit import own_models
from tests.unit.test_learner import candles
from worker.recall import loaded

SERIES = Series.parse("x:BTC/USDT:1h")
SIGNER = state.Signer(b"k" * 32)
HERE = "tests.unit.own_models"
PAIR, TURNED = "default+holt-winters", "holt-winters+default"


def taught(stream: list[Candle], model: str, horizon: int = 6) -> Learner:
    """One that has learned candles."""
    learner = Learner(Timeframe("1h"), horizon, model)
    learner.learn_many(stream)
    return learner


def said(learner: Learner) -> list[list[float]]:
    """What it says now."""
    quantiles: list[list[float]] = learner.outlook().quantiles.tolist()
    return quantiles


def turned_to(learner: Learner, model: str) -> Learner:
    """Of another pair, going on from what it was."""
    into = Learner(learner.timeframe, learner.horizon, model)
    return recast(state.dump(learner, SIGNER, SERIES), SIGNER, SERIES, into)


def same(one: Learner, other: Learner) -> bool:
    """Whether both say, and have shown, the same to the bit."""
    return said(one) == said(other) and np.array_equal(
        one.prequential.total, other.prequential.total
    )


@pytest.fixture(scope="module")
def stream() -> list[Candle]:
    """Candles."""
    return candles(400)


def test_both_learn_as_if_they_were_alone(stream: list[Candle]) -> None:
    """What is published is the speaker's; the challenger's scores stand beside it."""
    pair, speaker, other = (taught(stream, name) for name in (PAIR, *catalog.roles(PAIR)))
    assert pair.shadow
    scores = pair.scores()

    assert same(pair, speaker)
    assert same(pair.shadow, other)
    assert scores["horizons"] == speaker.scores()["horizons"]
    assert scores["challenger"]["model"] == "holt-winters"
    assert scores["challenger"]["horizons"] == other.scores()["horizons"]


def test_the_contest_is_over_the_same_candles(stream: list[Candle]) -> None:
    """By what each forecast was worth when its candle came: as the published scores are."""
    pair = taught(stream[:250], "default+random-walk")
    scores = pair.scores()
    found = scores["challenger"]["contest"]

    for horizon, one in found.items():
        means = [
            group["horizons"][horizon]["total"]["crps"] for group in (scores["challenger"], scores)
        ]
        assert (
            one["candles"] == scores["horizons"][horizon]["total"]["candles"] == 250 - int(horizon)
        )
        assert one["ratio"] == pytest.approx(means[0] / means[1])
        assert 0 <= one["p_value"] <= 1


def test_a_contest_looks_back_on_so_many_candles() -> None:
    """In their order, where both are known."""
    rng, kept_candles = np.random.default_rng(1), Contest((3,)).kept
    losses = rng.uniform(1, 2, (2, 2 * kept_candles + 50, 1))
    losses[1] *= 1.1
    losses[0, -5] = np.nan
    contest = Contest((3,))
    for start in range(0, losses.shape[1], 50):
        contest.take_in(*losses[:, start : start + 50])
    kept: Array = losses[:, -kept_candles:, 0]
    wanted = diebold_mariano(kept[1], kept[0], 3)
    found = contest.standing()["3"]

    assert found == {"candles": kept_candles - 1, **wanted._asdict()}
    assert found["ratio"] > 1
    assert found["p_value"] < 0.05
    assert Contest((3,)).standing()["3"] == {
        "candles": 0,
        "ratio": None,
        "statistic": None,
        "p_value": None,
    }


def test_series_with_challengers_learn_in_step(stream: list[Candle]) -> None:
    """To the same bits as alone."""
    streams = [stream[at : at + 120] for at in (0, 100, 200)]
    alone = [taught(own, PAIR) for own in streams]
    together = [Learner(Timeframe("1h"), 6, PAIR) for _ in streams]
    rows = np.zeros((3, together[0].extent))
    for row, learner in zip(rows, together, strict=True):
        learner.gather(row)
    group = Learners(together)
    group.learn_many(zip(*streams, strict=True))

    assert [said(one) for one in together] == [said(one) for one in alone]
    assert group.scores() == [one.scores() for one in alone]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (PAIR, TURNED),
        ("default", PAIR),
        (PAIR, "default"),
        (PAIR, "holt-winters"),
        (PAIR, "default+snarimax"),
        (PAIR, "holt-winters+snarimax"),
    ],
)
def test_another_pair_goes_on_from_what_was_learned(
    stream: list[Candle], before: str, after: str
) -> None:
    """Who speaks then goes on to the bit; a challenger that is new begins anew."""
    raw = state.dump(taught(stream[:300], before), SIGNER, SERIES)
    into = Learner(Timeframe("1h"), 6, after)
    with pytest.raises(OtherModel):
        state.load(raw, SIGNER, state.fingerprint(after, 6), SERIES)
    learner = recast(raw, SIGNER, SERIES, into)
    saved = state.dump(learner, SIGNER, SERIES)
    again = state.load(saved, SIGNER, state.fingerprint(after, 6), SERIES)
    for one in (learner, again):
        one.learn_many(stream[300:])
    speaker, challenger = catalog.roles(after)

    assert learner.sequence == again.sequence == len(stream)
    assert same(learner, taught(stream, speaker))
    assert same(again, learner)
    assert again.scores() == learner.scores()
    if learner.shadow:
        known = challenger in catalog.roles(before)
        assert same(learner.shadow, taught(stream if known else stream[300:], challenger))


def test_who_has_learned_nothing_does_not_speak(
    stream: list[Candle], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The series is learned again; so it is where the model has changed by now."""
    raw = state.dump(taught(stream[:50], PAIR), SIGNER, SERIES)
    with pytest.raises(OtherModel, match=r"state of default\+holt-winters, wanted snarimax"):
        recast(raw, SIGNER, SERIES, Learner(Timeframe("1h"), 6, "snarimax"))
    with pytest.raises(OtherModel):
        recast(raw, SIGNER, SERIES, Learner(Timeframe("1h"), 3, TURNED))
    with pytest.raises(OtherModel):
        recast(raw, SIGNER, SERIES, Learner(Timeframe("4h"), 6, TURNED))
    monkeypatch.setattr(shares, "fingerprint", lambda *_: "of another version")
    with pytest.raises(OtherModel, match="wanted default"):
        recast(raw, SIGNER, SERIES, Learner(Timeframe("1h"), 6, "default"))


@pytest.mark.parametrize("is_gone", [True, False])
def test_what_becomes_of_a_challenger_costs_the_speaker_nothing(
    stream: list[Candle], monkeypatch: pytest.MonkeyPatch, *, is_gone: bool
) -> None:
    """Its module is gone, or its parameters are others: it alone begins anew, or is left out."""
    own, signer = f"{HERE}.good", state.Signer(b"k" * 32, modules=[HERE])
    raw = state.dump(taught(stream[:300], f"default+{own}"), signer, SERIES)
    for known in (catalog._own, state.fingerprint):
        known.cache_clear()
    if is_gone:
        monkeypatch.setitem(sys.modules, HERE, None)
    else:
        monkeypatch.setattr(own_models, "good", own_models.Stubborn(says=1.0))
    after = "default" if is_gone else f"default+{own}"
    learner = recast(raw, signer, SERIES, Learner(Timeframe("1h"), 6, after))
    learner.learn_many(stream[300:])
    monkeypatch.undo()
    for known in (catalog._own, state.fingerprint):
        known.cache_clear()

    assert same(learner, taught(stream, "default"))
    assert learner.drift.newest == taught(stream, "default").drift.newest
    if learner.shadow:
        assert learner.shadow.prequential.candles == len(stream) - 300


@pytest.mark.parametrize("after", ["default", f"default+{HERE}.returning", "alone"])
@pytest.mark.parametrize(
    "why", [KeyError("new"), SystemExit(3), FileNotFoundError("gone"), RecursionError()], ids=repr
)
def test_what_a_challenger_holds_and_cannot_be_read_costs_the_speaker_nothing(
    stream: list[Candle], monkeypatch: pytest.MonkeyPatch, why: BaseException, after: str
) -> None:
    """Its classes have other fields by now, or whatever: it alone begins anew, or is left out."""
    pair, signer = f"default+{HERE}.returning", state.Signer(b"k" * 32, modules=[HERE])
    one = Learner(Timeframe("1h"), 4, pair)
    one.learn_many(stream[:300])
    raw, print_ = state.dump(one, signer, SERIES), state.fingerprint(pair, 4)
    body = state.body(one)
    monkeypatch.setattr(own_models.Returning, "why", why)
    with pytest.raises(StateError):
        state.load(raw, signer, print_, SERIES)
    with pytest.raises(StateError):
        state.take_up(body, Learner(Timeframe("1h"), 4, pair))
    into = None if after == "alone" else Learner(Timeframe("1h"), 4, after)
    wanted = print_ if into is None else state.fingerprint(after, 4)
    learner = loaded(raw, signer, wanted, SERIES, into)
    monkeypatch.undo()
    if learner.shadow:
        assert "Returning begins anew" in learner.scores()["challenger"]["last_fault"]
    learner.learn_many(stream[300:])
    alone = Learner(Timeframe("1h"), 4)
    alone.learn_many(stream)

    assert same(learner, alone)
    if learner.shadow:
        assert learner.shadow.prequential.candles == len(stream) - 300


def test_too_little_memory_is_nobody_s_fault(
    stream: list[Candle], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A challenger that could not be read for it is not thrown away."""
    pair, signer = f"default+{HERE}.returning", state.Signer(b"k" * 32, modules=[HERE])
    raw = state.dump(taught(stream[:50], pair), signer, SERIES)
    for why in (MemoryError(), KeyboardInterrupt()):
        monkeypatch.setattr(own_models.Returning, "why", why)
        with pytest.raises(type(why)):
            loaded(
                *(raw, signer, state.fingerprint(pair, 6), SERIES),
                Learner(Timeframe("1h"), 6, pair),
            )
        with pytest.raises(type(why)):
            recast(raw, signer, SERIES, Learner(Timeframe("1h"), 6, pair))


def test_a_version_of_another_model_is_not_read_for_it(stream: list[Candle]) -> None:
    """Whoever wants to know what a version says wants that one."""
    raw = state.dump(taught(stream[:50], PAIR), SIGNER, SERIES)
    with pytest.raises(OtherModel):
        loaded(raw, SIGNER, state.fingerprint("default", 6), SERIES)
    assert speaker(raw, SIGNER, state.fingerprint(PAIR, 6), SERIES).model == "default"
    with pytest.raises(OtherModel):
        speaker(raw, SIGNER, state.fingerprint("default", 6), SERIES)


def test_what_the_speaker_holds_and_cannot_be_read_is_told(stream: list[Candle]) -> None:
    """Both reasons: why not as it is, and why not as another pair."""
    own, signer = f"{HERE}.good+default", state.Signer(b"k" * 32, modules=[HERE])
    one = taught(stream[:60], own)
    raw, other = state.dump(one, state.Signer(b"k" * 32), SERIES), f"{HERE}.good"
    with pytest.raises(StateError, match=r"wanted .*; nor can it .*: .*Stubborn is not"):
        loaded(
            *(raw, state.Signer(b"k" * 32), state.fingerprint(other, 6), SERIES),
            Learner(Timeframe("1h"), 6, other),
        )
    assert loaded(raw, signer, state.fingerprint(own, 6), SERIES, None).sequence == 60


def test_nobody_challenges_himself() -> None:
    """Two of a model would be one."""
    with pytest.raises(InvalidValue, match="name another"):
        catalog.paired("default", "default")
    assert catalog.paired("default", "") == "default"
    assert catalog.paired("default", "snarimax") == "default+snarimax"
    assert state.fingerprint("default", 6) != state.fingerprint("default+snarimax", 6)
    assert state.fingerprint(PAIR, 6) != state.fingerprint(TURNED, 6)


def test_a_challenger_that_came_late_is_new_when_it_speaks(stream: list[Candle]) -> None:
    """What it has not learned is not counted as if it had."""
    pair = turned_to(taught(stream[:300], "default"), PAIR)
    pair.learn_many(stream[300:350])
    turned = turned_to(pair, TURNED)

    assert (turned.sequence, turned.scores()["sequence"]) == (350, 50)
    assert turned.outlook().status == "warming_up"
    turned.learn_many(stream[350:])
    assert turned.outlook().status == "live"


@pytest.mark.parametrize("wrong", ["raising", "silent", "absurd"])
def test_where_a_model_fails_its_challenger_speaks(stream: list[Candle], wrong: str) -> None:
    """For as long: to the bit what it would say alone; where that fails too the baseline does."""
    name = f"tests.unit.own_models.{wrong}"
    pair, none = (taught(stream[:120], f"{name}+{other}") for other in ("default", f"{HERE}.mute"))
    failed, alone = pair.outlook(), none.outlook()
    pair.learn_many(stream[120:])

    assert (failed.status, failed.voice) == ("fallback", "challenger")
    assert np.array_equal(failed.quantiles, taught(stream[:120], "default").outlook().quantiles)
    assert (alone.status, alone.voice) == ("fallback", "baseline")
    assert np.isfinite(alone.quantiles).all()
    assert (pair.outlook().status, pair.outlook().voice) == ("live", "model")


def test_what_is_of_rivers_has_the_default_model_behind_it() -> None:
    """The others have the baseline alone."""
    names = ("my.own", "snarimax", "default", "default@none", "random-walk")

    assert [catalog.stand_in(name) for name in names] == ["default", "default", "", "", ""]


@pytest.mark.parametrize("wrong", ["own_error", "stopping", "missing_file", "hoarder", "leaving"])
def test_a_challenger_that_fails_harms_nobody(wrong: str) -> None:
    """Whatever it raises: the model that speaks says and learns what it would alone."""
    own = state.Signer(b"k" * 32, modules=[HERE])
    pair, long = f"default+{HERE}.{wrong}", candles(720)
    learner = taught(long, pair)
    raw = state.dump(learner, own, SERIES)
    again = state.load(raw, own, state.fingerprint(pair, 6), SERIES)

    assert same(again, taught(long, "default"))
