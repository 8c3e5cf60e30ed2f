"""What a stream tells and what it must not, with clients whose news a test decides."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from producers.client import groups_of
from producers.stream import Stream
from producers.tape import Tape
from shared.candle import Series

BTC, ETH = (Series.parse(f"test:{name}/USDT:1m") for name in ("BTC", "ETH"))
HOURS = Series.parse("test:BTC/USDT:1h")
MINUTE = 60_000


def row(minute: int, close: float = 10.0) -> list[float]:
    """Ccxt's row of a candle of one minute."""
    return [minute * MINUTE, 10.0, 20.0, 5.0, close, 3.0]


class FakeClient:
    """A client that tells what it is told; None breaks it."""

    def __init__(self, *, many: bool = True) -> None:
        self.has: Mapping[str, Any] = {"watchOHLCVForSymbols": many}
        self.clients: dict[str, object] = {"url": object()}
        self.ohlcvs: dict[str, Any] = {}
        self.markets: dict[str, Any] = {}
        self.news: asyncio.Queue[Any] = asyncio.Queue()
        self.asked: list[Any] = []
        self.is_closed = False

    async def _next(self) -> Any:
        told = await self.news.get()
        if told is None:
            raise ConnectionResetError("gone")
        return told() if callable(told) else told

    async def watch_ohlcv(self, symbol: str, timeframe: str) -> list[list[float]]:
        """Wait for news of one market."""
        self.asked.append((symbol, timeframe))
        return (await self._next())[symbol]  # type: ignore[no-any-return]

    async def watch_ohlcv_for_symbols(
        self, symbols: Sequence[list[str]]
    ) -> dict[str, dict[str, list[list[float]]]]:
        """Wait for news of several markets; like some of ccxt's, it takes lists only."""
        assert all(type(each) is list for each in symbols)
        self.asked.append(symbols)
        told = await self._next()
        return {symbol: {symbols[0][1]: rows} for symbol, rows in told.items()}

    async def close(self) -> None:
        """Remember that it was closed."""
        self.is_closed = True


class Scene:
    """A stream in its thread, and the clients that it has made."""

    def __init__(self, *series: Series, many: bool = True, trusts: bool = True) -> None:
        self.made: list[FakeClient] = []
        self._many = many
        self._rung = threading.Event()
        self._changed = threading.Condition()
        self.stream = Stream(
            self._connect, series, self._rung.set, backoff_s=(0.01, 0.02), trusts=lambda _: trusts
        )
        self.stream._proven.update(dict.fromkeys(series, 3))

    def _connect(self) -> FakeClient:
        client = FakeClient(many=self._many)
        with self._changed:
            self.made.append(client)
            self._changed.notify_all()
        return client

    def client(self, number: int = 0) -> FakeClient:
        """The client of that number, once it is there."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.made) > number, 10)
        return self.made[number]

    def tell(self, news: Any, client: int = 0) -> None:
        """Have a client tell something, and wait until it was heard."""
        self._rung.clear()
        self.put(news, client)
        assert self._rung.wait(10)

    def put(self, news: Any, client: int = 0) -> None:
        """Have a client tell something."""
        queue = self.client(client).news
        self.stream._loop.call_soon_threadsafe(queue.put_nowait, news)


@contextmanager
def scene(*series: Series, many: bool = True, trusts: bool = True) -> Iterator[Scene]:
    """Play with a stream."""
    play = Scene(*series, many=many, trusts=trusts)
    with play.stream:
        yield play


@pytest.mark.parametrize("many", [True, False])
def test_a_candle_has_closed_once_a_later_one_has_come(*, many: bool) -> None:
    """Not before, whatever is told of it; and it is what was told last."""
    with scene(BTC, many=many) as play:
        play.tell({"BTC/USDT": [row(1, 11.0)]})
        play.put({"BTC/USDT": [row(1, 12.0)]})  # no reason to wake anybody
        early = play.stream.closed(BTC, MINUTE)
        play.tell({"BTC/USDT": [row(2)]})

        assert early is None
        assert play.stream.closed(BTC, MINUTE) == row(1, 12.0)
        assert play.stream.closed(BTC, 2 * MINUTE) is None


def test_what_was_open_when_the_connection_broke_is_not_told() -> None:
    """It may have gone on since; what had closed before stays."""
    with scene(BTC) as play:
        play.tell({"BTC/USDT": [row(1), row(2)]})
        play.put(None)
        play.tell({"BTC/USDT": [row(3)]}, client=1)

        assert play.made[0].is_closed
        assert play.stream.closed(BTC, MINUTE) == row(1)
        assert play.stream.closed(BTC, 2 * MINUTE) is None
        assert play.stream.reconnects == 1


def test_a_connection_that_ccxt_has_made_anew_by_itself_counts_as_broken() -> None:
    """It tells nobody where nobody waited; of the rows before the newest nothing is known."""
    with scene(BTC) as play:
        play.tell({"BTC/USDT": [row(1)]})
        client = play.client()

        def anew() -> dict[str, list[list[float]]]:
            client.clients = {"url": object()}
            return {"BTC/USDT": [row(1, 99.0), row(2)]}

        play.tell(anew)
        play.tell({"BTC/USDT": [row(3)]})

        assert play.stream.closed(BTC, MINUTE) is None
        assert play.stream.closed(BTC, 2 * MINUTE) == row(2)


def test_of_each_series_the_first_news_after_a_break_is_cut_to_its_newest() -> None:
    """What was left unread of the old connection comes along with it, whichever is first."""
    with scene(BTC, ETH) as play:
        play.tell({"BTC/USDT": [row(1)], "ETH/USDT": [row(1)]})
        client = play.client()

        def anew() -> dict[str, list[list[float]]]:
            client.clients = {"url": object()}
            return {"BTC/USDT": [row(2)]}

        play.tell(anew)
        play.tell({"ETH/USDT": [row(1, 99.0), row(2)]})

        assert play.stream.closed(ETH, MINUTE) is None
        play.tell({"ETH/USDT": [row(3)]})
        assert play.stream.closed(ETH, 2 * MINUTE) == row(2)


def test_a_row_of_the_future_closes_nothing() -> None:
    """Its time is wrong, and that of others may be."""
    with scene(BTC) as play:
        play.tell({"BTC/USDT": [row(1), row(2), row(900)]})

        assert play.stream.closed(BTC, MINUTE, latest=3 * MINUTE) is None


def test_markets_of_one_kind_are_followed_together() -> None:
    """Some of ccxt's clients take the address of the first one for all."""
    client = FakeClient()
    swap = Series.parse("test:BTC/USDT:USDT:1m")
    client.markets = {"BTC/USDT:USDT": {"type": "swap", "linear": True}}

    assert groups_of(client, [BTC, swap, ETH]) == [[BTC, ETH], [swap]]


