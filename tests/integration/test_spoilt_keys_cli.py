"""What an operator sees, and can still do, when a key of one series is not as ours are."""

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from shared.candle import Series
from shared.records import DeadLetter
from shared.store import Store
from tests.integration.spoilt import SIGNER, many
from tests.integration.steps import FLEET, T0, candles
from worker.teaching import Model
from worker.update import Updater

pytestmark = pytest.mark.timeout(120)

Run = Callable[..., "subprocess.CompletedProcess[str]"]
GOOD, BAD = many(2)
KINDS = {"candles": "stream", "model": "hash", "forecast": "string", "forecasts": "stream"}


@pytest.fixture
def learned(store: Store) -> Store:
    """A store with two series of three learned candles each, and no worker alive."""
    for series in (GOOD, BAD):
        store.append(series, candles(0, 3))
    store.tick(FLEET)
    Updater(store, Model("default", SIGNER, lambda _: 24, FLEET)).run()
    store.link.redis.delete(store.keys.fleet)
    assert [record.sequence for record in store.models([GOOD, BAD])] == [3, 3]
    return store


def status(candlecast: Run) -> Any:
    """The report for programs."""
    done = candlecast("status", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def spoil(store: Store, kind: str, series: Series = BAD) -> str:
    """Put something of another type under a key of a series; return the key."""
    key = str(getattr(store.keys, kind)(str(series)))
    store.link.redis.delete(key)
    store.link.redis.sadd(key, "strange")
    return key


def test_a_log_with_a_candle_that_nobody_can_read_is_rebuilt(
    learned: Store, candlecast: Run
) -> None:
    """What the log holds is counted, not read; a worker then buries the one candle."""
    entry = dict.fromkeys("ohlc", b"nonsense") | {"v": b"\xff"}
    learned.link.redis.xadd(learned.keys.candles(str(BAD)), entry, id=f"{T0 + 3 * 3_600_000}-0")

    done = candlecast("rebuild", str(BAD), "--yes")

    assert (done.returncode, done.stderr) == (0, "")
    assert f"{BAD}: learns 4 candles again, from 2023-11-14 22:00 UTC on" in done.stdout
    assert candlecast("worker", "--burst").returncode == 0
    record = learned.model(BAD)
    assert (record.sequence, record.waiting, record.dead_letters, record.rebuilds) == (3, 0, 1, 1)


def test_a_rebuild_of_a_log_that_begins_with_such_a_candle(store: Store, candlecast: Run) -> None:
    """Its time is known all the same."""
    key = store.keys.candles(str(BAD))
    store.append(BAD, candles(1, 3))
    store.link.redis.delete(key)
    store.link.redis.xadd(key, {"o": "nonsense"}, id=f"{T0}-0")

    done = candlecast("rebuild", str(BAD), "--yes")

    assert done.returncode == 0, done.stderr
    assert f"{BAD}: learns 1 candles again, from 2023-11-14 22:00 UTC on" in done.stdout


FORECASTS = [
    b"\xff\x00",
    b"{",
    b"null",
    b"5",
    b"[]",
    b"{}",
    b'{"valid_until": "soon", "status": "live", "skill": 7}',
    b"[" * 60_000,
    b'{"schema": 2}',
]


def test_a_forecast_that_nobody_can_read_hides_no_other_series(
    learned: Store, candlecast: Run
) -> None:
    """It is named; its series' candles are counted, and all other series are shown whole."""
    names = many(len(FORECASTS), "BAD")
    for series, raw in zip(names, FORECASTS, strict=True):
        learned.append(series, candles(0, 3))
        learned.link.redis.set(learned.keys.forecast(str(series)), raw)

    said, shown = status(candlecast), candlecast("status")

    rows = {row["series"]: row for row in said["series"]}
    assert list(rows) == sorted(map(str, [*names, GOOD, BAD]))
    assert rows[str(GOOD)]["status"] == "warming_up"
    assert said["unreadable"].keys() == set(map(str, names))
    assert shown.returncode == 0
    words = " ".join(shown.stdout.split())
    for series in names:
        row = rows[str(series)]
        assert (row["status"], row["stale"], row["skill"], row["waiting"]) == (None, None, [], 3)
        assert learned.keys.forecast(str(series)) in said["unreadable"][str(series)]
        assert f"{series}: -, UNREADABLE forecast; 0 learned, 3 waiting" in words
        assert f"{series}: UNREADABLE: the key" in words
    assert f"{GOOD}: warming_up, STALE; 3 learned" in words


def test_a_forecast_is_shown_as_it_is_where_it_can_be_read(learned: Store, candlecast: Run) -> None:
    """The report says what the forecast says."""
    (raw,) = learned.forecasts([GOOD])
    assert raw is not None
    published = json.loads(raw)

    row = status(candlecast)["series"][0]

    names = ("status", "last_close", "issued_at", "latency_ms", "skill")
    assert {name: row[name] for name in names} == {name: published[name] for name in names}
    assert len(row["skill"]) == 5


def test_a_key_of_another_type_hides_no_other_series(learned: Store, candlecast: Run) -> None:
    """It is named with the remedy by whatever looks at it; the other series are shown whole."""
    faults = {}
    for series, (kind, wanted) in zip(many(len(KINDS), "BAD"), KINDS.items(), strict=True):
        learned.append(series, candles(0, 3))
        key = spoil(learned, kind, series)
        faults[str(series)] = f"the key {key} is a set, not a {wanted}: delete it"

    said, shown = status(candlecast), candlecast("status")
    rows = {row["series"]: row for row in json.loads(candlecast("series", "list", "--json").stdout)}
    listed = candlecast("series", "list")

    assert [row["series"] for row in said["series"]] == [str(GOOD), str(BAD)]
    assert said["unreadable"].keys() == faults.keys()
    assert f"{GOOD}: warming_up, STALE; 3 learned" in shown.stdout
    assert (rows[str(GOOD)]["state"], rows[str(GOOD)]["fault"]) == ("live", None)
    for name, fault in faults.items():
        assert fault in said["unreadable"][name]
        assert f"{name}: UNREADABLE: {fault}" in " ".join(shown.stdout.split())
        assert (rows[name]["state"], rows[name]["learned"]) == ("unreadable", None)
        assert fault in listed.stderr
    words = {line.split()[0]: line.split()[1:4] for line in listed.stdout.splitlines()}
    assert [words[str(GOOD)], words[min(faults)]] == [["live", "3", "0"], ["unreadable", "-", "-"]]
    assert [shown.returncode, listed.returncode] == [0, 0]


@pytest.mark.parametrize(
    "command",
    [
        ["rebuild", "--yes"],
        ["series", "pause"],
        ["series", "resume"],
        ["series", "retire", "--yes"],
    ],
)
def test_a_command_on_such_a_series_names_the_key(
    learned: Store, candlecast: Run, command: list[str]
) -> None:
    """Nothing is done, neither to it nor to the sound one beside it."""
    before = learned.models([GOOD])
    key = spoil(learned, "model")

    done = candlecast(*command, str(GOOD), str(BAD))

    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert f"{BAD} cannot be read: the key {key} is a set, not a hash: delete it" in done.stderr
    assert learned.models([GOOD]) == before


def test_the_remedy_that_is_given_helps(store: Store, candlecast: Run) -> None:
    """The key deleted and the rest done as it says, candles are learned again or go on."""
    names = dict(zip(KINDS, many(len(KINDS)), strict=True))
    for series in names.values():
        store.append(series, candles(0, 3))
    store.tick(FLEET)
    updater = Updater(store, Model("default", SIGNER, lambda _: 24, FLEET))
    updater.run()
    for kind, series in names.items():
        key = spoil(store, kind, series)
        (fault,) = store.faults([series]).values()
        assert ("candlecast rebuild" in fault) == (kind == "model")
        store.link.redis.delete(key)

    assert candlecast("rebuild", str(names["model"]), "--yes").returncode == 0
    for series in names.values():
        end = store.end(series)
        new = candles(0, 4) if end is None else candles(3, 1)
        assert store.append(series, new).accepted == len(new)
    updater.run()

    said = status(candlecast)
    assert said["unreadable"] == {}
    for row in said["series"]:
        assert [row[name] for name in ("learned", "waiting", "lost")] == [4, 0, 0], row
        assert row["status"] == "warming_up", row


def test_a_name_that_is_no_text_among_the_series(learned: Store, candlecast: Run) -> None:
    """Names that are none of ours are left out of what exists, not run into."""
    learned.link.redis.sadd(learned.keys.series, b"\x80\x05pickle", b"\x1b[2J", b"x" * 9_000)

    done = candlecast("forecast", "nosuch")

    assert done.returncode == 2
    assert done.stderr == (
        f"candlecast: no forecast for series='nosuch'; series that exist: {GOOD}, {BAD}\n"
    )


def test_dead_letters_that_are_none(learned: Store, candlecast: Run) -> None:
    """Rows nested beyond all measure and fields that are no text are shown as what they are."""
    nested = ["[" * 4_000, "[" * 900 + "]" * 900, '{"open_time": ' + "[" * 900 + "]" * 900 + "}"]
    for row in nested:
        letter = DeadLetter(candle=row, reason="invalid", error="no candle")
        learned.dead_letters.put(BAD, letter)
    learned.link.redis.xadd(learned.keys.dead_letters, {b"\xff\xfe": b"\x80", "series": b"\xff"})
    (strange, *_) = learned.dead_letters.newest()

    for command in (["list"], ["list", "--json"], ["export"], ["show", strange.id]):
        done = candlecast("dead-letters", *command)
        assert (done.returncode, done.stderr) == (0, ""), command

    lines = candlecast("dead-letters", "list").stdout.splitlines()
    assert len(lines) == 4
    assert all("candle of unknown time" in line for line in lines)
