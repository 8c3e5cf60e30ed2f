"""The real ccxt clients against the local exchange: what they read, and each kind of trouble."""

import json
import urllib.request
from typing import Any

import ccxt
import pytest

from shared.candle import Timeframe
from tests.market.clock import Clock
from tests.market.market import Market
from tests.market.process import served
from tests.market.reading import MINUTE, START, SYMBOL, client, closed, minutes, row
from tests.market.script import Empty, Fault, Hole, Lag, Refusal, Script, Skew, Twice, load
from tests.market.server import WIRES, Server

ONE_MINUTE = Timeframe("1m")

exchanges = pytest.mark.parametrize("exchange", WIRES)


@exchanges
@pytest.mark.parametrize("timeframe", ["1m", "5m", "1h", "1d"])
def test_history_is_read_right(exchange: str, timeframe: str) -> None:
    """Every timeframe's closed candles come exactly, behind them the open one as it stands."""
    frame, now = Timeframe(timeframe), START + 7 * 3_600_000 + 90_500
    since = frame.floor(now) - 3 * frame.ms
    with Server(Clock(now, factor=0)) as server:
        rows = client(exchange, server.url).fetch_ohlcv(SYMBOL, timeframe, since, 500)
        market = server.market(exchange)

    assert len(rows) == 4
    assert rows[:-1] == closed(market, since, now, frame)
    assert rows[-1] == row(market.open_candle(SYMBOL, frame, now) or pytest.fail("no open candle"))
    assert rows[-1] != closed(market, since, now + frame.ms, frame)[-1]


@exchanges
def test_longer_candles_follow_from_the_minutes(exchange: str) -> None:
    """Five minutes are their minutes: first open, last close, the extremes and all volume."""
    market = Market(exchange, Script([], START), START)
    five = market.history(SYMBOL, Timeframe("5m"), START + 5 * MINUTE, START)
    parts = market.history(SYMBOL, ONE_MINUTE, START + 5 * MINUTE, START)

    assert [tuple(row(candle)) for candle in five] == [
        (
            START,
            parts[0].open,
            max(part.high for part in parts),
            min(part.low for part in parts),
            parts[4].close,
            round(sum(part.volume for part in parts), 5),
        )
    ]


def test_exchanges_and_symbols_are_told_apart() -> None:
    """Each market has a path of its own, so that a mix-up would be seen."""
    markets = [Market(exchange, Script([], START), START) for exchange in WIRES]
    paths = {
        str(market.history(symbol, ONE_MINUTE, START, START - MINUTE))
        for market in markets
        for symbol in (SYMBOL, "ETH/USDT")
    }

    assert len(paths) == 6


@pytest.mark.parametrize(("exchange", "page"), [("binance", 3), ("bybit", 3), ("kraken", 720)])
def test_pages_are_those_of_the_exchange(exchange: str, page: int) -> None:
    """A page begins at the time asked for; only Kraken has no more than its newest 720 rows."""
    since = START - 1_000 * MINUTE
    with Server(Clock(START, factor=0)) as server:
        rows = client(exchange, server.url).fetch_ohlcv(SYMBOL, "1m", since, page)
        market = server.market(exchange)

    first = START - page * MINUTE if exchange == "kraken" else since
    assert rows == closed(market, first, first + page * MINUTE)


@exchanges
def test_time_and_status(exchange: str) -> None:
    """The exchange's clock is the market's, to the second at Kraken; its state is well."""
    with Server(Clock(START + 1_000, factor=0)) as server:
        source = client(exchange, server.url)

        assert source.fetch_time() == START + 1_000
        assert source.fetch_status()["status"] == "ok"
        server.clock.set(START + 61_000)
        assert source.fetch_time() == START + 61_000
        assert {asked.exchange for asked in server.asked} == {exchange}


@pytest.mark.parametrize(
    ("exchange", "kind", "error", "retry_after"),
    [
        ("binance", "rate_limit", ccxt.DDoSProtection, "7"),
        ("binance", "ban", ccxt.DDoSProtection, "7"),
        ("binance", "error", ccxt.ExchangeNotAvailable, None),
        ("binance", "maintenance", ccxt.ExchangeNotAvailable, None),
        ("kraken", "rate_limit", ccxt.DDoSProtection, "7"),
        ("kraken", "ban", ccxt.DDoSProtection, "7"),
        ("kraken", "error", ccxt.ExchangeNotAvailable, None),
        ("kraken", "maintenance", ccxt.ExchangeNotAvailable, None),
        ("bybit", "rate_limit", ccxt.RateLimitExceeded, "7"),
        ("bybit", "ban", ccxt.RateLimitExceeded, "7"),
        ("bybit", "error", ccxt.ExchangeNotAvailable, None),
        # No error of the network for ccxt, although asking again helps.
        ("bybit", "maintenance", ccxt.ExchangeError, None),
    ],
)
def test_refusals_are_seen_as_what_they_are(
    exchange: str, kind: Any, error: type[Exception], retry_after: str | None
) -> None:
    """Refusals have the exchange's own form, ccxt's error for it, and an end."""
    fault = Refusal(kind=kind, exchange=exchange, from_s=10, until_s=20, retry_after_s=7)
    with Server(Clock(START, factor=0), [fault]) as server:
        source = client(exchange, server.url)
        source.load_markets()
        server.clock.set(START + 10_000)
        with pytest.raises(error) as raised:
            source.fetch_ohlcv(SYMBOL, "1m", START - 5 * MINUTE, 500)

        assert type(raised.value) is error
        assert source.last_response_headers.get("Retry-After") == retry_after
        if kind == "maintenance":
            assert source.fetch_status()["status"] == "maintenance"
        server.clock.set(START + 20_000)
        assert len(source.fetch_ohlcv(SYMBOL, "1m", START - 5 * MINUTE, 500)) == 6


