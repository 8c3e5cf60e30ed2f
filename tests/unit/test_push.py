"""The pushing loop against a store that keeps the rules of the candle log in memory."""

import pytest

from producers.push import BATCH, Totals
from shared.candle import Candle
from shared.errors import InvalidValue, StoreUnavailable
from shared.records import BEFORE_ALL
from tests.unit.fake_log import MINUTE, ONE, T0, TWO, Clock, ListFeed, Log, candle, indices, push


@pytest.fixture
def clock() -> Clock:
    """A clock of the test's own."""
    return Clock()


@pytest.fixture
def log() -> Log:
    """An empty store."""
    return Log()


def test_all_candles_arrive_in_batches_and_order(log: Log, clock: Clock) -> None:
    """A feed of 1,234 candles becomes three batches of at most 500, in order, without a nap."""
    seen: list[int] = []
    feed = ListFeed(ONE, range(1_234), clock)
    totals = push(log, clock, feed, progress=lambda now: seen.append(now.taken)).run()

    assert indices(log.logs[ONE]) == list(range(1_234))
    assert [size for _, size, _ in log.calls] == [500, 500, 234]
    assert seen[:3] == [500, 1_000, 1_234]
    assert (totals.accepted, totals.taken, totals.behind) == (1_234, 1_234, 1_234)
    assert clock.naps == []


def test_feeds_move_side_by_side(log: Log, clock: Clock) -> None:
    """Two feeds take turns batch by batch."""
    push(log, clock, *(ListFeed(series, range(1_500), clock) for series in (ONE, TWO))).run()

    assert [series for series, _, _ in log.calls] == [ONE, TWO] * 3


def test_full_log_waits_alone_and_longer_each_time(log: Log, clock: Clock) -> None:
    """The full series waits with growing pauses and loses nothing; the other one goes on."""
    log.room[ONE] = 700
    done_at: list[float] = []

    def note(_: Totals) -> None:
        if len(log.logs.get(TWO, [])) == 1_000 and not done_at:
            done_at.append(clock())

    clock.at(5.0, lambda: log.room.update({ONE: 1_000}))
    feeds = [ListFeed(ONE, range(1_000), clock), ListFeed(TWO, range(1_000), clock)]
    totals = push(log, clock, *feeds, progress=note).run()

    assert indices(log.logs[ONE]) == list(range(1_000))
    assert done_at == [1_000.0]
    assert totals.accepted == 2_000
    asked = [call for call in log.calls if call[0] == ONE]
    assert 3 < len(asked) < 12


def test_gap_is_filled_from_the_source(log: Log, clock: Clock) -> None:
    """A log that ends earlier than thought gets what is missing, and nothing is called a hole."""
    log.logs[ONE] = [candle(i) for i in range(5)]
    feed = ListFeed(ONE, range(20), clock)
    feed.position = 12

    totals = push(log, clock, feed).run()

    assert indices(log.logs[ONE]) == list(range(20))
    assert feed.rewinds == [4]
    assert totals.accepted == 15


def test_a_hole_of_the_source_is_taken_without_asking(log: Log, clock: Clock) -> None:
    """Each append names the candle that the source has right before, across batches too."""
    feed = ListFeed(ONE, [*range(BATCH), BATCH + 5, BATCH + 9], clock)

    totals = push(log, clock, feed).run()

    assert indices(log.logs[ONE]) == [*range(BATCH), BATCH + 5, BATCH + 9]
    assert feed.rewinds == []
    assert [after for *_, after in log.calls] == [BEFORE_ALL, T0 + (BATCH - 1) * MINUTE]
    assert totals.holes == 2


def test_a_hole_after_a_restart_is_taken_once_the_source_was_asked(log: Log, clock: Clock) -> None:
    """A feed that begins behind a hole goes back to the log's end before it is believed."""
    log.logs[ONE] = [candle(i) for i in range(3)]
    feed = ListFeed(ONE, [0, 1, 2, 7, 8], clock, position=3)

    assert push(log, clock, feed).run().holes == 1
    assert indices(log.logs[ONE]) == [0, 1, 2, 7, 8]
    assert feed.rewinds == [2]


@pytest.mark.parametrize("kept", [100, 0])
def test_a_redis_that_forgets_gets_its_candles_again(log: Log, clock: Clock, kept: int) -> None:
    """After a failover what is missing comes from the source, from its start if all is gone."""
    feed = ListFeed(ONE, [0, 1, 5, *range(6, 1_200)], clock)
    worker = push(log, clock, feed)

    def forget(_: Totals) -> None:
        if len(log.logs[ONE]) > 900:
            del log.logs[ONE][kept:]
            worker._progress = lambda _: None

    worker._progress = forget
    worker.run()

    assert indices(log.logs[ONE]) == [0, 1, *range(5, 1_200)]


def test_duplicates_revised_and_late_candles_are_counted(log: Log, clock: Clock) -> None:
    """Candles that the log has passed are told apart in the totals."""
    log.logs[ONE] = [candle(5), Candle(T0 + 6 * MINUTE, 9.0, 9.0, 9.0, 9.0, 9.0), candle(7)]

    totals = push(log, clock, ListFeed(ONE, range(4, 10), clock)).run()

    assert totals == Totals(accepted=2, duplicates=2, revised=1, refused=1, behind=5)


def test_unreachable_redis_costs_time_and_no_candle(log: Log, clock: Clock) -> None:
    """While Redis is away the push waits; then every candle arrives once."""
    log.down = True
    clock.at(20.0, lambda: setattr(log, "down", False))

    assert push(log, clock, ListFeed(ONE, range(600), clock)).run().accepted == 600
    assert indices(log.logs[ONE]) == list(range(600))
    assert len(clock.naps) < 20


