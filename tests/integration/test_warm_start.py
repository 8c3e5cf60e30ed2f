"""A series that begins with what another's champion knows."""

from pathlib import Path
from typing import Any

import pytest

from models.learner import Learner
from shared.candle import Series, Timeframe
from shared.errors import InvalidValue, StateError
from shared.store import Store
from tests.integration.housekeeping import HORIZON, SIGNER, House
from tests.integration.steps import SERIES, walk
from worker.lifecycle import Restorer

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.usefixtures("field"),
    pytest.mark.filterwarnings("ignore"),  # MLflow and its libraries warn of themselves
]

NEW = Series.parse("test:NEW/USDT:1h")
WALK = walk(400)


@pytest.fixture
def house(store: Store, tmp_path: Path) -> House:
    """One with a champion of 300 candles, and another series of thirty."""
    house = House.at(store, tmp_path)
    house.learn(WALK[:300])
    house.snapshot()
    house.learn(walk(30, seed=9), NEW)
    return house


def test_it_begins_with_what_the_other_knows(house: House) -> None:
    """Then learns its own candles, all of them; its versions say where it began."""
    cold = house.said(NEW)
    taught = house.restorer.find(SERIES)

    origin = house.restorer.warm_start(NEW, taught)
    waits = house.store.model(NEW)
    house.learn([])
    house.snapshot()

    wanted = Learner(Timeframe("1h"), HORIZON)
    wanted.inherit(taught.learner)
    wanted.learn_many(walk(30, seed=9))
    record = house.store.model(NEW)
    assert (waits.sequence, waits.waiting, waits.cursor) == (0, 30, None)
    assert (record.sequence, record.waiting, record.lost, record.dead_letters) == (30, 0, 0, 0)
    assert (record.restores, record.rebuilds) == (1, 0)
    assert house.learner(NEW).outlook().median.tolist() == wanted.outlook().median.tolist()
    assert house.said(NEW)["quantiles"] != cold["quantiles"]
    (version,) = house.registry.versions(NEW)
    assert version.origin == record.origin == origin == f"{SERIES}@1"
    *_, (_, event) = house.store.link.redis.xrange(house.store.keys.events)
    assert (event[b"event"], event[b"origin"]) == (b"warm-started", origin.encode())


def test_a_version_put_back_still_says_where_it_began(house: House) -> None:
    """A model that is learned again from its own candles alone does not."""
    house.restorer.warm_start(NEW, house.restorer.find(SERIES))
    house.learn([])
    house.snapshot()
    nothing: dict[str, Any] = {"state": b"", "fingerprint": "", "scores": {}}
    house.store.restore(NEW, etag=None, cursor=None, sequence=0, since=None, **nothing)
    rebuilt = house.store.model(NEW).origin
    house.learn([])

    found = house.restorer.find(NEW, 1)
    house.restorer.put_back(found, house.event(1))

    assert (rebuilt, house.store.model(NEW).origin) == (None, f"{SERIES}@1")


def test_only_a_model_of_the_same_kind_is_a_start(house: House) -> None:
    """Of the same timeframe, horizon and model, and for a series that is there."""
    taught = house.restorer.find(SERIES)

    with pytest.raises(InvalidValue, match="timeframe"):
        house.restorer.warm_start(Series.parse("test:NEW/USDT:1d"), taught)
    with pytest.raises(InvalidValue, match="name another series"):
        house.restorer.warm_start(SERIES, taught)
    with pytest.raises(InvalidValue, match="retired"):
        house.restorer.warm_start(Series.parse("test:ELSE/USDT:1h"), taught)
    other = Restorer(house.store, house.registry, SIGNER, str)
    with pytest.raises(StateError, match="the workers run"):
        other.warm_start(NEW, taught)
    with pytest.raises(InvalidValue, match="has no `inherit`"):
        Learner(Timeframe("1h"), 3, "random-walk").inherit(
            Learner(Timeframe("1h"), 3, "random-walk")
        )
