"""Claims, commits, suspects and restores, on a real server."""

import itertools
from functools import partial
from typing import Any

import pytest

from shared.candle import Series
from shared.errors import StoreError
from shared.limits import Limits
from shared.records import DeadLetter
from shared.store import Store
from tests.integration.steps import (
    FLEET,
    HOUR,
    SERIES,
    T0,
    candles,
    hasty,
    learned,
    only,
    patient,
    times,
)

pytestmark = pytest.mark.usefixtures("field")


def test_commit_moves_the_cursor_and_publishes(store: Store) -> None:
    """One commit makes the state durable and the forecast readable."""
    store.append(SERIES, candles(0, 3))
    claim = only(store.claim(FLEET))

    won, ring = store.commit([learned(claim)])

    record = store.model(SERIES)
    assert (won, ring) == ([True], 0)
    assert (record.cursor, record.sequence, record.settled, record.revision) == (
        T0 + 2 * HOUR,
        3,
        3,
        1,
    )
    assert (record.attempts, record.waiting, record.lost) == (0, 0, 0)
    assert store.forecasts([SERIES]) == [b"{}"]
    assert store.overview()["pending"] == 0


def test_commit_of_a_part_leaves_the_rest_due(store: Store) -> None:
    """Candles beyond the new cursor keep the series pending and ring."""
    store.append(SERIES, candles(0, 3))
    store.link.redis.delete("rq:queue:candles")

    won, ring = store.commit([learned(only(store.claim(FLEET)), 2)])

    assert (won, ring) == ([True], 1)
    assert times(only(store.claim(FLEET)).entries) == [2]


def test_a_claim_that_lost_its_token_cannot_commit(store: Store) -> None:
    """Of two workers with the same series one wins; the other's work is dropped."""
    store.append(SERIES, candles(0, 2))
    slow, quick = only(hasty(store).claim(FLEET)), only(hasty(store).claim(FLEET))

    assert store.commit([learned(quick)])[0] == [True]
    assert store.commit([learned(slow)])[0] == [False]
    assert store.model(SERIES).sequence == 2


def test_a_commit_of_candles_that_the_log_forgot_is_refused(store: Store) -> None:
    """The slice's digest proves that the log still says what was learned."""
    store.append(SERIES, candles(0, 2))
    claim = only(store.claim(FLEET))
    key = store.keys.candles(str(SERIES))
    store.link.redis.delete(key)
    store.append(SERIES, candles(0, 2, close=50))

    assert store.commit([learned(claim)])[0] == [False]


def test_claims_of_one_series_are_leased(store: Store) -> None:
    """While a worker has a series, another finds nothing due."""
    store.append(SERIES, candles(0, 1))
    patient(store).claim(FLEET)

    assert store.claim(FLEET).claims == []


def test_release_gives_untouched_series_back(store: Store) -> None:
    """A released series is due at once, with a clean record."""
    store.append(SERIES, candles(0, 1))
    claim = only(patient(store).claim(FLEET))
    store.link.redis.delete("rq:queue:candles")

    assert store.release([claim]) == 1
    assert only(store.claim(FLEET)).attempts == 0


def test_a_killer_is_found_among_its_neighbours_and_buried(store: Store) -> None:
    """Two dead claims make a suspect, three dead claims of one candle condemn it."""
    limits = hasty(store)
    store.append(SERIES, candles(0, 4))
    handed = [times(only(limits.claim(FLEET)).entries) for _ in range(3)]
    store.commit([learned(only(limits.claim(FLEET)))])
    for _ in range(3):
        alone = only(limits.claim(FLEET))
        handed.append(times(alone.entries))
        assert not alone.condemned
    condemned = only(limits.claim(FLEET))

    store.commit([learned(condemned, dead=DeadLetter(candle="x", reason="r", error="e"))])

    assert handed == [[0, 1, 2, 3], [0, 1, 2, 3], [0], [1], [1], [1]]
    assert (condemned.condemned, times(condemned.entries)) == (True, [1])
    record = store.model(SERIES)
    assert (record.cursor, record.sequence, record.settled) == (T0 + HOUR, 1, 2)
    assert (record.dead_letters, record.lost) == (1, 0)
    assert times(only(limits.claim(FLEET)).entries) == [2]
    assert store.model(SERIES).suspect == T0 + 3 * HOUR


