"""The whole story of a model, by real processes and a real MLflow server."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.mlflow_server import served
from models import state
from models.learner import Learner
from shared.records import Event
from shared.store import Store
from tests.integration.housekeeping import SIGNER, House
from tests.integration.steps import SERIES, walk
from tests.integration.test_watch import poison
from worker.recall import caught_up

pytestmark = pytest.mark.timeout(240)

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Start = Callable[..., "subprocess.Popen[bytes]"]
WALK = walk(420)
GATE = {
    "CANDLECAST_GATE_SKILL": "-1",
    "CANDLECAST_GATE_COVERAGE": "0-1",
    "CANDLECAST_GATE_CANDLES": "400",
    "CANDLECAST_SNAPSHOT_PERIOD_S": "1",
}


@pytest.fixture
def mlflow_server(tmp_path: Path) -> Iterator[str]:
    """A server of its own: SQLite behind it, files through it."""
    with served(tmp_path) as url:
        yield url


def test_learned_promoted_poisoned_and_rolled_back(
    store: Store,
    start: Start,
    candlecast: Run,
    eventually: Callable[..., None],
    mlflow_server: str,
) -> None:
    """What is forecast in the end is what one says that was put back by hand."""
    env = GATE | {"CANDLECAST_MLFLOW_TRACKING_URI": mlflow_server}
    start("worker", "--processes", "2", **env)
    start("worker", "--queue", "housekeeping", **env)
    store.append(SERIES, WALK[:400])
    eventually(lambda: store.model(SERIES).champion, "a champion", seconds=90)
    champion = store.model(SERIES).champion
    assert champion
    store.append(SERIES, WALK[400:410])
    eventually(lambda: store.model(SERIES).sequence == 410, "410 candles")

    put(store, poison)
    store.append(SERIES, WALK[410:])
    eventually(lambda: store.model(SERIES).rollbacks, "a rollback", seconds=60)
    eventually(lambda: settled(store), "what came after it is learned again")
    house = House(store, None)
    rolled_back = house.said()
    version = str(store.link.redis.xrevrange(store.keys.events, count=1)[0][1][b"version"].decode())
    by_hand = candlecast("restore", str(SERIES), "--version", version, "--yes", **env)
    eventually(lambda: settled(store), "what came after it is learned again")

    record = store.model(SERIES)
    assert (by_hand.returncode, by_hand.stderr) == (0, "")
    assert house.said() == rolled_back
    assert rolled_back["status"] == "live"
    assert (record.restores, record.rollbacks, record.dead_letters, record.lost) == (2, 1, 0, 0)
    rows = json.loads(candlecast("models", str(SERIES), "--json", **env).stdout)
    assert version in {str(row["number"]) for row in rows if row["passed"]}


def settled(store: Store) -> bool:
    """Whether all candles are learned, and the state is that of the last."""
    record = store.model(SERIES)
    return record.sequence == len(WALK) and not record.waiting


def put(store: Store, how: Callable[[Learner], object]) -> None:
    """Put a changed model in force at its own cursor, as a restore would."""
    record = store.model(SERIES)
    assert record.fingerprint
    learner = state.load(record.state or b"", SIGNER, record.fingerprint, SERIES)
    how(caught_up(learner, record))
    answer = store.restore(
        SERIES,
        etag=None,
        cursor=record.cursor,
        state=state.dump(learner, SIGNER, SERIES),
        fingerprint=record.fingerprint,
        scores=learner.scores(),
        sequence=record.sequence,
        since=record.since,
        event=Event(event="restored", why="poisoned by a test"),
    )
    assert answer == "ok"
