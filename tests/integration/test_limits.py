"""What Redis has to hold and to do, bounded as ``docs/redis.md`` states it."""

import subprocess
from collections.abc import Callable

import pytest

from models import state
from shared.candle import Series
from shared.errors import InvalidValue
from shared.limits import Limits
from shared.records import DeadLetter
from shared.store import Store
from tests.integration.steps import FLEET, SERIES, candles, learned, only, walk
from worker.teaching import Model
from worker.update import Updater

STATED_BYTES = 850_000
LETTER = DeadLetter(candle="7", reason="invalid", error="no candle")
# Redis trims a stream by whole nodes, of a hundred entries at most.
NODE = 100


@pytest.mark.usefixtures("field")
def test_a_series_takes_no_more_memory_than_stated(store: Store) -> None:
    """A full log, a full history and a model of the default horizons, prices of 17 digits."""
    limits = Limits()
    small = Store(store.link, limits)
    model = Model("default", state.Signer(b"k" * 32), lambda _: 24, FLEET)
    updater, rows = Updater(small, model), walk(limits.retention + limits.history + 50)
    live = len(rows) - limits.history
    for first in range(0, live, 500):
        small.append(SERIES, rows[first : min(first + 500, live)])
        while small.model(SERIES).waiting:
            updater.run()
    for candle in rows[live:]:
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

    store.dead_letters.put(SERIES, DeadLetter(reason="invalid", **texts))

    (letter,) = store.dead_letters.newest()
    assert len(getattr(letter, part)) == 4_000
    assert letter.error.endswith("the end" if part == "error" else "it said")


def test_rows_that_are_refused_push_the_oldest_letters_out(store: Store) -> None:
    """However much nonsense a file holds, Redis keeps about as many letters as it is told."""
    small = Store(store.link, Limits(dead_letters=10))

    for number in range(4 * NODE):
        row = DeadLetter(candle=f"row {number}", reason="invalid", error="close is NaN")
        small.dead_letters.put(SERIES, row)

    kept = [letter.candle for letter in small.dead_letters.newest()]
    assert 10 <= len(kept) <= 10 + NODE
    assert kept[:10] == [f"row {number}" for number in range(4 * NODE - 1, 4 * NODE - 11, -1)]


@pytest.mark.usefixtures("field")
def test_candles_that_are_buried_push_the_oldest_letters_out(store: Store) -> None:
    """The same where the commit script sets them aside."""
    small = Store(store.link, Limits(dead_letters=10))
    small.append(SERIES, candles(0, 4 * NODE))

    for number in range(4 * NODE):
        letter = DeadLetter(candle=f"candle {number}", reason="model raised", error="poison")
        small.commit([learned(only(small.claim(FLEET)), 1, letter)])

    kept = [letter.candle for letter in small.dead_letters.newest()]
    assert 10 <= len(kept) <= 10 + NODE
    assert kept[0] == f"candle {4 * NODE - 1}"
    assert small.model(SERIES).dead_letters == 4 * NODE


def test_what_waits_is_counted_exactly_and_never_long_at_once(store: Store) -> None:
    """On whichever side of the cursor there is less; Redis is asked again for what is left."""
    names = [Series.parse(f"test:S{i}/USDT:1h") for i in range(5)]
    holed = [*candles(0, 200), *candles(2_000, 100), *candles(2_200, 200)]
    counts = [0, 100, 250, 300, 499]
    for series, count in zip(names, counts, strict=True):
        store.append(series, holed)
        if count:
            cursor = holed[count - 1].open_time
            store.link.redis.hset(store.keys.model(str(series)), "cursor", cursor)

    said = [record.waiting for record in store.models(names * 4)]

    assert said == [500 - count for count in counts] * 4
    answered = [len(store.link.run("waiting", 300, *[str(series)] * 9)) for series in names]
    assert answered == [9, 4, 2, 2, 9]


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        (Limits(allowed_series=("only:*",)), "CANDLECAST_ALLOWED_SERIES"),
        (Limits(max_series=1), "there are 1 series"),
    ],
)
def test_what_may_not_be_pushed_may_not_be_set_aside_either(
    store: Store, limits: Limits, says: str
) -> None:
    """A series that is refused leaves neither letters nor keys, however often it is tried."""
    store.append(SERIES, candles(0, 1))
    bounded, before = Store(store.link, limits), sorted(store.link.redis.keys())

    for number in range(5):
        with pytest.raises(InvalidValue, match=says):
            bounded.dead_letters.put(Series.parse(f"wild:X{number}/USDT:1h"), LETTER)

    assert sorted(store.link.redis.keys()) == before
    if limits.max_series == 1:
        bounded.dead_letters.put(SERIES, LETTER)
        assert bounded.model(SERIES).dead_letters == 1


@pytest.mark.at_length
def test_a_series_of_dead_letters_alone_is_listed_and_retired(
    store: Store, candlecast: Callable[..., "subprocess.CompletedProcess[str]"]
) -> None:
    """What is counted for a series stands where operators look, and goes with the series."""
    store.dead_letters.put(SERIES, LETTER)

    listed = candlecast("series", "list").stdout
    status = candlecast("status").stdout
    retired = candlecast("series", "retire", str(SERIES), "--yes")

    assert f"{SERIES}  live" in listed
    assert f"{SERIES}: -, no forecast; 0 learned, 0 waiting, 1 dead letters, 0 lost" in status
    assert retired.returncode == 0, retired.stderr
    left = {store.keys.dead_letters.encode(), store.keys.totals.encode()}
    assert {*store.link.redis.keys()} == left