def test_a_suspect_behind_others_waits_for_its_own_claim(store: Store) -> None:
    """A series whose claim died is left out of a batch that has begun with others."""
    other = Series.parse("test:ETH/USDT:1h")
    store.append(SERIES, candles(0, 1))
    hasty(store).claim(FLEET)
    store.append(other, candles(0, 1))
    store.link.redis.zadd(store.keys.pending, {str(other): 1, str(SERIES): 2})

    assert [claim.series for claim in patient(store).claim(FLEET).claims] == [other]
    assert [claim.series for claim in patient(store).claim(FLEET).claims] == [SERIES]


def test_suspicion_ends_with_the_candles_it_fell_upon(store: Store) -> None:
    """Once the cursor has passed them, the series is claimed in batches again."""
    limits = hasty(store)
    store.append(SERIES, candles(0, 2))
    for _ in range(2):
        limits.claim(FLEET)
    for _ in range(2):
        store.commit([learned(only(limits.claim(FLEET)))])
    store.append(SERIES, candles(2, 3))

    claim = only(limits.claim(FLEET))

    assert store.model(SERIES).suspect is None
    assert (claim.suspect, times(claim.entries)) == (False, [2, 3, 4])


def test_a_mark_without_candles_is_removed(store: Store) -> None:
    """Nothing beyond the cursor: the series is no longer pending."""
    store.append(SERIES, candles(0, 1))
    store.commit([learned(only(store.claim(FLEET)))])
    store.link.redis.zadd(store.keys.pending, {str(SERIES): 0})

    assert store.claim(FLEET).claims == []
    assert store.overview()["pending"] == 0


def test_release_leaves_alone_what_another_worker_has_taken_on(store: Store) -> None:
    """Only who still holds the token can give a series back."""
    limits = hasty(store)
    store.append(SERIES, candles(0, 2))
    slow = only(limits.claim(FLEET))
    store.commit([learned(only(limits.claim(FLEET)), 1)])
    patient(store).claim(FLEET)

    store.release([slow])

    assert store.claim(FLEET).claims == []
    assert store.model(SERIES).attempts == 1


def test_a_restore_wipes_suspicion_and_attempts(store: Store) -> None:
    """What is put back starts with a clean record."""
    limits = hasty(store)
    store.append(SERIES, candles(0, 2))
    for _ in range(3):
        limits.claim(FLEET)
    nothing: dict[str, Any] = {"state": b"", "fingerprint": "f", "scores": {}, "since": None}

    store.restore(SERIES, etag=None, cursor=None, sequence=0, **nothing)

    record = store.model(SERIES)
    assert (record.attempts, record.suspect) == (0, None)
    assert times(only(limits.claim(FLEET)).entries) == [0, 1]


def test_a_suspect_is_claimed_without_neighbours(store: Store) -> None:
    """What may kill a worker does not take 63 others with it."""
    limits = hasty(store)
    other = Series.parse("test:ETH/USDT:1h")
    store.append(SERIES, candles(0, 1))
    limits.claim(FLEET)
    store.append(other, candles(0, 1))

    assert [claim.series for claim in limits.claim(FLEET).claims] in ([SERIES], [other])


def test_a_claim_hands_out_so_many_candles_in_all(store: Store) -> None:
    """However many series are due: a job's time is short."""
    small = Store(store.link, Limits(claim_candles=3, series_candles=2))
    for number in range(3):
        store.append(Series.parse(f"test:A{number}/USDT:1h"), candles(0, 5))

    handed = [len(claim.entries) for claim in small.claim(FLEET).claims]

    assert handed == [2, 1]


def test_a_candle_whose_letter_is_refused_is_not_passed_over(store: Store) -> None:
    """Where the dead letters are of another type, the claim stays what it was."""
    dead = DeadLetter(candle="c", reason="r", error="e")
    store.link.redis.set(store.keys.dead_letters, "no stream")
    store.append(SERIES, candles(0, 1))
    claim = only(store.claim(FLEET))

    with pytest.raises(StoreError):
        store.commit([learned(claim, dead=dead)])
    assert store.model(SERIES).cursor is None

    store.link.redis.delete(store.keys.dead_letters)
    assert store.commit([learned(claim, dead=dead)])[0] == [True]


