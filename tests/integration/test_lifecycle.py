"""Versions that become champions, and versions that are put back, on a real MLflow store."""

from pathlib import Path

import pytest

from models.gate import Bar
from shared.errors import InvalidValue, StateError
from shared.store import Store
from tests.integration.housekeeping import EASY, HARD, House
from tests.integration.steps import HOUR, SERIES, T0, walk
from worker import lifecycle
from worker.version import Hole
from worker.versions_table import lines

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.usefixtures("field"),
    pytest.mark.filterwarnings("ignore"),  # MLflow and its libraries warn of themselves
]

WALK = walk(400)


@pytest.fixture
def house(store: Store, tmp_path: Path) -> House:
    """One that keeps its versions in a new store."""
    return House.at(store, tmp_path)


def test_what_passes_the_gate_is_the_champion(house: House) -> None:
    """What does not stays the challenger, and the champion that there is stays."""
    house.learn(WALK[:120])
    house.snapshot(EASY)
    house.learn(WALK[120:130])
    house.snapshot(Bar(candles=200, skill=-1.0, coverage=(0.0, 1.0)))

    newest, first = house.registry.versions(SERIES)
    record = house.store.model(SERIES)

    assert (first.number, first.aliases, first.passed) == (1, ("champion",), True)
    assert (newest.number, newest.aliases, newest.passed) == (2, ("challenger",), False)
    assert newest.reasons == "130 candles learned, 200 asked"
    assert record.champion == first.champion
    assert None not in {first.skill, first.error, first.coverage}
    assert (record.snapshot_version, record.snapshot_alias) == (2, "challenger")

    house.learn(WALK[130:140])
    house.snapshot(EASY)

    assert [one.aliases for one in house.registry.versions(SERIES)] == [("champion",), (), ()]


def test_a_version_put_back_learns_what_came_after_it_again(house: House) -> None:
    """It is then to the last bit the model that never left it, and says the same."""
    house.learn(WALK[:120])
    house.snapshot()
    house.learn(WALK[120:150])
    before, body = house.said(), house.store.model(SERIES)

    house.restore(1)
    waits = house.store.model(SERIES)
    house.learn([])

    after = house.store.model(SERIES)
    assert (waits.sequence, waits.waiting, waits.restores) == (120, 30, 1)
    assert (after.sequence, after.waiting, after.lost) == (150, 0, 0)
    assert (after.state, after.since, after.revision > body.revision) == (body.state, T0, True)
    assert house.said() == before
    ((_, event),) = house.store.link.redis.xrange(house.store.keys.events)
    assert event == {
        b"event": b"restored",
        b"series": str(SERIES).encode(),
        b"version": b"1",
        b"cursor": str(T0 + 119 * HOUR).encode(),
        b"why": b"by hand",
        b"origin": b"",
    }


def test_a_gap_has_to_be_accepted(house: House) -> None:
    """Where the log no longer reaches back to a version, what would be missing is named."""
    house.learn(WALK[:120])
    house.snapshot()
    house.learn(WALK[120:160])
    log = house.store.keys.candles(str(SERIES))
    house.store.link.redis.xtrim(log, minid=T0 + 130 * HOUR, approximate=False)

    with pytest.raises(Hole, match=r"up to 10 in between would never be learned.*--accept-gap"):
        house.restore()
    untouched = house.store.model(SERIES)
    house.restore(accept_gap=True)
    house.learn([])

    record = house.store.model(SERIES)
    assert (untouched.sequence, untouched.restores) == (160, 0)
    assert (record.sequence, record.waiting, record.lost) == (150, 0, 0)


def test_what_cannot_be_gone_on_from_is_not_put_back(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version that is not there, is another model's, or is not what it says it is."""
    house.learn(WALK[:120])
    house.snapshot(HARD)
    revision = house.store.model(SERIES).revision

    with pytest.raises(InvalidValue, match="has none such; versions: 1"):
        house.restore()
    with pytest.raises(InvalidValue, match="version 7"):
        house.restore(7)
    with pytest.raises(StateError, match="CANDLECAST_MODEL"):
        lifecycle.Restorer(
            house.store, house.registry, house.restorer._signer, lambda _: "another"
        ).find(SERIES, 1)
    raw = house.registry.state(SERIES, 1)
    for spoilt, says in ((raw[:-1] + b"x", "changed"), (raw[:100], "cut short"), (b"", "state")):
        monkeypatch.setattr(house.registry, "state", lambda *_, spoilt=spoilt: spoilt)
        with pytest.raises(StateError, match=says):
            house.restore(1)
    assert house.store.model(SERIES).revision == revision


def test_the_table_says_what_the_gate_has_said(house: House) -> None:
    """One line a version, the newest first; the command is tried in the story of a model."""
    house.learn(WALK[:120])
    house.snapshot()
    house.learn(WALK[120:125])
    house.snapshot(HARD)

    first, *rows = lines(house.registry.versions(SERIES))

    assert first.split()[0] == "version"
    assert [row.split()[0] for row in rows] == ["2", "1"]
    assert rows[0].endswith("  challenger    failed: skill 0.0510, 1.0000 asked")
    assert rows[1].endswith("  champion      passed")
