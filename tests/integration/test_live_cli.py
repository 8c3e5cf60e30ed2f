"""`candlecast live` on a local exchange and on a data service, as processes."""

import json
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.candle import Candle, Series
from shared.store import Store
from tests.conftest import Server as Redis
from tests.market.clock import Clock
from tests.market.script import Fault, Refusal
from tests.market.server import Server, options

pytestmark = pytest.mark.timeout(120)

Start = Callable[..., "subprocess.Popen[bytes]"]
Run = Callable[..., "subprocess.CompletedProcess[str]"]
Wait = Callable[..., None]
BTC, ETH = (Series.parse(f"binance:{name}/USDT:1m") for name in ("BTC", "ETH"))
BYBIT = Series.parse("bybit:BTC/USDT:5m")
MINUTE = 60_000


def ending(in_s: float, *faults: Fault) -> Server:
    """An exchange in real time whose minute ends in so many seconds; one minute before now."""
    now_ms = time.time_ns() // 1_000_000
    return Server(Clock(now_ms // MINUTE * MINUTE - round(in_s * 1_000), 1.0), faults)


def told(exchange: Server) -> str:
    """The setting that points ccxt's clients at it."""
    return json.dumps({name: options(name, exchange.url) for name in ("binance", "bybit")})


def truth(exchange: Server, series: Series, since: int) -> list[Candle]:
    """The exchange's own history."""
    market = exchange.market(series.exchange)
    until = exchange.clock.now_ms()
    return market.history(series.symbol, series.timeframe, until, since)


def test_history_is_joined_to_the_stream(start: Start, store: Store, eventually: Wait) -> None:
    """Without a gap or an overlap."""
    with ending(12.0) as exchange:
        args = ("live", "binance", "BTC/USDT", "ETH/USDT", "--history", "20")
        process = start(*args, CANDLECAST_EXCHANGES=told(exchange))
        eventually(lambda: store.end(BTC) and store.end(ETH), "the history is there")
        before = store.end(BTC)
        eventually(lambda: store.end(BTC) != before, "the candle that closes is there")
        process.terminate()

        assert process.wait(20) == 0
        for series in (BTC, ETH):
            found = store.candles(series)
            assert found == truth(exchange, series, found[0].open_time)[: len(found)]
            assert len(found) in {20, 21}


def test_markets_come_from_the_settings_and_are_read_again(
    start: Start,
    store: Store,
    candlecast: Run,
    eventually: Wait,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """SIGHUP brings new ones; one that is none, or settings that are wrong, harm no other."""
    monkeypatch.chdir(tmp_path)
    settings = tmp_path / ".env"
    with ending(50.0) as exchange:
        settings.write_text(f"CANDLECAST_MARKETS={BTC}\nCANDLECAST_EXCHANGES='{told(exchange)}'\n")
        process = start("live", "--history", "5")
        eventually(lambda: store.end(BTC), "the first market")
        unknown = Series.parse("bybit:NONE/USDT:5m")
        for markets in (f"{BTC},{BYBIT},{unknown}", "nonsense"):
            text = settings.read_text().partition("\n")[2]
            settings.write_text(f"CANDLECAST_MARKETS={markets}\n{text}")
            process.send_signal(signal.SIGHUP)
            eventually(lambda: store.end(BYBIT), "the other exchange's market")
        log = tmp_path / "live-0.log"
        eventually(lambda: "markets_not_reloaded" in log.read_text(), "nonsense is refused")
        eventually(lambda: "FAILING" in candlecast("status").stdout, "status shows it", seconds=40)
        said = candlecast("status").stdout
        process.terminate()

        assert process.wait(20) == 0
    assert "binance 1 series, " in " ".join(said.split())
    assert "1 FAILING: symbol='NONE/USDT'" in " ".join(said.split())
    assert "producer" not in candlecast("status").stdout
    assert {str(one) for one in store.series()} == {str(BTC), str(BYBIT)}


@pytest.mark.at_length
def test_an_exchange_under_maintenance_stops_no_other(
    start: Start, store: Store, candlecast: Run, eventually: Wait
) -> None:
    """It is tried again and again, status says so, and it comes back."""
    down = Refusal(exchange="bybit", kind="maintenance", until_s=15.0)
    with ending(50.0, down) as exchange:
        start(
            "live",
            CANDLECAST_MARKETS=f"{BTC},{BYBIT}",
            CANDLECAST_EXCHANGES=told(exchange),
        )
        eventually(lambda: store.end(BTC), "the one that is up")
        eventually(lambda: "FAILING" in candlecast("status").stdout, "status says it", seconds=40)

        said = " ".join(candlecast("status").stdout.split())
        eventually(lambda: store.end(BYBIT), "the other, once it is back", seconds=60)
    assert re.search(r"bybit 1 series, 0 by stream, \d+ retries, 1 FAILING: bybit ", said)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("live",), "set CANDLECAST_MARKETS"),
        (("live", "binance"), "name one market or more"),
        (("live", "binanse", "BTC/USDT"), "binance"),
        (("live", "--timeframe", "5m"), "name an exchange and symbols too"),
    ],
)
def test_what_cannot_be_followed_is_one_clear_line(
    candlecast: Run, server: Redis, args: tuple[str, ...], says: str
) -> None:
    """At once, with the remedy, and exit code 2."""
    ran = candlecast(*args)

    assert server.url
    assert ran.returncode == 2
    assert says in ran.stderr
    assert "Traceback" not in ran.stderr
