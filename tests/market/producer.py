"""`candlecast live` on the local exchange's clock: a real producer in a process of its own.

::

    python -m tests.market.producer URL CLOCK_JSON AHEAD_MS binance:BTC/USDT:1m kraken:ETH/USDT:1m

The exchange's market may run faster than the machine (`tests.market.server`), so ccxt's clients
read its clock as their own, so many milliseconds ahead of it, and feeds wait in its seconds. All
else is what the command runs.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from config import logs
from producers.client import Ccxt
from producers.connect import connect
from producers.desk import Desk, Order
from producers.live import Live
from producers.pause import Pause
from producers.venues import open_venue
from shared.candle import Series
from shared.store import Store
from tests.market.clock import Clock
from tests.market.server import options

HISTORY = 30


def main(url: str, clock_json: str, ahead_ms: str, *names: str) -> None:
    """Follow series until terminated."""
    clock = Clock(**json.loads(clock_json))
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: ended.append(number))
    logs.configure(level="info", fmt="json")

    def source(name: str, settings: Mapping[str, Any] | None) -> Ccxt:
        client: Any = connect(name, options=settings)
        client.milliseconds = lambda: clock.now_ms() + int(ahead_ms)
        return client  # type: ignore[no-any-return]

    def seconds() -> float:
        return clock.now_ms() / 1_000

    def desk(name: str, wanted: Sequence[Series], _pause: Pause) -> Desk:
        pause = Pause(name, seconds)
        opened = partial(open_venue, name, options(name, url), source=source, pause=pause)
        redis = partial(Store.connect, os.environ["CANDLECAST_REDIS_URL"])
        return Desk(name, Order(wanted, HISTORY), opened, redis, pause, seconds)

    live = Live(desk)
    live.want(Series.parse(name) for name in names)
    while not ended:
        live.check()
        time.sleep(0.05)
    standings = live.standings
    live.stop()
    print(json.dumps({"told": {name: one.told for name, one in standings.items()}}))


if __name__ == "__main__":
    main(*sys.argv[1:])