def test_each_timeframe_has_a_client_of_its_own() -> None:
    """Some of ccxt's clients take one timeframe of a market for the other."""
    with scene(BTC, ETH, HOURS) as play:
        clients = [play.client(0), play.client(1)]
        until(lambda: all(client.asked for client in clients))

        asked = sorted((client.asked[0] for client in clients), key=len)
        assert asked == [[["BTC/USDT", "1h"]], [["BTC/USDT", "1m"], ["ETH/USDT", "1m"]]]


def test_a_stream_without_a_word_of_candles_that_close_begins_anew() -> None:
    """A subscription may die while its connection holds, and tells of another market."""
    with scene(BTC, ETH) as play:
        play.tell({"BTC/USDT": [row(1)]})
        for minute in (2, 3, 3):
            play.stream.compare(BTC, row(minute))
        play.tell({"BTC/USDT": [row(4)]})  # a word: the count begins anew
        for minute in (5, 6):
            play.stream.compare(BTC, row(minute))
            play.tell({"ETH/USDT": [row(minute)]})
        quiet = len(play.made)
        play.stream.compare(BTC, row(7))

        play.client(1)
        assert quiet == 1


def test_a_market_that_is_never_told_of_does_not_break_the_stream_for_ever() -> None:
    """It is waited for twice as long each time, until it is told of."""
    with scene(BTC, ETH) as play:
        play.tell({"ETH/USDT": [row(1)]})
        for minute in range(1, 4):
            play.stream.compare(BTC, row(minute))
        play.client(1)
        for minute in range(4, 9):
            play.stream.compare(BTC, row(minute))
        patient = len(play.made)
        play.tell({"BTC/USDT": [row(9)]}, client=1)  # it may be but the answer to the subscription
        for minute in range(10, 15):
            play.stream.compare(BTC, row(minute))
        patient += len(play.made)
        play.tell({"BTC/USDT": [row(15), row(16)]}, client=1)
        play.tell({"BTC/USDT": [row(17)]}, client=1)
        for minute in range(18, 21):
            play.stream.compare(BTC, row(minute))

        play.client(2)
        assert patient == 4


def test_what_is_not_final_is_not_told() -> None:
    """All others are asked for, though the stream is compared with the answer."""
    with scene(BTC, trusts=False) as play:
        play.tell({"BTC/USDT": [row(1), row(2), row(3)]})

        play.stream.compare(BTC, row(2, 10.5))

        assert play.stream.closed(BTC, MINUTE) is None
        assert play.stream.corrected == 1


