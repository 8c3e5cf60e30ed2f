"""What a model that waits prepares, looked at step by step in one process."""

import contextlib
import itertools
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from models import state
from models.learner import Learner
from shared.candle import Candle, Series
from shared.store import Store
from tests.conftest import STATE_KEY
from tests.integration.spoilt import many
from tests.integration.steps import HOUR, T0, walk
from worker.prepare import Preparer
from worker.teaching import Model, Teacher
from worker.update import Updater

SIGNER = state.Signer(STATE_KEY.encode())
OLD = Model("default", SIGNER, lambda _: 4, "old")
NEW = Model("default", SIGNER, lambda _: 3, "new")
FIRST, SECOND = many(2)
WALK = walk(700)


def learn(store: Store, model: Model, candles: Sequence[Candle] = (), *names: Series) -> None:
    """Append candles to the series and learn all that waits."""
    for series in names:
        for at in range(0, len(candles), 500):
            store.append(series, candles[at : at + 500])
    assert store.tick(model.fleet, "take over").holder == model.fleet
    updater = Updater(store, model)
    while store.overview()["pending"]:
        updater.run()


def prepared(store: Store, model: Model = NEW, *, first: bool = False) -> Preparer:
    """A preparer that has gone once round, by a clock that stands still: nothing cuts it short."""
    preparer = Preparer(store, model, rolls=first, clock=float)
    preparer.prepare(1.0)
    return preparer


def taught(candles: Sequence[Candle], horizon: int = 3) -> Learner:
    """A new learner that has learned these."""
    learner = Learner(FIRST.timeframe, horizon)
    learner.learn_many(candles)
    return learner


def stands_by(store: Store, series: Series = FIRST, model: Model = NEW) -> Learner | None:
    """What stands by for a model."""
    found = store.standby.find(series, model.identity(series))
    if found is None:
        return None
    return state.load(found.state, SIGNER, model.fingerprint(series), series)


def test_what_is_prepared_is_what_learning_again_comes_to(store: Store) -> None:
    """Lesson by lesson; the newest candle is left to those who will have to say something."""
    learn(store, OLD, WALK, FIRST, SECOND)

    assert prepared(store).is_ready

    for series in (FIRST, SECOND):
        found = stands_by(store, series)
        assert found is not None
        assert found.memory() == taught(WALK[:-1]).memory()
    ready = {"fleet": "new", "rolls": False, "ready": 2, "series": 2}
    assert store.overview()["heir"] == ready


def test_who_takes_over_goes_on_from_there_and_what_was_in_force_stands_by(store: Store) -> None:
    """The next candle is learned upon what was prepared; the other model may come back."""
    learn(store, OLD, WALK[:-1], FIRST)
    prepared(store)

    learn(store, NEW, WALK[-1:], FIRST)

    record = store.model(FIRST)
    assert (record.sequence, record.since, record.rebuilds) == (len(WALK), T0, 0)
    assert state.load(record.state or b"", SIGNER, None, FIRST).memory() == taught(WALK).memory()
    old = stands_by(store, FIRST, OLD)
    assert old is not None
    assert old.memory() == taught(WALK[:-1], 4).memory()
    ((_, event), *_) = store.link.redis.xrevrange(store.keys.events)
    assert (event[b"event"], event[b"series"]) == (b"taken-over", str(FIRST).encode())
    assert store.overview()["heir"] is None


def test_what_stands_by_follows_the_log(store: Store) -> None:
    """A few candles are left to be learned later, as any worker may have to; more are not."""
    learn(store, OLD, WALK[:600], FIRST)
    preparer = prepared(store)
    learn(store, OLD, WALK[600:605], FIRST)
    prepared(store)
    few = stands_by(store)
    learn(store, OLD, WALK[605:650], FIRST)

    again = prepared(store)

    now = stands_by(store)
    assert few is not None
    assert now is not None
    assert few.sequence == 599
    assert now.memory() == taught(WALK[:649]).memory()
    assert preparer.is_ready
    assert again.is_ready


