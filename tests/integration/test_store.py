"""The candle log, the tick and what is read, on a real server."""

import time
from typing import Any

import pytest

from shared.candle import Candle, Series
from shared.errors import InvalidValue, StoreUnavailable
from shared.limits import Limits
from shared.records import BEFORE_ALL, Append, DeadLetter
from shared.store import Store
from tests.integration.steps import (
    FLEET,
    HOUR,
    SERIES,
    T0,
    candles,
    learned,
    only,
    patient,
)

pytestmark = pytest.mark.usefixtures("field")


def test_append_counts_duplicates_revisions_and_late_candles(store: Store) -> None:
    """A candle that the log has passed is told apart by what the log holds there."""
    store.append(SERIES, candles(0, 3))
    store.append(SERIES, candles(5, 1), after=T0 + 2 * HOUR)

    again = store.append(SERIES, [*candles(1, 1), *candles(2, 1, close=7), *candles(4, 1)])

    assert (again.accepted, again.duplicates, again.revised, again.refused) == (0, 1, 1, 1)
    assert again.taken == 3
    record = store.model(SERIES)
    assert (record.appended, record.duplicates, record.revised, record.refused) == (4, 1, 1, 1)
    assert (record.waiting, record.lost) == (4, 0)
    assert store.overview()["dead_letters"] == 1


def test_append_takes_a_hole_only_behind_the_log_s_own_end(store: Store) -> None:
    """What the source has right behind the end is taken; else the log may lack a candle."""
    store.append(SERIES, candles(0, 3))

    for after in (BEFORE_ALL, T0 + HOUR, T0 + 4 * HOUR):
        answer = store.append(SERIES, candles(6, 2), after=after)
        assert (answer.taken, answer.stopped) == (0, "gap")
        assert answer.last_open_time == T0 + 2 * HOUR
    answer = store.append(SERIES, candles(6, 2), after=T0 + 2 * HOUR)

    assert (answer.accepted, answer.holes, answer.stopped) == (2, 1, None)
    record = store.model(SERIES)
    assert (record.holes, record.missing) == (1, 3)


def test_append_takes_the_holes_inside_what_one_source_has(store: Store) -> None:
    """Candles of one append are all there are between the first and the last of them."""
    holed = [*candles(0, 2), *candles(4, 1), *candles(7, 1)]

    answer = store.append(SERIES, holed)

    assert (answer.accepted, answer.holes, answer.stopped) == (4, 2, None)
    again = store.append(SERIES, [*holed[2:], *candles(9, 1)])
    assert (again.duplicates, again.accepted, again.holes) == (2, 1, 1)
    assert store.model(SERIES).missing == 2 + 2 + 1


def test_append_asks_for_the_start_where_there_is_no_log(store: Store) -> None:
    """A Redis that has forgotten a series gets it from its start, not from the newest candle on."""
    answer = store.append(SERIES, candles(5, 1), after=T0 + 4 * HOUR)

    assert (answer.taken, answer.stopped, answer.last_open_time) == (0, "gap", None)
    assert store.append(SERIES, candles(5, 1)).accepted == 1


def test_a_series_too_many_is_refused(store: Store) -> None:
    """A producer that makes up names cannot fill Redis; known series go on."""
    small = Store(store.link, Limits(max_series=1))
    small.append(SERIES, candles(0, 1))

    with pytest.raises(InvalidValue, match="CANDLECAST_MAX_SERIES"):
        small.append(Series.parse("test:TWO/USD:1h"), candles(0, 1))

    assert small.append(SERIES, candles(1, 1)).accepted == 1
    assert store.series() == [SERIES]


def test_a_series_that_no_pattern_allows_is_refused(store: Store) -> None:
    """An installation may say which series it expects."""
    strict = Store(store.link, Limits(allowed_series=("kraken:*", "test:*:1h")))

    assert strict.append(SERIES, candles(0, 1)).accepted == 1
    with pytest.raises(InvalidValue, match=r"CANDLECAST_ALLOWED_SERIES allows kraken:\*, test"):
        strict.append(Series.parse("test:BTC/USDT:5m"), candles(0, 1))


