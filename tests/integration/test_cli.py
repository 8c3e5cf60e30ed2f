"""The command as people and programs meet it."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from shared.candle import Candle, Series
from shared.store import Store
from shared.wire import decode_forecast
from worker.embedded import redis_server


class Server(Protocol):
    """The database of the test."""

    url: str


Run = Callable[..., "subprocess.CompletedProcess[str]"]
HOUR = 3_600_000
T0 = 1_600_000_000_000 // HOUR * HOUR
NAME = "test:BTC/USDT:1h"


@pytest.fixture
def learned(store: Store, candlecast: Run) -> Store:
    """A store with one series of three learned candles."""
    candles = [Candle(T0 + i * HOUR, 100, 101, 99, 100 + i / 2, 1.0) for i in range(3)]
    store.append(Series.parse(NAME), candles)
    assert candlecast("worker", "--burst").returncode == 0
    return store


@pytest.mark.parametrize(
    "command",
    [
        ["status"],
        ["forecast", NAME],
        ["worker"],
        ["snapshot"],
        ["config", "check"],
        ["simulate", "--count", "1"],
    ],
)
@pytest.mark.parametrize("fault", ["unreachable", "password", "url"])
def test_a_redis_that_cannot_be_used_is_one_clear_line(
    server: Server, candlecast: Run, command: list[str], fault: str
) -> None:
    """No traceback, no password, exit code 2."""
    urls = {
        "unreachable": "redis://:geheim@127.0.0.1:1/0",
        "password": re.sub(":[^:@]+@", ":geheim@", server.url),
        "url": "geheim",
    }

    done = candlecast(*command, CANDLECAST_REDIS_URL=urls[fault])

    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert done.stderr.startswith("candlecast: ")
    assert "Traceback" not in done.stderr
    assert fault == "url" or "geheim" not in done.stderr + done.stdout


def test_a_wrong_setting_is_one_clear_line(candlecast: Run) -> None:
    """The variable is named."""
    done = candlecast("status", CANDLECAST_RETENTION="few")

    assert (done.returncode, len(done.stderr.strip().splitlines())) == (2, 1)
    assert "CANDLECAST_RETENTION" in done.stderr


@pytest.mark.usefixtures("learned")
def test_an_unknown_series_is_answered_with_those_that_exist(candlecast: Run) -> None:
    """Exit code 2 and the names to choose from."""
    done = candlecast("forecast", "test:BTC/USDT:1m")

    assert done.returncode == 2
    assert NAME in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("learned")
def test_status_as_json_counts_every_candle(candlecast: Run) -> None:
    """A program reads what was appended, learned, waits and was lost: nothing."""
    (row,) = json.loads(candlecast("status", "--json").stdout)["series"]

    assert row["series"] == NAME
    assert (row["appended"], row["learned"], row["waiting"], row["lost"]) == (3, 3, 0, 0)
    assert row["stale"] is True
    assert row["status"] == "warming_up"
    assert (row["paused"], row["holes"], row["missing"], row["rebuilds"]) == (False, 0, 0, 0)
    assert row["memory_bytes"] > 10_000


def test_status_says_what_is_unusual(store: Store, candlecast: Run) -> None:
    """Pause, refusals, holes and rebuilds have words, and no line is too long for a terminal."""
    name = f"{'exchange' * 4}:{'1000SHIB' * 4}/USDT:USDT:15m"
    series = Series.parse(name)
    quarter, close = series.timeframe.ms, 100.0
    times = [T0 + i * quarter for i in (0, 1, 2, 5)]
    candles = [Candle(time, close, close, close, close, 1.0) for time in times]
    store.append(series, [*candles, candles[1], Candle(T0, 99.0, 99.0, 99.0, 99.0, 1.0)])
    store.restore(
        series, etag=None, cursor=None, state=b"", fingerprint="", scores={}, sequence=0, since=None
    )
    store.pause(series)

    status = candlecast("status").stdout
    (row,) = json.loads(candlecast("status", "--json").stdout)["series"]

    words = " ".join(status.split())
    assert f"{name}: -, no forecast, PAUSED; 0 learned, 4 waiting, 1 dead letters, 0 lost" in words
    assert "1 duplicates, 1 revised, 1 holes, 2 missing, 1 rebuilds" in words
    assert max(map(len, status.splitlines())) <= 100
    assert [row[field] for field in ("paused", "holes", "missing", "rebuilds")] == [True, 1, 2, 1]


def test_status_tells_how_full_redis_is(tmp_path: Path, candlecast: Run) -> None:
    """The share of `maxmemory` in use, in words and as a number; without a limit there is none."""
    with redis_server(tmp_path / "redis", "test") as url:
        unlimited = json.loads(candlecast("status", "--json", CANDLECAST_REDIS_URL=url).stdout)
        Store.connect(url).link.redis.config_set("maxmemory", 2**40)
        full = candlecast("status", CANDLECAST_REDIS_URL=url).stdout
        limited = json.loads(candlecast("status", "--json", CANDLECAST_REDIS_URL=url).stdout)

    assert unlimited["used_memory_share"] is None
    assert 0 < limited["used_memory_share"] < 0.01
    assert "0% of maxmemory used" in full


def test_forecast_as_json_is_the_published_one(learned: Store, candlecast: Run) -> None:
    """The same JSON as under the key."""
    (raw,) = learned.forecasts([Series.parse(NAME)])
    assert raw is not None

    done = candlecast("forecast", NAME, "--json")

    assert decode_forecast(done.stdout.encode()) == decode_forecast(raw)


@pytest.mark.usefixtures("learned")
def test_forecast_and_status_for_people_say_what_matters(candlecast: Run) -> None:
    """A stale forecast is called stale in words."""
    shown = candlecast("forecast", NAME, COLUMNS="40").stdout
    status = candlecast("status", COLUMNS="40").stdout

    assert shown.startswith(f"{NAME} after 2020-09-13 14:00 UTC: close 101, warming_up, STALE")
    assert len([line for line in shown.splitlines() if line.lstrip()[:1].isdigit()]) == 24
    assert f"{NAME}: warming_up, STALE; 3 learned, 0 waiting, 0 dead letters, 0 lost" in status


def test_settings_are_shown_with_secrets_masked(candlecast: Run) -> None:
    """`config show` can be pasted into a ticket."""
    shown = candlecast("config", "show").stdout

    assert "CANDLECAST_RETENTION=2000" in shown
    assert "CANDLECAST_STATE_KEY=********" in shown
    assert "CANDLECAST_REDIS_URL=redis://default:********@127.0.0.1:" in shown
    assert "CANDLECAST_HORIZONS=1m=30,3m=30," in shown
    assert "CANDLECAST_STATE_KEY_PREVIOUS=\n" in shown


def test_settings_are_checked_against_redis(candlecast: Run) -> None:
    """`config check` ends with 0 where everything answers."""
    assert candlecast("config", "check").returncode == 0


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("MODEL", "nope", "random-walk"),
        ("HORIZONS", "7x=4", "7x"),
        ("DATA_DIR", "/proc/x", "/proc/x"),
    ],
)
@pytest.mark.parametrize("command", [["config", "check"], ["worker", "--burst"]])
def test_what_no_worker_could_run_with_is_told_before_one_starts(
    candlecast: Run, command: list[str], name: str, value: str, says: str
) -> None:
    """A wrong model, horizon or folder is one line and exit code 2, not a loop of restarts."""
    done = candlecast(*command, **{"CANDLECAST_STATE_KEY": "", f"CANDLECAST_{name}": value})

    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert says in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        *("demo", "replay", "simulate", "live", "worker", "snapshot"),
        *("forecast", "status", "backtest", "config"),
    ],
)
def test_every_command_has_help_with_an_example(candlecast: Run, command: str) -> None:
    """`--help` shows how the command is used."""
    done = candlecast(command, "--help")

    assert done.returncode == 0
    assert command == "config" or "Example: candlecast" in done.stdout


def test_watching_goes_on_with_each_new_forecast(
    learned: Store,
    start: Callable[..., "subprocess.Popen[bytes]"],
    tmp_path: Path,
    eventually: Callable[..., None],
) -> None:
    """`forecast --watch --json` is a line for each commit."""
    watch = start("forecast", NAME, "--watch", "--json")

    def lines() -> list[str]:
        return (tmp_path / "forecast-0.log").read_text().splitlines()

    eventually(lambda: len(lines()) == 1, "the newest is shown")

    learned.append(Series.parse(NAME), [Candle(T0 + 3 * HOUR, 100, 101, 99, 100.5, 1.0)])
    start("worker", "--burst")
    eventually(lambda: len(lines()) == 2, "the next follows")

    assert [json.loads(line)["sequence"] for line in lines()] == [3, 4]
    assert watch.poll() is None