def test_patience_with_redis_ends(log: Log, clock: Clock) -> None:
    """A Redis that stays away ends the push with its error after the patience."""
    log.down = True

    with pytest.raises(StoreUnavailable):
        push(log, clock, ListFeed(ONE, range(6), clock), patience_s=30.0).run()

    assert 30 < clock.now - 1_000 < 40


def test_short_memory_pauses_everything(log: Log, clock: Clock) -> None:
    """Above 90 % of Redis's memory nothing is appended until there is room again."""
    log.memory = 0.95

    def recover() -> None:
        assert log.calls == []
        log.memory = 0.5

    clock.at(10.0, recover)
    push(log, clock, ListFeed(ONE, range(6), clock)).run()

    assert indices(log.logs[ONE]) == list(range(6))
    assert clock.now >= 1_010


@pytest.mark.parametrize("share", [1.01, 0.5])
def test_memory_that_runs_out_between_two_looks_is_waited_for(
    log: Log, clock: Clock, share: float
) -> None:
    """A command that fails for want of memory is sent again, also where there is room by then."""
    feed = ListFeed(ONE, range(600), clock)
    work = push(log, clock, feed)

    def fill_up(totals: Totals) -> None:
        if totals.taken == 500:
            log.memory, log.full = share, 3
            clock.at(5.0, lambda: setattr(log, "memory", 0.5))
            work._progress = lambda _: None

    work._progress = fill_up

    assert work.run().accepted == 600
    assert indices(log.logs[ONE]) == list(range(600))
    assert log.full == 0
    assert min(clock.naps) >= 0.25
    assert share < 1 or clock.now >= 1_005


def test_memory_that_is_short_outlasts_the_patience(log: Log, clock: Clock) -> None:
    """As long as Redis itself says so it is waited for; a refusal without a reason is not."""
    log.memory, log.full = 0.5, 3
    clock.at(0.2, lambda: setattr(log, "memory", 1.01))
    clock.at(300.0, lambda: setattr(log, "memory", 0.5))
    assert push(log, clock, ListFeed(ONE, range(6), clock), patience_s=30.0).run().accepted == 6
    assert clock.now >= 1_300

    log.full, since = 10**9, clock.now
    with pytest.raises(StoreUnavailable, match="OOM"):
        push(log, clock, ListFeed(TWO, range(6), clock), patience_s=30.0).run()
    assert 30 < clock.now - since < 40


def test_a_candle_far_ahead_is_set_aside_and_holds_up_nobody(log: Log, clock: Clock) -> None:
    """A time that no clock can mean becomes a dead letter, and its series goes on behind it."""
    ahead = 10_000
    log.now_ms = T0 + 1_000 * MINUTE
    feeds = [ListFeed(ONE, [0, 1, ahead, 2, 3], clock), ListFeed(TWO, range(5), clock)]

    totals = push(log, clock, *feeds, now_ms=lambda: log.now_ms).run()

    assert indices(log.logs[ONE]) == [0, 1, 2, 3]
    assert indices(log.logs[TWO]) == list(range(5))
    assert (totals.set_aside, totals.unsent, clock.naps) == (1, 0, [])
    ((series, letter),) = log.dead_letters.kept
    assert (series, letter.reason) == (ONE, "invalid")
    assert letter.candle.split()[0] == str(candle(ahead).open_time)


def test_redis_with_a_slow_clock_is_waited_for(log: Log, clock: Clock) -> None:
    """Candles that Redis takes for open ones stay in hand until its clock agrees, not for ever."""
    log.faulty = InvalidValue("open_time", T0, "not closed")
    clock.at(5.0, lambda: setattr(log, "faulty", None))
    push(log, clock, ListFeed(ONE, range(6), clock)).run()
    assert indices(log.logs[ONE]) == list(range(6))

    log.faulty = InvalidValue("open_time", T0, "not closed")
    with pytest.raises(InvalidValue, match="not closed"):
        push(log, clock, ListFeed(TWO, range(6), clock)).run()


@pytest.mark.parametrize("field", ["open_time", "close"])
def test_a_candle_that_no_clock_can_mend_ends_the_push_at_once(
    field: str, log: Log, clock: Clock
) -> None:
    """A time off the grid, or another invalid value, is no clock to be waited for."""
    log.faulty = InvalidValue(field, T0 + 1, "off the grid")

    with pytest.raises(InvalidValue, match="off the grid"):
        push(log, clock, ListFeed(ONE, range(6), clock)).run()

    assert clock.naps == []


def test_stop_ends_soon_and_counts_what_was_not_sent(log: Log, clock: Clock) -> None:
    """A stop while the log is full returns, and the totals say what was in hand."""
    log.room[ONE] = 100

    totals = push(log, clock, ListFeed(ONE, range(1_000), clock)).run(lambda: clock() > 1_003)

    assert (totals.accepted, totals.unsent) == (100, 400)
    assert clock.now < 1_006


def test_what_is_in_hand_is_sent_when_it_is_told_to_stop(log: Log, clock: Clock) -> None:
    """In the middle of a round too."""
    feeds = [ListFeed(series, range(10), clock) for series in (ONE, TWO)]
    asked = iter([False, False])

    totals = push(log, clock, *feeds).run(lambda: next(asked, True))

    assert (totals.accepted, totals.unsent) == (10, 0)


def test_idle_feeds_are_slept_for_in_short_naps(log: Log, clock: Clock) -> None:
    """A feed that is due later is waited for, in naps short enough to hear a signal."""
    push(log, clock, ListFeed(ONE, range(3), clock, due=1_007.3)).run()
    assert clock.now == pytest.approx(1_007.3, abs=0.01)
    assert max(clock.naps) <= 0.5
