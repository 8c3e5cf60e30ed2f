"""Producers race, are killed and start over."""

import time

import numpy as np
import pytest

from shared.candle import Series
from tests.faults.outcome import Outcome, Row
from tests.faults.sources import LONG
from tests.faults.stage import Stage

pytestmark = pytest.mark.timeout(900 if LONG else 90)


def test_racing_producers(
    stage: Stage,
    chance: np.random.Generator,
    fault_free: dict[Series, Outcome],
    table: list[Row],
) -> None:
    """Three push the same candles, and one of them starts over now and then."""
    stage.start_workers(2)
    stage.feed(60 if LONG else 3)
    stage.feed(50 if LONG else 2)
    third = stage.feed(40 if LONG else 2)
    for _ in stage.strikes(10 if LONG else 1, (0.3, 1.0), chance):
        stage.kill(third)
        third = stage.feed(40 if LONG else 2)
    stage.settle("producers racing", fault_free, table)
    records = stage.store().models(list(fault_free))
    assert all(record.duplicates > 0 for record in records)
    assert [record.revised for record in records] == [0] * len(records)


def test_killed_producers(
    stage: Stage,
    chance: np.random.Generator,
    fault_free: dict[Series, Outcome],
    table: list[Row],
) -> None:
    """The only producer is killed again and again; the next one goes on from the log's end."""
    stage.start_workers(2)
    producer = stage.feed(40 if LONG else 5)
    for _ in stage.strikes(15 if LONG else 1, (0.3, 1.5), chance):
        since = time.monotonic()
        stage.kill(producer)
        producer = stage.feed(40 if LONG else 2)
        stage.wait_until_under_way(since)
    stage.settle("producers killed", fault_free, table)
