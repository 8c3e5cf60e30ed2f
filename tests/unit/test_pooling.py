"""Pretraining over several series."""

import zlib
from itertools import pairwise

import numpy as np
import pytest

from models import twins
from models.constants import Prior
from models.hours import DAY_MS, HOUR_MS, MONDAY_MS
from shared.candle import Candle, Series
from tests.priors import draw_prior

pytest.importorskip("autograd", reason="training needs the extra pretrain")

from models.pretrain import Lessons, lessons_of
from worker import pooling
from worker.pooling import Pool

# From Python 3.12 on a fork is warned of where there are threads: here those of pytest's workers.
pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


def pool(name: str, count: int, *, seed: int = 1, closes_at_night: bool = False) -> Pool:
    """Draw candles of a random walk under this name."""
    series, rng = Series.parse(name), np.random.default_rng(seed)
    closes = (100 * np.exp(np.cumsum(0.005 * rng.standard_t(5, count + 1)))).tolist()
    candles = [
        Candle(MONDAY_MS + n * series.timeframe.ms, o, max(o, c), min(o, c), c, 1.0 + n % 7)
        for n, (o, c) in enumerate(pairwise(closes))
    ]
    return Pool(series, twins.sessions(candles) if closes_at_night else candles)


HOURLY = pool("a:BTC/USDT:1h", 290)
QUARTERLY = pool("a:ETH/USDT:15m", 260, seed=2)
DAILY = pool("a:BTC/USDT:1d", 240, seed=3)
STOCK = pool("a:STOCK/USD:1h", 24 * 7 * 7, seed=4, closes_at_night=True)


def train(*pools: Pool, seed: int = 1, processes: int = 2) -> Prior:
    """Train on some series."""
    return pooling.train(pools, seed=seed, processes=processes)


def test_neither_order_nor_processes_count() -> None:
    """The same series give the same constants, bit for bit; another seed gives others."""
    pools = HOURLY, QUARTERLY, DAILY
    done: list[int] = []
    epochs: list[int] = []

    first = pooling.train(
        pools,
        seed=1,
        processes=3,
        on_lessons=done.append,
        on_epoch=lambda epoch, _loss: epochs.append(epoch),
    )

    assert train(*reversed(pools), processes=1).digest == first.digest
    assert first.trained_until == MONDAY_MS + 240 * DAY_MS  # the end of the last one
    assert train(*pools, seed=2).digest != first.digest
    assert train(*pools[:2]).digest != first.digest
    assert done == [1, 2, 3]
    assert epochs == list(range(1, pooling.EPOCHS + 1))


def test_the_calendar_is_that_of_markets_around_the_clock() -> None:
    """A market with hours of its own teaches the network, and leaves the seasons as they were."""
    without, with_ = train(HOURLY, QUARTERLY), train(STOCK, HOURLY, QUARTERLY)

    assert with_.digest != without.digest
    for name in ("hour", "weekday", "week", "part", "day"):
        assert (getattr(with_, name) == getattr(without, name)).all()
    assert without.hour.any()
    assert without.part.any()


def same(one: Lessons, other: Lessons) -> bool:
    """Whether two series teach the same, bit for bit."""
    return all(
        np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True)
        for name in ("features", "labels", "sizes")
    )


def test_a_series_teaches_as_other_markets_too() -> None:
    """An hourly one also as longer candles, and some of it with closing hours or little trade."""
    whole, prior = pool("a:BTC/USDT:1h", 24 * 7 * 6), draw_prior()
    seed = zlib.crc32(b"a:BTC/USDT:1h")

    taught = pooling._lessons(whole, prior)

    own, two, _four, day, thin, session = taught
    closing, still = twins.sessions(whole.candles), twins.thinned(whole.candles, seed)
    assert same(own, lessons_of(whole.candles, whole.series.timeframe, prior))
    assert same(session, lessons_of(closing, whole.series.timeframe, prior).every(10))
    assert same(thin, lessons_of(still, whole.series.timeframe, prior).every(10))
    assert two.features[0, 35] == pytest.approx(np.log(2) / 4)
    assert [len(lessons) for lessons in taught] == [807, 303, 51, 0, 81, 4]
    assert len(day) == 0


@pytest.mark.parametrize(
    ("given", "hours"),
    [
        (QUARTERLY, [1 / 4, 1 / 2, 1 / 4]),
        (pool("a:BTC/USDT:5m", 900), [1 / 12, 1 / 6, 1 / 12]),
        (pool("a:BTC/USDT:1m", 900), [1 / 60, 1 / 20, 1 / 60]),
        (pool("a:BTC/USDT:4h", 300), [4]),
        (DAILY, [24]),
    ],
    ids=["15m", "5m", "1m", "4h", "1d"],
)
def test_which_markets_are_made_of_a_timeframe(given: Pool, hours: list[float]) -> None:
    """Twins are longer and thinner; of four hours and more there are none."""
    taught = pooling._lessons(given, draw_prior())

    lengths = [lessons.features[0, 35] if len(lessons) else None for lessons in taught]
    assert len(lengths) == len(hours)
    known = [(length, hour) for length, hour in zip(lengths, hours, strict=True) if length]
    assert [length for length, _ in known] == pytest.approx([np.log(hour) / 4 for _, hour in known])


def test_no_exchange_is_made_of_one_that_closes() -> None:
    """A market with hours of its own is not cut or thinned further: longer candles are all."""
    taught = pooling._lessons(STOCK, draw_prior())

    assert len(taught) == 1 + 3
    assert len(taught[0]) == len(STOCK.candles) - 201
    assert len({candle.open_time % DAY_MS // HOUR_MS for candle in STOCK.candles}) == 8
