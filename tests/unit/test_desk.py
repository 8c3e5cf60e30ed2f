"""One exchange in a thread of its own: what ends it, what it waits for, and what it counts."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import ccxt
import pytest

from producers.desk import Desk, Order
from producers.exchange import Exchange
from producers.live import Live
from producers.pause import Pause
from producers.stream import Stream
from producers.venues import CcxtVenue, open_venue
from shared.candle import Candle, Series, Timeframe
from shared.errors import InvalidValue, StoreUnavailable
from tests.unit.fake_exchange import HOUR, START, Fake, row
from tests.unit.fake_log import Log
from tests.unit.test_stream import FakeClient, until

FRAME = Timeframe("1h")
BTC, ETH, EUR, NONE = (
    Series("fake", symbol, FRAME) for symbol in ("BTC/USDT", "ETH/USDT", "BTC/EUR", "NONE/USDT")
)


class Market(Fake):
    """An exchange of several symbols, some of which it refuses."""

    def __init__(self, **options: Any) -> None:
        super().__init__(rows=[row(hour) for hour in range(10)], **options)
        self.refused: set[str] = set()

    def fetch_ohlcv(
        self, symbol: str, timeframe: str, since: int | None, limit: int | None
    ) -> list[list[Any]]:
        """The same candles of every symbol that it has."""
        if symbol in self.refused:
            raise ccxt.BadSymbol(f"no {symbol}")
        return super().fetch_ohlcv("BTC/USDT", timeframe, since, limit)


class Store(Log):
    """A log that may lose its first answers."""

    def end(self, series: Series) -> int | None:
        """The open time of the last candle."""
        log = self.logs.get(series)
        return log[-1].open_time if log else None


def desk(
    market: Market, store: Store, wanted: Sequence[Series], pause: Pause | None = None
) -> Desk:
    """A desk of the exchange, not begun yet."""
    kept = pause or Pause("fake", market.clock)
    return Desk(
        "fake",
        Order(wanted, 10),
        lambda: CcxtVenue(Exchange(market, kept), is_final=False, connect_stream=None),
        lambda: store,
        kept,
    )


@contextmanager
def running(one: Desk) -> Iterator[Desk]:
    """Let it work."""
    one.start()
    try:
        yield one
    finally:
        one.stop()
        one.join(10)


def whole(store: Store, *wanted: Series) -> Callable[[], bool]:
    """Whether the logs have all ten candles."""
    return lambda: all(len(store.logs.get(one, [])) == 10 for one in wanted)


def test_a_market_that_is_refused_harms_no_other() -> None:
    """It says why, and what the others have comes."""
    market, store = Market(), Store()
    market.refused = {"ETH/USDT"}
    with running(desk(market, store, [BTC, ETH, EUR])) as one:
        until(whole(store, BTC, EUR))
        until(lambda: one.standing.has_caught_up)
        standing = one.standing

    assert (standing.series, standing.failing) == (3, 1)
    assert standing.error == "fake refuses: no ETH/USDT"
    assert one.fault is None


def test_a_market_that_is_none_is_left_out() -> None:
    """Unless there is no other: then that is the end."""
    market, store = Market(), Store()
    with running(desk(market, store, [NONE, BTC])) as one:
        until(whole(store, BTC))
        assert (one.standing.failing, one.fault) == (1, None)
        assert "symbol='NONE/USDT'" in one.standing.error

    with running(desk(market, store, [NONE])) as alone:
        alone.join(10)
    assert isinstance(alone.fault, InvalidValue)


def test_an_exchange_without_markets_is_asked_again() -> None:
    """Under maintenance it may list none; that is no end."""
    market, store = Market(), Store()
    listed, market.markets = market.markets, {}
    with running(desk(market, store, [BTC])) as one:
        until(lambda: one.standing.retries > 0)
        market.markets = listed
        until(whole(store, BTC))

    assert one.fault is None


def test_a_market_that_was_there_may_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exchange that worked is not ended by a list that lacks its market for now."""
    market, store = Market(), Store()
    listed = market.markets
    _go_away(monkeypatch, store, lambda: setattr(market, "markets", {"ETH/USDT": {}}))
    with running(desk(market, store, [BTC])) as one:
        until(lambda: "symbol='BTC/USDT'" in one.standing.error)
        market.markets = listed
        until(whole(store, BTC))

    assert one.fault is None


