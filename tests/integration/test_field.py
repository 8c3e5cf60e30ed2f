"""What a worker does that has to wait for the field, step by step."""

import subprocess
import sys
import textwrap
import time
from ctypes import c_int8
from typing import Any

import pytest
from structlog.testing import capture_logs

from shared.errors import StoreUnavailable
from shared.store import Store
from tests.conftest import Server
from tests.integration.spoilt import many
from tests.integration.steps import walk
from tests.integration.test_prepare import OLD, SIGNER, learn, prepared, stands_by
from worker import prepare
from worker.field import Field, Part
from worker.prepare import Preparer
from worker.teaching import Model, Teacher

NEW = Model("default", SIGNER, lambda _: 3, "new")
THIRD = Model("default", SIGNER, lambda _: 5, "third")
FIRST, SECOND = many(2)
WALK = walk(400)


def waiting(store: Store, model: Model, **how: bool) -> Field:
    """A field that has had its first look, and has prepared."""
    field = Field(store, model, c_int8(Part.NONE), **how)
    field.tick()
    field.prepare(time.monotonic() + 20)
    return field


def test_who_rolls_takes_over_once_prepared(store: Store) -> None:
    """At the next tick."""
    learn(store, OLD, WALK, FIRST)

    field = waiting(store, NEW, rolling=True)

    assert field.waits
    assert field.tick() is not None
    assert not field.waits
    assert store.overview()["fleet"] == "new"


def test_who_does_not_roll_waits(store: Store) -> None:
    """Prepared as it is."""
    learn(store, OLD, WALK, FIRST)

    field = waiting(store, NEW)

    assert field.tick() is None
    assert store.overview()["heir"]["ready"] == 1


def test_who_saw_another_come_first_takes_no_more(store: Store) -> None:
    """Else two that are told to would take the field from each other; its log says so."""
    learn(store, OLD, WALK, FIRST)
    late = waiting(store, THIRD, rolling=True)
    early = waiting(store, NEW, rolling=True)
    early.tick()
    with capture_logs() as logs:
        late.tick()
    late.prepare(time.monotonic() + 20)
    late.tick()

    heir = store.overview()["heir"]
    assert (heir["fleet"], heir["rolls"], heir["ready"]) == ("third", False, 0)
    assert stands_by(store) is not None
    assert store.overview()["fleet"] == "new"
    assert "another one came first" in logs[0]["event"]


def test_who_takes_no_more_takes_an_empty_field_after_some_looks(store: Store) -> None:
    """It stays so while the same one learns; those who learned come first after an outage."""
    store.tick("another")
    part = c_int8(Part.LOST)
    field = Field(store, NEW, part, rolling=True)
    field.tick()
    assert part.value == Part.LOST
    store.link.redis.delete(store.keys.fleet)

    looks = [field.tick() is None for _ in range(6)]

    assert looks == [True] * 5 + [False]


def test_of_a_field_that_was_empty_nothing_prepared_is_replaced(store: Store) -> None:
    """It was taken just now, though nobody was relieved."""
    learn(store, OLD, WALK[:300], FIRST)
    prepared(store)
    store.link.redis.delete(store.keys.fleet)
    store.tick("new")

    prepared(store, THIRD, first=True)

    assert stands_by(store) is not None


def test_what_was_put_by_meanwhile_is_not_dropped(store: Store) -> None:
    """Another worker of the same model has taken the field since this one looked."""
    learn(store, OLD, WALK[:300], FIRST)
    preparer = prepared(store)
    learn(store, OLD, WALK[300:320], FIRST)
    (seen,) = store.standby.look([FIRST], [NEW.identity(FIRST)])
    learn(store, NEW, WALK[320:321], FIRST)

    preparer._claim(seen)

    assert stands_by(store, FIRST, OLD) is not None


def test_what_others_have_in_hand_is_not_ended(store: Store) -> None:
    """Each model notes its own."""
    store.standby.begin("new", [FIRST])
    store.standby.end("third", [FIRST])

    assert store.standby.begun("new", [FIRST])[0][0] == 1


def test_a_clock_that_steps_back_stops_no_upgrade(store: Store) -> None:
    """What was begun in its future is long ago."""
    learn(store, OLD, WALK[:300], FIRST)
    store.standby.name_heir("new", 0, 1)
    later_ms = store.link.now_ms() + 3_600_000
    store.link.redis.hset(store.keys.heir, f"begun:new:{FIRST}", f"1 {later_ms}")

    assert prepared(store).is_ready


@pytest.mark.parametrize(
    ("how", "says"),
    [({}, "--take-over at once"), ({"rolling": True}, "this one prepares and takes over")],
)
def test_what_comes_of_waiting_is_said(store: Store, how: dict[str, bool], says: str) -> None:
    """Once."""
    store.tick("another")
    with capture_logs() as logs:
        waiting(store, NEW, **how).tick()

    (waits,) = [one for one in logs if one["event"].startswith("waiting")]
    assert says in waits["event"]


