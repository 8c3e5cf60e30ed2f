"""An exchange whose rows, clock and failures a test decides, and a feed of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from producers.exchange import Exchange
from producers.pause import Pause
from producers.polling import ExchangeFeed
from shared.candle import Candle, Timeframe

HOUR = 3_600_000
START = 1_750_032_000_000


@dataclass
class Fake:
    """An exchange whose rows, clock and failures the test decides; sleeping moves its clock."""

    rows: list[list[Any]] = field(default_factory=list)
    now_ms: int = START + 10 * HOUR + 15_000
    ahead_ms: int = 0
    page: int = 500
    failures: list[Exception] = field(default_factory=list)
    clock_failures: list[Exception] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    id: str = "fake"
    last_response_headers: Mapping[str, str] | None = None
    lastRestRequestTimestamp: float = 0.0  # noqa: N815 -- ccxt's
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
        """The exchange's clock; may fail."""
        if self.clock_failures:
            raise self.clock_failures.pop(0)
        return self.now_ms + self.ahead_ms

    def milliseconds(self) -> int:
        """The clock of this machine."""
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
    """Ccxt's row of an hourly candle."""
    return [START + hour * HOUR, 10.0, 20.0, 5.0, close, 3.0]


def feed(fake: Fake, since: int = START, **options: Any) -> ExchangeFeed:
    """A feed of the fake exchange on its clock."""
    exchange = Exchange(fake, Pause(fake.id, fake.clock))
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
