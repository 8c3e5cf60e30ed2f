"""Many feeds in one push: what goes together, and what must not wait for what."""

import pytest

from shared.candle import Candle, Series
from shared.errors import InvalidValue
from shared.records import Append, Appended
from tests.unit.fake_log import T0, Clock, ListFeed, Log, candle, indices, push

MANY = [Series.parse(f"x:C{number}/USD:1m") for number in range(150)]


class SlowFeed(ListFeed):
    """One that asks an exchange."""

    def take(self, count: int) -> list[Candle]:
        """The next candles, after a while."""
        self.clock.now += 0.2
        return super().take(min(count, 1))


def test_many_series_go_in_few_round_trips() -> None:
    """At most 64 together, so that the workers begin with some while others are on their way."""
    log, clock = Log(), Clock()

    push(log, clock, *(ListFeed(series, [0], clock) for series in MANY)).run()

    assert [len(group) for group in log.groups] == [64, 64, 22]
    assert [series for group in log.groups for series in group] == MANY


def test_a_round_trip_holds_no_more_candles_than_redis_takes_in_one_breath() -> None:
    """A backlog of many series goes two batches at a time."""
    log, clock = Log(), Clock()

    push(log, clock, *(ListFeed(series, range(500), clock) for series in MANY[:5])).run()

    assert [len(group) for group in log.groups] == [2, 2, 1]
    assert all(indices(log.logs[series]) == list(range(500)) for series in MANY[:5])


def test_no_candle_waits_until_a_slow_feed_has_answered() -> None:
    """What was taken before is sent first; this is learned at the first time that it is asked."""
    log, clock = Log(), Clock()
    quick, slow, other = MANY[:3]
    feeds = [ListFeed(quick, range(1_200), clock), SlowFeed(slow, range(3), clock)]

    push(log, clock, *feeds, ListFeed(other, range(600), clock)).run()

    first, *later = log.groups
    assert first == [quick, slow, other]
    assert later == [[quick], [slow, other], [quick], [slow]]


def test_one_refusal_leaves_the_others_what_they_have_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends the push, but the candles that Redis took with it count as taken."""
    log, clock = Log(), Clock()
    append_all = log.append_all

    def refuse_one(appends: list[Append]) -> list[Appended | InvalidValue]:
        return [InvalidValue("series", "x", "one too many"), *append_all(appends[1:])]

    monkeypatch.setattr(log, "append_all", refuse_one)
    pushing = push(log, clock, *(ListFeed(series, [0], clock) for series in MANY[:3]))
    with pytest.raises(InvalidValue, match="one too many"):
        pushing.run()

    assert pushing.totals.accepted == 2
    assert log.logs[MANY[1]] == [candle(0)]


def test_one_that_waits_for_redis_clock_does_not_hold_up_the_others() -> None:
    """Its candle is taken for an open one; those sent along with it are counted."""
    log, clock = Log(), Clock()
    log.now_ms = T0 + 5 * 60_000
    clock.at(10, lambda: setattr(log, "now_ms", T0 + 10**9))
    early, on_time = MANY[:2]

    totals = push(
        log,
        clock,
        ListFeed(early, [7], clock),
        ListFeed(on_time, range(4), clock),
        now_ms=lambda: log.now_ms,
    ).run()

    assert totals.accepted == 5
    assert log.groups[0] == [early, on_time]
    assert indices(log.logs[early]) == [7]
