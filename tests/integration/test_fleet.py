"""Which model learns: who holds the field, who waits for it, and who does not wait."""

import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from shared.store import Store
from tests.integration.steps import CLASS, RQ, SERIES, candles

pytestmark = pytest.mark.timeout(120)

Start = Callable[..., "subprocess.Popen[bytes]"]
Eventually = Callable[..., None]


def ticked(store: Store) -> int:
    """How many scripts the server has run."""
    return int(store.link.redis.info("commandstats")["cmdstat_evalsha"]["calls"])


def test_the_field_is_taken_over_once(store: Store, start: Start, eventually: Eventually) -> None:
    """Two that were told to take over would else take it from each other for ever."""
    store.tick("first")
    worker = start("worker", "--take-over")
    eventually(lambda: store.overview()["fleet"] != "first", "the worker takes over")
    own = store.overview()["fleet"]

    store.tick("second", take_over=True)
    ticks = ticked(store)
    eventually(lambda: ticked(store) > ticks + 3, "some ticks later")

    assert worker.poll() is None
    assert (own, store.overview()["fleet"]) != (own, own)


def test_who_waited_takes_an_empty_field_after_some_looks(
    store: Store, start: Start, eventually: Eventually
) -> None:
    """After an outage those who learned before come first, where they come back soon."""
    store.tick("first")
    start("worker")
    eventually(lambda: store.link.redis.smembers("rq:workers"), "the worker is there")
    ticks = ticked(store)
    eventually(lambda: ticked(store) > ticks + 2, "it waits")

    store.link.redis.delete(store.keys.fleet)
    ticks = ticked(store)
    eventually(lambda: ticked(store) > ticks + 2, "it has looked")
    assert store.overview()["fleet"] is None
    eventually(lambda: store.overview()["fleet"], "it takes the field")


@pytest.mark.parametrize("command", ["candlecast", "rq"])
def test_a_burst_does_not_wait_while_rq_is_suspended(
    store: Store, server: Any, candlecast: Callable[..., Any], command: str
) -> None:
    """`status` says that it is."""
    store.append(SERIES, candles(0, 3))
    store.link.redis.set("rq:suspended", 1)

    if command == "candlecast":
        assert candlecast("worker", "--burst").returncode == 1
    else:
        rq = [RQ, "worker", "candles", "--burst", *CLASS, "-u", server.url]
        subprocess.run(rq, env=server.env, capture_output=True, timeout=60, check=False)

    assert store.model(SERIES).waiting == 3
    assert "SUSPENDED by `rq suspend`" in candlecast("status").stdout


def test_a_burst_does_not_wait_for_another_model(
    store: Store, candlecast: Callable[..., Any]
) -> None:
    """Whoever started it is told, by an exit code and the name; the others keep their doorbell."""
    store.append(SERIES, candles(0, 3))
    store.tick("another-fleet-key")

    done = candlecast("worker", "--burst")

    assert done.returncode == 1
    assert "another-fleet-key" in done.stdout + done.stderr
    assert store.overview()["jobs"]["candles"] == 1
    assert store.model(SERIES).waiting == 3
