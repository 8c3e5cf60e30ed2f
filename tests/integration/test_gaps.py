"""Candles that are missing, late, revised or impossible, from their source to the forecast."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ccxt
import numpy as np
import pytest

from api import status
from models import state
from models.learner import Learner
from producers.files import CandleFile, FileFeed, read_candles
from producers.push import Push, Totals
from producers.tables import BadFile
from shared.candle import Candle, Series
from shared.errors import InvalidValue
from shared.forecast import Forecast
from shared.records import DeadLetter
from shared.store import Store
from shared.wire import decode_forecast
from tests.integration.steps import FLEET
from tests.unit.fake_exchange import Fake, feed
from worker.publish import significant
from worker.teaching import Model
from worker.update import Updater

pytestmark = pytest.mark.usefixtures("field")

HOUR = 3_600_000
FIVE_MINUTES = 300_000
T0 = 1_700_000_000_000 // HOUR * HOUR
SERIES = Series.parse("fake:BTC/USDT:1h")
HORIZON = 3
Learn = Callable[[], None]


@pytest.fixture
def learn(store: Store) -> Learn:
    """Learn with the default model until nothing is pending."""
    updater = Updater(store, Model("default", state.Signer(b"k" * 32), lambda _: HORIZON, FLEET))

    def run() -> None:
        while store.overview()["pending"]:
            updater.run()

    return run


def walk(count: int, *, start: int = T0, step: int = HOUR, price: float = 100.0) -> list[Candle]:
    """A random walk of candles."""
    rng = np.random.default_rng(7)
    closes = price * np.exp(np.cumsum(rng.normal(0, 0.01, count)))
    opens = [price, *closes[:-1]]
    return [
        Candle(start + i * step, o, max(o, c) * 1.001, min(o, c) * 0.999, c, 5.0)
        for i, (o, c) in enumerate(zip(map(float, opens), map(float, closes), strict=True))
    ]


def flat(count: int, *, start: int, step: int, price: float) -> list[Candle]:
    """Candles in which nothing is traded."""
    return [Candle(start + i * step, price, price, price, price, 0.0) for i in range(count)]


def source(candles: Sequence[Candle], series: Series = SERIES) -> FileFeed:
    """A feed that has just these candles."""
    numbers = np.array([[c.open, c.high, c.low, c.close, c.volume] for c in candles])
    times = np.array([c.open_time for c in candles])
    return FileFeed(CandleFile(Path("f"), series, times, numbers))


def push(store: Store, candles: Sequence[Candle], series: Series = SERIES) -> Totals:
    """Push them as their source's whole truth."""
    return Push(store, [source(candles, series)]).run()


def published(store: Store, series: Series = SERIES) -> Forecast:
    """The published forecast, whose numbers are sane."""
    (raw,) = store.forecasts([series])
    assert raw is not None
    forecast = decode_forecast(raw)
    quantiles = np.array(forecast.quantiles)
    assert np.isfinite(quantiles).all()
    assert (quantiles > 0).all()
    assert (np.diff(quantiles, axis=1) >= 0).all()
    assert np.isfinite(forecast.volatility).all()
    assert all(0 <= chance <= 1 for chance in forecast.prob_up)
    return forecast


def assert_learned(store: Store, candles: Sequence[Candle], series: Series = SERIES) -> None:
    """Log, model and forecast are those of these candles, each once and in order."""
    assert store.candles(series) == list(candles)
    learner = Learner(series.timeframe, HORIZON)
    for candle in candles:
        learner.learn_one(candle)
    record, forecast = store.model(series), published(store, series)
    assert (record.sequence, record.waiting, record.lost) == (len(candles), 0, 0)
    assert record.scores == json.loads(json.dumps(learner.scores()))
    assert forecast.quantiles == tuple(map(tuple, significant(learner.outlook().quantiles)))
    assert forecast.target_times == learner.outlook().target_times


def scored(store: Store, horizon: int) -> float:
    """How many forecasts so far ahead were scored."""
    return float(store.model(SERIES).scores["horizons"][str(horizon)]["total"]["candles"])


def test_missing_candles_are_counted_and_shift_no_label(store: Store, learn: Learn) -> None:
    """A hole costs the forecasts that aimed into it their score; no other gets its candle."""
    whole = walk(60)
    there = [*whole[:20], *whole[25:40], *whole[41:]]
    push(store, there[:21])
    learn()
    assert published(store).target_times == tuple(
        there[20].open_time + ahead * HOUR for ahead in (2, 3, 4)
    )

    totals = push(store, there)
    learn()

    assert totals.holes == 1
    record = store.model(SERIES)
    assert (record.holes, record.missing, record.dead_letters) == (2, 6, 0)
    assert_learned(store, there)
    times = {candle.open_time for candle in there}
    for horizon in (1, 3):
        assert scored(store, horizon) == sum(time + horizon * HOUR in times for time in times)