@exchanges
def test_a_fault_is_that_of_its_exchange(exchange: str) -> None:
    """Where one refuses, the others answer."""
    with Server(Clock(START, factor=0), [Refusal(kind="error", exchange=exchange)]) as server:
        for name in WIRES:
            if name != exchange:
                assert minutes(server, name)
        with pytest.raises(ccxt.ExchangeNotAvailable):
            minutes(server, exchange)


@exchanges
def test_holes_are_absent_everywhere(exchange: str) -> None:
    """Minutes that the exchange never has lack in REST, in the truth and in longer candles."""
    hole = Hole(from_s=-300, until_s=-180)
    with Server(Clock(START, factor=0), [hole]) as server:
        rows = minutes(server, exchange)
        market = server.market(exchange)
    whole = Market(exchange, Script([], START), START)

    assert [(at - START) // MINUTE for at, *_ in rows] == [-10, -9, -8, -7, -6, -3, -2, -1]
    assert rows == closed(market, START - 10 * MINUTE, START)
    five, shorter = (
        one.history(SYMBOL, Timeframe("5m"), START, START - 5 * MINUTE)[0].volume
        for one in (whole, market)
    )
    assert 0 < shorter < five


@exchanges
def test_empty_answers(exchange: str) -> None:
    """REST answers well, without a candle."""
    with Server(Clock(START, factor=0), [Empty(until_s=1)]) as server:
        assert minutes(server, exchange) == []
        server.clock.set(START + 1_000)
        assert len(minutes(server, exchange)) == 11


@exchanges
def test_rest_lags(exchange: str) -> None:
    """REST shows what was ten seconds ago: the candle that has closed is still open there."""
    with Server(Clock(START + 5_000, factor=0), [Lag(by_s=10)]) as server:
        rows = minutes(server, exchange)
        market = server.market(exchange)

    assert rows[:-1] == closed(market, START - 10 * MINUTE, START - MINUTE)
    assert rows[-1][0] == START - MINUTE
    assert rows[-1] != closed(market, START - MINUTE, START)[0]


@exchanges
def test_the_clock_is_skewed(exchange: str) -> None:
    """The exchange says that it is later than its candles show."""
    with Server(Clock(START, factor=0), [Skew(by_s=90)]) as server:
        assert client(exchange, server.url).fetch_time() == START + 90_000
        assert minutes(server, exchange)[-1][0] == START - MINUTE


@exchanges
@pytest.mark.parametrize("other", [False, True])
def test_a_candle_twice_by_rest(exchange: str, other: bool) -> None:  # noqa: FBT001
    """REST has a row twice, with the same numbers or others."""
    faults = [Twice(from_s=-60, until_s=0, other=other)]
    with Server(Clock(START, factor=0), faults) as server:
        *_, first, second = minutes(server, exchange)
        right = closed(server.market(exchange), START - MINUTE, START)[0]

    assert first == right
    assert second[:-1] == right[:-1]
    assert (second[-1] != right[-1]) == other


def test_a_script_is_read_from_json_and_from_a_module(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process takes its script as text, as a file or by a module's name."""
    entry = {"fault": "Twice", "exchange": "kraken", "from_s": 5, "by": ["ws"]}
    expected: list[Fault] = [Twice(exchange="kraken", from_s=5, by=("ws",))]
    (tmp_path / "faults.json").write_text(json.dumps([entry]))
    (tmp_path / "scripted_faults.py").write_text(
        "from tests.market.script import Twice\n"
        "FAULTS = [Twice(exchange='kraken', from_s=5, by=('ws',))]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    assert load(json.dumps([entry])) == expected
    assert load(str(tmp_path / "faults.json")) == expected
    assert load("scripted_faults") == expected
    with pytest.raises(ValueError, match="fault='Hloe': use one of Hole"):
        load('[{"fault": "Hloe"}]')


def test_a_process_of_its_own_runs_fast_in_the_past() -> None:
    """Its clock can be made here, runs ahead of real time, is set, and ends at the machine's."""
    script = '[{"fault": "Hole", "from_s": -120, "until_s": -60}]'
    with served("--ago-s", "7200", "--factor", "600", "--script", script) as (url, clock):
        market = Market("kraken", Script(load(script), clock.start_ms), clock.start_ms)
        source = client("kraken", url)
        rows = source.fetch_ohlcv(SYMBOL, "1m", clock.start_ms - 10 * MINUTE, 500)
        began = source.fetch_time()

        assert clock.start_ms <= began + 999
        assert began <= clock.now_ms()
        whole = closed(market, clock.start_ms - 10 * MINUTE, rows[-1][0])
        assert [one for one in rows[:-1] if one[0] < rows[-1][0]] == whole
        ahead = f"{url}/clock?now_ms={source.milliseconds() + 3_600_000}"
        with urllib.request.urlopen(urllib.request.Request(ahead, method="POST")) as answer:
            assert answer.status == 200
        assert abs(source.fetch_time() - source.milliseconds()) < 60_000
