"""What a feed makes of an exchange whose answers cannot be taken at their word."""

import json
from typing import Any

import pytest

from shared.candle import Candle
from shared.errors import StoreUnavailable
from tests.unit.fake_exchange import HOUR, START, Fake, feed, hours, row, wait

MINUTE = 60_000


def at(open_time: int) -> list[Any]:
    """A row of any time."""
    return [open_time, 10.0, 20.0, 5.0, 10.0, 3.0]


def collect(fake: Fake, source: Any, until: int) -> list[Candle]:
    """All that comes until an hour, asked for as often as the feed wants."""
    found: list[Candle] = []
    while fake.now_ms < START + until * HOUR:
        found.extend(source.take(500))
        wait(fake, source)
    return found


def test_a_row_far_ahead_is_refused_once_and_holds_up_nothing() -> None:
    """A time that no clock can mean is set aside, whatever else is bad before or after it."""
    refused: list[tuple[str, str]] = []
    bogus, bad = row(90_000), row(12, close=99.0)
    fake = Fake(rows=[*(row(hour) for hour in range(11)), bogus])
    source = feed(fake, refuse=lambda *found: refused.append(found))
    assert hours(source.take(500)) == list(range(10))

    fake.rows[-1:] = [row(11), bad, row(13), bogus]
    fake.now_ms += 4 * HOUR

    assert hours(source.take(500)) == [10, 11, 13]
    assert [json.loads(text) for text, _ in refused] == [bogus, bad]
    assert "long after now" in refused[0][1]


def test_candles_that_are_merely_open_are_no_fault() -> None:
    """The open candle, and the next one of a clock that runs a little ahead, are left for later."""
    refused: list[str] = []
    fake = Fake(rows=[row(hour) for hour in range(12)])
    fake.now_ms = START + 11 * HOUR - 300_000
    source = feed(fake, refuse=lambda text, _: refused.append(text))

    assert hours(source.take(500)) == list(range(10))
    assert refused == []


def test_a_row_off_the_grid_carries_nobody_off_it() -> None:
    """The candle after a row with a crooked time is asked for and given."""
    fake = Fake(rows=[row(0), at(START + HOUR + MINUTE)], now_ms=START + 3 * HOUR + 15_000)
    source = feed(fake)
    assert hours(source.take(500)) == [0]

    fake.rows.append(row(2))

    assert hours(source.take(500)) == [2]


def test_one_wrong_time_in_the_history_hides_no_candles() -> None:
    """A row that lies weeks behind those around it is asked about again, and the others come."""
    fake = Fake(rows=[row(hour) for hour in range(1_000)], now_ms=START + 1_000 * HOUR + 15_000)
    fetch = fake.fetch_ohlcv

    def with_bogus(symbol: str, timeframe: str, since: int, limit: int) -> list[list[Any]]:
        page = fetch(symbol, timeframe, since, limit)[:50]
        return [*page[:-1], row(900)] if since == START else page

    fake.fetch_ohlcv = with_bogus  # type: ignore[method-assign,assignment]
    source = feed(fake)
    found: list[Candle] = []
    while source.wait_s() == 0.0:
        found.extend(source.take(500))

    assert hours(found) == list(range(1_000))


def test_a_true_jump_costs_one_more_question() -> None:
    """A hole longer than a hundred candles inside an answer is believed when it is said twice."""
    there = [*range(10), *range(300, 310)]
    fake = Fake(rows=[row(hour) for hour in there], now_ms=START + 310 * HOUR + 15_000)
    source = feed(fake)

    assert hours([*source.take(500), *source.take(500)]) == there
    assert len(fake.asked) == 2


