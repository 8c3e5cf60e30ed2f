"""Exchanges by REST: recorded answers of real ones, and one that fails on demand."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ccxt
import pytest

from producers.exchange import Exchange, ExchangeError, Unreachable, connect, first_reachable
from producers.polling import ExchangeFeed
from shared.candle import Candle, Timeframe
from shared.errors import InvalidValue

HOUR = 3_600_000
START = 1_750_032_000_000
SHARED = os.environ.get("CANDLECAST_SHARED")


@dataclass
class Fake:
    """An exchange whose rows, clock and failures the test decides; sleeping moves its clock."""

    rows: list[list[Any]] = field(default_factory=list)
    now_ms: int = START + 10 * HOUR + 5_000
    ahead_ms: int = 0
    page: int = 500
    failures: list[Exception] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    id: str = "fake"
    has: Mapping[str, Any] = field(default_factory=lambda: {"fetchTime": True})
    timeframes: Mapping[str, Any] = field(default_factory=lambda: {"1h": "60", "1d": "D"})
    markets: Mapping[str, Any] = field(
        default_factory=lambda: {"BTC/USDT": {}, "ETH/USDT": {}, "BTC/EUR": {}}
    )

    def _fail(self) -> None:
        if self.failures:
            raise self.failures.pop(0)

    def load_markets(self) -> None:
        """May fail."""
        self._fail()

    def fetch_time(self) -> int:
        """The exchange's clock."""
        return self.now_ms + self.ahead_ms

    def milliseconds(self) -> int:
        """This machine's clock."""
        return self.now_ms

    def clock(self) -> float:
        """Seconds."""
        return self.now_ms / 1_000

    def sleep(self, seconds: float) -> None:
        """Pass time."""
        self.now_ms += round(seconds * 1_000)

    def fetch_ohlcv(
        self, symbol: str, timeframe: str, since: int | None, limit: int | None
    ) -> list[list[Any]]:
        """A page from ``since`` on; like some exchanges, with rows before it too."""
        assert (symbol, timeframe, limit) == ("BTC/USDT", "1h", 500)
        assert since is not None
        self.asked.append(since)
        self._fail()
        first = next((i for i, row in enumerate(self.rows) if row[0] >= since), len(self.rows))
        return self.rows[max(0, first - 1) : first + self.page]


def row(hour: int, close: float = 10.0) -> list[Any]:
    """ccxt's row of an hourly candle."""
    return [START + hour * HOUR, 10.0, 20.0, 5.0, close, 3.0]


def feed(fake: Fake, since: int = START, **options: Any) -> ExchangeFeed:
    """A feed of the fake exchange on its clock."""
    exchange = Exchange(fake, sleep=fake.sleep)
    series = exchange.series("BTC/USDT", Timeframe("1h"))
    return ExchangeFeed(exchange, series, since, clock=fake.clock, **options)


