"""The commands that rebuild, pause, resume and retire series, with real workers and MLflow."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from models import state
from models.learner import Learner
from shared.candle import Candle, Series
from shared.errors import InvalidValue
from shared.model_record import ModelRecord
from shared.store import Store
from worker import operators

pytestmark = pytest.mark.timeout(180)

HOUR = 3_600_000
T0 = 1_600_000_000_000 // HOUR * HOUR
BTC, ETH = (Series.parse(f"test:{symbol}/USDT:1h") for symbol in ("BTC", "ETH"))
SIGNER = state.Signer(b"0123456789abcdef" * 2)
NOWHERE = {
    "CANDLECAST_MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
}
COMMAND = str(Path(sys.executable).with_name("candlecast"))
Run = Callable[..., "subprocess.CompletedProcess[str]"]


class Server(Protocol):
    """The database of the test."""

    url: str
    env: dict[str, str]


def candles(first: int, count: int) -> list[Candle]:
    """Hourly candles from the ``first``-th hour on, each of its own close."""
    closes = [100 + 7 * i % 11 / 10 for i in range(first, first + count)]
    return [
        Candle(T0 + (first + i) * HOUR, close, close + 1, close - 1, close, 5.0)
        for i, close in enumerate(closes)
    ]


def taught(first: int, count: int) -> Learner:
    """What a worker makes of these candles."""
    learner = Learner(BTC.timeframe, 24)
    for candle in candles(first, count):
        learner.learn_one(candle)
    return learner


@pytest.fixture
def learned(store: Store, candlecast: Run) -> Store:
    """A store with two series of three learned candles each."""
    for series in (BTC, ETH):
        store.append(series, candles(0, 3))
    assert candlecast("worker", "--burst").returncode == 0
    return store


@pytest.mark.parametrize(
    "command",
    [
        *("rebuild", "series list", "series pause", "series resume", "series retire"),
        *("dead-letters list", "dead-letters show", "dead-letters export", "dead-letters drop"),
    ],
)
def test_every_command_has_help_with_an_example(candlecast: Run, command: str) -> None:
    """`--help` shows how the command is used, and needs no server."""
    done = candlecast(*command.split(), "--help", CANDLECAST_REDIS_URL="redis://127.0.0.1:1/0")

    assert done.returncode == 0
    assert f"Example: candlecast {command}" in done.stdout


def test_a_rebuilt_series_is_learned_from_its_first_retained_candle(
    store: Store, candlecast: Run
) -> None:
    """It says what will be learned and lost; a worker then makes what those candles alone make."""
    retention = {"CANDLECAST_RETENTION": "100"}
    store.append(BTC, candles(0, 130))
    assert candlecast("worker", "--burst", **retention).returncode == 0
    record, kept = store.model(BTC), len(store.candles(BTC))
    assert (record.sequence, kept) == (130, 100)

    unsure = candlecast("rebuild", str(BTC))
    assert unsure.returncode == 2
    assert "--yes" in unsure.stderr
    assert store.model(BTC) == record
    done = candlecast("rebuild", str(BTC), "--yes")

    assert done.returncode == 0, done.stderr
    assert "learns 100 candles again, from 2020-09-14 18:00 UTC on" in done.stdout
    assert "since 2020-09-13 12:00 UTC" in done.stdout
    assert candlecast("worker", "--burst", **retention).returncode == 0
    again = store.model(BTC)
    assert (again.sequence, again.since, again.rebuilds) == (100, T0 + 30 * HOUR, 1)
    assert (again.waiting, again.lost, again.cursor) == (0, 0, record.cursor)
    assert again.state is not None
    assert again.fingerprint is not None
    learner, wanted = state.load(again.state, SIGNER, again.fingerprint, BTC), taught(30, 100)
    assert learner.outlook().quantiles.tolist() == wanted.outlook().quantiles.tolist()
    assert learner.outlook().quantiles.tolist() != taught(0, 130).outlook().quantiles.tolist()
    assert again.scores["horizons"].keys() == wanted.scores()["horizons"].keys()


@pytest.mark.parametrize("command", [["rebuild"], ["series", "pause"], ["series", "retire"]])
def test_an_unknown_series_stops_all_of_it(
    store: Store, candlecast: Run, command: list[str]
) -> None:
    """The names that may have been meant are given, and the right ones beside it are left alone."""
    for series in (BTC, ETH):
        store.append(series, candles(0, 3))
    before = store.models([BTC, ETH])

    yes = ["--yes"] * (command[-1] != "pause")
    done = candlecast(*command, str(BTC), "test:eth/USDT:1h", *yes)

    assert (done.returncode, done.stdout) == (2, "")
    assert f"did you mean {ETH}" in done.stderr
    assert store.models([BTC, ETH]) == before


def test_a_paused_series_keeps_its_candles_until_it_is_resumed(
    learned: Store, candlecast: Run
) -> None:
    """Nothing of it is learned, its neighbour goes on; resumed, it learns what has come."""
    assert "paused" in candlecast("series", "pause", str(BTC)).stdout
    for series in (BTC, ETH):
        learned.append(series, candles(3, 2))
    assert candlecast("worker", "--burst").returncode == 0

    rows = {row["series"]: row for row in json.loads(candlecast("series", "list", "--json").stdout)}
    assert [rows[str(BTC)][name] for name in ("state", "learned", "waiting")] == ["paused", 3, 2]
    assert [rows[str(ETH)][name] for name in ("state", "learned", "waiting")] == ["live", 5, 0]
    first, btc, _ = candlecast("series", "list").stdout.splitlines()
    assert first.split() == ["series", "state", "learned", "waiting", "memory"]
    assert btc.split()[:4] == [str(BTC), "paused", "3", "2"]

    assert "already" in candlecast("series", "pause", str(BTC)).stdout
    assert "resumed, 2 candles waiting" in candlecast("series", "resume", str(BTC)).stdout
    assert "waiting" in candlecast("series", "list").stdout.splitlines()[1]
    assert candlecast("worker", "--burst").returncode == 0
    assert learned.model(BTC).sequence == 5


def keys_of(store: Store, series: Series) -> list[str]:
    """Every key that names the series, and the sets that list it."""
    redis = store.link.redis
    named = [key.decode() for key in redis.scan_iter(f"*{series}*")]
    listed = redis.sismember(store.keys.series, str(series))
    marked = redis.zscore(store.keys.pending, str(series)) is not None
    return [*named, *["series"] * listed, *["pending"] * marked]


def archived(data: Path, name: str) -> tuple[int, bool]:
    """Versions of a registered model, and whether it is tagged as retired."""
    with sqlite3.connect(data / "mlflow.db") as store:
        ((versions,),) = store.execute("SELECT count(*) FROM model_versions WHERE name = ?", [name])
        ((tags,),) = store.execute(
            "SELECT count(*) FROM registered_model_tags WHERE name = ? AND key = 'retired'", [name]
        )
    return versions, bool(tags)


@pytest.mark.usefixtures("furnished")
@pytest.mark.at_length
def test_a_retired_series_leaves_its_model_and_its_dead_letters(
    learned: Store, candlecast: Run, tmp_path: Path
) -> None:
    """Only a model that moved becomes a last version; a new life takes the mark off again."""
    data, names = tmp_path / "data", ("test.BTC-USDT.1h", "test.ETH-USDT.1h")
    learned.append(BTC, [Candle(T0, 5, 6, 4, 5, 1.0)])
    assert candlecast("snapshot").returncode == 0
    learned.append(BTC, candles(3, 1))
    assert candlecast("worker", "--burst").returncode == 0
    learned.append(BTC, candles(4, 1))

    done = candlecast("series", "retire", str(BTC), str(ETH), "--yes")

    assert done.returncode == 0, done.stderr
    assert f"{BTC}: 4 candles learned, 1 that wait are lost" in done.stdout
    assert f"{BTC}: retired, its model is version 2 in MLflow" in done.stdout
    assert f"{ETH}: retired, its model is version 1 in MLflow" in done.stdout
    assert [archived(data, name) for name in names] == [(2, True), (1, True)]
    assert keys_of(learned, BTC) == keys_of(learned, ETH) == []
    assert [letter.series for letter in learned.dead_letters.newest()] == [str(BTC)]

    learned.append(BTC, candles(0, 3))
    assert candlecast("worker", "--burst").returncode == 0
    assert candlecast("snapshot").returncode == 0
    assert learned.model(BTC).sequence == 3
    assert [archived(data, name) for name in names] == [(3, False), (1, True)]


@pytest.mark.parametrize("fault", [NOWHERE, {"CANDLECAST_STATE_KEY": "f" * 32}])
@pytest.mark.at_length
def test_a_model_that_cannot_be_kept_keeps_its_series(
    learned: Store, candlecast: Run, fault: dict[str, str]
) -> None:
    """MLflow away or a state of another key: nothing goes, the pause is told; or it goes unkept."""
    before = keys_of(learned, BTC)
    unsure = candlecast("series", "retire", str(BTC))
    assert (unsure.returncode, learned.model(BTC).paused) == (2, False)

    done = candlecast("series", "retire", str(BTC), "--yes", **fault)

    assert done.returncode == 1
    assert "paused" in done.stderr
    assert "Traceback" not in done.stderr
    assert set(keys_of(learned, BTC)) == set(before)
    assert learned.model(BTC).paused
    assert candlecast("series", "retire", str(BTC), "--no-archive", "--yes").returncode == 0
    assert keys_of(learned, BTC) == []
    assert len(keys_of(learned, ETH)) == len(before)


def test_a_model_that_moves_meanwhile_is_kept_once_more(learned: Store, candlecast: Run) -> None:
    """What is removed is what was kept: a commit in between is not lost."""
    kept: list[int] = []

    def keep(record: ModelRecord) -> int:
        kept.append(record.sequence)
        if len(kept) == 1:
            learned.append(BTC, candles(3, 1))
            assert candlecast("worker", "--burst").returncode == 0
        return len(kept)

    outcomes = list(operators.retire(learned, [BTC], keep))

    assert outcomes == [operators.Retired(BTC, 2)]
    assert kept == [3, 4]
    assert keys_of(learned, BTC) == []


@pytest.mark.parametrize("keep", [None, lambda _: 1])
def test_no_series_is_retired_while_a_round_of_snapshots_is_under_way(
    learned: Store, monkeypatch: pytest.MonkeyPatch, keep: operators.Keep | None
) -> None:
    """With or without an archive: the round may have the series in hand."""
    monkeypatch.setattr(operators, "_LOCK_WAIT_S", 0.1)
    before = set(keys_of(learned, BTC))
    with learned.snapshot_lock():
        (refused,) = operators.retire(learned, [BTC], keep)

    assert "a round of snapshots is under way" in refused.fault
    assert set(keys_of(learned, BTC)) == before
    assert [outcome.fault for outcome in operators.retire(learned, [BTC], keep)] == [""]
    assert keys_of(learned, BTC) == []


def test_nothing_that_comes_too_late_brings_a_retired_series_back(learned: Store) -> None:
    """Neither a snapshot's version nor a rebuild; its new life has no version of the old one."""
    revision = learned.model(BTC).revision
    assert learned.retire(BTC, revision=revision)

    for number in (0, revision):
        learned.set_snapshot(BTC, version=7, alias=None, revision=number)
    with pytest.raises(InvalidValue, match="it has been retired"):
        operators.rebuild(learned, BTC)

    assert keys_of(learned, BTC) == []
    learned.append(BTC, candles(0, 1))
    learned.set_snapshot(BTC, version=7, alias=None, revision=revision)
    assert learned.model(BTC).snapshot_version is None
    learned.set_snapshot(ETH, version=7, alias=None, revision=revision)
    assert learned.model(ETH).snapshot_version == 7


def test_a_series_that_is_fed_still_is_warned_of(store: Store) -> None:
    """Candles within the last two candles' time mean a producer; older ones do not."""
    for series in (BTC, ETH):
        store.append(series, candles(0, 3))
    seconds, _ = store.link.redis.time()
    key = store.keys.model(str(ETH))
    store.link.redis.hset(key, "appended_at", int(seconds) * 1_000 - 2 * HOUR - 60_000)

    lines = list(operators.farewells(store, [BTC, ETH]))

    assert ["WARNING" in line for line in lines] == [False, True, False]
    assert lines[0].startswith(str(BTC))


@pytest.mark.parametrize(
    "command", [["series", "list"], ["dead-letters", "list"], ["rebuild", str(BTC), "--yes"]]
)
def test_nothing_heavy_is_loaded(store: Store, server: Server, command: list[str]) -> None:
    """MLflow, River and NumPy would make an operator wait."""
    store.append(BTC, candles(0, 3))

    done = subprocess.run(
        [sys.executable, "-X", "importtime", COMMAND, *command],
        env=server.env,
        capture_output=True,
        text=True,
        check=True,
    )

    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "shared.store" in loaded
    assert loaded.isdisjoint({"mlflow", "river", "numpy"})
