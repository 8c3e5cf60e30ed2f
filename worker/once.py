"""Once, for cron and CI: learn all that waits, then put what moved into MLflow."""

import contextlib
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from shared.errors import CandlecastError
from worker import jobs
from worker.embedded import alone, redis_server

_LOOK_S = 0.2


@contextlib.contextmanager
def own_redis(folder: Path) -> Iterator[None]:
    """Run an embedded Redis whose data is in a folder, and have the settings name it.

    Raises
    ------
    CandlecastError
        When another process uses the folder's.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with (
        alone(
            folder, f"another one runs on {folder}: CANDLECAST_REDIS_URL lets both have one Redis"
        ),
        redis_server(folder / "redis", secrets.token_urlsafe(24)) as url,
    ):
        os.environ["CANDLECAST_REDIS_URL"] = url
        yield


def learn(wait_s: float) -> int:
    """Learn until nothing waits, beside workers if there are any; return the candles learned here.

    Raises
    ------
    CandlecastError
        When candles wait still after so many seconds.
    """
    learned, deadline = 0, time.monotonic() + wait_s
    store, fleet = jobs.store(), jobs.model().fleet
    while True:
        store.tick(fleet)  # who learns says for which model, as workers do
        learned += jobs.update_pending()["candles"]
        pending = store.overview()["pending"]
        if not pending:
            return learned
        if time.monotonic() > deadline:
            raise CandlecastError(
                f"{pending} series wait still after {wait_s:g} s: `candlecast status` says why"
            )
        time.sleep(_LOOK_S)
