"""MLflow down: forecasts go on, the next round comes sooner than later, and status says so."""

import json
import socket
import subprocess
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from requests import RequestException

from models import state
from shared.errors import RegistryError
from shared.limits import Limits
from shared.store import Store
from tests.conftest import COMMAND, STATE_KEY, Server
from tests.integration.housekeeping import House
from tests.integration.steps import FLEET, SERIES, walk
from worker import jobs
from worker.teaching import Model
from worker.update import Updater

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("field")]

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(params=["refuses", "hangs"])
def down(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """Settings that name a server where nothing listens, or one that takes calls and is silent."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        port = deaf.getsockname()[1]
        if request.param == "refuses":
            deaf.close()
        yield {
            "CANDLECAST_MLFLOW_TRACKING_URI": f"http://user:secret@127.0.0.1:{port}",
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
            "MLFLOW_HTTP_REQUEST_TIMEOUT": "1",
        }


def waits_s(store: Store) -> int:
    """Seconds until a tick rings for the next round."""
    return int(store.link.redis.pttl(store.keys.housekeeping) + 500) // 1_000


def test_each_failure_doubles_the_wait(server: Server) -> None:
    """Up to the time between two rounds; one that goes well ends it."""
    store = Store.connect(server.url, limits={"snapshot_period_ms": 100_000})

    waits = [(store.rounds.failed(f"refused {number}"), waits_s(store)) for number in range(4)]
    known = store.rounds.read()
    store.rounds.went_well()
    well = store.rounds.read()

    assert waits == [(30, 30), (60, 60), (100, 100), (100, 100)]
    assert (known["tries"], known["error"], known["ended_at"]) == (4, "refused 3", None)
    assert known["failing_since"] <= known["next_at"] - 100_000
    assert (well["tries"], well["error"], well["failing_since"]) == (None, None, None)
    assert well["ended_at"] >= known["failing_since"]


def test_a_tick_rings_when_the_wait_is_over(store: Store) -> None:
    """Not before: MLflow is left alone meanwhile."""
    store.rounds.failed("refused")
    hasty = Store(store.link, Limits(tick_guard_ms=1))

    early = hasty.tick(FLEET).housekeeping
    store.link.redis.delete(store.keys.housekeeping, store.keys.tick)

    assert (early, hasty.tick(FLEET).housekeeping) == (False, True)


def test_status_says_that_mlflow_is_down(
    store: Store, candlecast: Run, down: dict[str, str]
) -> None:
    """With its error, without its password; the models go on learning."""
    store.append(SERIES, walk(30))
    signer = state.Signer(STATE_KEY.encode())
    Updater(store, Model("default", signer, lambda _: 24, FLEET)).run()
    store.link.redis.delete(store.keys.fleet)

    ran = candlecast("snapshot", **down)
    told = " ".join(candlecast("status").stdout.split())
    report = json.loads(candlecast("status", "--json").stdout)["snapshots"]

    assert ran.returncode == 1
    assert "nothing done: MLflow at 127.0.0.1:" in ran.stderr
    assert "MLFLOW FAILS since" in told
    assert "secret" not in told + ran.stderr
    assert (report["tries"], report["moved"], report["none_yet"]) == (1, 1, 1)
    assert report["oldest"] is None
    assert waits_s(store) <= 30
    assert store.model(SERIES).sequence == 30


def test_models_of_others_are_not_judged(store: Store, candlecast: Run) -> None:
    """While workers of other settings learn there is nothing to be known better."""
    store.append(SERIES, walk(30))
    store.tick("another-model", "take over")

    ran = candlecast("snapshot")

    assert ran.returncode == 1
    assert "nothing done: another model learns: another-model" in ran.stderr


def test_of_two_rounds_at_once_one_wins(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other does nothing, and says so."""
    monkeypatch.setattr(jobs, "store", lambda: store)
    monkeypatch.setattr(jobs, "_round", pytest.fail)
    store.link.redis.delete(store.keys.fleet)
    with store.snapshot_lock() as held:
        assert held
        done = jobs.snapshot_moved()

    assert done == {"skipped": "another round of snapshots is under way"}


@pytest.mark.filterwarnings("ignore")  # MLflow and its libraries warn of themselves
@pytest.mark.parametrize("call", ["create_model_version", "set_logged_model_tags"])
def test_a_version_whose_answer_was_lost_is_not_written_twice(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """It is known again by the token of the model that it holds."""
    house = House.at(store, tmp_path)
    house.learn(walk(30))
    client = house.registry._client
    done = getattr(client, call)

    def lost(*args: object, **named: object) -> None:
        done(*args, **named)
        raise RequestException("the connection broke")

    with monkeypatch.context() as broken:
        broken.setattr(client, call, lost)
        failed = house.snapshot()
    again = house.snapshot()
    nothing = house.snapshot()

    assert list(failed.failed) == [str(SERIES)]
    assert (again.written, nothing.written) == ({str(SERIES): 1}, {})
    (version,) = house.registry.versions(SERIES)
    assert version.aliases == ("challenger",)


@pytest.mark.filterwarnings("ignore")  # MLflow and its libraries warn of themselves
def test_a_server_that_answers_errors_is_an_error_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever it answers: the round ends, and says so."""
    from worker.registry import MlflowRegistry

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(503, "over capacity")

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(RegistryError, match="503"):
            MlflowRegistry(f"http://127.0.0.1:{server.server_port}")
        server.shutdown()


@pytest.mark.filterwarnings("ignore")  # MLflow and its libraries warn of themselves
@pytest.mark.at_length
def test_a_disk_that_is_full_costs_no_version(
    server: Server, store: Store, candlecast: Run, tmp_path: Path
) -> None:
    """Once there is room again, what could not be written is written once."""
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    house = House.at(store, data)
    house.learn(walk(30))
    house.snapshot()
    house.learn(walk(60)[30:])

    # Enough for what makes a version ready, and not for MLflow's database.
    full = ["sh", "-c", f"ulimit -f 400; exec {COMMAND} snapshot"]
    failed = subprocess.run(full, env=server.env, capture_output=True, text=True, check=False)
    tries = store.rounds.read()["tries"]
    again = candlecast("snapshot")

    assert (failed.returncode, again.returncode) == (1, 0)
    assert "disk" in failed.stderr
    assert (tries, store.rounds.read()["tries"]) == (1, None)
    assert [version.sequence for version in house.registry.versions(SERIES)] == [60, 30]
