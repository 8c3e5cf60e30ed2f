"""A rolling upgrade: another model prepares beside the one that learns, and takes the field."""

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest

from models import state
from models.learner import Learner
from shared.candle import Series
from shared.store import Store
from tests.conftest import STATE_KEY
from tests.faults.stage import children
from tests.integration.spoilt import many
from tests.integration.steps import HOUR, walk
from tests.integration.test_fleet import ticked
from worker.recall import recalled

pytestmark = pytest.mark.timeout(180)

Start = Callable[..., Any]
Eventually = Callable[..., None]

_ROUND_S = 0.2
MINUTE = 60_000
NEW_KEY = "new-signing-key-" * 2
OTHERS = {
    "horizons": {"CANDLECAST_HORIZONS": "1h=5"},
    "model": {"CANDLECAST_MODEL": "random-walk"},
    "key": {"CANDLECAST_STATE_KEY": NEW_KEY},
}


class Market:
    """Some series of which a candle each is appended, round after round."""

    def __init__(self, store: Store, names: Sequence[Series], most: int) -> None:
        self.store, self.names = store, names
        self.candles = {
            series: walk(most, seed, series.timeframe.ms) for seed, series in enumerate(names)
        }
        self.count = 0

    def grow(self, count: int = 1) -> None:
        """Append so many candles of each."""
        until = self.count + count
        for series, candles in self.candles.items():
            for at in range(self.count, until, 500):
                assert self.store.append(series, candles[at : min(until, at + 500)]).stopped is None
        self.count = until

    def is_learned(self) -> bool:
        """Whether every series has been learned to its end."""
        ends = {series: candles[self.count - 1] for series, candles in self.candles.items()}
        records = self.store.models(self.names)
        return all(record.cursor == ends[record.series].open_time for record in records)

    def forecast(self, series: Series) -> list[int]:
        """Up to which candle each forecast was made."""
        history = self.store.link.redis.xrange(self.store.keys.forecasts(str(series)))
        return [json.loads(fields[b"forecast"])["candle_open_time"] for _, fields in history]

    def check(self, model: str, horizon: int, key: str) -> None:
        """Each is what its model comes to by its candles in order, to the last bit."""
        signer, print_ = state.Signer(key.encode()), state.fingerprint(model, horizon)
        for series, candles in self.candles.items():
            record = self.store.model(series)
            wanted = Learner(series.timeframe, horizon, model)
            first = next(at for at, one in enumerate(candles) if one.open_time == record.since)
            wanted.learn_many(candles[first : self.count])
            assert recalled(record, signer, print_).memory() == wanted.memory()
            assert record.sequence == self.count - first


def holder(store: Store) -> str:
    """The fleet that learns."""
    return str(store.overview()["fleet"])


@pytest.mark.parametrize(
    "what",
    ["key", *(pytest.param(one, marks=pytest.mark.at_length) for one in ("horizons", "model"))],
)
def test_another_takes_over_without_a_gap_and_gives_back(
    store: Store, start: Start, eventually: Eventually, what: str
) -> None:
    """Each candle has its forecast by one or the other; nobody learns anew, and nothing is lost."""
    market = Market(store, many(12), 400)
    market.grow(300)
    old = start("worker")
    eventually(market.is_learned, "the first learns")
    first = holder(store)

    def change_to(**env: str) -> None:
        """Start other workers beside, a candle coming each round, until they have the field."""
        before, rounds = holder(store), 3
        start("worker", "--processes", "2", "--rolling", **env)
        while rounds:
            time.sleep(_ROUND_S)
            market.grow()
            eventually(market.is_learned, "a candle is forecast")
            rounds -= holder(store) != before

    change_to(**OTHERS[what])
    second = holder(store)
    model = OTHERS[what].get("CANDLECAST_MODEL", "default")
    horizon = 5 if what == "horizons" else 24
    key = OTHERS[what].get("CANDLECAST_STATE_KEY", STATE_KEY)
    market.check(model, horizon, key)
    store.link.redis.delete(store.keys.relieved)  # two minutes later
    change_to()

    assert holder(store) == first != second
    market.check("default", 24, STATE_KEY)
    for series, candles in market.candles.items():
        record = store.model(series)
        assert (record.sequence, record.since) == (market.count, candles[0].open_time)
        assert (record.rebuilds, record.restores, record.dead_letters) == (0, 0, 0)
        times = [time for time in market.forecast(series) if time >= candles[299].open_time]
        assert {after - before for before, after in pairwise(times)} == {HOUR}
    assert store.totals.read()["take_overs"] == 2 * len(market.names)
    assert old.poll() is None


