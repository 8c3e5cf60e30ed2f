"""Connections between everybody and Redis break, stall and close on one side."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from shared.candle import Series
from tests.faults.outcome import Outcome, Row
from tests.faults.proxy import Proxy
from tests.faults.sources import LONG
from tests.faults.stage import Stage

pytestmark = pytest.mark.timeout(900 if LONG else 90)

Fault = Callable[[Proxy], object]


@pytest.fixture
def proxy(stage: Stage) -> Iterator[Proxy]:
    """A proxy between the server and all that is started from here on."""
    between = Proxy(stage.server.port)
    stage.url = stage.url.replace(f":{stage.server.port}/", f":{between.port}/")
    yield between
    between.close()


def _delay(proxy: Proxy) -> None:
    proxy.delay_s = 0.0 if proxy.delay_s else 0.02


FAULTS: dict[str, tuple[Fault, ...]] = {
    "connections cut, delayed, ended towards clients": (
        *(Proxy.cut, _delay, Proxy.end_towards_clients),
    )
}
if LONG:
    FAULTS |= {
        "connections cut": (Proxy.cut,),
        "connections delayed": (_delay,),
        "connections ended towards clients": (Proxy.end_towards_clients,),
        # Whoever waits for an answer then waits for a time-out of many seconds.
        "connections ended towards Redis": (Proxy.end_towards_server,),
    }


@pytest.mark.parametrize("name", FAULTS)
def test_connections(
    *,
    name: str,
    stage: Stage,
    proxy: Proxy,
    chance: np.random.Generator,
    fault_free: dict[Series, Outcome],
    table: list[Row],
) -> None:
    """Workers and producers connect again, and what was half done is done once."""
    stage.start_workers(2)
    stage.feed(60 if LONG else 3)
    for number in stage.strikes(40 if LONG else 6, (0.2, 0.8), chance):
        FAULTS[name][number % len(FAULTS[name])](proxy)
    stage.settle(name, fault_free, table)