def test_one_that_ends_in_between_is_gone_on_from(store: Store) -> None:
    """Whoever prepares next begins where the one before has stopped."""
    learn(store, OLD, WALK, FIRST)
    hasty = itertools.count()
    Preparer(store, NEW, clock=lambda: float(next(hasty))).prepare(3)
    before = stands_by(store)

    assert prepared(store).is_ready

    found = stands_by(store)
    assert before is not None
    assert found is not None
    assert 0 < before.sequence < found.sequence
    assert found.memory() == taught(WALK[:-1]).memory()


def test_what_stands_by_and_cannot_be_loaded_is_made_anew(store: Store) -> None:
    """A signature that is none of ours; nothing of it is used."""
    learn(store, OLD, WALK[:-1], FIRST)
    prepared(store)
    key = store.keys.standby(str(FIRST))
    raw = store.link.redis.hget(key, "state")
    store.link.redis.hset(key, mapping={"state": raw[:-1] + b"x", "cursor": WALK[300].open_time})
    store.link.redis.hset(key, "sequence", 301)

    assert prepared(store).is_ready

    found = stands_by(store)
    assert found is not None
    assert found.memory() == taught(WALK[:-2]).memory()


@pytest.mark.parametrize("field", ["sequence", "state", "cursor", "id"])
def test_a_field_that_is_not_ours_holds_nobody_up(store: Store, field: str) -> None:
    """It is made anew, in the next round."""
    learn(store, OLD, WALK[:500], FIRST)
    prepared(store)
    learn(store, OLD, WALK[500:], FIRST)
    store.link.redis.hset(store.keys.standby(str(FIRST)), field, "")

    assert prepared(store).is_ready
    found = stands_by(store)
    assert found is not None
    assert found.memory() == taught(WALK[:-1]).memory()


@pytest.mark.parametrize("what", [{"state": b"nonsense"}, {"sequence": "x"}, "a string"])
def test_what_was_spoilt_since_is_learned_again(store: Store, what: Any) -> None:
    """Whoever takes over trusts nothing that stands by."""
    learn(store, OLD, WALK[:-1], FIRST)
    prepared(store)
    key = store.keys.standby(str(FIRST))
    if isinstance(what, str):
        store.link.redis.set(key, what)
    else:
        store.link.redis.hset(key, mapping=what)

    learn(store, NEW, WALK[-1:], FIRST)

    record = store.model(FIRST)
    assert (record.sequence, record.rebuilds) == (len(WALK), 1)
    assert state.load(record.state or b"", SIGNER, None, FIRST).memory() == taught(WALK).memory()


@pytest.mark.parametrize("kind", ["string", "no numbers"])
def test_a_key_of_another_kind_is_replaced(store: Store, kind: str) -> None:
    """Whatever somebody wrote there."""
    learn(store, OLD, WALK, FIRST)
    key = store.keys.standby(str(FIRST))
    if kind == "string":
        store.link.redis.set(key, "mine")
        store.link.redis.set(store.keys.heir, "mine")
    else:
        store.link.redis.hset(key, mapping={"id": NEW.identity(FIRST), "cursor": "x"})

    assert prepared(store).is_ready

    assert stands_by(store) is not None


def test_what_the_log_no_longer_reaches_is_made_anew(store: Store) -> None:
    """A model that held the field long ago would lack candles."""
    learn(store, OLD, WALK[:300], FIRST)
    prepared(store)
    few = Store(store.link, replace(store.limits, retention=100))
    learn(few, OLD, WALK[300:], FIRST)
    kept = store.candles(FIRST)
    assert kept[0].open_time > WALK[299].open_time

    assert prepared(store).is_ready

    found = stands_by(store)
    assert found is not None
    assert found.memory() == taught(kept[:-1]).memory()