def test_a_history_keeps_the_newest_forecasts_only(store: Store) -> None:
    """So many as the limits say, to the last one."""
    small = Store(store.link, Limits(history=2, series_candles=1))
    small.append(SERIES, candles(0, 4))
    for _ in range(4):
        small.commit([learned(only(small.claim(FLEET)))])

    assert store.link.redis.xlen(store.keys.forecasts(str(SERIES))) == 2


def test_restore_learns_again_what_lies_behind_the_state(store: Store) -> None:
    """A state put back at its cursor makes the later candles due and loses none."""
    store.append(SERIES, candles(0, 4))
    store.commit([learned(only(store.claim(FLEET)))])
    put_back: dict[str, Any] = {
        "state": b"old",
        "fingerprint": "f",
        "scores": {},
        "sequence": 2,
        "since": T0,
    }

    assert store.restore(SERIES, etag=None, cursor=T0 - HOUR, **put_back) == "hole"
    assert store.restore(SERIES, etag="stale", cursor=T0 + HOUR, **put_back) == "lost"
    assert store.restore(SERIES, etag=None, cursor=T0 + HOUR, **put_back) == "ok"

    claim = only(store.claim(FLEET))
    assert (times(claim.entries), claim.state, claim.revision) == ([2, 3], b"old", 2)
    record = store.model(SERIES)
    assert (record.settled, record.waiting, record.lost) == (2, 2, 0)
    store.commit([learned(claim)])
    assert (store.model(SERIES).sequence, store.model(SERIES).lost) == (4, 0)


def test_readers_never_go_back_after_a_restore(store: Store) -> None:
    """While the past is learned again, the newest forecast stays published."""
    store.append(SERIES, candles(0, 4))
    store.commit([learned(only(store.claim(FLEET)))])
    store.restore(
        SERIES,
        etag=None,
        cursor=None,
        state=b"",
        fingerprint="f",
        scores={},
        sequence=0,
        since=None,
    )
    claim = only(store.claim(FLEET))
    store.link.redis.set(store.keys.forecast(str(SERIES)), b"newest")

    store.commit([learned(claim, 2)])

    assert store.forecasts([SERIES]) == [b"newest"]


def test_what_a_dead_worker_had_in_hand_is_due_at_once(store: Store) -> None:
    """Only its own series, and the death is counted as any other."""
    slow, other = patient(store), Series.parse("test:ETH/USDT:1h")
    store.append(SERIES, candles(0, 1))
    slow.claim(FLEET, "dead")
    store.append(other, candles(0, 1))
    slow.claim(FLEET, "alive")
    score = partial(store.link.redis.zscore, store.keys.pending)
    leased = [score(str(series)) for series in (SERIES, other)]

    slow.abandon("nobody")
    assert [score(str(series)) for series in (SERIES, other)] == leased
    slow.abandon("dead")

    assert score(str(other)) == leased[1]
    assert only(slow.claim(FLEET, "alive")).series == SERIES
    assert [record.attempts for record in store.models([SERIES, other])] == [2, 1]


@pytest.mark.parametrize("value", [b"", b"0", b"yes"])
def test_only_what_a_pause_writes_is_a_pause(store: Store, value: bytes) -> None:
    """What workers pass over and what operators are shown is the same."""
    store.append(SERIES, candles(0, 1))
    store.link.redis.hset(store.keys.model(str(SERIES)), "paused", value)

    assert not store.model(SERIES).paused
    assert only(store.claim(FLEET)).series == SERIES


@pytest.mark.parametrize("value", [b"", b"-1000000", b"1234567890123456", b"text"])
def test_a_revision_that_is_no_number_is_put_right_at_once(store: Store, value: bytes) -> None:
    """Else the series would be learned again at each of its claims, and could not be retired."""
    store.append(SERIES, candles(0, 1))
    store.commit([learned(only(store.claim(FLEET)))])
    store.link.redis.hset(store.keys.model(str(SERIES)), "revision", value)
    store.append(SERIES, candles(1, 1))
    spoilt = only(hasty(store).claim(FLEET))
    nothing: dict[str, Any] = {"state": b"", "fingerprint": "f", "scores": {}, "since": None}

    store.restore(SERIES, etag=spoilt.etag, cursor=None, sequence=0, **nothing)

    assert spoilt.spoilt == "revision"
    claim = only(store.claim(FLEET))
    assert (claim.spoilt, claim.revision, times(claim.entries)) == (None, 1, [0, 1])
    store.link.redis.hset(store.keys.model(str(SERIES)), "revision", value)
    assert store.retire(SERIES, revision=store.model(SERIES).revision)


