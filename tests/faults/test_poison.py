"""A candle that makes the model raise, one that kills its worker, one that hangs it."""

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.candle import Series
from tests.faults import poisoned
from tests.faults.outcome import Outcome, Row, lost_and_doubled, outcome_of
from tests.faults.sources import LONG, Source, write
from tests.faults.stage import Stage

pytestmark = pytest.mark.timeout(600 if LONG else 90)

POISONS = poisoned.POISONS
# Each that hangs is gone for ten seconds, and a candle is buried after five: that many more.
PROCESSES = 8


def poison(source: Source, folder: Path, name: str) -> Source:
    """The same candles as another series, the one in the middle poisonous."""
    candles = list(source.candles)
    middle = len(candles) // 2
    candles[middle] = dataclasses.replace(candles[middle], volume=poisoned.volume(name))
    exchange, frame = source.series.exchange, source.series.timeframe
    return write(folder, f"{exchange}-{name.upper()}-{frame}", candles)


def anonymous(outcome: Outcome) -> Outcome:
    """An outcome without the name of its series."""
    names = ("series", "exchange", "symbol")
    forecast = {key: value for key, value in outcome.forecast.items() if key not in names}
    return dataclasses.replace(outcome, forecast=forecast)


def poison_letters(stage: Stage) -> dict[str, tuple[int, str]]:
    """Open time and reason of the dead letter of each series that has one."""
    store = stage.store()
    letters = store.link.redis.xrange(store.keys.dead_letters)
    read = [{k.decode(): v.decode() for k, v in letter.items()} for _, letter in letters]
    return {x["series"]: (int(x["candle"].split()[0]), x["reason"]) for x in read}


def test_exactly_the_poison_is_a_dead_letter(
    stages: Callable[[list[Source]], Stage],
    sources: list[Source],
    tmp_path: Path,
    fault_free: dict[Series, Outcome],
    table: list[Row],
) -> None:
    """Neighbours are spared, and however a candle did its harm, its series goes on the same."""
    poisonous = [poison(sources[0], tmp_path, name) for name in POISONS]
    stage = stages([*sources, *poisonous])
    command = (sys.executable, "-P", poisoned.__file__, "worker", "--processes", str(PROCESSES))
    stage.start("worker", *command, CANDLECAST_LEASE_MS="1500")
    stage.feed(20 if LONG else 2)
    stage.wait_until_under_way()
    for _ in poisonous:
        stage.watch.strike()
    stage.settle("poison: " + ", ".join(POISONS), fault_free, table, dead=len(poisonous))

    store = stage.store()
    at = sources[0].candles[len(sources[0].candles) // 2].open_time
    reasons = {"raises": "model raised", "kills": "kills workers", "hangs": "kills workers"}
    assert poison_letters(stage) == {
        str(source.series): (at, reasons[name])
        for name, source in zip(POISONS, poisonous, strict=True)
    }
    assert {lost_and_doubled(store, source, dead=1) for source in poisonous} == {(0, 0)}
    first, *others = (anonymous(outcome_of(store, source.series)) for source in poisonous)
    assert all(other == first for other in others)
