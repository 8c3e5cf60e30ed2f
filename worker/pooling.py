"""Pretraining over candle files: what each series teaches, in several processes at once."""

import hashlib
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import models
from models import pretrain, seasons, twins
from models.constants import Prior
from models.pretrain import Lessons
from shared.candle import Candle, Series, Timeframe
from shared.errors import InvalidValue
from worker.cores import forked

EPOCHS = 20
"""Times that training sees each row."""

# Of markets that are made up few rows will do: more would be at the cost of the real ones.
_ROWS_A_TWIN_LESSON = 10
_LONGER = {
    "1m": ("3m",),
    "5m": ("10m",),
    "15m": ("30m",),
    "1h": ("2h", "4h", "1d"),
}


@dataclass(frozen=True, slots=True)
class Pool:
    """One series of the pool, its candles in order."""

    series: Series
    candles: Sequence[Candle]


def train(
    pools: Sequence[Pool],
    *,
    seed: int,
    processes: int,
    on_lessons: Callable[[int], object] = lambda _: None,
    on_epoch: Callable[[int, float], object] = lambda _epoch, _loss: None,
) -> Prior:
    """Return the prior of these series; the order in which they are given does not matter.

    Parameters
    ----------
    pools
        Each series once.
    seed
        See `models.pretrain.train`.
    processes
        How many series are gone through at once; the result does not depend on it.
    on_lessons
        Called after each series with the number of those that are done.
    on_epoch
        Called after each epoch with its number and its mean loss.

    Raises
    ------
    InvalidValue
        When there is too little to learn from.
    """
    pools = sorted((pool for pool in pools if pool.candles), key=lambda pool: str(pool.series))
    if not pools:
        raise InvalidValue("candles", 0, "there are none before that day: give a later --until")
    with forked(min(processes, len(pools))) as executor:
        closes = executor.map(_keeps_hours, pools)
        open_always = [pool for pool, does in zip(pools, closes, strict=True) if not does]
        prior = pretrain.untrained(
            seasons.fit([(pool.candles, pool.series.timeframe) for pool in open_always])
        )
        lessons: list[Lessons] = []
        for done, found in enumerate(executor.map(_lessons, pools, [prior] * len(pools)), 1):
            lessons.extend(found)
            on_lessons(done)
    trained = pretrain.train(lessons, prior, seed=seed, epochs=EPOCHS, on_epoch=on_epoch)
    last = max(pool.candles[-1].open_time + pool.series.timeframe.ms for pool in pools)
    return replace(trained, trained_until=last)


def recipe() -> str:
    """Return a digest of the code that decides what a prior comes to be."""
    sources = [Path(__file__), *sorted(Path(str(models.__file__)).parent.glob("*.py"))]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


def _keeps_hours(pool: Pool) -> bool:
    return pretrain.keeps_hours(pool.candles, pool.series.timeframe)


def _lessons(pool: Pool, prior: Prior) -> list[Lessons]:
    """Return the lessons of a series, of its longer candles, and some of what is made of it."""
    timeframe, candles = pool.series.timeframe, pool.candles
    lessons = [pretrain.lessons_of(candles, timeframe, prior)]
    for name in _LONGER.get(str(timeframe), ()):
        longer = Timeframe(name)
        lessons.append(pretrain.lessons_of(twins.longer(candles, longer), longer, prior))
    return lessons + [
        pretrain.lessons_of(twin, timeframe, prior).every(_ROWS_A_TWIN_LESSON)
        for twin in _twins(pool)
    ]


def _twins(pool: Pool) -> list[list[Candle]]:
    """Return other markets made of one that is always open: with hours, and with little trade."""
    timeframe, candles = str(pool.series.timeframe), pool.candles
    if timeframe not in _LONGER or _keeps_hours(pool):
        return []
    # A seed of its own, whatever else is in the pool.
    made = [twins.thinned(candles, zlib.crc32(str(pool.series).encode()))]
    return [*made, twins.sessions(candles)] if timeframe == "1h" else made
