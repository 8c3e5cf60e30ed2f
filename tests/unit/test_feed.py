"""What every feed promises to `push`: files, the simulated market, exchanges and pipes alike."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from producers.exchange import Exchange
from producers.feed import Feed
from producers.files import CandleFile, FileFeed
from producers.json_candles import Rules
from producers.lines import Intake
from producers.polling import ExchangeFeed
from producers.simulated import SimulatedFeed, SimulatedMarket
from shared.candle import Candle, Series, Timeframe
from shared.limits import Limits
from shared.records import BEFORE_ALL

HOUR = 3_600_000
START = 1_750_032_000_000
COUNT = 60
NOW = START + COUNT * HOUR + 10_000
FRAME = Timeframe("1h")
CANDLES = SimulatedMarket("BTC/USDT").candles(FRAME, START, COUNT)


@dataclass
class Recorded:
    """A ccxt exchange that has just these candles, in pages of 25."""

    id: str = "recorded"
    last_response_headers: Mapping[str, str] | None = None
    lastRestRequestTimestamp: float = 0.0  # noqa: N815 -- ccxt's
    has: Mapping[str, Any] = field(default_factory=dict)
    timeframes: Mapping[str, Any] = field(default_factory=lambda: {"1h": "1h"})
    markets: Mapping[str, Any] = field(default_factory=lambda: {"BTC/USDT": {}})

    def load_markets(self) -> None:
        """Nothing to load."""

    def fetch_time(self) -> None:
        """No clock of its own."""

    def milliseconds(self) -> int:
        """Ten seconds after the last close."""
        return NOW

    def fetch_ohlcv(
        self, symbol: str, timeframe: str, since: int | None, limit: int | None
    ) -> list[list[Any]]:
        """Rows from ``since`` on."""
        assert (symbol, timeframe, limit) == ("BTC/USDT", "1h", 500)
        rows = [[c.open_time, c.open, c.high, c.low, c.close, c.volume] for c in CANDLES]
        return [row for row in rows if row[0] >= (since or 0)][:25]


def file_feed(**options: Any) -> Feed:
    """A file of the candles."""
    numbers = [[c.open, c.high, c.low, c.close, c.volume] for c in CANDLES]
    times = np.array([c.open_time for c in CANDLES])
    series = Series("files", "BTC/USDT", FRAME)
    return FileFeed(CandleFile(Path("f"), series, times, np.array(numbers)), **options)


def simulated_feed() -> Feed:
    """The simulated market itself."""
    series = Series("simulated", "BTC/USDT", FRAME)
    return SimulatedFeed(SimulatedMarket("BTC/USDT"), series, START, now_ms=lambda: NOW)


def exchange_feed() -> Feed:
    """An exchange with pages of 25."""
    exchange = Exchange(Recorded())
    return ExchangeFeed(exchange, exchange.series("BTC/USDT", FRAME), START)


def line_feed() -> Feed:
    """Lines of a pipe that stays open, behind whatever a log may hold."""
    rules = Rules(series=Series("lines", "BTC/USDT", FRAME), limits=Limits(), now_ms=lambda: NOW)
    reading, writing = os.pipe()
    try:
        os.write(writing, "".join(f"{json.dumps(asdict(c))}\n" for c in CANDLES).encode())
        (feed,) = Intake(reading, rules, gap_ok=True).more() or ()
    finally:
        os.close(reading)
        os.close(writing)
    return feed


MAKERS = [file_feed, simulated_feed, exchange_feed, line_feed]


def drain(feed: Feed, count: int) -> list[Candle]:
    """Everything that is there now."""
    found: list[Candle] = []
    while feed.wait_s() == 0.0:
        batch = feed.take(count)
        assert len(batch) <= count
        found.extend(batch)
    return found


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("count", [1, 7, 500])
def test_batches_of_any_size_give_every_candle_once(make: Callable[[], Feed], count: int) -> None:
    """All candles come in order, none twice, whatever the size of the batches."""
    assert drain(make(), count) == CANDLES


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("after", [-1, 0, 12, 30, COUNT - 1])
def test_rewind_goes_on_right_after_that_time(make: Callable[[], Feed], after: int) -> None:
    """After a rewind nothing between that time and the next candle is left out."""
    feed = make()
    feed.take(31)

    feed.rewind(START + after * HOUR)

    assert drain(feed, 500)[: COUNT - after - 1] == CANDLES[after + 1 :]


@pytest.mark.parametrize("make", MAKERS)
def test_a_rewind_before_all_goes_to_the_feed_s_own_start(make: Callable[[], Feed]) -> None:
    """Where Redis has lost a whole log, the feed begins as it began, wherever it has gone since."""
    feed = make()
    feed.rewind(START + 3 * HOUR)
    feed.take(31)

    feed.rewind(BEFORE_ALL)

    assert drain(feed, 500) == CANDLES


@pytest.mark.parametrize("make", MAKERS)
def test_waiting_asks_for_nothing(make: Callable[[], Feed]) -> None:
    """Asking how long to wait moves nothing."""
    feed = make()

    assert {feed.wait_s() for _ in range(5)} == {0.0}
    assert drain(feed, 500) == CANDLES


def test_file_keeps_its_speed() -> None:
    """At four candles a second one is due each quarter; a rewind makes none late or early."""
    now = 100.0
    feed = file_feed(speed=4.0, clock=lambda: now)

    assert (feed.wait_s(), len(feed.take(500))) == (0.0, 1)
    assert feed.wait_s() == pytest.approx(0.25)
    assert list(feed.take(500)) == []
    now += 1.0
    assert len(feed.take(500)) == 4
    feed.rewind(START + 2 * HOUR)
    assert len(feed.take(500)) == 2
    now += 60.0
    assert len(feed.take(500)) == COUNT - 5
    assert feed.wait_s() is None
