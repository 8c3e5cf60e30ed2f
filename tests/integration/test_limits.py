"""What a series may take of Redis, as ``docs/redis.md`` states it."""

import pytest

from models import state
from shared.records import DeadLetter, Limits
from shared.store import Store
from tests.integration.steps import FLEET, SERIES, walk
from worker.update import Model, Updater

STATED_BYTES = 850_000


def test_a_series_takes_no_more_memory_than_stated(store: Store) -> None:
    """A full log, a full history and a model of the default horizons, prices of 17 digits."""
    limits = Limits()
    small = Store(store.link, limits)
    model = Model("default", state.Signer(b"k" * 32), lambda _: 24, FLEET)
    updater, candles = Updater(small, model), walk(limits.retention + limits.history + 50)
    live = len(candles) - limits.history
    for first in range(0, live, 500):
        small.append(SERIES, candles[first : min(first + 500, live)])
        while small.model(SERIES).waiting:
            updater.run()
    for candle in candles[live:]:
        small.append(SERIES, [candle])
        updater.run()

    (taken,) = small.memory([SERIES])

    redis, keys = small.link.redis, small.keys
    assert redis.xlen(keys.candles(str(SERIES))) == limits.retention
    assert redis.xlen(keys.forecasts(str(SERIES))) == limits.history
    assert STATED_BYTES / 2 < taken < STATED_BYTES


@pytest.mark.parametrize("part", ["candle", "error"])
def test_a_dead_letter_is_no_longer_than_a_reader_needs(store: Store, part: str) -> None:
    """However long a row or a traceback is, its letters cannot fill Redis; an error's end stays."""
    texts = {"candle": "7", "error": "it said", part: "x" * 100_000 + "the end"}

    store.dead_letters.put(str(SERIES), DeadLetter(reason="invalid", **texts))

    (letter,) = store.dead_letters.newest()
    assert len(getattr(letter, part)) == 4_000
    assert letter.error.endswith("the end" if part == "error" else "it said")
