"""Nobody keeps house, or who does is killed; the signing key rotates."""

from functools import partial

import numpy as np
import pytest

from models.state import Signer
from shared.candle import Series
from shared.keys import HOUSEKEEPING_QUEUE, Keys
from tests.faults.outcome import Outcome, Row
from tests.faults.sources import LONG
from tests.faults.stage import BIN, STATE_KEY, Stage, wait_for

pytestmark = pytest.mark.timeout(900 if LONG else 90)

KEYS = Keys()


def test_housekeeping_dead_throughout(
    stage: Stage, fault_free: dict[Series, Outcome], table: list[Row]
) -> None:
    """Candles go on, and the doorbells that nobody hears do not pile up."""
    stage.start_workers(2, CANDLECAST_SNAPSHOT_PERIOD_S="1")
    stage.feed(30 if LONG else 2)
    stage.watch.strike()
    stage.settle("housekeeping dead throughout", fault_free, table)
    assert stage.server.client.llen(KEYS.rq_queue(HOUSEKEEPING_QUEUE)) == 1


@pytest.mark.skipif(not LONG, reason="MLflow takes many seconds to start")
def test_housekeeping_killed_while_it_snapshots(
    stage: Stage,
    chance: np.random.Generator,
    fault_free: dict[Series, Outcome],
    table: list[Row],
) -> None:
    """Its round is taken up by the next, and candles notice nothing."""
    stage.env["CANDLECAST_SNAPSHOT_PERIOD_S"] = "1"
    stage.start_workers(1)
    stage.feed(120)
    command = (BIN / "candlecast", "worker", "--queue", "housekeeping")
    keeper = stage.start("housekeeping", *command)
    client = stage.server.client
    for _ in stage.strikes(5, (1.0, 2.0), chance):
        wait_for(lambda: client.exists(KEYS.snapshot_lock), "a round of snapshots begins", 60)
        stage.kill(keeper)
        keeper = stage.start("housekeeping", *command)
    stage.settle("housekeeping killed in mid-snapshot", fault_free, table)
    done = stage.start("snapshot", BIN / "candlecast", "snapshot")
    assert done.wait(120) == 0, stage.log("snapshot")
    records = stage.store().models(list(fault_free))
    assert all(record.snapshot_version for record in records)


def test_the_signing_key_rotates(
    stage: Stage,
    chance: np.random.Generator,
    fault_free: dict[Series, Outcome],
    table: list[Row],
) -> None:
    """Workers end and start with another key, knowing the one before: nothing is learned again."""
    key = STATE_KEY
    supervisor = stage.start_workers(2)
    stage.feed(60 if LONG else 3)
    for number in stage.strikes(10 if LONG else 1, (0.3, 1.0), chance):
        supervisor.terminate()
        assert supervisor.wait(15) == 0
        key, previous = f"{number:032}", key
        keys = {"CANDLECAST_STATE_KEY": key, "CANDLECAST_STATE_KEY_PREVIOUS": previous}
        # Without taking over they would wait until the name of the old key has died out, a minute.
        supervisor = stage.start_workers(2, "--take-over", **keys)
        # The key before the last is unknown: by the next change all states have to bear this one.
        wait_for(partial(_all_signed, stage, key), "all states are signed anew")
    stage.settle("signing key rotated", fault_free, table)
    assert "series is learned again" not in stage.log("worker")


def _all_signed(stage: Stage, key: str) -> bool:
    """Whether every state is signed with this key, or nothing is left to be learned."""
    states = (stage.server.client.hget(KEYS.model(str(s.series)), "state") for s in stage.sources)
    key_id = Signer(key.encode()).key_id.encode()
    return stage.watch.learned() or all(key_id in (state or b"")[:400] for state in states)
