"""Whose clock says that a candle has closed, when this machine's is set."""

from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import ccxt
import pytest

from producers.exchange import Exchange
from producers.pause import Pause
from producers.polling import ExchangeFeed
from shared.candle import Timeframe
from tests.unit.fake_exchange import HOUR, START, Fake, hours, row


class Machine(Fake):
    """An exchange in true time, seen from a machine whose clock is set."""

    def __init__(self, *, says: str) -> None:
        super().__init__(rows=[row(hour) for hour in range(11)])
        self.true_ms, self.slept_ms = self.now_ms, 0
        self.says = says
        self.has = {"fetchTime": says == "clock"}

    def monotonic(self) -> float:
        """Seconds that nobody can set, and that stand still while it sleeps."""
        return (self.true_ms - self.slept_ms) / 1_000

    def pass_time(self, ms: int, *, asleep: bool = False) -> None:
        """Let time go by."""
        self.now_ms += ms
        self.true_ms += ms
        self.slept_ms += ms * asleep

    def at(self, true_ms: int, wrong_ms: int) -> None:
        """Let it be that time, by a clock that is wrong."""
        self.true_ms, self.now_ms, self.ahead_ms = true_ms, true_ms + wrong_ms, -wrong_ms

    def fetch_ohlcv(self, *args: Any) -> list[list[Any]]:
        """The answer may say when it was sent."""
        rows = super().fetch_ohlcv(*args)
        if self.says == "date":
            sent = datetime.fromtimestamp(self.true_ms / 1_000, UTC)
            self.last_response_headers = {"Date": format_datetime(sent, usegmt=True)}
        return rows


@pytest.mark.parametrize("says", ["clock", "date"])
def test_a_clock_that_is_set_closes_no_candle(says: str) -> None:
    """Forward by an hour, while the exchange's own clock cannot be asked for."""
    machine = Machine(says=says)
    exchange = Exchange(machine, Pause("fake", machine.monotonic))
    series = exchange.series("BTC/USDT", Timeframe("1h"))
    source = ExchangeFeed(exchange, series, START, clock=machine.monotonic)
    before = hours(source.take(500))
    machine.clock_failures = [ccxt.RequestTimeout("busy")]
    machine.at(START + 11 * HOUR - 57_000, wrong_ms=HOUR)
    early = hours(source.take(500))
    machine.rows.append(row(11))
    machine.at(START + 11 * HOUR + 3_000, wrong_ms=HOUR)

    assert (before, early) == (list(range(10)), [])
    assert hours(source.take(500)) == [10]


@pytest.mark.parametrize("wrong_ms", [HOUR, -HOUR])
def test_a_clock_that_is_set_while_the_exchange_is_asked_for_its_own(wrong_ms: int) -> None:
    """What was measured then is wrong by half of it, and is measured again."""
    machine = Machine(says="clock")
    ask = machine.fetch_time

    def set_meanwhile() -> int:
        machine.fetch_time = ask  # type: ignore[method-assign]
        machine.at(machine.true_ms, wrong_ms)
        return machine.true_ms

    machine.fetch_time = set_meanwhile  # type: ignore[method-assign]
    exchange = Exchange(machine, Pause("fake", machine.monotonic))

    assert exchange.now_ms() == machine.true_ms


def test_a_clock_is_measured_once() -> None:
    """A step that is measured while rows are asked for is not counted twice."""
    machine = Machine(says="clock")
    exchange = Exchange(machine, Pause("fake", machine.monotonic))
    machine.pass_time(2 * HOUR)
    machine.at(machine.true_ms, wrong_ms=HOUR)
    exchange.rows(exchange.series("BTC/USDT", Timeframe("1h")), START)

    assert exchange.now_ms() == machine.true_ms


def test_a_pause_is_kept_by_the_clock_too() -> None:
    """The exchange is asked for nothing before it is over."""
    fake = Fake()
    exchange = Exchange(fake, pause := Pause("fake", lambda: 0.0))
    pause.begin(600)
    fake.clock_failures = [ccxt.RequestTimeout("asked")]
    fake.now_ms += 2 * HOUR

    exchange.now_ms()

    assert len(fake.clock_failures) == 1


def test_the_first_answer_of_an_exchange_without_a_clock_tells_the_time() -> None:
    """Before it nothing is known, and that answer is judged by what it says."""
    machine = Machine(says="date")
    machine.at(machine.true_ms, wrong_ms=HOUR)
    exchange = Exchange(machine, Pause("fake", machine.monotonic))
    series = exchange.series("BTC/USDT", Timeframe("1h"))
    source = ExchangeFeed(exchange, series, START, clock=machine.monotonic)

    assert hours(source.take(500)) == list(range(10))


def test_the_wait_for_a_rate_limit_is_no_distance_to_the_exchange() -> None:
    """Ccxt sleeps before it asks."""
    fake = Fake()

    def after_a_sleep() -> int:
        fake.sleep(2.0)
        fake.lastRestRequestTimestamp = fake.now_ms
        fake.sleep(0.1)
        return fake.now_ms - 50

    fake.fetch_time = after_a_sleep  # type: ignore[method-assign]
    exchange = Exchange(fake, Pause("fake", fake.clock))

    assert exchange.now_ms() == fake.now_ms


@pytest.mark.parametrize("says", ["clock", "date"])
@pytest.mark.parametrize("fails", [0, 1, 2])
def test_a_machine_that_has_slept_goes_on_at_once(says: str, fails: int) -> None:
    """Its clock is right and has moved on; where the exchange's is not heard, it is asked again."""
    machine = Machine(says=says)
    exchange = Exchange(machine, Pause("fake", machine.monotonic))
    series = exchange.series("BTC/USDT", Timeframe("1h"))
    letters: list[object] = []
    source = ExchangeFeed(
        exchange, series, START, lambda *letter: letters.append(letter), machine.monotonic
    )
    source.take(500)
    machine.pass_time(7 * HOUR + 30 * 60_000, asleep=True)
    machine.rows += [row(hour) for hour in range(11, 18)]
    machine.clock_failures = [ccxt.RequestTimeout("no network yet") for _ in range(fails)]
    machine.failures = [ccxt.RequestTimeout("no network yet") for _ in range(fails)]
    before_ms = machine.now_ms
    found: list[int] = []
    while len(found) < 7 and machine.now_ms < before_ms + 200_000:
        if source.wait_s() == 0:
            found += hours(source.take(500))
        machine.pass_time(1_000)

    assert (found, letters) == (list(range(10, 17)), [])


def test_a_clock_that_is_set_back_does_not_make_it_sleep() -> None:
    """Ccxt would wait until its last question is long enough ago."""
    fake = Fake()
    exchange = Exchange(fake, Pause("fake", fake.clock))
    fake.lastRestRequestTimestamp = fake.now_ms + HOUR

    exchange.rows(exchange.series("BTC/USDT", Timeframe("1h")), START)

    assert fake.lastRestRequestTimestamp <= fake.now_ms
