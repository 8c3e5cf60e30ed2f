"""Where a reader stands, on answers that a test makes."""

import pytest

from shared.following import PAGE, Entries, Following, Past, forecasts_of
from shared.forecast import Forecast
from shared.wire import encode_forecast
from tests.unit.forecasts import forecast

ONE, OTHER = "forecasts:one", "forecasts:other"


def entries(*said: tuple[int, Forecast]) -> Entries:
    """What Redis answers: entries, by the number of their ids."""
    return [(b"1-%d" % number, {b"forecast": encode_forecast(each)}) for number, each in said]


def hours(found: list[Forecast]) -> list[tuple[int, int]]:
    """After which candles, and by which revisions."""
    return [(one.sequence - 1, one.revision) for one in found]


def test_the_newest_comes_first_and_then_all_that_follow() -> None:
    """Of each series behind its own."""
    following = Following([ONE, OTHER])
    begun = following.newest([entries((4, forecast(3, 4))), []])

    assert hours(begun) == [(3, 4)]
    assert following.after == {ONE: b"1-4", OTHER: b"0-0"}
    found = following.news(
        [
            (ONE.encode(), entries((5, forecast(4, 5)), (6, forecast(5, 6)))),
            (OTHER.encode(), entries((1, forecast(0, 1)))),
        ]
    )
    assert hours(found) == [(4, 5), (5, 6), (0, 1)]
    assert following.after == {ONE: b"1-6", OTHER: b"1-1"}


def test_after_an_outage_nothing_comes_twice() -> None:
    """Where Redis still has what was seen, it goes on behind it."""
    following = Following([ONE])
    following.newest([entries((4, forecast(3, 4)))])

    assert following.newest([entries((6, forecast(5, 6)))]) == []
    assert following.after == {ONE: b"1-4"}


def test_a_redis_that_has_forgotten_is_looked_through() -> None:
    """What it has said since is news, and what was seen is not; then all is as before."""
    following = Following([ONE])
    following.newest([entries((7, forecast(5, 6)))])
    assert following.newest([entries((5, forecast(6, 7)))]) == []
    assert following.after == {ONE: b"0-0"}

    again = (2, forecast(4, 5)), (3, forecast(5, 6)), (5, forecast(6, 7)), (6, forecast(6, 8))
    found = following.news([(ONE.encode(), entries(*again))])
    assert hours(found) == [(6, 7), (6, 8)]
    assert hours(following.news([(ONE.encode(), entries((9, forecast(7, 9))))])) == [(7, 9)]


def test_a_series_that_begins_anew_is_followed_on() -> None:
    """Its revisions and candles begin again, at ids that come later."""
    following = Following([ONE])
    following.newest([entries((7, forecast(5, 6)))])

    assert following.newest([[]]) == []
    found = following.news([(ONE.encode(), entries((9, forecast(0, 1)), (10, forecast(1, 2))))])
    assert hours(found) == [(0, 1), (1, 2)]


def test_an_entry_that_is_no_forecast_is_passed_over() -> None:
    """What comes before it is not lost, and what comes behind it neither."""
    following = Following([ONE])
    bad = (b"1-2", {b"forecast": b"{}"})
    answer = [(ONE.encode(), [*entries((1, forecast(0, 1))), bad, *entries((3, forecast(1, 2)))])]

    assert hours(following.news(answer)) == [(0, 1), (1, 2)]
    assert following.news([(ONE.encode(), [(b"1-4", {})])]) == []
    assert following.after == {ONE: b"1-4"}


@pytest.mark.parametrize("apart", [False, True])
def test_a_past_is_read_in_pages_that_hold_little(*, apart: bool) -> None:
    """By time, whatever of it is unread; each entry is read once, and what is none left out."""
    one, other = [*range(0, 60, 2)], [1, 5, 30] if not apart else [*range(70, 100)]
    logs = {
        stream: [(b"%d-0" % at, {b"forecast": encode_forecast(forecast(at, at + 1))}) for at in log]
        for stream, log in ((ONE, one), (OTHER, other))
    }
    logs[OTHER].append((b"101-0", {b"forecast": b"{}"}))
    past = Past({stream: log[-1][0] for stream, log in logs.items()}, since=2)
    told: list[int] = []
    read = 0
    logs[ONE].append((b"200-0", {}))  # is said later
    while not past.is_over:
        pages = []
        for stream, (start, end) in past.wanted().items():
            first = number(start.strip("(").encode()) + start.startswith("(")
            between = [one for one in logs[stream] if first <= number(one[0]) <= number(end)]
            pages.append(between[:PAGE])
        read += sum(map(len, pages))
        assert read - len(told) <= 2 * PAGE
        told += [said.revision - 1 for said in past.next(pages)]

    assert told == sorted([at for at in (*one, *other) if at >= 2])
    assert read == len(told) + 1


def number(entry_id: bytes) -> int:
    """The first part of it."""
    return int(entry_id.partition(b"-")[0])


def test_a_newest_entry_that_is_no_forecast_holds_up_nobody() -> None:
    """The other series begin, and what follows it comes."""
    following = Following([ONE, OTHER])
    for bad in ({b"forecast": b"{}"}, {b"other": b"field"}):
        assert hours(following.newest([[(b"1-2", bad)], entries((1, forecast(0, 1)))])) in (
            [(0, 1)],
            [],
        )

    assert following.after == {ONE: b"1-2", OTHER: b"1-1"}
    assert hours(following.news([(ONE.encode(), entries((3, forecast(1, 2))))])) == [(1, 2)]


def test_series_come_and_go() -> None:
    """Those that stay are followed on."""
    following = Following([ONE])
    following.newest([entries((4, forecast(3, 4)))])
    following.change([OTHER, ONE])

    assert following.after == {OTHER: b"0-0", ONE: b"1-4"}
    following.change([OTHER])
    assert following.streams == [OTHER]


def test_a_history_is_in_the_order_of_its_revisions() -> None:
    """Whatever the clock was that its ids are of."""
    found = forecasts_of(entries((1, forecast(0, 2)), (2, forecast(0, 1))))

    assert hours(found) == [(0, 1), (0, 2)]
