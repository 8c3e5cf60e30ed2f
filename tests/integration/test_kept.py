"""Learners that workers keep: what is written less often is never lost, doubled or out of date."""

from collections.abc import Collection, Sequence
from typing import Any
from unittest.mock import Mock

import pytest

from models import state
from models.learner import Learner
from shared.errors import StateError, StoreUnavailable
from shared.limits import Limits
from shared.records import Commit
from shared.store import Store
from tests.integration.keeping import EVERY, OTHER, WALK, alone, feed, learner_of, worker
from tests.integration.steps import FLEET, SERIES, hasty, only, patient, times

pytestmark = pytest.mark.usefixtures("field")


def test_a_kept_learner_s_state_is_written_now_and_then(store: Store) -> None:
    """It lacks fewer candles than the setting says, and with them it is what was learned."""
    keeper, lacking = worker(store, "a"), []

    for number, candle in enumerate(WALK, 1):
        feed(store, keeper, [candle])
        lacking.append(len(store.model(SERIES).behind))
        assert learner_of(store) == alone(WALK[:number])

    assert max(lacking) == EVERY - 1
    assert lacking[0] == 0
    assert lacking.count(0) == 1 + len(WALK) // EVERY


def test_its_keeper_is_handed_no_state_and_others_all(store: Store) -> None:
    """What another worker is handed is enough to go on from."""
    feed(store, worker(store, "a"), WALK[:20])
    store.append(SERIES, [WALK[20]])
    hurried = hasty(store)

    own = only(hurried.claim(FLEET, "a"))
    strange = only(hurried.claim(FLEET, "b"))

    assert (own.is_kept, own.state, own.behind) == (True, None, [])
    assert not strange.is_kept
    assert strange.state
    assert times(strange.entries) == [20]
    assert times(strange.behind) == list(range(20 - len(strange.behind), 20))
    assert strange.behind == store.model(SERIES).behind != []


def test_a_series_goes_from_worker_to_worker(store: Store) -> None:
    """What comes next is as if it had been one; what was read is written at once."""
    workers = [worker(store, name) for name in "abc"]

    for number, candle in enumerate(WALK):
        feed(store, workers[number * number % 3], [candle])

    assert learner_of(store) == alone(WALK)
    assert store.model(SERIES).rebuilds == 0


def test_a_worker_that_starts_again_by_its_name_reads_what_it_kept(store: Store) -> None:
    """Redis takes it for the keeper; it knows better."""
    feed(store, worker(store, "a"), WALK[:20])

    again = worker(store, "a")
    feed(store, again, WALK[20:21])

    assert learner_of(store) == alone(WALK[:21])
    record = store.model(SERIES)
    assert (record.behind, record.rebuilds) == ([], 0)


def test_a_rebuild_is_not_undone_by_what_is_kept(store: Store) -> None:
    """The token tells: whoever committed before learns it again like everybody else."""
    keeper = worker(store, "a")
    feed(store, keeper, WALK[:10])
    nothing: dict[str, Any] = {"state": b"", "fingerprint": "", "scores": {}}

    store.restore(SERIES, etag=None, cursor=None, sequence=0, since=None, **nothing)
    keeper.run()

    assert learner_of(store) == alone(WALK[:10])
    assert store.model(SERIES).sequence == 10


@pytest.mark.parametrize("arrives", [True, False])
def test_an_unconfirmed_commit_is_not_kept_from(
    store: Store, monkeypatch: pytest.MonkeyPatch, *, arrives: bool
) -> None:
    """Where it is not known whether a commit arrived, the token says so at the next claim."""
    keeper, commit = worker(store, "a"), store.commit
    feed(store, keeper, WALK[:10])
    store.append(SERIES, [WALK[10]])

    def cut_off(commits: Sequence[Commit]) -> None:
        if arrives:
            commit(commits)
        raise StoreUnavailable("gone")

    with monkeypatch.context() as patched:
        patched.setattr(store, "commit", cut_off)
        with pytest.raises(StoreUnavailable):
            keeper.run()
    assert store.model(SERIES).sequence == 10 + arrives

    feed(store, keeper, WALK[11:12])

    assert learner_of(store) == alone(WALK[:12])
    assert store.model(SERIES).rebuilds == 0