def test_what_is_told_first_is_asked_for() -> None:
    """Of each series, until the answers have said the same of three candles."""
    with scene(BTC, ETH) as play:
        play.stream._proven.update({BTC: 0, ETH: 0})
        rows = [row(minute) for minute in range(1, 8)]
        play.tell({"BTC/USDT": rows, "ETH/USDT": rows})
        told = []
        for minute in range(1, 5):
            told.append(play.stream.closed(BTC, 5 * MINUTE) is not None)
            for _ in range(3):  # the same one is no other
                play.stream.compare(BTC, row(minute))
        play.stream.compare(ETH, row(1, 10.5))

        assert told == [False, False, False, True]
        assert play.stream.closed(ETH, 5 * MINUTE) is None


def test_one_candle_in_sixty_is_not_told() -> None:
    """So that it is asked for, and a stream whose word is not the last one shows."""
    with scene(BTC) as play:
        play.tell({"BTC/USDT": [row(minute) for minute in range(122)]})
        told = [play.stream.closed(BTC, minute * MINUTE) is not None for minute in range(120)]

        assert told.count(False) == 2
        assert told[:60] == told[60:]


@pytest.mark.parametrize("by", ["rest", "stream"])
def test_once_corrected_nothing_is_told_any_more(by: str) -> None:
    """The stream's word is not the last one: REST says otherwise, or the stream does later."""
    with scene(BTC) as play:
        play.tell({"BTC/USDT": [row(1), row(2), row(3)]})
        play.stream.compare(BTC, row(1))
        play.tell({"BTC/USDT": [row(2), row(4)]})
        before = (play.stream.corrected, play.stream.closed(BTC, MINUTE))

        if by == "rest":
            play.stream.compare(BTC, row(2, 10.5))
        else:
            play.tell({"BTC/USDT": [row(2, 10.5), row(5)]})

        assert before == (0, row(1))
        assert (play.stream.corrected, play.stream.closed(BTC, MINUTE)) == (1, None)


def test_what_a_client_holds_and_does_not_give_out_counts_too() -> None:
    """Ccxt gives out the newest rows only; a revision before them is held."""
    with scene(BTC) as play:
        client = play.client()

        def held(*rows: list[float]) -> None:
            client.ohlcvs = {"BTC/USDT": {"1m": [*rows]}}

        held(row(0, 99.0), row(1))
        play.tell({"BTC/USDT": [row(1)]})
        held(row(0, 99.0), row(1, 11.0), row(2))
        play.tell({"BTC/USDT": [row(2)]})
        first = (play.stream.closed(BTC, 0), play.stream.closed(BTC, MINUTE))
        held(row(0, 99.0), row(1, 12.0), row(2), row(3))
        play.tell({"BTC/USDT": [row(3)]})

        assert first == (None, row(1, 11.0))  # who knows on which connection that one came
        assert (play.stream.corrected, play.stream.closed(BTC, MINUTE)) == (1, None)


def test_a_client_that_keeps_its_candles_otherwise_is_read_on() -> None:
    """As those of some exchanges do: what they give out is all there is."""
    with scene(BTC) as play:
        play.client().ohlcvs = {"BTC/USDT": [row(0)]}
        play.tell({"BTC/USDT": [row(1)]})
        play.tell({"BTC/USDT": [row(2)]})

        assert play.stream.closed(BTC, MINUTE) == row(1)
        assert play.stream.reconnects == 0


def test_a_row_off_the_grid_closes_nothing() -> None:
    """The candle may go on after it."""
    with scene(BTC) as play:
        play.tell({"BTC/USDT": [row(1)]})
        play.tell({"BTC/USDT": [[MINUTE + 30_000, *row(1)[1:]]]})

        assert play.stream.closed(BTC, MINUTE) is None


def test_a_client_that_cannot_be_made_is_tried_again() -> None:
    """Candles come by REST meanwhile."""
    tries = []

    def connect() -> FakeClient:
        tries.append(1)
        if len(tries) < 3:
            raise OSError("no network")
        return FakeClient()

    with Stream(connect, [BTC], backoff_s=(0.01, 0.02)):
        until(lambda: len(tries) == 3)


def test_a_tape_does_not_grow_for_ever() -> None:
    """The newest thousand candles are enough."""
    tape = Tape()
    for minute in range(1_500):
        tape.note([row(minute)])

    assert len(tape.rows) == 1_000
    assert tape.closed(1_498 * MINUTE) == row(1_498)


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    event = threading.Event()
    for _ in range(1_000):
        if holds():
            return
        event.wait(0.01)
    pytest.fail("it never held")