def test_a_late_candle_is_refused_and_never_learned(store: Store, learn: Learn) -> None:
    """A candle for a hole that the log has passed changes nothing, from a program or a feed."""
    whole = walk(60)
    there = [*whole[:30], *whole[31:]]
    push(store, there)
    learn()
    before = store.forecasts([SERIES])

    answer = store.append(SERIES, [whole[30]], after=whole[29].open_time)
    totals = push(store, whole)
    learn()

    assert (answer.accepted, answer.refused) == (0, 1)
    assert (totals.duplicates, totals.refused, totals.accepted) == (59, 1, 0)
    record = store.model(SERIES)
    assert (record.refused, record.duplicates, record.dead_letters) == (2, 59, 0)
    assert store.forecasts([SERIES]) == before
    assert_learned(store, there)


def test_a_revised_candle_is_a_dead_letter_with_both_contents(store: Store, learn: Learn) -> None:
    """The first content stays, learned once, whoever comes later with another one."""
    candles = walk(40)
    push(store, candles)
    learn()
    other = replace(candles[12], close=candles[12].low)

    totals = push(store, [*candles[:12], other, *candles[13:]])
    learn()

    assert (totals.revised, totals.duplicates) == (1, 39)
    (letter,) = store.dead_letters.newest(str(SERIES))
    assert letter.reason == "revised"
    assert letter.candle.split()[0] == str(other.open_time)
    assert repr(other.close) in letter.candle
    assert repr(candles[12].close) in letter.error
    assert (store.model(SERIES).revised, store.model(SERIES).dead_letters) == (1, 1)
    assert_learned(store, candles)


@pytest.mark.parametrize("backfilled", [True, False], ids=["backfilled", "nothing traded"])
def test_an_outage_of_the_exchange(store: Store, learn: Learn, *, backfilled: bool) -> None:
    """The forecast goes stale meanwhile; then what the exchange has is learned, a hole or none."""
    hour = time.time_ns() // 1_000_000 // HOUR * HOUR
    candles = walk(60, start=hour - 60 * HOUR)
    there = candles if backfilled else [*candles[:50], *candles[56:]]
    rows = [[c.open_time, c.open, c.high, c.low, c.close, c.volume] for c in there]
    fake = Fake(rows=rows, now_ms=hour - 10 * HOUR + 15_000)

    def until(end: int) -> Callable[[], bool]:
        return lambda: fake.now_ms >= end

    work = Push(store, [feed(fake, since=hour - 60 * HOUR)], clock=fake.clock, sleep=fake.sleep)
    work.run(until(fake.now_ms + 5_000))
    learn()
    fake.now_ms, fake.failures = hour + 5_000, [ccxt.NetworkError("down")] * 4
    work.run(lambda: len(fake.failures) <= 1)
    learn()
    (row,) = status.report(store)["series"]
    assert (row["stale"], row["cursor"]) == (True, hour - 11 * HOUR)

    work.run(until(fake.now_ms + 60_000))
    learn()

    (row,) = status.report(store)["series"]
    assert (row["stale"], row["cursor"]) == (False, hour - HOUR)
    record = store.model(SERIES)
    assert (record.holes, record.missing) == ((0, 0) if backfilled else (1, 6))
    assert (record.revised, record.refused, record.dead_letters) == (0, 0, 0)
    assert_learned(store, there)


def test_days_without_a_trade(store: Store, learn: Learn) -> None:
    """Flat candles narrow the forecast, never break it, and it widens when trade comes back."""
    series = Series.parse("fake:QUIET/USDT:5m")
    busy = walk(300, step=FIVE_MINUTES)
    at_rest, price = 3 * 288, busy[-1].close
    first = T0 + 300 * FIVE_MINUTES
    quiet = flat(at_rest, start=first, step=FIVE_MINUTES, price=price)
    again = walk(300, start=first + at_rest * FIVE_MINUTES, step=FIVE_MINUTES, price=price)
    candles = [*busy, *quiet, *again]

    widths = {}
    for end in (*range(150, len(candles), 150), len(candles)):
        push(store, candles[:end], series)
        learn()
        forecast = published(store, series)
        low, *_, high = forecast.quantiles[0]
        widths[end] = (high - low) / forecast.last_close

    assert widths[1_050] < 0.1 * widths[300]
    assert widths[len(candles)] > 0.5 * widths[300]
    assert published(store, series).status in {"live", "fallback"}
    assert_learned(store, candles, series)


def test_a_market_that_moves_by_single_ticks(store: Store, learn: Learn) -> None:
    """A price of a few ticks, most candles without a trade: forecasts stay above zero."""
    series = Series.parse("fake:DUST/USDT:5m")
    rng = np.random.default_rng(3)
    moves = rng.choice([-1, 0, 1], 600, p=[0.05, 0.9, 0.05])
    ticks = np.maximum(12 + np.cumsum(moves), 1)
    prices = [float(f"{tick}e-8") for tick in ticks]
    candles = [
        Candle(T0 + i * FIVE_MINUTES, o, max(o, c), min(o, c), c, 0.0 if o == c else 1.0)
        for i, (o, c) in enumerate(zip([prices[0], *prices], prices, strict=False))
    ]

    for end in range(100, 601, 100):
        push(store, candles[:end], series)
        learn()
        published(store, series)

    assert_learned(store, candles, series)