def test_what_the_holder_has_prepared_is_not_replaced(store: Store) -> None:
    """Whoever was relieved prepares at once; those who have the field have not gone on yet."""
    learn(store, OLD, WALK[:300], FIRST)
    prepared(store)
    store.tick("new", "relieve")

    another = prepared(store, THIRD)
    forced = store.standby.find(FIRST, NEW.identity(FIRST))
    assert forced is not None
    store.standby.prepare("third", [(forced, "x", f"{NEW.identity(FIRST)}{forced.cursor}")])

    assert not another.is_ready
    assert stands_by(store) is not None
    learn(store, NEW, WALK[300:301], FIRST)
    assert store.model(FIRST).rebuilds == 0
    assert prepared(store, THIRD).is_ready
    assert stands_by(store, FIRST, THIRD) is not None


def test_who_is_to_relieve_waits_two_minutes_for_what_the_holder_has_prepared(
    store: Store,
) -> None:
    """A series may have no candle for days."""
    learn(store, OLD, WALK[:300], FIRST)
    prepared(store)
    store.tick("new", "relieve")

    soon = prepared(store, THIRD, first=True).is_ready
    store.link.redis.delete(store.keys.relieved, store.keys.heir)  # two minutes later
    another = prepared(store, THIRD).is_ready
    store.link.redis.delete(store.keys.heir)
    later = prepared(store, THIRD, first=True).is_ready

    assert (soon, another, later) == (False, False, True)
    assert stands_by(store, FIRST, THIRD) is not None


def test_what_cannot_be_read_and_stands_by_is_not_put_in_force_for_ever(store: Store) -> None:
    """Nor can what is in force: it is learned again."""
    learn(store, OLD, WALK[:300], FIRST)
    prepared(store)
    store.link.redis.hset(store.keys.model(str(FIRST)), "state", b"rubbish")
    store.link.redis.hset(store.keys.standby(str(FIRST)), "state", b"rubbish")

    learn(store, NEW, WALK[300:301], FIRST)

    record = store.model(FIRST)
    assert (record.rebuilds, record.sequence) == (1, 301)
    assert store.totals.read()["take_overs"] == 1


def test_a_redis_that_fails_kills_nobody(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was begun then is not taken for deadly."""
    learn(store, OLD, WALK[:300], FIRST)
    monkeypatch.setattr(prepare, "_DEAD_MS", -1)
    preparer = Preparer(store, NEW, clock=float)
    with monkeypatch.context() as broken:
        failing: Any = StoreUnavailable("Redis is away")
        broken.setattr(store.standby, "prepare", lambda *_: (_ for _ in ()).throw(failing))
        for _ in range(5):
            with pytest.raises(StoreUnavailable):
                preparer.prepare(1.0)

    preparer.prepare(1.0)

    assert preparer.is_ready
    assert stands_by(store) is not None


@pytest.mark.parametrize("times", [1, 3])
def test_what_another_has_in_hand_is_left_to_it(store: Store, times: int) -> None:
    """Neither taught twice nor taken for deadly, however often it was begun."""
    learn(store, OLD, WALK[:300], FIRST)
    store.standby.name_heir("new", 0, 1)
    for _ in range(times):
        store.standby.begin("new", [FIRST])

    preparer = prepared(store)

    assert not preparer.is_ready
    assert stands_by(store) is None


def test_fewer_are_taught_at_a_time_where_that_takes_long(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits has to show that it lives; more again where it is quick."""
    learn(store, OLD, WALK[:20], *many(100))
    now, sizes = [0.0], []
    taught = Teacher.taught

    def slow(self: Teacher, works: Any) -> Any:
        sizes.append(len(works))
        now[0] += (0.2 if sum(sizes) < 32 else 1.0) * len(works)
        return taught(self, works)

    monkeypatch.setattr(Teacher, "taught", slow)
    Preparer(store, NEW, clock=lambda: now[0]).prepare(200.0)

    assert sizes[:9] == [1, 2, 4, 8, 8, 8, 8, 4, 2]
    assert sum(sizes) == 100
    assert max(sizes[9:]) == 2


SIGNALLED = """
    import os, signal, sys
    from rq import Queue
    from rq.exceptions import StopRequested
    from worker import jobs
    from worker.candle_worker import CandleWorker

    queue = Queue("candles", connection=jobs.rq_connection())
    worker = CandleWorker([queue], connection=jobs.rq_connection())
    worker._install_signal_handlers()

    def lesson(until):
        print("limited", signal.getitimer(signal.ITIMER_REAL)[0] > 1)
        how(until)
        print("done")

    worker.field.prepare = lesson
    try:
        worker._prepare(0.0)
        print("goes on", signal.getitimer(signal.ITIMER_REAL)[0], worker.get_state().value)
    except StopRequested:
        print("stops")
"""


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("os.kill(os.getpid(), signal.SIGTERM)", ["limited True", "done", "stops"]),
        ("1 / 0", ["limited True", "goes on 0.0 idle"]),
    ],
)
def test_a_signal_is_obeyed_after_a_lesson_and_an_error_ends_nobody(
    server: Server, how: str, told: list[str]
) -> None:
    """An exception of the signal's would be taken for a candle's; and who fails looks on."""
    code = f"how = lambda until: {how}\n" + textwrap.dedent(SIGNALLED)
    done = subprocess.run(
        [sys.executable, "-c", code], env=server.env, capture_output=True, text=True, check=True
    )

    assert [line for line in done.stdout.splitlines() if not line.startswith("{")] == told
