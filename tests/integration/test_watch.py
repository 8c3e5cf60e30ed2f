"""Models that have failed give way to their champions, and others do not."""

import math
from pathlib import Path
from typing import Any

import pytest

from models import state
from models.gate import Bar
from models.learner import Learner
from shared.candle import Series, Timeframe
from shared.store import Store
from tests.integration.housekeeping import EASY, HARD, HORIZON, House, widen
from tests.integration.steps import HOUR, SERIES, T0, walk
from worker.lifecycle import Restorer

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
    house.boast(0.9)

    looks = [house.watch(now_s) for now_s in (1_000, 5_000)]

    record = house.store.model(SERIES)
    assert [(one.rolled_back, one.stuck) for one in looks] == [({}, {})] * 2
    # Compared at the second look, and not again for an hour.
    assert (record.rollbacks, record.below_since) == (0, 5_000_000)


@pytest.mark.at_length
def test_a_model_that_decays_does_not_take_its_champion_along(house: House) -> None:
    """Each version is but a little worse than the one before, and none is a continuation."""
    house.change(widen)
    crowned = []
    for number in range(440, 467):
        house.learn(WALK[number : number + 1])
        house.watch(now_s=number * 1_800)
        house.learn([])
        house.snapshot(Bar(candles=100, skill=-9.0, coverage=(0.0, 1.0)))
        crowned.append((house.champion.version, house.store.model(SERIES).rollbacks))

    unharmed = Learner(Timeframe("1h"), HORIZON)
    unharmed.learn_many(WALK[:467])
    assert {version for version, rollbacks in crowned if not rollbacks} == {1}
    assert crowned[-1] == (28, 1)
    assert state.body(house.learner()) == state.body(unharmed)


def test_a_gap_is_not_accepted_by_itself(house: House) -> None:
    """It is said at every look what an operator has to decide."""
    house.change(poison)
    log = house.store.keys.candles(NAME)
    house.store.link.redis.xtrim(log, minid=T0 + 420 * HOUR, approximate=False)

    watched = [house.watch(), house.watch()]

    assert all("--accept-gap" in one.stuck[NAME] for one in watched)
    assert house.store.model(SERIES).rollbacks == 0


def test_without_its_candles_there_is_no_contest(house: House) -> None:
    """The gate alone decides, and the version says why."""
    log = house.store.keys.candles(NAME)
    house.store.link.redis.xtrim(log, minid=T0 + 420 * HOUR, approximate=False)

    house.snapshot(EASY)

    newest, *_ = house.registry.versions(SERIES)
    assert newest.passed
    assert newest.reasons == "not contested: candles after version 1 are no longer kept"


def test_a_poisoned_model_does_not_become_the_champion(house: House) -> None:
    """Its version is kept, and says why."""
    house.change(poison)
    house.learn(WALK[440:441])

    house.snapshot(EASY)

    newest, *_ = house.registry.versions(SERIES)
    assert (newest.passed, newest.aliases) == (False, ("challenger",))
    assert newest.reasons.startswith("what it says is not finite; no continuation of version 1")
    assert house.champion.version == 1


def test_a_continuation_is_promoted_whatever_the_market_does(house: House) -> None:
    """Its skill is of other candles than the champion's: only the same ones are fair."""
    house.boast(0.9)

    house.snapshot(EASY)

    newest, *_ = house.registry.versions(SERIES)
    assert (newest.number, newest.passed, newest.reasons) == (2, True, "")
    assert house.champion == newest.champion


def test_another_model_has_to_be_met_over_many_candles(house: House) -> None:
    """Then it takes the place where it is not worse, and does not where it is."""
    nothing: dict[str, Any] = {"state": b"", "fingerprint": "", "scores": {}}
    log = house.store.keys.candles(NAME)
    house.store.link.redis.xtrim(log, minid=T0 + 100 * HOUR, approximate=False)
    house.store.restore(SERIES, etag=None, cursor=None, sequence=0, since=None, **nothing)
    house.learn([])
    found = []
    for upto in (440, 479, 480):
        house.learn(WALK[house.store.model(SERIES).sequence + 100 : upto])
        house.snapshot(EASY)
        found.append(house.registry.versions(SERIES)[0])

    reasons = "no continuation of version 1: to be met over 40 candles, {} so far"
    assert [one.reasons for one in found] == [reasons.format(0), reasons.format(39), ""]
    assert [one.passed for one in found] == [False, False, True]
    assert house.champion.version == found[-1].number


