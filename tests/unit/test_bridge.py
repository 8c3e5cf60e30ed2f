"""Holes that are filled, and those that are not."""

import pytest

from producers.bridge import Bridge
from producers.polling import ExchangeFeed
from shared.candle import Candle, Timeframe
from tests.unit.fake_exchange import HOUR, START, Fake, feed, hours, row, wait


def without(*missing: int, count: int = 10) -> list[list[object]]:
    """Rows of an exchange that leaves some hours out."""
    return [row(hour, 10.0 + hour) for hour in range(count) if hour not in missing]


def all_of(source: ExchangeFeed, fake: Fake, most: int = 500) -> list[Candle]:
    """All that a feed gives until it is current."""
    found: list[Candle] = []
    while not source.has_caught_up:
        found += source.take(most)
        wait(fake, source)
    return found


def test_a_producer_that_begins_inside_a_hole_fills_the_rest() -> None:
    """Another one has filled its beginning."""
    fake = Fake(rows=without(3, 4, 5))
    source = feed(fake, bridge=3)
    source.rewind(START + 3 * HOUR)

    found = all_of(source, fake)

    assert hours(found) == list(range(4, 10))
    assert [candle.close for candle in found[:2]] == [12.0, 12.0]


def test_a_page_that_ends_before_the_hole_is_not_filled_from() -> None:
    """The candle right before it is asked for."""
    rows = [row(hour, 10.0 + hour / 100) for hour in range(300) if hour != 200]
    fake = Fake(rows=rows, now_ms=START + 300 * HOUR + 15_000, page=30)
    source = feed(fake, bridge=100)
    source.rewind(START + 199 * HOUR)

    flat, after = source.take(500)[:2]

    assert hours([flat, after]) == [200, 201]
    assert flat.close == 11.99


@pytest.mark.parametrize("most", [500, 4, 2, 1])
def test_a_short_hole_is_filled_flat_and_without_volume(most: int) -> None:
    """With the close before it, however many candles are asked for at once."""
    fake = Fake(rows=without(3, 4))
    source = feed(fake, bridge=2)

    found = all_of(source, fake, most)

    assert hours(found) == list(range(10))
    flat = [(c.open, c.high, c.low, c.close, c.volume) for c in found[3:5]]
    assert flat == [(12.0, 12.0, 12.0, 12.0, 0.0)] * 2
    assert source.bridged == 2


def test_a_longer_hole_stays_one() -> None:
    """And so do all where nothing is set."""
    fake = Fake(rows=without(1, 3, 4, 5))
    some, none = feed(fake, bridge=2), feed(fake)

    assert hours(all_of(some, fake)) == [0, 1, 2, 6, 7, 8, 9]
    assert hours(all_of(none, fake)) == [0, 2, 6, 7, 8, 9]


def test_a_hole_at_the_end_is_filled_once_a_later_candle_is_there() -> None:
    """Before, the market may be late."""
    fake = Fake(rows=without(count=8))
    source = feed(fake, bridge=5)
    before = all_of(source, fake)
    fake.rows.append(row(10))
    fake.now_ms = START + 11 * HOUR + 15_000
    source.has_caught_up = False  # until it has seen that

    assert hours(before) == list(range(8))
    assert hours(all_of(source, fake)) == [8, 9, 10]


def test_a_producer_that_begins_behind_a_hole_fills_it_too() -> None:
    """It asks for the last candle of the log again, to know its close."""
    fake = Fake(rows=without(3, 4))
    source = feed(fake, bridge=2)
    source.rewind(START + 2 * HOUR)

    found = all_of(source, fake)

    assert hours(found) == list(range(3, 10))
    assert [candle.close for candle in found[:2]] == [12.0, 12.0]


def test_nothing_is_filled_beside_a_row_that_is_no_candle() -> None:
    """There the exchange does have something."""
    fake = Fake(rows=without(3))
    fake.rows[3][4] = None  # the close of the fourth hour
    source = feed(fake, bridge=9)

    assert hours(all_of(source, fake)) == [0, 1, 2, 5, 6, 7, 8, 9]


def test_before_the_first_candle_there_is_nothing_to_fill() -> None:
    """Nobody knows its price then."""
    bridge, candle = Bridge(Timeframe("1h"), 9), Candle(START, 1.0, 1.0, 1.0, 1.0, 1.0)

    assert bridge.over([(START, candle)], 9) == [candle]
    assert bridge.count == 0