def test_what_the_log_no_longer_reaches_is_not_put_in_force(store: Store) -> None:
    """The series is learned again from its first retained candle."""
    learn(store, OLD, WALK[:300], FIRST)
    prepared(store)
    few = Store(store.link, replace(store.limits, retention=100))
    learn(few, OLD, WALK[300:-1], FIRST)
    kept = store.candles(FIRST)

    learn(store, NEW, WALK[-1:], FIRST)

    record = store.model(FIRST)
    assert record.rebuilds == 1
    assert "take_overs" not in store.totals.read()
    assert (record.sequence, record.since) == (len(kept) + 1, kept[0].open_time)


def test_one_model_prepares_at_a_time(store: Store) -> None:
    """Two would replace each other's states for ever; who is told to take over comes first."""
    learn(store, OLD, WALK[:300], FIRST)
    prepared(store)
    third = replace(NEW, horizon=lambda _: 5, fleet="third")

    assert not prepared(store, third).is_ready
    assert stands_by(store) is not None
    assert prepared(store, third, first=True).is_ready
    assert (stands_by(store, FIRST, third) is None, stands_by(store) is None) == (False, True)
    assert store.overview()["heir"]["fleet"] == "third"


def test_who_is_no_longer_heir_writes_nothing(store: Store) -> None:
    """A slow one must not replace what stands by once its own have taken over."""
    learn(store, OLD, WALK[:300], FIRST)
    prepared(store)
    (found,) = store.standby.look([FIRST], [NEW.identity(FIRST)])
    late = store.standby.find(FIRST, NEW.identity(FIRST))
    assert late is not None
    learn(store, NEW, WALK[300:301], FIRST)

    store.standby.prepare("new", [(late, NEW.identity(FIRST), found.seen)])

    assert stands_by(store, FIRST, OLD) is not None


def test_what_another_of_the_same_model_has_prepared_meanwhile_stands(store: Store) -> None:
    """It was made from what was there before."""
    learn(store, OLD, WALK[:300], FIRST)
    prepared(store)
    late = store.standby.find(FIRST, NEW.identity(FIRST))
    assert late is not None

    store.standby.prepare("new", [(late, NEW.identity(FIRST), "")])
    older = replace(late, cursor=T0, sequence=1)
    store.standby.prepare("new", [(older, NEW.identity(FIRST), str(T0 + HOUR))])

    assert store.standby.find(FIRST, NEW.identity(FIRST)) == late


def test_a_candle_that_cannot_be_learned_holds_nobody_up(store: Store) -> None:
    """Its series is left to those who take over, who bury it."""
    learn(store, OLD, WALK[:300], FIRST, SECOND)
    log = store.keys.candles(str(FIRST))
    store.link.redis.xadd(log, {"o": "no number"}, id=f"{T0 + 300 * HOUR}-0")
    learn(store, OLD, WALK[301:320], FIRST)

    assert prepared(store).is_ready
    learn(store, NEW, WALK[320:330], FIRST, SECOND)

    record = store.model(FIRST)
    assert (record.rebuilds, record.sequence, record.dead_letters) == (0, 329, 2)
    assert store.model(SECOND).rebuilds == 0


def test_ready_is_ready_no_longer_than_it_is_true(store: Store) -> None:
    """Not once another one prepares, nor while a series is there that was not looked at."""
    learn(store, OLD, WALK[:300], FIRST)
    preparer = prepared(store)
    learn(store, OLD, WALK[:300], SECOND)
    preparer._walks_at = 0.0
    preparer._walks()
    is_ready_with_another = preparer.is_ready
    preparer.prepare(1.0)
    whole = preparer.is_ready, store.overview()["heir"]["ready"]
    prepared(store, replace(NEW, horizon=lambda _: 5, fleet="third"), first=True)
    preparer.prepare(1.0)

    assert not is_ready_with_another
    assert whole == (True, 2)
    assert not preparer.is_ready