def test_a_claim_takes_first_what_its_worker_keeps(store: Store) -> None:
    """Then what nobody keeps, or what has waited long: nobody waits for a dead keeper for ever."""
    for name, series in (("a", SERIES), ("b", OTHER)):
        feed(store, worker(store, name), WALK[:2], series)
    for series in (OTHER, SERIES):
        store.append(series, WALK[2:3])
    long, short = patient(store), Store(store.link, Limits(lease_ms=0))

    assert [claim.series for claim in long.claim(FLEET, "a").claims] == [SERIES]
    assert [claim.series for claim in long.claim(FLEET, "a").claims] == [OTHER]
    for series in (OTHER, SERIES):
        store.link.redis.zadd(store.keys.pending, {str(series): 0})
        store.link.redis.hdel(store.keys.model(str(series)), "attempts")
    assert {claim.series for claim in short.claim(FLEET, "a").claims} == {SERIES, OTHER}


def test_a_claim_that_died_is_anybody_s_at_once(store: Store) -> None:
    """The series of a dead worker do not wait behind those of the living."""
    for name, series in (("a", SERIES), ("b", OTHER)):
        feed(store, worker(store, name), WALK[:2], series)
    store.append(OTHER, WALK[2:3])
    only(store.claim(FLEET, "b"))
    store.abandon("b")
    store.append(SERIES, WALK[2:3])
    store.link.redis.zincrby(store.keys.pending, -1, str(OTHER))

    assert only(patient(store).claim(FLEET, "a")).series == OTHER


def test_a_spoilt_state_that_nobody_reads_is_written_over(store: Store) -> None:
    """Its keeper goes on, and no candle is learned again."""
    keeper = worker(store, "a")
    feed(store, keeper, WALK[:3])
    store.link.redis.hset(store.keys.model(str(SERIES)), "state", b"spoilt")

    feed(store, keeper, WALK[3 : 3 + EVERY])

    assert learner_of(store) == alone(WALK[: 3 + EVERY])
    assert store.model(SERIES).rebuilds == 0


def test_what_cannot_be_taken_up_is_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where what is kept is of no use, Redis has all of it."""
    keeper = worker(store, "a")
    feed(store, keeper, WALK[:5])

    with monkeypatch.context() as patched:
        patched.setattr(state, "take_up", Mock(side_effect=StateError("spoilt")))
        feed(store, keeper, WALK[5:6])

    assert learner_of(store) == alone(WALK[:6])
    assert store.model(SERIES).rebuilds == 0


@pytest.mark.parametrize("fields", [("state",), ("state", "sequence")])
def test_a_worker_that_starts_again_by_its_name_refuses_what_is_spoilt(
    store: Store, fields: tuple[str, ...]
) -> None:
    """It reads its state like any other: the series is learned again."""
    feed(store, worker(store, "a"), WALK[:5])
    store.link.redis.hdel(store.keys.model(str(SERIES)), *fields)

    feed(store, worker(store, "a"), WALK[5:6])

    assert learner_of(store) == alone(WALK[:6])
    assert store.model(SERIES).rebuilds == 1


@pytest.mark.parametrize("expire", [True, False])
def test_one_that_raises_among_those_kept_is_taken_up_again(
    store: Store, monkeypatch: pytest.MonkeyPatch, *, expire: bool
) -> None:
    """From what was kept, even where a neighbour has taken its place by then."""
    monkeypatch.setattr("worker.kept._GONE_AFTER", 0 if expire else 3)
    small = Store(store.link, Limits(kept_series=1))
    keeper, body = worker(small, "a"), state.body
    feed(store, keeper, WALK[:5])
    store.append(SERIES, WALK[5:6])
    store.append(OTHER, WALK[:1])
    failed: list[Learner] = []

    def fails_once(learner: Learner, modules: Collection[str], **how: bool) -> bytes:
        if learner.sequence == 6 and not failed:
            failed.append(learner)
            raise ArithmeticError("not today")
        return body(learner, modules, **how)

    with monkeypatch.context() as patched:
        patched.setattr(state, "body", fails_once)
        keeper.run()

    assert failed
    record = store.model(SERIES)
    assert (record.sequence, record.dead_letters, record.rebuilds) == (5, 1, 0)
    assert store.model(OTHER).sequence == 1
    assert learner_of(store) == alone(WALK[:5])


def test_a_claim_passes_over_what_rests_to_what_another_keeps(store: Store) -> None:
    """A paused series of its own is no reason to leave others waiting."""
    for name, series in (("a", SERIES), ("b", OTHER)):
        feed(store, worker(store, name), WALK[:2], series)
    store.pause(SERIES)
    for series in (SERIES, OTHER):
        store.append(series, WALK[2:3])

    assert only(store.claim(FLEET, "a")).series == OTHER