def hours(candles: list[Candle]) -> list[int]:
    """Which hours these are."""
    return [(candle.open_time - START) // HOUR for candle in candles]


def wait(fake: Fake, source: ExchangeFeed) -> float:
    """Pass the time that the feed asks for and return it."""
    seconds = source.wait_s()
    fake.sleep(seconds)
    return seconds


def test_the_open_candle_is_left_out_until_it_has_closed_for_two_seconds() -> None:
    """The newest row is not given before its close plus the grace, and then as it is by then."""
    fake = Fake(rows=[row(hour) for hour in range(11)])
    source = feed(fake)
    assert hours(source.take(500)) == list(range(10))
    assert source.wait_s() == pytest.approx(3_600 - 5 + 2)
    fake.now_ms = START + 11 * HOUR + 1_999
    assert source.take(500) == []
    fake.now_ms += 1
    fake.rows[10] = row(10, close=12.5)

    assert [candle.close for candle in source.take(500)] == [12.5]


@pytest.mark.parametrize("ahead_ms", [-60_000, 60_000])
def test_the_clock_of_the_exchange_decides(ahead_ms: int) -> None:
    """A candle is closed by the exchange's time, whatever this machine's clock says."""
    fake = Fake(rows=[row(hour) for hour in range(12)], ahead_ms=ahead_ms)
    fake.now_ms = START + 10 * HOUR + 30_000

    assert hours(feed(fake).take(500)) == list(range(10 if ahead_ms > 0 else 9))


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
    fake = Fake(rows=[row(5_000)], now_ms=START + 5_001 * HOUR + 5_000)
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
    fake.now_ms = START + 11 * HOUR - 3_000
    for _ in range(6):
        source.take(500)
        wait(fake, source)

    assert START + 11 * HOUR + 2_000 <= fake.now_ms < START + 11 * HOUR + 40_000
    fake.rows.append(row(10))
    assert hours(source.take(500)) == [10]


def test_network_errors_are_retried_and_lose_nothing() -> None:
    """A failing network costs growing waits; the same candles are asked for again."""
    fake = Fake(rows=[row(hour) for hour in range(10)])
    source = feed(fake)
    fake.failures = [ccxt.RequestTimeout("slow"), ccxt.DDoSProtection("busy"), ccxt.NetworkError()]

    waits = []
    for _ in range(3):
        assert source.take(500) == []
        waits.append(wait(fake, source))

    assert waits == [1, 2, 4]
    assert hours(source.take(500)) == list(range(10))
    assert set(fake.asked) == {START}


def test_a_refusal_ends_the_feed_only_at_its_start() -> None:
    """An exchange that refuses at once says so; one that served before is asked again."""
    fake = Fake(rows=[row(hour) for hour in range(10)])
    source = feed(fake)
    fake.failures = [ccxt.BadSymbol("gone")]
    with pytest.raises(ExchangeError, match="fake: gone"):
        source.take(500)

    source.take(5)
    fake.failures = [ccxt.ExchangeError("maintenance")]
    assert source.take(500) == []
    wait(fake, source)
    assert hours(source.take(500)) == list(range(5, 10))


@pytest.mark.parametrize(
    "bad",
    [
        [START + HOUR, None, 20.0, 5.0, 10.0, 3.0],
        [START + HOUR, 10.0, 20.0, 15.0, 10.0, 3.0],
        [START + HOUR, 0.0, 0.0, 0.0, 0.0, 0.0],
        [START + HOUR + 60_000, 10.0, 20.0, 5.0, 10.0, 3.0],
    ],
    ids=["missing price", "low above open", "zeros", "off the grid"],
)
def test_bad_rows_are_set_aside_once(bad: list[Any]) -> None:
    """A row that is no candle is handed over once, also when it is fetched again."""
    refused: list[tuple[str, str]] = []
    fake = Fake(rows=[row(0), bad, row(2)])
    fake.now_ms = START + 3 * HOUR + 5_000
    source = feed(fake, refuse=lambda text, error: refused.append((text, error)))

    assert hours(source.take(500)) == [0, 2]
    source.rewind(START)
    assert hours(source.take(500)) == [2]
    assert [json.loads(text) for text, _ in refused] == [bad]


def test_missing_volume_is_zero() -> None:
    """Indices have prices and no volume of their own."""
    fake = Fake(rows=[[*row(0)[:5], None]], now_ms=START + HOUR + 5_000)

    assert [candle.volume for candle in feed(fake).take(500)] == [0.0]


def test_markets_are_loaded_with_retries() -> None:
    """A network that fails twice at the start is forgiven, one that stays away is named."""
    fake = Fake(failures=[ccxt.NetworkError("a"), ccxt.NetworkError("b")])
    assert Exchange(fake, sleep=fake.sleep).name == "fake"

    fake.failures = [ccxt.NetworkError("no route")] * 3
    with pytest.raises(Unreachable, match="fake: no route"):
        Exchange(fake, sleep=fake.sleep)


@pytest.mark.parametrize(
    ("symbol", "timeframe", "says"),
    [
        ("BTC/USD", "1h", r"symbol='BTC/USD'.*BTC/USDT"),
        ("btc/usdt", "1h", r"symbol='btc/usdt'.*BTC/USDT"),
        ("BTC/USDT", "5m", r"timeframe='5m'.*1h, 1d"),
    ],
)
def test_unknown_symbol_or_timeframe_names_what_exists(
    symbol: str, timeframe: str, says: str
) -> None:
    """The error shows the value and the nearest ones that the exchange has."""
    with pytest.raises(InvalidValue, match=says):
        Exchange(Fake()).series(symbol, Timeframe(timeframe))


def test_unknown_exchange_names_the_nearest() -> None:
    """A misspelt exchange is shown with those that come near."""
    with pytest.raises(InvalidValue, match=r"exchange='binanse'.*binance"):
        connect("binanse")


def test_connection_keeps_the_rate_limit_and_fetches_nothing() -> None:
    """ccxt's exchange waits between requests and gives up after the time-out."""
    source: Any = connect("kraken", timeout_s=3.5)

    assert source.enableRateLimit
    assert source.timeout == 3_500


def test_none_reachable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no exchange answers the demo hears None, and the order of preference else."""
    answers = {"kraken": [row(0)], "okx": [row(0)]}

    def connected(name: str, timeout_s: float) -> Any:
        assert timeout_s == 2.0
        source = Fake(id=name)
        rows = answers.get(name)
        failing = ccxt.NetworkError("no route")

        def fetch(*_: object) -> list[list[Any]]:
            if rows is None:
                raise failing
            return rows

        source.fetch_ohlcv = fetch  # type: ignore[method-assign]
        return source

    monkeypatch.setattr("producers.exchange.connect", connected)

    assert first_reachable(("binance", "kraken", "okx"), timeout_s=2.0) == "kraken"
    assert first_reachable(("binance", "bybit"), timeout_s=2.0) is None


@pytest.fixture
def payloads() -> Path:
    """Recorded answers of real exchanges."""
    if not SHARED:
        pytest.skip("set CANDLECAST_SHARED to the folder that holds payloads/")
    return Path(SHARED) / "payloads"


BINANCE = [
    ("BTCUSDT-1h-2026-03-01.json", "1h", True),
    ("BTCUSDT-1h-2026-04-01.json", "1h", False),
    ("BTCUSDT-1h-2023-03-01.json", "1h", True),
    ("BTCUSDT-4h-2026-04-01.json", "4h", False),
    ("BTCUSDT-1d-2026-01-01.json", "1d", None),
    ("SOLUSDT-15m-2026-04-20.json", "15m", None),
    ("BTCUSDT-1h-2039-01-01.json", "1h", None),
]


@dataclass
class Replayed(Fake):
    """Answers recorded from an exchange, read by ccxt's own parser."""

    def load(self, name: str, path: Path) -> None:
        """Take a recorded answer as what the exchange has."""
        source: Any = getattr(ccxt, name)()
        self.rows = sorted(source.parse_ohlcv(entry) for entry in json.loads(path.read_text()))

    def fetch_ohlcv(
        self, symbol: str, timeframe: str, since: int | None, limit: int | None
    ) -> list[list[Any]]:
        """At most ``limit`` rows from ``since`` on."""
        assert symbol
        assert timeframe
        return [entry for entry in self.rows if entry[0] >= (since or 0)][:limit]


@pytest.mark.parametrize(("name", "timeframe", "closed"), BINANCE)
def test_recorded_binance_answers(
    name: str, timeframe: str, closed: object, payloads: Path
) -> None:
    """All closed candles of recorded answers are taken, and a last one that is still open is not."""
    fake = Replayed(timeframes={timeframe: timeframe})
    path = payloads / "rest-binance-klines" / name
    fake.load("binance", path)
    raw = json.loads(path.read_text())
    fake.now_ms = raw[-1][6] - 60_000 if raw and closed is False else 1_790_000_000_000
    frame = Timeframe(timeframe)
    exchange = Exchange(fake)
    since = raw[0][0] if raw else 1_789_999_000_000
    series = exchange.series("BTC/USDT", frame)
    source = ExchangeFeed(exchange, series, since, clock=fake.clock)

    found: list[Candle] = []
    while source.wait_s() == 0.0 and len(found) < len(raw):
        found.extend(source.take(500))

    expected = raw[:-1] if closed is False else raw
    assert [candle.open_time for candle in found] == [entry[0] for entry in expected]
    assert [candle.close for candle in found] == [float(entry[4]) for entry in expected]
    assert [candle.volume for candle in found] == [float(entry[5]) for entry in expected]


def test_recorded_bitfinex_answers(payloads: Path) -> None:
    """A volatile day with an outage, in Bitfinex's own order of columns, is taken as it was."""
    fake = Replayed(timeframes={"1m": "1m"})
    paths = sorted((payloads / "rest-bitfinex-candles").glob("BTCUSD-19-06-26_*.json"))
    raw = sorted({tuple(entry) for path in paths for entry in json.loads(path.read_text())})
    source: Any = ccxt.bitfinex()
    fake.rows = [source.parse_ohlcv(list(entry)) for entry in raw]
    fake.now_ms = 1_790_000_000_000
    exchange = Exchange(fake)
    series = exchange.series("BTC/USDT", Timeframe("1m"))
    refused: list[str] = []
    polled = ExchangeFeed(
        exchange, series, raw[0][0], lambda text, _: refused.append(text), fake.clock
    )

    found: list[Candle] = []
    while polled.wait_s() == 0.0 and len(found) < len(raw):
        found.extend(polled.take(500))

    assert refused == []
    assert [(c.open_time, c.open, c.close, c.high, c.low, c.volume) for c in found] == raw
