"""What breaks off while MLflow is written to leaves nothing behind, and nothing twice."""

import sqlite3
from contextlib import closing
from pathlib import Path
from unittest.mock import Mock

import pytest
from requests import ConnectionError as Refused
from requests import HTTPError

from shared.errors import RegistryError, StateError, StoreUnavailable
from shared.store import Store
from tests.integration.housekeeping import EASY, HARD, House
from tests.integration.steps import HOUR, SERIES, walk
from worker.mlflow_errors import translated
from worker.pictures import Gallery

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.usefixtures("field"),
    pytest.mark.filterwarnings("ignore"),  # MLflow and its libraries warn of themselves
]

WALK = walk(330)
NAME = "test.BTC-USDT.1h"


@pytest.fixture
def house(store: Store, tmp_path: Path) -> House:
    """One whose series has a champion of 110 candles; runs are short."""
    house = House.at(store, tmp_path, run_snapshots=5)
    house.learn(WALK[:110])
    house.snapshot(EASY)
    return house


def rows(folder: Path, of: str) -> list[str]:
    """First column of what MLflow's database holds."""
    with closing(sqlite3.connect(folder / "mlflow.db")) as base:
        return [row[0] for row in base.execute(f"SELECT * FROM {of}")]  # noqa: S608


@pytest.mark.parametrize(
    "call",
    [
        "create_model_version",
        "set_logged_model_tags",
        "set_registered_model_alias",
    ],
)
def test_a_later_version_whose_answer_was_lost_is_not_written_twice(
    house: House, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Its series may not move for a day: the next round finds the same model."""
    client = house.registry._client
    done = getattr(client, call)

    def lost(*args: object, **named: object) -> None:
        done(*args, **named)
        raise Refused("the connection broke")

    house.learn(WALK[110:111])
    with monkeypatch.context() as broken:
        broken.setattr(client, call, lost)
        failed = house.snapshot(EASY)
    again = house.snapshot(EASY)
    with monkeypatch.context() as later:
        later.setattr("worker.logged_models._BROKEN_OFF_MS", -HOUR)
        house.registry._logged.sweep(NAME)
    house.restore(2)
    house.learn([])

    assert (list(failed.failed), failed.gave_up) == ([str(SERIES)], "")
    assert again.written == {str(SERIES): 2}
    assert [one.number for one in house.registry.versions(SERIES)] == [2, 1]
    assert house.champion.version == 2


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_call_that_the_client_repeats_makes_one_version(
    house: House, monkeypatch: pytest.MonkeyPatch, *, is_lost: bool
) -> None:
    """MLflow's client does so where an answer is lost; pruning a twin would take the files."""
    client = house.registry._client
    done = client.create_model_version

    def twice(*args: object, **named: object) -> object:
        done(*args, **named)
        second = done(*args, **named)
        if is_lost:
            raise Refused("the connection broke again")
        return second

    house.learn(WALK[110:111])
    with monkeypatch.context() as slow:
        slow.setattr(client, "create_model_version", twice)
        house.snapshot(HARD)
    house.snapshot(HARD)

    assert [one.number for one in house.registry.versions(SERIES)] == [3, 1]
    client.set_registered_model_alias(NAME, "mine", "3")
    for upto in range(112, 123):
        house.learn(WALK[upto - 1 : upto])
        house.snapshot(HARD, keep=3)
    assert [one.number for one in house.registry.versions(SERIES)][-2:] == [3, 1]
    house.restore(3)


def test_a_version_that_was_copied_elsewhere_stays(house: House) -> None:
    """A copy in another registered model has no files of its own."""
    client = house.registry._client
    house.learn(WALK[110:111])
    house.snapshot(HARD)
    house.learn(WALK[111:112])
    house.snapshot(HARD)
    client.create_registered_model("production")
    client.copy_model_version(f"models:/{NAME}/2", "production")
    client.create_model_version("production", client.get_model_version(NAME, "3").source)
    for upto in range(113, 124):
        house.learn(WALK[upto - 1 : upto])
        house.snapshot(HARD, keep=3)

    assert [one.number for one in house.registry.versions(SERIES)][-3:] == [3, 2, 1]
    house.restore(2)
    house.restore(3)


def test_a_version_that_redis_could_not_note_is_not_written_twice(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is found by the token of the model that it holds."""
    house.learn(WALK[110:111])
    with monkeypatch.context() as broken:
        broken.setattr(Store, "set_snapshot", Mock(side_effect=StoreUnavailable("away")))
        with pytest.raises(StoreUnavailable):
            house.snapshot(EASY)

    assert house.snapshot(EASY).written == {str(SERIES): 2}
    assert [one.number for one in house.registry.versions(SERIES)] == [2, 1]


def test_a_version_that_was_never_linked_is_not_swept_up(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its logged model does not name it, but it names its logged model."""
    house.learn(WALK[110:111])
    with monkeypatch.context() as broken:
        broken.setattr(
            house.registry._client, "set_logged_model_tags", Mock(side_effect=Refused("broke"))
        )
        house.snapshot(EASY)
    assert house.snapshot(EASY).written == {str(SERIES): 2}
    monkeypatch.setattr("worker.logged_models._BROKEN_OFF_MS", -HOUR)

    house.registry._logged.sweep(NAME)

    house.restore(2)
    (tags,) = (
        one.tags
        for one in house.registry._logged._old(NAME)
        if f"models:/{one.model_id}" == house.registry._client.get_model_version(NAME, "2").source
    )
    assert "mlflow.modelVersions" in tags


@pytest.mark.parametrize("call", ["log_model_artifacts", "log_batch", "finalize_logged_model"])
def test_what_could_not_be_written_is_deleted(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Whatever fails on its way to a version."""
    house.learn(WALK[110:111])
    with monkeypatch.context() as broken:
        full = Mock(side_effect=OSError(28, "No space left on device"))
        broken.setattr(house.registry._client, call, full)
        failed = [house.snapshot(EASY) for _ in range(3)]

    assert all("No space left" in one.failed[str(SERIES)] for one in failed)
    assert len(rows(tmp_path, "logged_models")) == 1
    assert len(list((tmp_path / "mlartifacts" / "models").iterdir())) == 1


def test_what_a_killed_process_has_left_is_swept_up(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody could delete it then: a logged model that no version is."""
    client, logged = house.registry._client, house.registry._logged
    left = client.create_logged_model(house.registry._experiment, NAME.replace(".", "-"))
    client.log_model_artifacts(left.model_id, str(logged._folder))
    other = client.create_logged_model(house.registry._experiment, "somebody-elses")

    logged.sweep(NAME)
    young = rows(tmp_path, "logged_models")
    monkeypatch.setattr("worker.logged_models._BROKEN_OFF_MS", -HOUR)
    logged.sweep(NAME)

    assert left.model_id in young
    assert set(young) - set(rows(tmp_path, "logged_models")) == {left.model_id}
    assert other.model_id in young
    house.restore(1)


def test_a_place_for_files_that_takes_none_ends_the_round(house: House, tmp_path: Path) -> None:
    """The database answers; and one with trouble of its own does not hide that."""
    house.learn(WALK[110:111])
    place = tmp_path / "mlartifacts"
    place.rename(tmp_path / "away")
    place.touch()
    failed = house.snapshot(EASY)
    place.unlink()
    (tmp_path / "away").rename(place)

    assert failed.written == {}
    assert failed.gave_up == failed.failed[str(SERIES)]
    assert house.snapshot(EASY).gave_up == ""


@pytest.mark.parametrize("tag", ["last_run_id", "run_id"])
def test_a_run_that_could_not_be_begun_costs_no_other(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tag: str
) -> None:
    """The metrics stay, and no run is left that nobody names."""
    client = house.registry._client
    whole = client.set_registered_model_tag

    def broken(name: str, key: str, value: str) -> None:
        if key == tag:
            raise Refused("the connection broke")
        whole(name, key, value)

    for upto in range(111, 131):
        house.learn(WALK[upto - 1 : upto])
        with monkeypatch.context() as patched:
            if upto == 119:  # the version at which the second run is to end
                patched.setattr(client, "set_registered_model_tag", broken)
            house.snapshot(HARD)
        house.snapshot(HARD)

    tags = client.get_registered_model(NAME).tags
    assert next(one.number for one in house.registry.versions(SERIES)) == 21
    assert set(rows(tmp_path, "runs")) == {tags["run_id"], tags["last_run_id"]}
    assert len(client.get_metric_history(tags["last_run_id"], "crps")) >= 5


def test_a_run_that_was_collected_is_begun_anew(house: House) -> None:
    """Somebody has deleted it, and had MLflow collect what is deleted."""
    run = house.registry._client.get_registered_model(NAME).tags["run_id"]
    house.registry._pruning.run(run)
    house.registry._newest.clear()
    house.learn(WALK[110:111])

    assert house.snapshot(EASY).written == {str(SERIES): 2}


def test_a_champion_whose_run_is_gone_can_be_drawn(house: House, tmp_path: Path) -> None:
    """Champions stay for ever, runs do not; and a retired series stays retired."""
    house.learn(WALK[110:310])
    house.snapshot(EASY)
    for upto in range(311, 321):
        house.learn(WALK[upto - 1 : upto])
        house.snapshot(HARD)
    house.registry.mark_retired(SERIES, 12)

    parts = house.store, house.registry, house.judge(), house.restorer._signer
    where = Gallery(*parts, every_s=1.0).draw(SERIES, 2)

    assert "/pictures/version-2" in where
    assert len(rows(tmp_path, "runs")) == 2
    assert "retired" in house.registry._client.get_registered_model(NAME).tags


@pytest.mark.parametrize(
    ("error", "is_gone"),
    [
        (FileNotFoundError("No such file or directory: '/x'"), True),
        (HTTPError("404 Client Error: Not Found for url: http://h/a"), True),
        (RuntimeError("An error occurred (NoSuchKey) when calling GetObject"), True),
        (Refused("HTTPConnectionPool(host='h', port=4040): url: /models/m-1404e/state"), False),
        (Refused("Max retries exceeded with url: /api/404/x (Caused by NewConnection)"), False),
        (HTTPError("503 Server Error: Unavailable for url: http://h/404/a"), False),
    ],
)
def test_gone_is_what_was_said_to_be(error: Exception, *, is_gone: bool) -> None:
    """Ports, ids and addresses hold any number."""
    wanted = StateError if is_gone else RegistryError
    with pytest.raises(wanted), translated("h", StateError("gone")):
        raise error
