"""The rules of the candle log, claims and commits, on a real server."""

import time
from collections.abc import Sequence
from typing import Any

import pytest

from shared.candle import Candle, Series
from shared.errors import InvalidValue, StoreUnavailable
from shared.records import Batch, Claim, Commit, DeadLetter, Limits
from shared.store import Store

HOUR = 3_600_000
T0 = 1_700_000_000_000 // HOUR * HOUR
SERIES = Series.parse("test:BTC/USDT:1h")
FLEET = "fleet-a"


def candles(first: int, count: int, close: float = 100.0) -> list[Candle]:
    """Hourly candles from the ``first``-th hour on."""
    return [
        Candle(T0 + i * HOUR, close, close + 1, close - 1, close, 5.0)
        for i in range(first, first + count)
    ]


def learned(claim: Claim, count: int | None = None, dead: DeadLetter | None = None) -> Commit:
    """A commit of the claim's first ``count`` candles."""
    entries = claim.entries[:count]
    return Commit(
        claim=claim,
        entries=entries,
        learned=len(entries) - bool(dead),
        state=b"state",
        fingerprint="f",
        scores={},
        since=claim.since or T0,
        forecast=b"{}",
        dead_letter=dead,
    )


def patient(store: Store) -> Store:
    """The same store with claims that do not come back within a test."""
    return Store(store.link, Limits(lease_ms=60_000))


def hasty(store: Store) -> Store:
    """The same store with claims that are due again at once."""
    return Store(store.link, Limits(lease_ms=0))


def only(batch: Batch) -> Claim:
    """The one claim of a batch."""
    (claim,) = batch.claims
    return claim


def times(entries: Sequence[tuple[bytes, list[bytes]]]) -> list[int]:
    """Open times of log entries, in hours after T0."""
    return [(int(entry_id.partition(b"-")[0]) - T0) // HOUR for entry_id, _ in entries]


def test_append_counts_duplicates_revisions_and_late_candles(store: Store) -> None:
    """A candle that the log has passed is told apart by what the log holds there."""
    store.append(SERIES, candles(0, 3))
    store.append(SERIES, candles(5, 1), gap_ok=True)

    again = store.append(SERIES, [*candles(1, 1), *candles(2, 1, close=7), *candles(4, 1)])

    assert (again.accepted, again.duplicates, again.revised, again.refused) == (0, 1, 1, 1)
    assert again.taken == 3
    record = store.model(SERIES)
    assert (record.appended, record.duplicates, record.revised, record.refused) == (4, 1, 1, 1)
    assert (record.waiting, record.lost) == (4, 0)
    assert store.overview()["dead_letters"] == 1


def test_append_answers_gap_until_the_producer_has_confirmed_it(store: Store) -> None:
    """A hole is only taken once its source has said that nothing is there."""
    store.append(SERIES, candles(0, 2))

    answer = store.append(SERIES, [*candles(2, 1), *candles(5, 2)])

    assert (answer.accepted, answer.taken, answer.stopped) == (1, 1, "gap")
    assert answer.last_open_time == T0 + 2 * HOUR
    assert store.append(SERIES, candles(5, 2), gap_ok=True).accepted == 2


def test_append_answers_full_and_counts_only_unlearned_candles(store: Store) -> None:
    """Back-pressure looks at what is unlearned, not at what the log retains."""
    small = Store(store.link, Limits(max_waiting=10))

    first = small.append(SERIES, candles(0, 15))
    small.commit([learned(only(small.claim(FLEET)), 4)])
    second = small.append(SERIES, candles(10, 5))

    assert (first.accepted, first.stopped) == (10, "full")
    assert (second.accepted, second.stopped) == (4, "full")


@pytest.mark.parametrize("offset", [1, 1_000])
def test_append_refuses_a_time_off_the_grid(store: Store, offset: int) -> None:
    """A wrong timeframe or unit is caught before anything is written."""
    bad = Candle(T0 + offset, 1, 1, 1, 1, 0)

    with pytest.raises(InvalidValue, match="multiples of 3600000"):
        store.append(SERIES, [*candles(-1, 1), bad])

    assert store.end(SERIES) is None


def test_append_refuses_a_candle_that_is_still_open(store: Store) -> None:
    """Redis's clock decides what is closed."""
    now = int(time.time() * 1_000) // HOUR * HOUR

    with pytest.raises(InvalidValue, match="closed candles only"):
        store.append(SERIES, [Candle(now, 1, 1, 1, 1, 0)])


def test_append_rings_one_doorbell_for_each_claim_of_due_series(store: Store) -> None:
    """64 due series share one job; a job that waits already is not rung again."""
    for i in range(65):
        store.append(Series.parse(f"test:S{i}/USDT:1h"), candles(0, 1))

    assert store.overview()["jobs"] == {"candles": 2, "housekeeping": 0}


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


def test_a_suspect_is_claimed_without_neighbours(store: Store) -> None:
    """What may kill a worker does not take 63 others with it."""
    limits = hasty(store)
    other = Series.parse("test:ETH/USDT:1h")
    store.append(SERIES, candles(0, 1))
    limits.claim(FLEET)
    store.append(other, candles(0, 1))

    assert [claim.series for claim in limits.claim(FLEET).claims] in ([SERIES], [other])


def test_a_worker_of_another_model_takes_nothing(store: Store) -> None:
    """The fleet's name decides who learns, until it expires or is taken over."""
    store.append(SERIES, candles(0, 1))
    store.tick("fleet-a")

    assert store.claim("fleet-b").claims == []
    assert store.tick("fleet-b").holder == "fleet-a"
    assert store.tick("fleet-b", take_over=True).holder == "fleet-b"
    assert len(store.claim("fleet-b").claims) == 1


def test_tick_repairs_a_score_that_a_stepped_clock_left_behind(store: Store) -> None:
    """A lease never reaches further than its length."""
    store.append(SERIES, candles(0, 1))
    store.link.redis.zadd(store.keys.pending, {str(SERIES): 9e15})
    store.link.redis.delete("rq:queue:candles")

    assert store.tick(FLEET).ring == 1
    assert len(store.claim(FLEET).claims) == 1


def test_tick_is_guarded_and_rings_housekeeping_once_a_period(store: Store) -> None:
    """A hundred workers make one tick and one housekeeping job."""
    first, second = store.tick(FLEET), store.tick(FLEET)

    assert (first.housekeeping, second.housekeeping) == (True, False)


def test_the_log_keeps_what_is_unlearned_and_the_retention(store: Store) -> None:
    """Trimming takes only what is both learned and beyond the retention."""
    small = Store(store.link, Limits(retention=3))
    store.append(SERIES, candles(0, 10))

    small.commit([learned(only(small.claim(FLEET)), 6)])

    assert [(c.open_time - T0) // HOUR for c in store.candles(SERIES)] == [3, 4, 5, 6, 7, 8, 9]
    assert store.model(SERIES).lost == 0


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


def test_a_server_that_is_not_there_is_one_clear_line() -> None:
    """The address is named, the password is not."""
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1/0") as caught:
        Store.connect("redis://:secret@127.0.0.1:1/0")

    assert "secret" not in str(caught.value)
