"""What a feed takes of its stream's word, what it asks for, and when an exchange is left alone."""

from collections.abc import Sequence
from typing import Any

import ccxt
import pytest

from producers.exchange import Exchange
from producers.pause import Pause
from producers.polling import ExchangeFeed
from producers.rows import Unreachable
from shared.candle import Series, Timeframe
from tests.unit.fake_exchange import HOUR, START, Fake, feed, hours, row, wait

SERIES = Series("fake", "BTC/USDT", Timeframe("1h"))


class FakeStream:
    """A stream whose word a test decides."""

    def __init__(self, *rows: Sequence[Any]) -> None:
        self.rows = {int(told[0]): told for told in rows}
        self.compared: list[int] = []

    def closed(self, series: Series, open_time: int, latest: float) -> Sequence[Any] | None:
        """A candle that has closed."""
        assert series == SERIES
        return self.rows.get(open_time) if latest >= open_time + HOUR else None

    def compare(self, series: Series, row: Sequence[Any]) -> None:
        """Remember it."""
        assert series == SERIES
        self.compared.append((int(row[0]) - START) // HOUR)


def current(fake: Fake, stream: FakeStream) -> ExchangeFeed:
    """A feed that has given all of an exchange's history."""
    fake.rows = fake.rows or [row(hour) for hour in range(11)]
    source = feed(fake, stream=stream)
    source.take(500)
    fake.asked.clear()
    return source


def test_what_comes_next_is_taken_at_once() -> None:
    """Before it would be asked for, and as often as it is there."""
    fake, stream = Fake(), FakeStream()
    source = current(fake, stream)
    fake.now_ms = START + 12 * HOUR + 100
    stream.rows = {START + hour * HOUR: row(hour, 11.0) for hour in (10, 11)}

    assert source.wait_s() == 0.0
    assert hours(source.take(500)) == [10, 11]
    wait(fake, source)
    assert source.take(500) == []
    assert fake.asked == []


def test_what_is_told_of_and_is_no_candle_is_asked_for() -> None:
    """The answer may know better; what was told before it is given all the same."""
    fake, stream, letters = Fake(), FakeStream(), []
    fake.rows = [row(hour) for hour in range(11)]
    source = feed(fake, stream=stream, refuse=lambda *letter: letters.append(letter))
    source.take(500)
    fake.now_ms = START + 12 * HOUR + 100
    stream.rows = {START + 10 * HOUR: row(10), START + 11 * HOUR: row(11, close=99.0)}
    fake.rows = [row(hour) for hour in range(13)]

    told = source.take(500)
    wait(fake, source)

    assert (hours(told), hours(source.take(500)), letters) == ([10], [11], [])


def test_what_lies_behind_a_gap_is_asked_for_first() -> None:
    """A stream may have missed one; the exchange has it."""
    fake, stream = Fake(), FakeStream(row(11, 11.0))
    source = current(fake, stream)
    fake.rows[10:] = [row(10), row(11), row(12)]
    fake.now_ms = START + 12 * HOUR + 2_000

    assert hours(source.take(500)) == [10, 11]
    assert fake.asked == [START + 10 * HOUR]


def test_a_candle_that_cannot_have_closed_is_not_taken() -> None:
    """A row with a wrong time would close all that are open."""
    fake, stream = Fake(), FakeStream(row(10))
    source = current(fake, stream)

    assert source.wait_s() > 0
    assert source.take(500) == []
    fake.now_ms = START + 11 * HOUR - 900
    assert hours(source.take(500)) == [10]


def test_what_is_not_told_is_asked_for_and_compared() -> None:
    """The stream hears what each candle has become."""
    fake, stream = Fake(), FakeStream()
    source = current(fake, stream)
    fake.rows[10:] = [row(10), row(11)]
    fake.now_ms = START + 11 * HOUR + 2_000

    assert hours(source.take(500)) == [10]
    assert stream.compared == [9, 10]


@pytest.mark.parametrize(
    ("error", "headers", "waits"),
    [
        (ccxt.RateLimitExceeded("429"), {"Retry-After": "30"}, [30]),
        (ccxt.DDoSProtection("418"), {"retry-after": "172800"}, [3_600]),
        (ccxt.RateLimitExceeded("429"), {}, [5, 10, 20]),
    ],
)
def test_an_exchange_that_is_asked_too_often_is_left_alone(
    error: Exception, headers: dict[str, str], waits: list[int]
) -> None:
    """For all its series, as long as it says, else longer each time; then it is asked again."""
    fake = Fake(rows=[row(hour) for hour in range(10)])
    pause = Pause(fake.id, fake.clock)
    exchange = Exchange(fake, pause)
    fake.last_response_headers = headers
    for seconds in waits:
        fake.failures, asked = [error], len(fake.asked)
        with pytest.raises(Unreachable, match="asked too often"):
            exchange.rows(SERIES, START)
        fake.sleep(seconds - 1)
        with pytest.raises(Unreachable, match="of which 1 s are left"):
            exchange.rows(SERIES, START + HOUR)
        assert len(fake.asked) == asked + 1
        fake.sleep(1)

    assert pause.count == len(waits)
    assert len(exchange.rows(SERIES, START)) == 10


def test_a_feed_has_caught_up_once_it_has_what_there_is() -> None:
    """Not while the newest candle may be on its way; then with what the exchange has."""
    fake = Fake(rows=[row(hour) for hour in range(10)], page=4)
    source = feed(fake)
    said = []
    while not source.has_caught_up:
        source.take(500)
        said.append(source.behind)
        wait(fake, source)
    caught_up = source.has_caught_up
    source.rewind(START)

    assert said == [6, 2, 0]
    assert (caught_up, source.has_caught_up) == (True, False)
