"""Exchanges: what they have, whether they answer, and recorded answers of real ones."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ccxt
import pytest

from producers.connect import connect, first_reachable
from producers.exchange import Exchange
from producers.pause import Pause
from producers.polling import ExchangeFeed
from producers.rows import Paused, Unreachable
from shared.candle import Candle, Timeframe
from shared.errors import InvalidValue

SHARED = Path(os.environ.get("CANDLECAST_SHARED", Path(__file__).parents[3] / "shared"))
LATE_MS = 1_790_000_000_000
ROW = [1_750_032_000_000, 10.0, 20.0, 5.0, 10.0, 3.0]


@dataclass
class Fake:
    """An exchange whose rows and failures the test decides."""

    rows: list[list[Any]] = field(default_factory=list)
    now_ms: int = LATE_MS
    failures: list[Exception] = field(default_factory=list)
    naps: list[float] = field(default_factory=list)
    id: str = "fake"
    last_response_headers: Mapping[str, str] | None = None
    lastRestRequestTimestamp: float = 0.0  # noqa: N815 -- ccxt's
    has: Mapping[str, Any] = field(default_factory=dict)
    timeframes: Mapping[str, Any] = field(default_factory=lambda: {"1h": "60", "1d": "D"})
    markets: Mapping[str, Any] = field(
        default_factory=lambda: {"BTC/USDT": {}, "ETH/USDT": {}, "BTC/EUR": {}}
    )

    def load_markets(self) -> None:
        """May fail."""
        if self.failures:
            raise self.failures.pop(0)

    def fetch_time(self) -> None:
        """No clock of its own."""

    def milliseconds(self) -> int:
        """Whatever the test says."""
        return self.now_ms

    def fetch_ohlcv(
        self, symbol: str, timeframe: str, since: int | None, limit: int | None
    ) -> list[list[Any]]:
        """At most ``limit`` rows from ``since`` on."""
        assert symbol
        assert timeframe
        if self.failures:
            raise self.failures.pop(0)
        return [entry for entry in self.rows if entry[0] >= (since or 0)][:limit]


def drain(fake: Fake, timeframe: str, since: int) -> list[Candle]:
    """Everything that a feed of the exchange gives at once, and no row refused."""
    exchange = Exchange(fake)
    series = exchange.series("BTC/USDT", Timeframe(timeframe))
    refused: list[str] = []
    feed = ExchangeFeed(exchange, series, since, lambda row, _: refused.append(row), lambda: 0.0)
    found: list[Candle] = []
    while feed.wait_s() == 0.0 and len(found) < len(fake.rows):
        found.extend(feed.take(500))
    assert refused == []
    return found


@pytest.mark.parametrize(
    ("fake", "says"),
    [
        (
            Fake(failures=[ccxt.NetworkError("no route")]),
            r"fake cannot be reached \(NetworkError\): no route",
        ),
        (Fake(markets={}), "fake lists no markets"),
    ],
)
def test_an_exchange_without_markets_may_have_some_later(fake: Fake, says: str) -> None:
    """Maintenance looks like that too; whoever opens it tries again."""
    with pytest.raises(Unreachable, match=says):
        Exchange(fake)


def test_a_pause_asked_for_at_the_start_is_kept() -> None:
    """Whoever opens it again does not ask before it is over."""
    now = 0.0
    pause = Pause("fake", lambda: now)
    fake = Fake(failures=[ccxt.RateLimitExceeded("429")])
    fake.last_response_headers = {"Retry-After": "600"}
    with pytest.raises(Unreachable, match="left alone for 600 s"):
        Exchange(fake, pause)
    fake.failures = [ccxt.NetworkError("asked")]
    with pytest.raises(Paused, match="600 s are left"):
        Exchange(fake, pause)

    now, fake.failures = 600.0, []
    assert Exchange(fake, pause).name == "fake"
    assert pause.count == 1


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
    """Ccxt's exchange waits between requests and gives up after the time-out."""
    source: Any = connect("kraken", timeout_s=3.5)

    assert source.enableRateLimit
    assert source.timeout == 3_500


def test_none_reachable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no exchange answers the demo hears None, and the order of preference else."""

    def connected(name: str, timeout_s: float) -> Fake:
        assert timeout_s == 2.0
        silent = name in {"binance", "bybit"}
        if name == "kucoin":
            return Fake(id=name, failures=[KeyError("data")])
        return Fake(id=name, rows=[ROW], failures=[ccxt.NetworkError()] if silent else [])

    monkeypatch.setattr("producers.connect.connect", connected)

    assert first_reachable(("binance", "kraken", "okx"), timeout_s=2.0) == "kraken"
    assert first_reachable(("binance", "bybit", "kucoin"), timeout_s=2.0) is None


@pytest.fixture
def payloads() -> Path:
    """Recorded answers of real exchanges."""
    folder = SHARED / "payloads"
    if not folder.exists():
        pytest.skip(f"no {folder}: set CANDLECAST_SHARED to the folder that holds payloads/")
    return folder


@pytest.mark.parametrize(
    ("name", "timeframe", "last_is_open"),
    [
        ("BTCUSDT-1h-2026-03-01.json", "1h", False),
        ("BTCUSDT-1h-2026-04-01.json", "1h", True),
        ("BTCUSDT-1h-2023-03-01.json", "1h", False),
        ("BTCUSDT-4h-2026-04-01.json", "4h", True),
        ("BTCUSDT-1d-2026-01-01.json", "1d", False),
        ("SOLUSDT-15m-2026-04-20.json", "15m", False),
    ],
)
def test_recorded_binance_answers(
    name: str, timeframe: str, last_is_open: object, payloads: Path
) -> None:
    """All closed candles of recorded answers are taken; a last one that is still open is not."""
    raw = json.loads((payloads / "rest-binance-klines" / name).read_text())
    source: Any = ccxt.binance()
    fake = Fake([source.parse_ohlcv(entry) for entry in raw], timeframes={timeframe: timeframe})
    if last_is_open:
        fake.now_ms = raw[-1][6] - 60_000

    found = drain(fake, timeframe, raw[0][0])

    expected = raw[:-1] if last_is_open else raw
    assert [(c.open_time, c.open, c.high, c.low, c.close, c.volume) for c in found] == [
        (entry[0], *map(float, entry[1:6])) for entry in expected
    ]


def test_recorded_bitfinex_answers(payloads: Path) -> None:
    """A volatile day with an outage, in Bitfinex's own order of columns, is taken as it was."""
    paths = (payloads / "rest-bitfinex-candles").glob("BTCUSD-19-06-26_*.json")
    raw = sorted({tuple(entry) for path in paths for entry in json.loads(path.read_text())})
    source: Any = ccxt.bitfinex()
    fake = Fake([source.parse_ohlcv(list(entry)) for entry in raw], timeframes={"1m": "1m"})

    found = drain(fake, "1m", raw[0][0])

    assert [(c.open_time, c.open, c.close, c.high, c.low, c.volume) for c in found] == raw
