"""Steps of the protocol that several tests take."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from shared.candle import Candle, Series
from shared.limits import Limits
from shared.records import Batch, Claim, Commit, DeadLetter
from shared.store import Store

HOUR = 3_600_000
T0 = 1_700_000_000_000 // HOUR * HOUR
SERIES = Series.parse("test:BTC/USDT:1h")
FLEET = "fleet-a"
RQ = str(Path(sys.executable).with_name("rq"))
CLASS = ["-w", "worker.candle_worker.CandleWorker"]


def candles(first: int, count: int, close: float = 100.0) -> list[Candle]:
    """Hourly candles from the ``first``-th hour on."""
    return [
        Candle(T0 + i * HOUR, close, close + 1, close - 1, close, 5.0)
        for i in range(first, first + count)
    ]


def walk(count: int, seed: int = 1, step: int = HOUR) -> list[Candle]:
    """Hourly, or other, candles of a seeded random walk with fat tails."""
    rng = np.random.default_rng(seed)
    closes = 100 * np.exp(np.cumsum(0.005 * rng.standard_t(4, count)))
    opens = np.r_[100.0, closes[:-1]]
    wick = 1 + 0.002 * rng.exponential(1.0, (2, count))
    highs, lows = np.maximum(opens, closes) * wick[0], np.minimum(opens, closes) / wick[1]
    volumes = rng.gamma(2.0, 10.0, count)
    rows = zip(opens, highs, lows, closes, volumes, strict=True)
    return [Candle(T0 + i * step, *map(float, row)) for i, row in enumerate(rows)]


def learned(claim: Claim, count: int | None = None, dead: DeadLetter | None = None) -> Commit:
    """A commit of the claim's first ``count`` candles."""
    entries = claim.entries[:count]
    return Commit(
        claim=claim,
        entries=entries,
        learned=len(entries) - bool(dead),
        state=b"state",
        fingerprint="f",
        scores={},
        since=claim.since or T0,
        forecast=b"{}",
        dead_letter=dead,
    )


def patient(store: Store) -> Store:
    """The same store with claims that do not come back within a test."""
    return Store(store.link, Limits(lease_ms=60_000))


def hasty(store: Store) -> Store:
    """The same store with claims that are due again at once."""
    return Store(store.link, Limits(lease_ms=0))


def only(batch: Batch) -> Claim:
    """The one claim of a batch."""
    (claim,) = batch.claims
    return claim


def times(entries: Sequence[tuple[bytes, list[bytes]]]) -> list[int]:
    """Open times of log entries, in hours after T0."""
    return [(int(entry_id.partition(b"-")[0]) - T0) // HOUR for entry_id, _ in entries]
