"""Polling an exchange that is late, fails or answers nonsense, on a clock of the test's own."""

import json
import re
from typing import Any

import ccxt
import pytest
from structlog.testing import capture_logs

from shared.candle import Candle
from tests.unit.fake_exchange import HOUR, START, Fake, feed, hours, row, wait


def test_the_open_candle_is_left_out_until_it_has_closed_for_two_seconds() -> None:
    """The newest row is not given before its close plus the grace, and then as it is by then."""
    fake = Fake(rows=[row(hour) for hour in range(11)])
    source = feed(fake)
    assert hours(source.take(500)) == list(range(10))
    assert source.wait_s() == pytest.approx(3_600 - 15 + 2)
    fake.now_ms = START + 11 * HOUR + 1_999
    assert source.take(500) == []
    fake.now_ms += 1
    fake.rows[10:] = [row(10, close=12.5), row(11)]

    assert [candle.close for candle in source.take(500)] == [12.5]


@pytest.mark.parametrize("ahead_ms", [-60_000, 60_000])
def test_the_clock_of_the_exchange_decides(ahead_ms: int) -> None:
    """A candle is closed by the exchange's time, whatever this machine's clock says."""
    fake = Fake(rows=[row(hour) for hour in range(12)], ahead_ms=ahead_ms)
    fake.now_ms = START + 10 * HOUR + 30_000

    assert hours(feed(fake).take(500)) == list(range(10 if ahead_ms > 0 else 9))


def test_an_answer_of_some_seconds_ago_is_not_believed() -> None:
    """A candle that was open then is asked for again, until the next one is there."""
    fake = Fake(rows=[row(hour) for hour in range(11)])
    source = feed(fake)
    source.take(500)
    fake.now_ms = START + 11 * HOUR + 2_000

    stale = source.take(500)
    fake.rows[10:] = [row(10, close=12.5), row(11)]
    wait(fake, source)

    assert stale == []
    assert [candle.close for candle in source.take(500)] == [12.5]
    assert fake.now_ms == START + 11 * HOUR + 3_000


def test_the_first_answer_may_be_of_some_seconds_ago_too() -> None:
    """Whether an exchange shows open candles is not known then: it is asked again."""
    fake = Fake(rows=[row(hour) for hour in range(10)], now_ms=START + 10 * HOUR + 3_000)
    source = feed(fake)

    first = hours(source.take(500))
    fake.rows[9:] = [row(9, close=12.5), row(10)]
    wait(fake, source)

    assert first == list(range(9))
    assert [candle.close for candle in source.take(500)] == [12.5]


def test_a_market_that_has_become_quiet_is_believed_after_a_while() -> None:
    """No candle follows before the next trade, which may take hours."""
    fake = Fake(rows=[row(hour) for hour in range(11)])
    source = feed(fake)
    source.take(500)
    fake.now_ms = START + 11 * HOUR + 2_000

    while not (found := source.take(500)):
        wait(fake, source)

    assert hours(found) == [10]
    assert fake.now_ms == START + 11 * HOUR + 10_000


def test_history_comes_in_pages() -> None:
    """Every page goes on where the last one ended, without waiting, to the last closed candle."""
    fake = Fake(rows=[row(hour) for hour in range(10)], page=3)
    source = feed(fake)

    batches = []
    while source.wait_s() == 0.0:
        batches.append(hours(source.take(500)))

    assert batches == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]


def test_a_smaller_take_loses_nothing() -> None:
    """What did not fit into a batch comes with the next one."""
    source = feed(Fake(rows=[row(hour) for hour in range(10)]))

    assert hours([*source.take(4), *source.take(500)]) == list(range(10))


def test_a_long_time_without_trades_is_crossed() -> None:
    """Where a market did not trade for longer than a page, the history goes on behind it."""
    fake = Fake(rows=[row(5_000)], now_ms=START + 5_001 * HOUR + 15_000)
    fake_page = fake.fetch_ohlcv

    def window(symbol: str, timeframe: str, since: int, limit: int) -> list[list[Any]]:
        found = fake_page(symbol, timeframe, since, limit)
        return [entry for entry in found if entry[0] < since + 300 * HOUR]

    fake.fetch_ohlcv = window  # type: ignore[method-assign,assignment]
    source = feed(fake)
    found: list[Candle] = []
    while source.wait_s() == 0.0:
        found.extend(source.take(500))

    assert hours(found) == [5_000]


def test_a_late_candle_is_asked_for_again_with_growing_waits() -> None:
    """An exchange that publishes late is asked after 1, 2, 4 … seconds, and the candle is given."""
    fake = Fake(rows=[row(hour) for hour in range(9)])
    source = feed(fake)
    assert hours(source.take(500)) == list(range(9))

    waits = []
    for _ in range(6):
        assert source.take(500) == []
        waits.append(wait(fake, source))
    fake.rows.append(row(9))

    assert waits == [1, 2, 4, 8, 16, 30]
    assert hours(source.take(500)) == [9]