def test_a_worse_model_stays_the_challenger(house: House) -> None:
    """However long it is met."""
    house.change(widen)
    for part in (WALK[440:441], WALK[441:600]):
        house.learn(part)
        house.snapshot(Bar(candles=100, skill=-9.0, coverage=(0.0, 1.0)))

    newest, *_ = house.registry.versions(SERIES)
    assert (newest.passed, "version 1 would have" in newest.reasons) == (False, True)


def test_who_is_paused_or_is_the_champion_still_is_left_alone(house: House) -> None:
    """Nobody learns again what is paused; and nothing is better than the same model."""
    house.restore(1)
    house.change(poison)
    same = house.watch()
    house.learn([])
    house.store.pause(SERIES)
    paused = house.watch()
    house.store.pause(SERIES, paused=False)

    assert (same.rolled_back, same.stuck) == ({}, {})
    assert (paused.rolled_back, paused.stuck) == ({}, {})
    assert house.watch().rolled_back == {NAME: 1}


def test_whoever_has_the_alias_by_now_is_not_overruled(house: House) -> None:
    """An operator has made another version the champion, and no snapshot has noted it yet."""
    house.snapshot(HARD)
    client = house.registry._client
    client.set_registered_model_alias("test.BTC-USDT.1h", "champion", "2")
    house.change(poison)

    before = house.watch()
    client.set_registered_model_alias("test.BTC-USDT.1h", "champion", "1")

    assert (before.rolled_back, before.stuck) == ({}, {})
    assert house.watch().rolled_back == {NAME: 1}


def test_a_commit_meanwhile_is_not_taken_back(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was compared is not what is live any more: the next look decides anew."""
    house.change(poison)
    find = Restorer.find

    def meanwhile(*args: Any) -> Any:
        house.learn(WALK[440:441])
        return find(*args)

    with monkeypatch.context() as slow:
        slow.setattr(Restorer, "find", meanwhile)
        first = house.watch()
    rollbacks = house.store.model(SERIES).rollbacks

    assert (first.rolled_back, first.stuck, rollbacks) == ({}, {}, 0)
    assert house.watch().rolled_back == {NAME: 1}


def test_the_trouble_of_one_series_is_nobody_else_s(house: House) -> None:
    """Its champion was deleted by somebody."""
    other = Series.parse("test:ETH/USDT:1h")
    house.learn(walk(120, seed=3), other)
    house.snapshot(EASY)
    house.change(poison)
    assert house.champion.version == 2
    house.registry._client.delete_model_version("test.BTC-USDT.1h", "2")
    house.learn(WALK[440:441])
    house.learn(walk(121, seed=3)[120:], other)

    watched, report = house.watch(), house.snapshot(EASY)

    assert "have been deleted" in watched.stuck[NAME]
    assert set(report.written) == {NAME, str(other)}
    assert (report.failed, report.gave_up) == ({}, "")


def test_what_workers_have_buried_is_not_learned_by_who_compares(house: House) -> None:
    """A champion has learned what the live model has, and nothing else."""
    store, key = house.store, house.store.keys.dead_letters
    buried = WALK[445]
    letter = {"series": NAME, "candle": f"{buried.open_time} 1 1 1 1 1", "reason": "model raised"}
    store.link.redis.xadd(key, letter | {"error": "unlucky"})
    store.link.redis.hset(store.keys.model(NAME), "dead_letters", 1)
    house.learn(WALK[440:450])

    record = store.model(SERIES)
    times = [candle.open_time for candle in house.judge().learned(record, house.champion.cursor)]

    assert buried.open_time not in times
    assert len(times) == 49


@pytest.mark.at_length
def test_spoilt_scores_are_nobody_s_failure(house: House) -> None:
    """They show nothing, and the rest is looked at."""
    for scores in ("", "[]", '{"horizons": null}', '{"horizons": {"1": {}}}'):
        house.store.link.redis.hset(house.store.keys.model(NAME), "scores", scores)

        looks = [house.watch(now_s) for now_s in (0, 9_999)]

        assert [(one.rolled_back, one.stuck) for one in looks] == [({}, {})] * 2, scores


def test_a_champion_that_nobody_remembers_is_looked_up(house: House) -> None:
    """Redis may have lost it; the alias in MLflow has not."""
    house.store.link.redis.hdel(house.store.keys.model(NAME), "champion")

    house.snapshot(HARD)

    assert house.champion.version == 1