def test_a_number_longer_than_any_is_refused(store: Store) -> None:
    """Programs of other languages call the script too: no candle can be larger than it needs."""
    frame = SERIES.timeframe
    head = (64, str(SERIES), 9, frame.ms, frame.origin_ms, BEFORE_ALL, 100, 5_000, 100)

    answer = store.link.run("append", *head, str(T0), "1", "1", "1", "1" * 33, "1")

    assert answer == [b"oversized", 0]
    assert store.end(SERIES) is None


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
    next_hour = (int(time.time() * 1_000) // HOUR + 1) * HOUR

    with pytest.raises(InvalidValue, match="closed candles only"):
        store.append(SERIES, [Candle(next_hour, 1, 1, 1, 1, 0)])


def test_append_rings_one_doorbell_for_each_claim_of_due_series(store: Store) -> None:
    """64 due series share one job; a job that waits already is not rung again."""
    for i in range(65):
        store.append(Series.parse(f"test:S{i}/USDT:1h"), candles(0, 1))

    assert store.overview()["jobs"] == {"candles": 2, "housekeeping": 0}


def test_a_refusal_is_the_answer_for_its_series_alone(store: Store) -> None:
    """Of several appends in one round trip the others are done, and rung for once."""
    odd, small = Candle(T0 + 1, 1, 1, 1, 1, 0), Store(store.link, Limits(max_series=2))
    one, other, more = (Series.parse(f"test:{name}/USDT:1h") for name in ("ONE", "OTHER", "MORE"))

    answers = small.append_all(
        [Append(one, candles(0, 2)), Append(SERIES, [odd])]
        + [Append(series, candles(0, 1)) for series in (other, more)]
    )

    assert [getattr(answer, "accepted", None) for answer in answers] == [2, None, 1, None]
    assert [getattr(answer, "field", None) for answer in answers] == [
        *(None, "open_time", None, "series")
    ]
    assert set(store.series()) == {one, other}
    assert store.overview()["jobs"]["candles"] == 1


def test_appending_to_a_leased_series_does_not_end_its_lease(store: Store) -> None:
    """A candle that arrives while a worker has the series waits for its commit."""
    store.append(SERIES, candles(0, 1))
    patient(store).claim(FLEET)
    store.append(SERIES, candles(1, 1))

    assert store.claim(FLEET).claims == []


def test_a_candle_that_closes_within_the_grace_is_taken(store: Store) -> None:
    """Clocks of producers and Redis may differ by a few seconds."""
    minute = 60_000
    series = Series.parse("test:BTC/USDT:1m")
    now = int(time.time() * 1_000)
    open_time = now // minute * minute
    remaining = open_time + minute - now
    generous = Store(store.link, Limits(unclosed_grace_ms=remaining + 5_000))

    assert generous.append(series, [Candle(open_time, 1, 1, 1, 1, 0)]).accepted == 1


def test_tick_repairs_a_score_that_a_stepped_clock_left_behind(store: Store) -> None:
    """A lease never reaches further than its length."""
    store.append(SERIES, candles(0, 1))
    store.link.redis.zadd(store.keys.pending, {str(SERIES): 9e15})
    store.link.redis.delete("rq:queue:candles")

    assert store.tick(FLEET).ring == 1
    assert len(store.claim(FLEET).claims) == 1


def test_tick_is_guarded(store: Store) -> None:
    """Of a hundred workers that tick at once, one says what is to be rung."""
    slow = Store(store.link, Limits(tick_guard_ms=60_000))
    store.append(SERIES, candles(0, 1))
    store.link.redis.delete("rq:queue:candles")

    assert [slow.tick(FLEET).ring for _ in range(3)] == [1, 0, 0]


def test_housekeeping_is_rung_once_a_period_and_never_twice_at_once(store: Store) -> None:
    """A round that still waits in the queue is not rung again."""
    eager = Store(store.link, Limits(tick_guard_ms=1, snapshot_period_ms=1))
    rung = []
    for _ in range(3):
        time.sleep(0.005)  # longer than guard and period
        tick = eager.tick(FLEET)
        rung.append(tick.housekeeping)
        if tick.housekeeping:
            eager.ring_housekeeping()

    assert rung == [True, False, False]
    assert store.tick(FLEET).housekeeping is False


def test_a_clock_that_stepped_back_stops_neither_ticks_nor_claims(store: Store) -> None:
    """Guards and leases of the time before the step are not waited for."""
    store.append(SERIES, candles(0, 1))
    hour = 3_600_000
    for key in (store.keys.tick, store.keys.fleet, store.keys.housekeeping):
        store.link.redis.set(key, "of before", px=hour)
    store.link.redis.zadd(store.keys.pending, {str(SERIES): time.time() * 1_000 + hour})
    store.link.redis.delete("rq:queue:candles")

    tick = store.tick(FLEET)

    assert (tick.holder, tick.ring, tick.housekeeping) == (FLEET, 1, True)
    assert len(store.claim(FLEET).claims) == 1


def test_a_revision_that_is_repeated_is_buried_once(store: Store) -> None:
    """A source that says the same again and again does not push other letters out."""
    store.append(SERIES, candles(0, 1))
    for _ in range(5):
        store.append(SERIES, candles(0, 1, close=7))

    assert store.overview()["dead_letters"] == 1
    assert store.model(SERIES).revised == 5


def test_a_log_that_is_filled_again_behind_the_cursor_counts_right(store: Store) -> None:
    """Candles that a restored state knows already are settled, not lost."""
    known: dict[str, Any] = {"state": b"s", "fingerprint": "f", "scores": {}, "since": T0}
    store.restore(SERIES, etag=None, cursor=T0 + 4 * HOUR, sequence=5, accept_hole=True, **known)

    answer = store.append(SERIES, candles(0, 7))

    record = store.model(SERIES)
    assert answer.behind == 2
    assert (record.appended, record.settled, record.waiting, record.lost) == (7, 5, 2, 0)


def test_two_prefixes_share_neither_marks_nor_doorbells(server: Any, store: Store) -> None:
    """A service beside ours in the same database is rung by itself."""
    other = Store.connect(server.url, prefix="other:")
    other.append(SERIES, candles(0, 1))

    assert other.overview()["jobs"]["candles"] == 1
    assert store.overview()["jobs"]["candles"] == 0
    assert other.link.redis.lrange("rq:queue:other:candles", 0, -1)


def test_a_name_that_only_a_newer_version_knows_stops_nobody(store: Store) -> None:
    """Other series are listed and claimed; nothing is held against candles that nobody tried."""
    newer = [f"test:{symbol}/USDT:9y" for symbol in ("BTC", "ETH")]
    redis, keys = store.link.redis, store.keys
    redis.sadd(keys.series, *newer)
    for name in newer:
        redis.xadd(keys.candles(name), {"o": "1"}, id="5-0")
    for turn in range(8):
        redis.zadd(keys.pending, dict.fromkeys(newer, 0))
        store.append(SERIES, candles(turn, 1))

        assert [claim.series for claim in store.claim(FLEET).claims] == [SERIES]
        redis.zadd(keys.pending, {str(SERIES): 0})
        redis.hdel(keys.model(str(SERIES)), "attempts")

    assert store.series() == [SERIES]
    assert [redis.hget(keys.model(name), "attempts") for name in newer] == [None, None]
    assert all(redis.zscore(keys.pending, name) > T0 for name in newer), "they rest"


def test_a_refused_row_counts_as_a_dead_letter_of_its_series(store: Store) -> None:
    """What a file's bad rows were is counted where its good ones are."""
    store.append(SERIES, candles(0, 1))
    store.dead_letters.put(
        SERIES, DeadLetter(candle="row 7", reason="invalid", error="close is NaN")
    )

    assert store.model(SERIES).dead_letters == 1
    assert store.model(SERIES).lost == 0


def test_one_round_of_snapshots_at_a_time(store: Store) -> None:
    """The second is told; the right can be renewed and is free again afterwards."""
    with store.snapshot_lock() as first, store.snapshot_lock() as second:
        assert first is not None
        assert second is None
        assert first()
    with store.snapshot_lock() as third:
        assert third is not None


def test_a_round_that_hangs_keeps_its_right(store: Store) -> None:
    """MLflow may take longer to answer than a killed round may hold up the next."""
    key = store.keys.snapshot_lock
    with store.link.lock(key, 0.3, 0) as first:
        assert first is not None
        for _ in range(10):
            time.sleep(0.1)
            with store.link.lock(key, 0.3, 0) as second:
                assert second is None
    assert not store.link.redis.exists(key)


def test_records_of_many_series_come_without_their_states(store: Store) -> None:
    """Looking at everything moves no model."""
    store.append(SERIES, candles(0, 1))
    store.commit([learned(only(store.claim(FLEET)))])

    assert store.models([SERIES] * 65)[64].state is None
    assert store.model(SERIES).state == b"state"


def test_the_log_keeps_what_is_unlearned_and_the_retention(store: Store) -> None:
    """Trimming takes only what is both learned and beyond the retention."""
    small = Store(store.link, Limits(retention=3))
    store.append(SERIES, candles(0, 10))

    small.commit([learned(only(small.claim(FLEET)), 6)])

    assert [(c.open_time - T0) // HOUR for c in store.candles(SERIES)] == [3, 4, 5, 6, 7, 8, 9]
    assert store.model(SERIES).lost == 0


def test_a_full_log_whose_mark_is_gone_is_marked_by_its_producer(store: Store) -> None:
    """Else nobody would take what waits, and the producer would wait for ever."""
    small = Store(store.link, Limits(max_waiting=2))
    small.append(SERIES, candles(0, 2))
    store.link.redis.delete(store.keys.pending)
    assert store.claim(FLEET).claims == []

    assert small.append(SERIES, candles(2, 1), after=T0 + HOUR).stopped == "full"

    assert len(only(store.claim(FLEET)).entries) == 2


@pytest.mark.parametrize("value", [b"text", b"", b"1.5"])
def test_a_revision_that_is_no_number_keeps_no_snapshot_from_being_noted(
    store: Store, value: bytes
) -> None:
    """A claim puts it right; until then the version that was written is known."""
    store.append(SERIES, candles(0, 1))
    store.link.redis.hset(store.keys.model(str(SERIES)), "revision", value)

    store.set_snapshot(SERIES, version=3, alias=None, revision=9)

    assert store.model(SERIES).snapshot_version == 3


def test_a_right_to_snapshots_that_ran_out_is_taken_anew_or_lost(store: Store) -> None:
    """A round that was slow goes on, unless another has begun."""
    with store.snapshot_lock() as renew:
        assert renew is not None
        store.link.redis.delete(store.keys.snapshot_lock)
        assert renew()
        with store.snapshot_lock() as other:
            assert other is None
        store.link.redis.set(store.keys.snapshot_lock, b"another's", px=20_000)
        assert not renew()
    assert store.link.redis.get(store.keys.snapshot_lock) == b"another's"


@pytest.mark.parametrize("life_ms", [None, 86_400_000])
def test_a_right_to_snapshots_that_nobody_can_hold_holds_nobody_up(
    store: Store, life_ms: int | None
) -> None:
    """Without an end it is not ours; with a far one it is of before Redis's clock stepped back."""
    store.link.redis.set(store.keys.snapshot_lock, b"of before", px=life_ms)

    with store.snapshot_lock() as renew:
        assert renew is not None


def test_a_server_that_is_not_there_is_one_clear_line() -> None:
    """The address is named, the password is not."""
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1/0") as caught:
        Store.connect("redis://:secret@127.0.0.1:1/0")

    assert "secret" not in str(caught.value)