def test_what_could_not_be_sent_is_sent_by_the_next_push(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Redis that was away for longer than it is waited for costs no candle and no count."""
    market, store = Market(), Store()
    _go_away(monkeypatch, store)
    with running(desk(market, store, [BTC])) as one:
        until(whole(store, BTC))
        until(lambda: one.standing.has_caught_up)

    assert (one.totals.accepted, one.totals.unsent, one.history) == (10, 0, 10)


def _go_away(
    monkeypatch: pytest.MonkeyPatch, store: Store, meanwhile: Callable[[], object] = lambda: None
) -> None:
    """Let Redis be away once, for longer than it is waited for."""
    away = [StoreUnavailable("away"), StoreUnavailable("away still")]
    append = store.append_all

    def append_all(appends: Any) -> Any:
        if away:
            meanwhile()
            raise away.pop(0)
        return append(appends)

    def impatient(_push: object, error: StoreUnavailable) -> None:
        if "still" in str(error):
            raise error

    monkeypatch.setattr(store, "append_all", append_all)
    monkeypatch.setattr("producers.push.Push._check_patience", impatient)


def test_a_pause_asked_for_at_the_start_is_sat_out() -> None:
    """It is no failure, and when it is over the exchange is opened at once."""
    market, store = Market(), Store()
    market.failures = [ccxt.RateLimitExceeded("429")]
    market.last_response_headers = {"Retry-After": "40"}
    with running(desk(market, store, [BTC])) as one:
        until(lambda: one.standing.pauses == 1)
        market.sleep(41)
        until(whole(store, BTC))

        assert one.standing.retries == 0


def test_a_pause_does_not_hold_up_the_end() -> None:
    """However long it is."""
    market = Market()
    market.failures = [ccxt.RateLimitExceeded("429") for _ in range(9)]
    market.last_response_headers = {"Retry-After": "3000"}
    with running(desk(market, Store(), [BTC])) as one:
        until(lambda: one.standing.pauses == 1)
        one.stop()
        one.join(5)

        assert not one.is_alive()


def test_a_pause_of_no_time_is_asked_about_ever_more_seldom() -> None:
    """It says that it may be asked at once, and it fails again."""
    market = Market()
    market.failures = [ccxt.RateLimitExceeded("429") for _ in range(99)]
    market.last_response_headers = {"Retry-After": "0"}
    with running(desk(market, Store(), [BTC])) as one:
        until(lambda: one.standing.retries == 2)

        assert one.standing.pauses == 2


def test_a_stream_that_had_to_be_corrected_is_not_believed_again() -> None:
    """Not by the desk that has seen it, however often it opens the exchange."""
    market, store, now, made = Market(), Store(), [0.0], []
    kept = Pause("fake", market.clock)

    class Venue(CcxtVenue):
        def stream(self, series: Iterable[Series], _ring: Callable[[], object]) -> Stream:
            made.append(Stream(FakeClient, series))
            return made[-1]

    def opened() -> Venue:
        return Venue(Exchange(market, kept), is_final=True, connect_stream=None)

    order = Order([BTC, NONE], 10)  # one that is missing is looked for again, hourly
    one = Desk("fake", order, opened, lambda: store, kept, lambda: now[0])
    with running(one):
        until(whole(store, BTC))
        made[0].corrected = 1
        now[0] += 3_601
        until(lambda: len(made) > 1)
        until(lambda: one.standing.corrected == 1)

        assert [stream.is_distrusted for stream in made] == [False, True]
        assert one.standing.corrected == 1


def test_an_early_candle_is_asked_for_again_once_it_has_closed() -> None:
    """Where an exchange's clock is wrong and Redis's right, it was open when it was told of."""
    market, store = Market(), Store()
    store.now_ms = START + 9 * HOUR + 30_000  # the tenth candle is open
    with running(desk(market, store, [BTC])) as one:
        until(lambda: len(store.logs.get(BTC, [])) == 9)
        market.rows[9] = row(9, close=12.5)
        store.now_ms += HOUR
        until(whole(store, BTC))

    assert store.logs[BTC][-1].close == 12.5
    assert (store.logs[BTC][:9], one.fault) == ([_candle(hour) for hour in range(9)], None)


def _candle(hour: int) -> Candle:
    time_ms, *numbers = row(hour)
    return Candle(time_ms, *numbers)


def test_pauses_outlive_a_change_of_the_markets() -> None:
    """What an exchange has asked for holds for whoever asks it next."""
    market, store, made = Market(), Store(), []

    def make(name: str, wanted: Sequence[Series], pause: Pause) -> Desk:
        made.append((name, pause))
        return desk(market, store, wanted)

    live = Live(make)
    live.want([BTC])
    live.want([BTC, ETH])
    live.stop()

    assert [name for name, _ in made] == ["fake", "fake"]
    assert made[0][1] is made[1][1]


def test_an_exchange_that_has_ended_is_not_waited_for() -> None:
    """Whoever fetches once has what the others have."""
    stores = {"fake": Store(), "other": Store()}
    ended = Series("other", "NONE/USDT", FRAME)

    def make(name: str, wanted: Sequence[Series], _: Pause) -> Desk:
        return desk(Market(), stores[name], wanted)

    live = Live(make)
    live.want([BTC, ended])
    until(lambda: live.has_caught_up)
    standings = live.standings
    live.check()
    live.stop()

    assert whole(stores["fake"], BTC)()
    assert {name: one.failing for name, one in standings.items()} == {"fake": 0, "other": 1}


def test_what_has_ended_begins_anew_when_the_settings_are_read_again() -> None:
    """A mistake there ends nothing but itself, and mending it needs no new start."""
    store, wrong = Store(), Series("fake", "NONE/USDT", FRAME)
    live = Live(lambda _name, wanted, _pause: desk(Market(), store, wanted))
    live.want([BTC])
    until(whole(store, BTC))
    live.want([wrong])
    until(lambda: live.standings["fake"].failing == 1)
    live.check()
    first = live.standings["fake"].error
    live.want([wrong])
    live.want([ETH])
    until(whole(store, ETH))
    live.stop()

    assert "symbol='NONE/USDT'" in first


def test_what_is_wrong_from_the_beginning_is_told() -> None:
    """Whoever has started the command is there to read it."""
    live = Live(lambda _name, wanted, _pause: desk(Market(), Store(), wanted))
    live.want([NONE])
    until(lambda: live.standings["fake"].failing == 1)

    def checked() -> bool:
        live.check()
        return False

    try:
        with pytest.raises(InvalidValue, match="NONE/USDT"):
            until(checked)
    finally:
        live.stop()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"timeframes": "1h=hourly"}, "exchanges.mine.timeframes='str'"),
        ({"token": 5}, "exchanges.mine.token='int'"),
        ({"limit": "many"}, "exchanges.mine.limit='str'"),
        ({"limit": 0}, "limit=0"),
        ({"colour": "red"}, "exchanges.mine='colour'"),
        ({"url": 7}, "exchanges.mine.url='int'"),
    ],
)
def test_options_of_a_service_are_checked(options: Mapping[str, object], says: str) -> None:
    """Before it is asked, and without showing what may be a secret."""
    address = {"url": "http://127.0.0.1:1/{pair}?from={since_ms}"}
    with pytest.raises(InvalidValue, match=re.escape(says)):
        open_venue("mine", address | dict(options))


def test_options_make_an_exchange_begin_anew() -> None:
    """The same ones do not, nor another's."""
    market, store, made = Market(), Store(), []

    def make(name: str, wanted: Sequence[Series], _: Pause) -> Desk:
        made.append(name)
        return desk(market, store, wanted)

    live = Live(make)
    options: list[Mapping[str, object]] = [{"fake": 1}, {"fake": 1, "other": 2}, {"fake": 3}]
    for each in options:
        live.want([BTC], each)
    live.stop()

    assert made == ["fake", "fake"]