def test_a_market_without_trades_is_asked_right_after_each_close() -> None:
    """Waiting for a missing candle never delays the next one past its close."""
    fake = Fake(rows=[row(hour) for hour in range(9)])
    source = feed(fake)
    source.take(500)
    fake.now_ms = START + 11 * HOUR - 10_000
    close = START + 11 * HOUR + 2_000
    fake.rows.append(row(10))
    while fake.now_ms < close:
        assert source.take(500) == []
        wait(fake, source)

    assert fake.now_ms == close
    fake.rows.append(row(11))
    assert hours(source.take(500)) == [10]


def test_network_errors_are_retried_and_lose_nothing() -> None:
    """A failing network costs growing waits; the same candles are asked for again."""
    fake = Fake(rows=[row(hour) for hour in range(10)])
    source = feed(fake)
    fake.failures = [ccxt.RequestTimeout("slow"), ccxt.OnMaintenance("later"), ccxt.NetworkError()]

    waits = []
    for _ in range(3):
        assert source.take(500) == []
        waits.append(wait(fake, source))

    # Not all series, nor both of two producers, at once.
    assert all(
        longest / 2 <= waited <= longest for waited, longest in zip(waits, (1, 2, 4), strict=True)
    )
    assert source.retries == 3
    assert hours(source.take(500)) == list(range(10))
    assert set(fake.asked) == {START}


@pytest.mark.parametrize("filled", [True, False])
def test_a_hole_behind_an_outage_is_asked_about_for_half_a_minute(*, filled: bool) -> None:
    """The exchange may fill up what it has missed; what comes before the hole is not held up."""
    fake = Fake(rows=[row(hour) for hour in range(10)])
    source = feed(fake)
    source.take(500)
    fake.now_ms = START + 14 * HOUR + 15_000
    fake.failures = [ccxt.ExchangeNotAvailable("matching halted")]
    source.take(500)
    wait(fake, source)
    fake.rows += [row(10), row(13)]

    found = hours(source.take(500))
    waits = []
    while not (behind := source.take(500)):
        waits.append(wait(fake, source))
        if filled and len(waits) == 3:
            fake.rows[11:11] = [row(11), row(12)]

    assert found == [10]
    assert hours(behind) == ([11, 12, 13] if filled else [13])
    assert waits == ([1, 2, 4] if filled else [1, 2, 4, 8, 16])
    fake.now_ms += 3 * HOUR
    fake.rows.append(row(16))
    # Once all is there again, a hole is the market's own.
    assert hours(source.take(500)) == [16]


def test_an_exchange_that_fails_over_a_close_is_left_alone_all_the_same() -> None:
    """The next close is no reason to ask sooner."""
    fake = Fake(rows=[row(hour) for hour in range(10)])
    source = feed(fake)
    source.take(500)
    fake.failures = [ccxt.NetworkError("down") for _ in range(20)]
    fake.now_ms = START + 11 * HOUR + 2_000
    for _ in range(10):
        assert source.take(500) == []
        assert wait(fake, source) > 0


def test_a_hole_before_an_outage_is_none_of_its_doing() -> None:
    """A long history does not stop at each of them."""
    fake = Fake(rows=[row(hour) for hour in range(10) if hour not in {3, 6}])
    source = feed(fake)
    source.take(2)
    fake.failures = [ccxt.NetworkError("down")]
    source.take(500)
    wait(fake, source)

    assert hours(source.take(500)) == [2, 4, 5, 7, 8, 9]


def test_a_failing_clock_costs_no_candle() -> None:
    """While the exchange's clock cannot be asked its last offset holds, and one line says so."""
    fake = Fake(rows=[row(hour) for hour in range(12)], ahead_ms=-60_000)
    fake.now_ms = START + 10 * HOUR + 30_000
    source = feed(fake)
    assert hours(source.take(500)) == list(range(9))

    fake.clock_failures = [ccxt.NetworkError("no time"), TypeError("no time")]
    fake.now_ms += HOUR
    with capture_logs() as logs:
        assert hours(source.take(500)) == [9]
        fake.now_ms += HOUR
        assert hours(source.take(500)) == [10]
    assert [(line["event"], line["kept_ms"]) for line in logs] == [
        ("exchange_clock_unknown", -60_000)
    ]
    assert fake.clock_failures == []


def test_a_clock_that_fails_at_the_start_is_this_machines_until_it_answers() -> None:
    """Candles come at once, and by the exchange's time as soon as it says it."""
    fake = Fake(rows=[row(hour) for hour in range(12)], ahead_ms=60_000)
    fake.now_ms = START + 10 * HOUR - 30_000
    fake.clock_failures = [ccxt.NetworkError("no time")]
    source = feed(fake)
    assert hours(source.take(500)) == list(range(9))

    fake.now_ms += HOUR
    assert hours(source.take(500)) == [9, 10]