def test_a_restore_counts_anew_where_the_record_is_spoilt(store: Store) -> None:
    """Whatever stands in a counter, afterwards each candle is settled or waits."""
    for name, value in itertools.product(["cursor", "settled", "appended"], ["text", "", "1.5"]):
        small = Store(store.link, Limits(retention=3))
        small.append(SERIES, candles(0, 5))
        small.commit([learned(only(small.claim(FLEET)), 4)])
        store.link.redis.hset(store.keys.model(str(SERIES)), name, value)
        nothing: dict[str, Any] = {"state": b"", "fingerprint": "f", "scores": {}, "since": None}

        store.restore(SERIES, etag=None, cursor=None, sequence=0, **nothing)

        record, trimmed = store.model(SERIES), 0 if name == "appended" else 1
        seen = (record.appended, record.settled, record.waiting)
        assert seen == (4 + trimmed, trimmed, 4), (name, value)
        store.retire(SERIES, revision=record.revision)


def test_a_rebuild_after_a_record_was_deleted_counts_right(store: Store) -> None:
    """The one candle that came in between is not all that was ever appended."""
    nothing: dict[str, Any] = {"state": b"", "fingerprint": "f", "scores": {}, "since": None}
    store.append(SERIES, candles(0, 3))
    store.commit([learned(only(store.claim(FLEET)))])
    store.link.redis.delete(store.keys.model(str(SERIES)))
    store.append(SERIES, candles(3, 1))
    store.commit([learned(only(store.claim(FLEET)))])

    store.restore(SERIES, etag=None, cursor=None, sequence=0, **nothing)
    store.commit([learned(only(store.claim(FLEET)))])

    record = store.model(SERIES)
    assert (record.appended, record.settled, record.lost) == (4, 4, 0)


@pytest.mark.parametrize("value", [b"0", b"1"])
def test_a_restore_counts_anew_where_too_few_are_settled(store: Store, value: bytes) -> None:
    """Of four that are learned again, no more can be taken off than were ever put on."""
    nothing: dict[str, Any] = {"state": b"", "fingerprint": "f", "scores": {}, "since": None}
    store.append(SERIES, candles(0, 4))
    store.commit([learned(only(store.claim(FLEET)))])
    store.link.redis.hset(store.keys.model(str(SERIES)), "settled", value)

    store.restore(SERIES, etag=None, cursor=None, sequence=0, **nothing)

    record = store.model(SERIES)
    assert (record.appended, record.settled, record.waiting, record.lost) == (4, 0, 4, 0)


def test_a_worker_rebuilds_what_it_claimed_though_the_names_are_gone(store: Store) -> None:
    """Whoever deletes the set of names takes no series its repair away; an operator is told."""
    nothing: dict[str, Any] = {"state": b"", "fingerprint": "f", "scores": {}, "since": None}
    store.append(SERIES, candles(0, 1))
    claim = only(store.claim(FLEET))
    store.link.redis.delete(store.keys.series)

    assert store.restore(SERIES, etag=None, cursor=None, sequence=0, **nothing) == "unknown"
    assert store.restore(SERIES, etag=claim.etag, cursor=None, sequence=0, **nothing) == "ok"


@pytest.mark.parametrize("kind", ["model", "candles"])
def test_a_key_of_another_type_stops_nobody_else(store: Store, kind: str) -> None:
    """Its mark goes, and the series beside it is claimed."""
    other = Series.parse("test:ETH/USDT:1h")
    for series in (SERIES, other):
        store.append(series, candles(0, 1))
    store.link.redis.set(getattr(store.keys, kind)(str(SERIES)), "neither hash nor stream")

    assert only(store.claim(FLEET)).series == other
    assert store.link.redis.zrange(store.keys.pending, 0, -1) == [str(other).encode()]
