"""Who is held against whom, over which candles, and by how much."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from models import state
from models.gate import Bar, Showing
from shared.store import Store
from tests.integration.housekeeping import EASY, House, widen
from tests.integration.steps import HOUR, SERIES, T0, walk

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.usefixtures("field"),
    pytest.mark.filterwarnings("ignore"),  # MLflow and its libraries warn of themselves
]

WALK = walk(500)
LOW = Bar(candles=100, skill=-9.0, coverage=(0.0, 1.0))


@pytest.fixture
def house(store: Store, tmp_path: Path) -> House:
    """One whose series has a champion of 300 candles."""
    house = House.at(store, tmp_path)
    house.learn(WALK[:300])
    house.snapshot(EASY)
    return house


def test_a_series_that_redis_has_forgotten_keeps_its_champion(house: House) -> None:
    """MLflow remembers it: whoever comes after is held against it."""
    key = house.store.keys.model(str(SERIES))
    names = ("champion", "snapshot_version", "snapshot_alias", "snapshot_revision")
    house.change(widen)
    house.learn(WALK[300:301])
    house.store.link.redis.hdel(key, *names)

    house.snapshot(LOW)

    newest, *_ = house.registry.versions(SERIES)
    assert newest.reasons.startswith("no continuation of version 1: to be met over 40 candles")
    assert house.champion.version == 1


def test_another_lineage_is_met_anew(house: House) -> None:
    """What its predecessor was met over is not its own."""
    house.change(widen)
    house.learn(WALK[300:301])
    house.snapshot(LOW)
    house.learn(WALK[301:360])
    house.snapshot(LOW)
    met_long = house.registry.versions(SERIES)[0]
    house.restore(met_long.number)
    house.learn(WALK[360:361])

    house.snapshot(LOW)

    newest = house.registry.versions(SERIES)[0]
    assert met_long.met_since == WALK[300].open_time
    assert newest.met_since == WALK[360].open_time
    assert "to be met over 40 candles, 0 so far" in newest.reasons


def test_what_was_buried_and_learned_since_is_learned_by_the_champion_too(house: House) -> None:
    """A put back model learns what another had to step over; so does who is compared with it."""
    house.learn(WALK[300:320])
    letter = {"series": str(SERIES), "candle": f"{WALK[305].open_time} 1 1 1 1 1"}
    letters = house.store.keys.dead_letters
    house.store.link.redis.xadd(letters, letter | {"reason": "model raised", "error": "unlucky"})
    house.store.link.redis.hset(house.store.keys.model(str(SERIES)), "dead_letters", 1)

    record = house.store.model(SERIES)
    by_now = house.judge().by_now(record, house.champion)

    assert by_now.sequence == record.sequence == 320
    assert state.body(by_now) == state.body(house.learner())


@pytest.mark.parametrize("same_candles", [True, False])
def test_only_who_has_learned_the_same_candles_has_less_noise(
    house: House, monkeypatch: pytest.MonkeyPatch, *, same_candles: bool
) -> None:
    """The rest of what two models have shown is the same to the bit, or is not."""
    asked: list[int | None] = []

    def spy(self: Showing, other: Showing, margin: object = None, apart: int | None = None) -> bool:
        assert self != other
        assert margin is None
        asked.append(apart)
        return False

    if same_candles:
        house.change(widen)
    else:
        log = house.store.keys.candles(str(SERIES))
        house.store.link.redis.xtrim(log, minid=T0 + 100 * HOUR, approximate=False)
        nothing: dict[str, Any] = {"state": b"", "fingerprint": "", "scores": {}}
        house.store.restore(SERIES, etag=None, cursor=None, sequence=0, since=None, **nothing)
    house.learn(WALK[300:301])
    house.snapshot(EASY)
    house.learn(WALK[301:361])
    monkeypatch.setattr(Showing, "is_worse_than", spy)
    house.snapshot(EASY)

    assert asked == [60 if same_candles else None]


def test_a_champion_that_is_better_holds_off_by_noise_alone(house: House) -> None:
    """As far below as noise goes, and no further."""
    shown = Showing.of(house.learner())
    assert shown.skill is not None
    assert shown.error is not None
    below = [
        dataclasses.replace(shown, skill=shown.skill - part * 2 * shown.error)
        for part in (0.99, 1.01)
    ]

    assert [one.is_worse_than(shown) for one in below] == [False, True]