@pytest.mark.parametrize("fault", [KeyError("klines"), TypeError("None"), IndexError("5")])
def test_answers_that_ccxt_cannot_read_are_an_error_of_the_exchange(fault: Exception) -> None:
    """A parser's failure is one clear error, and waited for."""
    fake = Fake(rows=[row(hour) for hour in range(10)])
    source = feed(fake)
    fake.failures = [fault]

    assert source.take(500) == []
    assert re.match(f"fake answers .*{type(fault).__name__}", source.error)
    wait(fake, source)
    assert hours(source.take(500)) == list(range(10))


@pytest.mark.parametrize("bad", [[None, 1.0, 1.0, 1.0, 1.0, 1.0], [], None, [float("nan"), 1.0]])
def test_rows_without_a_time_are_left_out_with_a_line(bad: Any) -> None:
    """What does not say its time is skipped and named; the other rows are taken."""
    fake = Fake(rows=[row(hour) for hour in range(10)])
    source = feed(fake)
    rows = [*fake.rows[:3], bad, *fake.rows[3:]]
    fake.fetch_ohlcv = lambda *_: rows  # type: ignore[method-assign]

    with capture_logs() as logs:
        assert hours(source.take(500)) == list(range(10))

    assert [(line["event"], line["example"]) for line in logs] == [("rows_without_time", repr(bad))]


def test_an_answer_that_is_no_list_is_an_error_of_the_exchange() -> None:
    """None instead of rows is no traceback."""
    source = feed(fake := Fake())
    fake.fetch_ohlcv = lambda *_: None  # type: ignore[method-assign,assignment]

    assert source.take(500) == []
    assert "cannot read" in source.error


def test_a_refusal_is_waited_for_like_all_else() -> None:
    """It may be withdrawn; only an exchange that has never served says with it that it will not."""
    fake = Fake(rows=[row(hour) for hour in range(10)])
    source = feed(fake)
    fake.failures = [ccxt.BadSymbol("gone")]
    source.take(500)
    at_the_start = (source.error, source.is_refused)
    wait(fake, source)
    source.take(5)
    fake.failures = [ccxt.ExchangeError("maintenance")]
    source.take(500)
    later = (source.error, source.is_refused)
    wait(fake, source)

    assert at_the_start == ("fake refuses: gone", True)
    assert later == ("fake refuses: maintenance", False)
    assert hours(source.take(500)) == list(range(5, 10))


def test_an_error_of_a_quiet_market_is_waited_for_from_the_beginning() -> None:
    """The waits of a candle that is late are none of the network's."""
    fake = Fake(rows=[row(hour) for hour in range(9)])
    source = feed(fake)
    for _ in range(7):
        source.take(500)
        wait(fake, source)
    fake.failures = [ccxt.RequestTimeout("slow")]
    source.take(500)

    assert wait(fake, source) <= 1.0


def test_a_pause_is_waited_for_and_is_no_retry() -> None:
    """The exchange is not asked meanwhile."""
    fake = Fake(rows=[row(hour) for hour in range(10)])
    fake.last_response_headers = {"Retry-After": "100"}
    source = feed(fake)
    fake.failures = [ccxt.RateLimitExceeded("429")]
    source.take(500)
    wait(fake, source)
    asked = len(fake.asked)

    assert source.take(500) == []
    waited = wait(fake, source)
    assert (len(fake.asked), source.retries) == (asked, 1)
    assert 98.0 <= waited <= 101.0
    assert hours(source.take(500)) == list(range(10))


@pytest.mark.parametrize(
    "bad",
    [
        [START + HOUR, None, 20.0, 5.0, 10.0, 3.0],
        [START + HOUR, 10.0, 20.0, 15.0, 10.0, 3.0],
        [START + HOUR, 0.0, 0.0, 0.0, 0.0, 0.0],
        [START + HOUR + 60_000, 10.0, 20.0, 5.0, 10.0, 3.0],
        [START + HOUR, 10.0, 20.0, 5.0, 10.0],
        [START + HOUR, 10.0, 10**400, 5.0, 10.0, 3.0],
    ],
    ids=["missing price", "low above open", "zeros", "off the grid", "short", "huge"],
)
def test_bad_rows_are_set_aside_once(bad: list[Any]) -> None:
    """A row that is no candle is handed over once, also when it is fetched again."""
    refused: list[tuple[str, str]] = []
    fake = Fake(rows=[row(0), bad, row(2)])
    fake.now_ms = START + 3 * HOUR + 15_000
    source = feed(fake, refuse=lambda text, error: refused.append((text, error)))

    assert hours(source.take(500)) == [0, 2]
    source.rewind(START)
    assert hours(source.take(500)) == [2]
    assert [json.loads(text) for text, _ in refused] == [bad]


def test_missing_volume_is_zero() -> None:
    """Indices have prices and no volume of their own."""
    fake = Fake(rows=[[*row(0)[:5], None]], now_ms=START + HOUR + 15_000)

    assert [candle.volume for candle in feed(fake).take(500)] == [0.0]
