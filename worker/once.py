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


class Learning:
    """Learns what waits, beside workers if there are any.

    Attributes
    ----------
    count
        Candles learned here.
    """

    def __init__(self) -> None:
        self._store, self._fleet = jobs.store(), jobs.model().fleet
        self.count = 0

    def some(self) -> None:
        """Learn what is due now."""
        self._store.tick(self._fleet)  # who learns says for which model, as workers do
        self.count += jobs.update_pending()["candles"]

    def rest(self, wait_s: float) -> None:
        """Learn until nothing waits.

        Raises
        ------
        CandlecastError
            When candles wait still after so many seconds.
        """
        deadline = time.monotonic() + wait_s
        while True:
            self.some()
            pending = self._store.overview()["pending"]
            if not pending:
                return
            if time.monotonic() > deadline:
                raise CandlecastError(
                    f"{pending} series wait still after {wait_s:g} s: `candlecast status` says why"
                )
            time.sleep(_LOOK_S)
