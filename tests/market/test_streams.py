"""The real ccxt.pro clients on the local exchange's streams: what they hear, and each trouble."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import ccxt
import ccxt.pro
import pytest

from tests.market.clock import Clock
from tests.market.listener import Listener, Row
from tests.market.reading import MINUTE, START, SYMBOL, closed, minutes
from tests.market.script import Disconnect, Fault, Late, Revised, Twice, WrongFlag
from tests.market.server import WIRES, Server, options

exchanges = pytest.mark.parametrize("exchange", WIRES)
Play = Callable[[Server, Listener], Awaitable[None]]


def heard(
    exchange: str, faults: Sequence[Fault], play: Play, **settings: Any
) -> tuple[Listener, list[Row]]:
    """Play a scene half a minute after the start; give what was heard and the final minutes."""

    async def scene(server: Server) -> Listener:
        async with Listener(server, exchange, **settings) as listener:
            await play(server, listener)
        return listener

    with Server(Clock(START + 30_000, factor=0), faults) as server:
        # The script's seconds count from the minute's open.
        listener = asyncio.run(scene(server))
        final = closed(server.market(exchange), START, START + 10 * MINUTE)
    return listener, [tuple(row) for row in final]


async def to(server: Server, listener: Listener, second: float) -> None:
    """Move the clock there and wait until the stream has said something."""
    before = len(listener.raw)
    server.clock.set(START + round(second * 1_000))
    await listener.until(lambda: len(listener.raw) > before, f"a message at {second} s")


async def two_minutes(server: Server, listener: Listener) -> None:
    """Close two minutes, in steps of ten seconds."""
    for second in range(35, 130, 10):
        await to(server, listener, second)
    await listener.until(lambda: listener.seen[-1][0] == START + 2 * MINUTE, "the third minute")


def told(exchange: str, raw: Sequence[Any]) -> list[tuple[int, float, bool | None]]:
    """Minute, volume and flag of the messages as they came."""
    found: list[tuple[int, float, bool | None]] = []
    for message in raw:
        if exchange == "binance":
            kline = message["k"]
            found.append(((kline["t"] - START) // MINUTE, float(kline["v"]), kline["x"]))
        elif exchange == "bybit":
            (data,) = message["data"]
            found.append(
                ((data["start"] - START) // MINUTE, float(data["volume"]), data["confirm"])
            )
        else:
            minute = ccxt.Exchange.parse8601(message["data"][-1]["interval_begin"])
            found.append(((minute - START) // MINUTE, message["data"][-1]["volume"], None))
    return found


@exchanges
def test_candles_are_streamed_right(exchange: str) -> None:
    """The open candle grows, each closes with its final numbers, and the next one opens."""
    listener, final = heard(exchange, [], two_minutes)
    messages = told(exchange, listener.raw)

    assert listener.errors == []
    assert [row for row in listener.held if START <= row[0] < START + 2 * MINUTE] == final[:2]
    assert final[0] in listener.seen
    assert final[1] in listener.seen
    first = [volume for minute, volume, _ in messages if minute == 0]
    assert len(first) >= 4
    assert first == sorted(first)
    assert [minute for minute, *_ in messages] == sorted(minute for minute, *_ in messages)
    if exchange != "kraken":
        flagged = [(minute, volume) for minute, volume, closed in messages if closed]
        assert flagged == [(0, final[0][5]), (1, final[1][5])]


@exchanges
def test_half_an_hour_in_seconds(exchange: str) -> None:
    """A market a thousand times faster than real time streams each of its minutes right."""

    async def scene(server: Server) -> list[Row]:
        async with Listener(server, exchange) as listener:
            end = START + 30 * MINUTE
            server.clock.set(START + 30_000, factor=1_000)
            await listener.until(lambda: listener.held[-1][0] >= end, "half an hour")
            return listener.held

    with Server(Clock(START + 30_000, factor=0)) as server:
        held = asyncio.run(scene(server))
        final = closed(server.market(exchange), START, START + 30 * MINUTE)

    assert [row for row in held if START <= row[0] < START + 30 * MINUTE] == [
        tuple(row) for row in final
    ]


def test_kraken_begins_with_a_snapshot() -> None:
    """Kraken sends its newest candles first, the others only the open one."""
    listener, final = heard("kraken", [], two_minutes)

    assert [(row[0] - START) // MINUTE for row in listener.held] == [*range(-9, 3)]
    assert listener.held[-3:-1] == final[:2]


@pytest.mark.parametrize("exchange", ["binance", "bybit"])
def test_several_symbols_on_one_connection(exchange: str) -> None:
    """One subscription for several symbols and timeframes; each comes to its own."""
    wanted = [[SYMBOL, "1m"], [SYMBOL, "5m"], ["ETH/USDT", "1m"]]

    async def scene(server: Server) -> Any:
        source: Any = getattr(ccxt.pro, exchange)(options(exchange, server.url))
        try:
            # An answer tells of one series; what comes meanwhile of others is only kept.
            while sum(map(len, source.ohlcvs.values())) < len(wanted):
                await asyncio.wait_for(source.watch_ohlcv_for_symbols(wanted), 20)
        finally:
            await source.close()
        return source.ohlcvs

    with Server(Clock(START + 30_000)) as server:
        got = asyncio.run(scene(server))
        streams = [
            asked for asked in server.asked if "stream" in asked.path or "v5/p" in asked.path
        ]

    assert len(streams) == 1
    assert {(symbol, frame) for symbol, rows in got.items() for frame in rows} == {
        (symbol, frame) for symbol, frame in wanted
    }
    assert got[SYMBOL]["1m"][-1][1] != got["ETH/USDT"]["1m"][-1][1]


@pytest.mark.parametrize("exchange", ["binance", "bybit"])
@pytest.mark.parametrize("closed", [True, False])
def test_the_flag_is_wrong(exchange: str, closed: bool) -> None:  # noqa: FBT001
    """Open candles come as closed ones, or closed ones as open; their numbers are right."""
    listener, final = heard(exchange, [WrongFlag(closed=closed)], two_minutes)
    messages = told(exchange, listener.raw)

    assert {flag for *_, flag in messages} == {closed}
    assert (0, final[0][5], closed) in messages
    assert listener.held[0] == final[0]


@exchanges
@pytest.mark.parametrize("by", [("rest",), ("ws",), ("rest", "ws")])
def test_a_revision_after_the_close(exchange: str, by: Any) -> None:
    """The stream closes with other numbers; what is among ``by`` brings the right ones later."""
    read: list[list[float]] = []

    async def play(server: Server, listener: Listener) -> None:
        for second in (50, 63):
            await to(server, listener, second)
        read.append((await asyncio.to_thread(minutes, server, exchange, START))[0])
        for second in (66, 70):
            await to(server, listener, second)
        read.append((await asyncio.to_thread(minutes, server, exchange, START))[0])

    fault = Revised(from_s=-30, until_s=0, after_s=5, by=by)
    listener, final = heard(exchange, [fault], play)
    volumes = [volume for minute, volume, _ in told(exchange, listener.raw) if minute == 0]

    assert volumes[-2 if "ws" in by else -1] == round(final[0][5] + 1, 5)
    assert ([volumes[-1]] == [final[0][5]]) == ("ws" in by)
    assert (read[0] == list(final[0])) == ("rest" not in by)
    assert read[1] == list(final[0])
    assert (final[0] in listener.held) == ("ws" in by)


def test_ccxt_gives_out_the_newest_rows_only() -> None:
    """A revision of an older candle is held by the client but not given out: read what it holds."""

    async def play(server: Server, listener: Listener) -> None:
        # The revision, at 65 s, is the only message of its moment.
        for second in (50, 63, 64.5, 65):
            await to(server, listener, second)
        await to(server, listener, 70)
        await listener.until(lambda: listener.seen[-1] == listener.held[-1], "the newest row")

    listener, final = heard("binance", [Revised(from_s=-30, until_s=0, after_s=5)], play)

    assert final[0] in listener.held
    assert final[0] not in listener.seen


@exchanges
@pytest.mark.parametrize("other", [False, True])
def test_a_candle_twice(exchange: str, other: bool) -> None:  # noqa: FBT001
    """The closed candle comes twice, the second time with the same numbers or others."""
    listener, final = heard(exchange, [Twice(from_s=-30, until_s=0, other=other)], two_minutes)
    ends = [volume for minute, volume, _ in told(exchange, listener.raw) if minute == 0][-2:]

    right = final[0][5]
    assert ends == [right, round(right + 2, 5) if other else right]


@exchanges
def test_a_candle_comes_late(exchange: str) -> None:
    """The closed candle comes when the next one is half over."""
    listener, final = heard(exchange, [Late(from_s=-30, until_s=0, by_s=35)], two_minutes)
    messages = told(exchange, listener.raw)

    late = next(
        at
        for at, (minute, volume, _) in enumerate(messages)
        if (minute, volume) == (0, final[0][5])
    )
    assert [minute for minute, *_ in messages[late - 2 : late + 2]] == [1, 1, 0, 1]
    assert final[0] in listener.held


@exchanges
@pytest.mark.parametrize("how", ["close", "reset"])
def test_the_stream_is_cut(exchange: str, how: Any) -> None:
    """A close and a reset are errors of the network; the client comes again and goes on."""

    async def play(server: Server, listener: Listener) -> None:
        server.clock.set(START + 40_000)
        await listener.until(lambda: listener.errors, "the stream is cut")
        server.clock.set(START + 50_000)
        await listener.until(lambda: listener.seen[-1][0] == START, "the stream is back")
        await to(server, listener, 70)

    listener, _ = heard(exchange, [Disconnect(how=how, from_s=10, until_s=20)], play)

    assert isinstance(listener.errors[0], ccxt.NetworkError)
    assert ("closing code 1001" in str(listener.errors[0])) == (how == "close")
    assert listener.held[-1][0] == START + MINUTE


@exchanges
def test_the_stream_falls_silent(exchange: str) -> None:
    """Nothing is said and no ping answered: only a client that misses its pongs notices."""

    async def play(server: Server, listener: Listener) -> None:
        await to(server, listener, 35)
        assert listener.errors == []
        server.clock.set(START + 40_000)
        await listener.until(lambda: listener.errors, "the silence is noticed")
        server.clock.set(START + 50_000)
        before = len(listener.raw)
        await listener.until(lambda: len(listener.raw) > before, "a new stream speaks")

    fault = Disconnect(how="silence", from_s=10, until_s=20)
    listener, _ = heard(exchange, [fault], play, streaming={"keepAlive": 200})

    assert isinstance(listener.errors[0], ccxt.RequestTimeout)


@exchanges
def test_pings_are_answered(exchange: str) -> None:
    """A client that pings twice a second gets its pongs and stays connected."""

    async def play(_: Server, listener: Listener) -> None:
        (stream,) = listener.client.clients.values()
        pongs: set[int | None] = set()

        def answered() -> bool:
            pongs.add(stream.lastPong)
            return len(pongs) == 3

        await listener.until(answered, "pongs")

    listener, _ = heard(exchange, [], play, streaming={"keepAlive": 500})

    assert listener.errors == []


def test_ccxt_mixes_up_the_timeframes_of_kraken() -> None:
    """A second timeframe of a symbol gets the first one's rows: each needs a client of its own."""
    got: list[Any] = []

    async def play(server: Server, listener: Listener) -> None:
        await to(server, listener, 65)
        await listener.until(lambda: listener.seen[-1][0] == START + MINUTE, "the next minute")
        asked = asyncio.ensure_future(listener.client.watch_ohlcv(SYMBOL, "5m"))
        await to(server, listener, 75)
        got.extend(await asked)

    listener, _ = heard("kraken", [], play)

    assert got[-1][0] == START + MINUTE
    assert list(listener.client.ohlcvs[SYMBOL]) == ["1m"]