def test_series_are_looked_at_again_and_those_that_are_gone_are_not_waited_for(
    store: Store,
) -> None:
    """Each ten seconds; by this clock at once."""
    learn(store, OLD, WALK[:300], FIRST, SECOND)
    now = [0.0]
    preparer = Preparer(store, NEW, clock=lambda: now[0])
    preparer._walks()
    assert store.retire(SECOND, revision=store.model(SECOND).revision)
    preparer._todo = []
    for _ in range(20):
        preparer.prepare(now[0] + 0.5)
    first = stands_by(store) or taught([])
    learn(store, OLD, WALK[300:330], FIRST)
    now[0] += 11.0
    preparer.prepare(now[0] + 0.5)

    assert (first.sequence, (stands_by(store) or first).sequence) == (299, 329)
    ready = {"fleet": "new", "rolls": False, "ready": 1, "series": 1}
    assert store.overview()["heir"] == ready


def test_who_holds_the_field_is_nobody_s_heir(store: Store) -> None:
    """One of its workers that has not noticed yet neither says so nor writes."""
    learn(store, OLD, WALK[:300], FIRST)
    late = Preparer(store, OLD)
    late.prepare(time.monotonic() + 1)

    assert store.overview()["heir"] is None
    assert not late.is_ready


def test_what_others_have_put_by_is_not_replaced_unseen(store: Store) -> None:
    """A lesson that began before the field changed hands must not end as if it had not."""
    learn(store, OLD, WALK[:300], FIRST)
    (seen,) = store.standby.look([FIRST], [NEW.identity(FIRST)])
    prepared(store)
    late = store.standby.find(FIRST, NEW.identity(FIRST))
    assert late is not None
    learn(store, NEW, WALK[300:301], FIRST)
    store.tick("old", "take over")
    store.standby.name_heir("new", 0, 1)

    store.standby.prepare("new", [(late, NEW.identity(FIRST), seen.seen)])

    assert stands_by(store, FIRST, OLD) is not None


def test_what_kills_is_left_and_its_neighbours_are_prepared(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is begun among others, then alone; what has taken some is learned by who takes over."""
    learn(store, OLD, WALK[:300], FIRST, SECOND)
    monkeypatch.setattr("worker.prepare._DEAD_MS", -1)
    taught_ = Teacher.taught

    def deadly(self: Teacher, works: Any) -> Any:
        if any(work.claim.series == FIRST for work in works):
            raise KeyboardInterrupt
        return taught_(self, works)

    monkeypatch.setattr(Teacher, "taught", deadly)
    deaths = 0
    for _ in range(10):
        with contextlib.suppress(KeyboardInterrupt):
            preparer = prepared(store)
            break
        deaths += 1

    assert preparer.is_ready
    assert deaths in (3, 4)
    assert stands_by(store, FIRST) is None
    assert stands_by(store, SECOND) is not None


def test_what_stands_by_does_not_stay_for_ever(store: Store) -> None:
    """A day; who prepares is forgotten after a minute."""
    learn(store, OLD, WALK[:300], FIRST)
    prepared(store)
    day, minute = 86_400_000, 60_000
    key, redis = store.keys.standby(str(FIRST)), store.link.redis
    heir, made = redis.pttl(store.keys.heir), redis.pttl(key)
    learn(store, NEW, WALK[300:301], FIRST)

    assert 0 < heir <= minute
    assert day - minute < made <= day
    assert day - minute < redis.pttl(key) <= day


def test_a_series_that_is_retired_leaves_nothing(store: Store) -> None:
    """What stands by is one of its keys."""
    learn(store, OLD, WALK[:300], FIRST)
    prepared(store)
    late = store.standby.find(FIRST, NEW.identity(FIRST))
    assert late is not None

    assert store.retire(FIRST, revision=store.model(FIRST).revision)
    store.standby.prepare("new", [(late, NEW.identity(FIRST), "")])

    assert list(store.link.redis.scan_iter(f"*{FIRST}")) == []