@pytest.mark.parametrize("share", [0.6, 0.2])
def test_an_exchange_that_omits_candles_without_trades(
    store: Store, learn: Learn, share: float
) -> None:
    """Holes of hours are counted; where chance leaves them out, the next hour is still expected."""
    rng = np.random.default_rng(5)
    there = [candle for candle in walk(1_000) if rng.random() < share]

    push(store, there)
    learn()

    steps = np.diff([candle.open_time for candle in there]) // HOUR
    record, adjoining = store.model(SERIES), (steps == 1).sum()
    assert (record.holes, record.missing) == ((steps > 1).sum(), (steps - 1).sum())
    assert_learned(store, there)
    assert scored(store, 1) == adjoining
    assert published(store).target_times[0] == there[-1].open_time + 2 * HOUR


def test_candles_of_a_shorter_timeframe_are_refused_whole(store: Store) -> None:
    """A program that sends minutes as hours is told which time is off the grid; all stay out."""
    minutes = walk(30, step=60_000)

    for send in (lambda: store.append(SERIES, minutes), lambda: push(store, minutes)):
        with pytest.raises(InvalidValue, match=f"open_time={T0 + 60_000}.*check the timeframe"):
            send()

    assert store.series() == []


def test_candles_of_a_longer_timeframe_are_no_file_of_holes(tmp_path: Path) -> None:
    """Each lies on the grid, but all of them together are of another series."""
    lines = [
        f"{c.open_time},{c.open},{c.high},{c.low},{c.close},5" for c in walk(40, step=4 * HOUR)
    ]
    path = tmp_path / "fake-BTCUSDT-1h.csv"
    path.write_text("\n".join(["open_time,open,high,low,close,volume", *lines]))

    with pytest.raises(BadFile, match="the rows are 4h apart, these are not 1h candles"):
        read_candles(path)


def test_another_timeframe_is_another_series(store: Store, learn: Learn) -> None:
    """It learns from its own candles alone, and the old one is retired without a trace."""
    longer = Series.parse("fake:BTC/USDT:4h")
    start = T0 // (4 * HOUR) * 4 * HOUR
    hourly, fours = walk(30), walk(30, start=start, step=4 * HOUR)
    push(store, hourly)
    push(store, fours, longer)
    learn()
    assert_learned(store, hourly)

    assert store.retire(SERIES, revision=store.model(SERIES).revision)

    assert store.series() == [longer]
    assert store.forecasts([SERIES]) == [None]
    assert_learned(store, fours, longer)


def test_a_row_of_an_exchange_far_ahead(store: Store, learn: Learn) -> None:
    """It is a dead letter, once, and the candles around it are learned."""
    candles = walk(50)
    rows: list[Any] = [[c.open_time, c.open, c.high, c.low, c.close, c.volume] for c in candles]
    rows.append([T0 + 500_000 * HOUR, *rows[-1][1:]])
    fake = Fake(rows=rows, now_ms=T0 + 50 * HOUR + 15_000)

    def refuse(row: str, error: str) -> None:
        letter = DeadLetter(candle=row, reason="invalid", error=error)
        store.dead_letters.put(SERIES, letter)

    ahead = feed(fake, since=T0, refuse=refuse)
    Push(store, [ahead], clock=fake.clock, sleep=fake.sleep).run(
        lambda: fake.now_ms > T0 + 51 * HOUR + 60_000
    )
    learn()

    assert [letter.reason for letter in store.dead_letters.newest(str(SERIES))] == ["invalid"]
    assert store.model(SERIES).dead_letters == 1
    assert_learned(store, candles)


def test_a_candle_of_a_program_far_ahead(store: Store, learn: Learn) -> None:
    """The store refuses all of that append; a push sets the one aside and goes on."""
    candles = walk(50)
    ahead = replace(candles[20], open_time=T0 + 500_000 * HOUR)
    wrong = [*candles[:20], ahead, *candles[20:]]
    with pytest.raises(InvalidValue, match="closed candles only"):
        store.append(SERIES, wrong)
    assert store.series() == []

    totals = push(store, wrong)
    learn()

    assert (totals.accepted, totals.set_aside, totals.holes) == (50, 1, 0)
    (letter,) = store.dead_letters.newest(str(SERIES))
    assert (letter.reason, letter.candle.split()[0]) == ("invalid", str(ahead.open_time))
    assert_learned(store, candles)


def test_a_wrong_time_that_is_past_is_the_source_s_word(store: Store, learn: Learn) -> None:
    """Nobody can tell it from a long hole: it is learned, what follows is late, a retire mends."""
    candles = walk(50)
    ahead = replace(candles[-1], open_time=T0 + 10_000 * HOUR)
    push(store, [*candles[:20], ahead])
    totals = push(store, candles)
    learn()
    record = store.model(SERIES)
    assert (totals.refused, record.holes, record.missing) == (30, 1, 9_980)

    assert store.retire(SERIES, revision=record.revision)
    push(store, candles)
    learn()

    assert_learned(store, candles)
