"""Versions are put back again and again while workers learn, and are killed."""

import signal

import numpy as np
import pytest

from models import state
from models.state import Signer
from shared.candle import Series
from shared.records import Event
from tests.faults.outcome import Outcome, Row
from tests.faults.sources import LONG
from tests.faults.stage import STATE_KEY, Stage, children, send
from worker.lifecycle import Restorer
from worker.recall import recalled
from worker.version import Version

pytestmark = pytest.mark.timeout(600 if LONG else 90)

SIGNER = Signer(STATE_KEY.encode())


class Kept:
    """Versions in memory, as housekeeping would have written them."""

    def __init__(self, stage: Stage) -> None:
        self._store = stage.store()
        self._found: dict[Series, list[tuple[Version, bytes]]] = {}

    def take(self, series: Series) -> int:
        """Keep the committed model; return how many versions there are."""
        record = self._store.model(series)
        found = self._found.setdefault(series, [])
        learner = recalled(record, SIGNER, record.fingerprint or "")
        tags = {name: str(getattr(record, name)) for name in ("sequence", "cursor", "since")}
        tags |= {"fingerprint": record.fingerprint or ""}
        version = Version.of_tags(len(found) + 1, 0, (), tags)
        found.append((version, state.dump(learner, SIGNER, series)))
        return len(found)

    def champion(self, series: Series) -> Version | None:  # noqa: ARG002
        """None is: who puts back says which."""
        return None

    def versions(self, series: Series) -> list[Version]:
        """What was kept, the newest first."""
        return [version for version, _ in reversed(self._found[series])]

    def state(self, series: Series, version: int) -> bytes:
        """The state of one of them."""
        return self._found[series][version - 1][1]


def test_versions_put_back_under_load(
    stage: Stage,
    chance: np.random.Generator,
    fault_free: dict[Series, Outcome],
    table: list[Row],
) -> None:
    """However often a model goes back, and whoever had it in hand: the end is the same."""
    supervisor = stage.start_workers(2)
    stage.feed(60 if LONG else 4)
    kept, names = Kept(stage), [source.series for source in stage.sources]
    restorer = Restorer(
        stage.store(), kept, SIGNER, lambda series: kept.versions(series)[0].fingerprint
    )
    for number in stage.strikes(60 if LONG else 8, (0.1, 0.6), chance):
        for series in names:
            count = kept.take(series)
            if chance.random() < 0.5:
                found = restorer.find(series, int(chance.integers(1, count + 1)))
                restorer.put_back(found, Event(event="restored", version=found.version.number))
        if number % 3 == 2:
            for pid in children(supervisor)[:1]:  # none, while one is started anew
                send(pid, signal.SIGKILL)
    restores = [record.restores for record in stage.store().models(names)]
    stage.settle("versions put back under load", fault_free, table)
    assert sum(restores) > 0
