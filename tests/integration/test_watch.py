"""Models that have failed give way to their champions, and others do not."""

import math
from pathlib import Path

import pytest

from models.learner import Learner
from shared.store import Store
from tests.integration.housekeeping import EASY, HARD, House
from tests.integration.steps import HOUR, SERIES, T0, walk

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.usefixtures("field"),
    pytest.mark.filterwarnings("ignore"),  # MLflow and its libraries warn of themselves
]

WALK = walk(900)
NAME = str(SERIES)


@pytest.fixture
def house(store: Store, tmp_path: Path) -> House:
    """One whose series has a champion of 400 candles, and has learned 40 more."""
    house = House.at(store, tmp_path)
    house.learn(WALK[:400])
    house.snapshot(EASY)
    house.learn(WALK[400:440])
    return house


def poison(learner: Learner) -> None:
    """Make all that is said not finite."""
    learner.forecaster.tracker.sizes[:] = math.nan  # type: ignore[attr-defined]
    learner.recalled()


def widen(learner: Learner) -> None:
    """Make bands far too wide, and slow to come back."""
    learner.forecaster.tracker.sizes[:] *= 6  # type: ignore[attr-defined]
    learner.recalled()


def test_what_is_not_finite_is_rolled_back_at_once(house: House) -> None:
    """What follows is what a model says that was restored by hand and fed the same candles."""
    house.restore(1)
    house.learn(WALK[440:460])
    wanted, body = house.said(), house.store.model(SERIES).state
    house.change(poison)

    watched = house.watch()
    house.learn([])

    record = house.store.model(SERIES)
    assert (watched.rolled_back, watched.stuck) == ({NAME: 1}, {})
    assert (record.sequence, record.rollbacks, record.lost) == (460, 1, 0)
    assert (house.said(), record.state) == (wanted, body)
    *_, (_, event) = house.store.link.redis.xrange(house.store.keys.events)
    assert (event[b"event"], event[b"version"]) == (b"rolled-back", b"1")
    assert event[b"why"] == b"what the live model says is not finite"
    assert house.watch().rolled_back == {}


def test_what_a_poisoned_model_learns_is_the_fallback_until_then(house: House) -> None:
    """The baseline speaks, and candles are neither lost nor buried."""
    house.change(poison)
    house.learn(WALK[440:450])

    said, record = house.said(), house.store.model(SERIES)

    assert (said["status"], record.sequence, record.dead_letters) == ("fallback", 450, 0)
    assert house.watch().rolled_back == {NAME: 1}


def test_lost_skill_is_borne_for_an_hour(house: House) -> None:
    """Then the champion is put back, as on the same candles it is better."""
    house.change(widen)
    house.learn(WALK[440:640])

    first = house.watch(now_s=1_000)
    noted = house.store.model(SERIES).below_since
    early = house.watch(now_s=4_599)
    late = house.watch(now_s=4_600)
    house.learn([])

    record = house.store.model(SERIES)
    assert (first.rolled_back, early.rolled_back, noted) == ({}, {}, 1_000_000)
    assert late.rolled_back == {NAME: 1}
    assert (record.sequence, record.rollbacks, record.below_since) == (640, 1, None)
    assert house.watch(now_s=9_999).rolled_back == {}


def test_skill_that_comes_back_is_forgiven(house: House) -> None:
    """The hour begins anew with the next fall."""
    house.watch(now_s=1_000, margin=-1)
    noted = house.store.model(SERIES).below_since
    house.watch(now_s=2_000, margin=0.05)

    assert noted == 1_000_000
    assert house.store.model(SERIES).below_since is None


def test_nobody_goes_where_the_champion_would_be_no_better(house: House) -> None:
    """It has lost skill to the same market: putting it back would change nothing, for ever."""
    for now_s in (1_000, 5_000):
        watched = house.watch(now_s, margin=-1 if now_s < 5_000 else -1e-9)

    record = house.store.model(SERIES)
    assert (watched.rolled_back, watched.stuck, record.rollbacks) == ({}, {}, 0)


def test_a_gap_is_not_accepted_by_itself(house: House) -> None:
    """It is said at every look what an operator has to decide."""
    house.change(poison)
    log = house.store.keys.candles(NAME)
    house.store.link.redis.xtrim(log, minid=T0 + 420 * HOUR, approximate=False)

    watched = [house.watch(), house.watch()]

    assert all("--accept-gap" in one.stuck[NAME] for one in watched)
    assert house.store.model(SERIES).rollbacks == 0


def test_a_poisoned_model_does_not_become_the_champion(house: House) -> None:
    """Its version is kept, and says why."""
    house.change(poison)
    house.learn(WALK[440:441])

    house.snapshot(EASY)

    newest, *_ = house.registry.versions(SERIES)
    assert (newest.passed, newest.aliases) == (False, ("challenger",))
    assert newest.reasons == "what it says is not finite"
    assert house.champion.version == 1


def test_one_that_is_worse_by_chance_alone_is_promoted(house: House) -> None:
    """Its skill is of other candles than the champion's: only the same ones are fair."""
    champion = house.champion
    key = house.store.keys.model(NAME)
    boast = champion.to_json().replace(str(champion.skill), "0.9")
    house.store.link.redis.hset(key, "champion", boast)

    house.snapshot(EASY)
    fair, *_ = house.registry.versions(SERIES)
    house.store.link.redis.hset(key, "champion", boast)
    house.change(widen)
    house.learn(WALK[440:640])
    house.snapshot(EASY)
    worse, *_ = house.registry.versions(SERIES)

    assert (fair.passed, "but would have" in fair.reasons) == (True, True)
    assert (worse.passed, "and would have" in worse.reasons) == (False, True)


def test_a_champion_that_nobody_remembers_is_looked_up(house: House) -> None:
    """Redis may have lost it; the alias in MLflow has not."""
    house.store.link.redis.hdel(house.store.keys.model(NAME), "champion")

    house.snapshot(HARD)

    found = house.judge().champion(house.store.model(SERIES))
    assert found
    assert found.version == 1