@pytest.mark.parametrize("filled", [True, False], ids=["filled later", "never filled"])
def test_an_outage_of_empty_answers_hides_no_candles(*, filled: bool) -> None:
    """What an exchange answers with nothing, and fills in later, is asked for again and given."""
    fake = Fake(rows=[row(hour) for hour in range(10)])
    source = feed(fake)
    found = collect(fake, source, until=400)
    fake.rows += [row(hour) for hour in range(10 if filled else 395, 401)]

    found += collect(fake, source, until=402)

    assert hours(found) == [*range(10), *range(10 if filled else 395, 401)]


@pytest.mark.parametrize("empty", [1, 2, 3, 4])
def test_one_empty_answer_hides_no_candles(empty: int) -> None:
    """Whichever of the pages of a history it is; the feed has not caught up by it."""
    fake = Fake(rows=[row(h) for h in range(1_000)], now_ms=START + 1_000 * HOUR + 15_000, page=300)
    source = feed(fake)
    found: list[Candle] = []
    while not source.has_caught_up:
        fake.page = 0 if len(fake.asked) + 1 == empty else 300
        found += source.take(500)
        wait(fake, source)

    assert hours(found) == list(range(1_000))


def test_what_came_twice_before_a_rewind_is_doubted_again() -> None:
    """The log has lost it: the exchange is asked as if for the first time."""
    fake = Fake(rows=[row(h) for h in range(1_000)], now_ms=START + 1_000 * HOUR + 15_000, page=300)
    source = feed(fake)
    while not source.has_caught_up:
        source.take(500)
        wait(fake, source)
    source.rewind(START)
    asked = len(fake.asked)
    found: list[int] = []
    while not source.has_caught_up:
        fake.page = 0 if len(fake.asked) == asked else 300
        found += hours(source.take(500))
        wait(fake, source)

    assert found == list(range(1, 1_000))


def test_first_answers_that_are_all_empty_hide_no_candles() -> None:
    """What was passed over is asked for again from its beginning, however far it reaches."""
    fake = Fake(rows=[row(h) for h in range(1_000)], now_ms=START + 1_000 * HOUR + 15_000)
    source = feed(fake)
    found: list[Candle] = []
    answer = fake.fetch_ohlcv

    def only_when_asked_twice(*args: Any) -> list[list[Any]]:
        rows = answer(*args)
        return rows if fake.asked.count(fake.asked[-1]) > 1 else []

    fake.fetch_ohlcv = only_when_asked_twice  # type: ignore[method-assign, assignment]
    while len(found) < 1_000:
        found += source.take(500)
        wait(fake, source)

    assert hours(found) == list(range(1_000))


def test_a_row_that_cannot_be_set_aside_comes_again_with_its_neighbours() -> None:
    """While the dead letters cannot be reached the feed stays where it is."""
    refused: list[str] = []
    down = True

    def refuse(text: str, _: str) -> None:
        if down:
            raise StoreUnavailable("down")
        refused.append(text)

    fake = Fake(rows=[row(0), row(1, close=99.0), row(2)], now_ms=START + 3 * HOUR + 15_000)
    source = feed(fake, refuse=refuse)
    with pytest.raises(StoreUnavailable):
        source.take(500)

    down = False

    assert hours(source.take(500)) == [0, 2]
    assert len(refused) == 1


@pytest.mark.parametrize(("step", "says"), [(MINUTE, "1m apart"), (4 * HOUR, "4h apart")])
def test_an_answer_in_another_timeframe_is_refused(step: int, says: str) -> None:
    """Candles of minutes are not taken for hours because some of them open with one, nor longer."""
    fake = Fake(rows=[at(START + i * step) for i in range(50)], now_ms=START + 300 * HOUR)

    source = feed(fake)

    assert source.take(500) == []
    assert f"{says} where 1h was asked for BTC/USDT" in source.error
    assert source.is_refused


def test_few_rows_say_nothing_about_the_timeframe() -> None:
    """A market that hardly trades may have any steps."""
    fake = Fake(rows=[row(0), row(4), row(8)])

    assert hours(feed(fake).take(500)) == [0, 4, 8]