def test_what_can_be_gone_on_from_is_not_prepared(
    store: Store, start: Start, eventually: Eventually
) -> None:
    """A key that knows the one before it takes over at once: nothing is learned twice."""
    market = Market(store, many(3), 400)
    market.grow(300)
    start("worker")
    eventually(market.is_learned, "the first learns")
    first = holder(store)

    keys = {"CANDLECAST_STATE_KEY": NEW_KEY, "CANDLECAST_STATE_KEY_PREVIOUS": STATE_KEY}
    start("worker", "--rolling", **keys)
    eventually(lambda: holder(store) != first, "the other key takes over")
    market.grow()
    eventually(market.is_learned, "a candle is forecast")

    market.check("default", 24, NEW_KEY)
    assert {record.sequence for record in store.models(market.names)} == {301}
    assert "take_overs" not in store.totals.read()
    new = f"{state.fingerprint('default', 24)}-{state.Signer(NEW_KEY.encode()).key_id}"
    assert [store.standby.find(one, new) for one in market.names] == [None] * 3


def test_whether_it_is_ready_is_told(
    store: Store, candlecast: Callable[..., Any], start: Start, eventually: Eventually
) -> None:
    """To whoever starts and ends containers: those of before stay until the new ones learn."""
    store.append(many(1)[0], walk(300))
    assert candlecast("ready").stdout == "not ready: now learns nobody; prepares nobody\n"
    assert candlecast("worker", "--burst").returncode == 0
    assert candlecast("ready").stdout == "ready: workers of these settings learn\n"
    other = OTHERS["horizons"]
    before = candlecast("ready", **other)
    assert before.returncode == 1
    assert before.stdout.startswith("not ready: now learns default-")

    store.tick("another", "take over")
    worker = start("worker", **other)
    eventually(lambda: (store.overview()["heir"] or {}).get("ready"), "it has prepared")

    told = candlecast("ready", **other)
    assert told.returncode == 1
    assert told.stdout == "not ready: now learns another; prepares this one, for 1 of 1 series\n"
    assert candlecast("ready").stdout.startswith("not ready: now learns another; prepares default-")
    status = " ".join(candlecast("status").stdout.split())
    assert "ready for 1 of 1 series; waits until nobody learns" in status
    assert worker.poll() is None


def test_who_has_had_the_field_does_not_take_it_again(
    store: Store, start: Start, eventually: Eventually
) -> None:
    """Two that were told to take over would else take it from each other for ever."""
    market = Market(store, many(3), 40)
    market.grow(20)
    store.tick("first")
    supervisor = start("worker", "--rolling")
    eventually(market.is_learned, "it takes over and learns")
    own = holder(store)

    store.tick("second", "take over")
    eventually(lambda: (store.overview()["heir"] or {}).get("fleet") == own, "it prepares again")
    (worker,) = children(supervisor)
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: children(supervisor) not in ([], [worker]), "the next one is there")
    ready = {"fleet": own, "rolls": False, "ready": 3, "series": 3}
    store.link.redis.delete(store.keys.heir)
    eventually(lambda: store.overview()["heir"] == ready, "it has prepared")
    ticks = ticked(store)
    eventually(lambda: ticked(store) > ticks + 8, "some ticks later")

    assert holder(store) == "second"


@pytest.mark.at_length
@pytest.mark.timeout(900)
def test_five_hundred_series_of_one_minute(
    store: Store, start: Start, eventually: Eventually
) -> None:
    """No series misses more than one forecast, though minutes are ten times as short here."""
    names = [Series.parse(f"test:X{number}/USDT:1m") for number in range(500)]
    market = Market(store, names, 1_400)
    market.grow(1_000)
    start("worker", "--processes", "2")
    eventually(market.is_learned, "the first learns", seconds=400)
    first, began = holder(store), market.count

    start("worker", "--processes", "2", "--rolling", CANDLECAST_HORIZONS="1m=12")
    next_s, rounds = time.monotonic(), 5
    while rounds:
        market.grow()
        rounds -= holder(store) != first
        next_s += 6.0
        time.sleep(max(0.0, next_s - time.monotonic()))
    eventually(market.is_learned, "all is learned", seconds=60)

    live = {series: candles[began - 1].open_time for series, candles in market.candles.items()}
    gaps = [
        (after - before) // MINUTE
        for series in names
        for before, after in pairwise(one for one in market.forecast(series) if one >= live[series])
    ]
    print(market.count - began, "rounds; candles from forecast to forecast:", Counter(gaps))
    assert set(gaps) <= {1, 2}
    assert {record.rebuilds for record in store.models(names)} == {0}
    market.check("default", 12, STATE_KEY)
