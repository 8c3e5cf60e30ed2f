"""River models that rest: because they are slow, or may be what kills."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from models import conformal, state
from models.learner import Learner
from models.recast import recast
from shared.candle import Timeframe
from tests.unit.test_calibrated import HERE, OWN, SERIES, forecaster, learner
from tests.unit.test_learner import candles


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


@pytest.mark.parametrize(("every", "rests"), [(1, True), (2, True), (16, True), (17, False)])
def test_who_is_slow_more_than_once_in_a_while_rests(every: int, *, rests: bool) -> None:
    """And nobody else: not the other of a pair, nor one that was slow when the machine was."""
    one, stream = Learner(Timeframe("1h"), 6, f"holt-winters+{HERE}.good"), candles(160)
    one.learn_many(stream[:60])
    assert one.shadow
    hand = itertools.count(0, 3)
    for number, candle in enumerate(stream[60:140]):
        forecaster(one.shadow).attempt = timed(  # type: ignore[method-assign]
            one.shadow, hand.__next__ if number % every == 0 else float
        )
        one.learn_one(candle)
        one.tire(2.0)
    scores = one.scores()

    assert "rests" not in scores["last_fault"]
    told = scores["challenger"]["last_fault"]
    assert ("candles: a candle took it" in told) is rests


def timed(one: Learner, read: Callable[[], float]) -> Callable[..., None]:
    """What `attempt` does, by another clock."""
    attempt = type(forecaster(one)).attempt

    def do(*args: Any) -> None:
        conformal.STOPWATCH.read = read
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


def test_rests_do_not_grow_without_end() -> None:
    """Seventeen hours of minutes at most: it may have been the machine all the while."""
    one = learner("good")
    spans = []
    for candle in candles(9):
        forecaster(one).resting = 0
        one.learn_one(candle)
        one.rest("again")
        spans.append(forecaster(one).resting - 1)

    assert spans == [16, 32, 64, 128, 256, 512, 1_024, 1_024, 1_024]


def test_the_candle_of_the_last_rest_is_remembered_by_who_speaks_next() -> None:
    """Housekeeping teaches nobody again what has made a model rest, whoever speaks by then."""
    one, stream = Learner(Timeframe("1h"), 6, f"default+{HERE}.good"), candles(60)
    for at in (20, 40):
        one.learn_many(stream[at - 20 : at])
        forecaster(one.shadow or one).resting = 0
        assert one.rest("again")
    raw = state.dump(one, OWN, SERIES)
    turned = Learner(Timeframe("1h"), 6, f"{HERE}.good+default")

    assert recast(raw, OWN, SERIES, turned).rested_at == stream[39].open_time


def test_a_candle_has_one_fault() -> None:
    """Whatever goes wrong there, and how often."""
    one = learner("deaf")
    one.learn_many(candles(30))
    for _ in range(2):
        forecaster(one).attempt(one.learn_one, None)

    assert one.scores()["faults"] == 30
