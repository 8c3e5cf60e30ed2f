"""Which model learns: who holds the field, who waits for it, and who does not wait."""

import os
import signal
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from shared.limits import Limits
from shared.store import Store
from tests.faults.stage import children
from tests.integration.steps import CLASS, RQ, SERIES, candles

pytestmark = pytest.mark.timeout(120)

Start = Callable[..., "subprocess.Popen[bytes]"]
Eventually = Callable[..., None]


def ticked(store: Store) -> int:
    """How many scripts the server has run."""
    return int(store.link.redis.info("commandstats")["cmdstat_evalsha"]["calls"])


def test_a_worker_of_another_model_takes_nothing(store: Store) -> None:
    """The fleet's name decides who learns, until it expires or is taken over."""
    store.append(SERIES, candles(0, 1))
    store.tick("fleet-a")

    assert store.claim("fleet-b").claims == []
    assert store.tick("fleet-b").holder == "fleet-a"
    assert store.tick("fleet-b", "take over").holder == "fleet-b"
    assert len(store.claim("fleet-b").claims) == 1


def relieved_by(store: Store, fleet: str) -> str:
    """Who has the field when this one has prepared, and wants it."""
    store.standby.name_heir(fleet, 0, 0, first=True)
    return store.tick(fleet, "relieve").holder


def test_who_was_relieved_just_now_relieves_nobody(store: Store) -> None:
    """It was to end, and something has started it anew; by force it may."""
    store.tick("fleet-a")
    assert relieved_by(store, "fleet-b") == "fleet-b"
    assert relieved_by(store, "fleet-a") == "fleet-b"
    assert relieved_by(store, "fleet-c") == "fleet-c"
    assert relieved_by(store, "fleet-b") == "fleet-c"
    assert relieved_by(store, "fleet-a") == "fleet-c"
    assert store.tick("fleet-a", "take over").holder == "fleet-a"
    assert 60_000 < store.link.redis.pttl(store.keys.relieved) <= 120_000


@pytest.mark.parametrize("until", [1, 10**15, "x"])
def test_nobody_is_relieved_for_ever(store: Store, until: object) -> None:
    """After two minutes, or a step of Redis's clock, it may relieve others again."""
    store.tick("fleet-a")
    store.link.redis.hset(store.keys.relieved, "fleet-b", until)
    store.link.redis.expire(store.keys.relieved, 100)

    assert relieved_by(store, "fleet-b") == "fleet-b"


def test_who_was_relieved_does_not_stay_so(store: Store) -> None:
    """A key without its end, or with one too far, is of a clock that stepped back."""
    store.tick("fleet-a")
    store.link.redis.persist(store.keys.relieved)
    store.tick("fleet-a")

    assert not store.link.redis.exists(store.keys.relieved)


def test_only_the_heir_relieves(store: Store) -> None:
    """What another one has prepared stands by, if anything does."""
    store.tick("fleet-a")
    assert store.tick("fleet-b", "relieve").holder == "fleet-a"
    store.standby.name_heir("fleet-c", 0, 0)
    assert store.tick("fleet-b", "relieve").holder == "fleet-a"


def test_a_key_of_another_kind_keeps_nobody_from_the_field(store: Store) -> None:
    """It is replaced."""
    store.tick("fleet-a")
    store.link.redis.set(store.keys.relieved, "mine", ex=100)

    assert relieved_by(store, "fleet-b") == "fleet-b"
    assert relieved_by(store, "fleet-a") == "fleet-b"


def test_only_a_tick_gives_an_empty_field_away(store: Store) -> None:
    """A claim does not know who has to look first."""
    store.append(SERIES, candles(0, 1))

    assert store.claim("fleet-a").holder == ""
    assert store.overview()["fleet"] is None
    assert store.tick("fleet-a").holder == "fleet-a"
    assert len(store.claim("fleet-a").claims) == 1


def test_who_only_looks_leaves_an_empty_field(store: Store) -> None:
    """Those who held it before an outage shall come first."""
    assert store.tick("fleet-b", "look").holder == ""
    assert store.tick("fleet-a").holder == "fleet-a"
    assert store.tick("fleet-b", "look").holder == "fleet-a"


def test_a_worker_that_waits_for_the_field_takes_no_tick(store: Store) -> None:
    """The guard and the housekeeping of a period are left to those who learn."""
    store.tick("fleet-a", "take over")
    store.link.redis.delete(store.keys.tick, store.keys.housekeeping)
    store.append(SERIES, candles(0, 1))
    store.link.redis.delete("rq:queue:candles")

    waiting, learning = store.tick("fleet-b"), store.tick("fleet-a")

    assert (waiting.ring, waiting.housekeeping) == (0, False)
    assert (learning.ring, learning.housekeeping) == (1, True)


def test_a_worker_without_a_model_keeps_no_fleet_alive(store: Store) -> None:
    """The housekeeping worker ticks, but names no model."""
    assert store.tick("").holder == ""
    assert store.tick("fleet-b").holder == "fleet-b"


def test_a_tick_without_a_fleet_names_none(store: Store) -> None:
    """Where nobody learns and another has ticked just now, there is no name to be told."""
    slow = Store(store.link, Limits(tick_guard_ms=60_000))
    store.link.redis.set(store.keys.tick, 1, px=50_000)

    tick = slow.tick("")

    assert (tick.holder, tick.ring, tick.housekeeping) == ("", 0, False)


def test_the_field_is_taken_over_once(store: Store, start: Start, eventually: Eventually) -> None:
    """Two that were told to take over would else take it from each other for ever."""
    store.tick("first")
    worker = start("worker", "--take-over")
    eventually(lambda: store.overview()["fleet"] != "first", "the worker takes over")
    own = store.overview()["fleet"]

    store.tick("second", "take over")
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


def test_who_is_started_anew_after_waiting_looks_before_it_takes_an_empty_field(
    store: Store, start: Start, eventually: Eventually
) -> None:
    """Its predecessor has waited for those who shall come first."""
    store.tick("first")
    supervisor = start("worker")
    eventually(lambda: store.link.redis.smembers("rq:workers"), "the worker is there")
    ticks = ticked(store)
    eventually(lambda: ticked(store) > ticks + 1, "it waits")

    os.kill(children(supervisor)[0], signal.SIGKILL)
    store.link.redis.delete(store.keys.fleet)
    ticks = ticked(store)
    eventually(lambda: ticked(store) > ticks + 2, "the next one has looked")
    assert store.overview()["fleet"] is None
    eventually(lambda: store.overview()["fleet"], "it takes the field")


def test_who_is_started_anew_after_learning_takes_an_empty_field_before_who_waited(
    store: Store, start: Start, eventually: Eventually
) -> None:
    """It goes on for its predecessor; to look first would give the field to the other model."""
    learning = start("worker")
    eventually(lambda: store.overview()["fleet"], "it learns")
    own = store.overview()["fleet"]
    start("worker", CANDLECAST_HORIZONS="1m=2,5m=2,15m=2,1h=2")
    eventually(lambda: len(store.link.redis.smembers("rq:workers")) == 2, "the other is there")
    ticks = ticked(store)
    eventually(lambda: ticked(store) > ticks + 4, "it waits")

    (worker,) = children(learning)
    os.kill(worker, signal.SIGSTOP)
    store.link.redis.delete(store.keys.fleet)
    ticks = ticked(store)
    eventually(lambda: ticked(store) > ticks + 1, "the other has looked")
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: store.overview()["fleet"], "the field is taken")

    assert store.overview()["fleet"] == own


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
