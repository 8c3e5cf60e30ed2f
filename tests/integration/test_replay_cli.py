"""Producers through the real command line and a real server."""

import json
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import redis

from producers import display
from producers.aside import Aside
from producers.cli import _letter
from producers.files import BadRow, CandleFile
from producers.push import Totals
from shared.candle import Candle, Series
from shared.errors import StoreUnavailable
from shared.records import Append, Appended, DeadLetter
from shared.store import Store

if TYPE_CHECKING:
    from tests.conftest import Server

HOUR = 3_600_000
T0 = 1_704_067_200_000  # 2024-01-01
SERIES = Series.parse("x:BTC/USDT:1h")
Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., subprocess.Popen[bytes]]


def table(rows: int = 30) -> pd.DataFrame:
    """Valid hourly candles."""
    steps = np.arange(rows) * 0.25
    times = pd.date_range("2024-01-01", periods=rows, freq="h", tz="UTC")
    prices = {"open": 10 + steps, "high": 12 + steps, "low": 9 + steps, "close": 11 + steps}
    return pd.DataFrame({"open_time": times, **prices, "volume": steps})


def with_value(row: int, column: str, value: object) -> pd.DataFrame:
    """A valid table but for one cell; ``row`` counts from 1."""
    frame = table()
    frame[column] = frame[column].astype(object)
    frame.loc[row - 1, column] = value  # type: ignore[call-overload]
    return frame


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., str]:
    """Write a table to a CSV or Parquet file and return its path."""

    def write(frame: pd.DataFrame, name: str = "x-BTCUSDT-1h.csv") -> str:
        path = tmp_path / name
        if path.suffix == ".csv":
            frame.to_csv(path, index=False)
        else:
            frame.to_parquet(path)
        return str(path)

    return write


def counts(summary: str) -> dict[str, int]:
    """The numbers of the last line."""
    found = re.findall(r"(\d+) (accepted|duplicates|revised|refused|bad rows)", summary)
    return {name: int(number) for number, name in found}


def letters(server: "Server") -> list[dict[str, str]]:
    """The dead letters."""
    client: Any = redis.Redis.from_url(server.url, decode_responses=True)
    return [fields for _, fields in client.xrange("candlecast:dead-letters")]


def hours(store: Store, series: Series = SERIES) -> list[int]:
    """Which hours the log holds."""
    return [(candle.open_time - T0) // HOUR for candle in store.candles(series)]


@pytest.mark.parametrize("name", ["x-BTCUSDT-1h.csv", "x-BTCUSDT-1h.parquet"])
def test_a_file_is_taken_whole_with_its_holes(
    name: str, file: Callable[..., str], candlecast: Run, store: Store
) -> None:
    """Every row arrives once, holes stay holes, and the last line counts."""
    frame = table(1_300).drop(index=[7, 8, 600])

    done = candlecast("replay", file(frame, name))

    assert (done.returncode, done.stderr) == (0, "")
    assert counts(done.stdout) == {"accepted": 1_297, "duplicates": 0, "revised": 0, "refused": 0}
    assert hours(store) == [hour for hour in range(1_300) if hour not in {7, 8, 600}]
    assert [candle.close for candle in store.candles(SERIES)] == frame["close"].tolist()


BAD = {
    "missing column": (table().drop(columns="close"), "column close"),
    "text": (with_value(17, "close", "n/a"), "row 17, column close: 'n/a'"),
    "nan": (with_value(4, "volume", None), "row 4, column volume"),
    "infinite": (with_value(4, "high", float("inf")), "row 4, column high: inf"),
    "impossible": (with_value(4, "low", 11.0), "row 4, column open"),
    "unsorted": (
        with_value(9, "open_time", pd.Timestamp("2024-01-01 03:00", tz="UTC")),
        "row 9, column open_time",
    ),
    "duplicate": (
        with_value(9, "open_time", pd.Timestamp("2024-01-01 07:00", tz="UTC")),
        "row 9, column open_time",
    ),
    "future": (
        with_value(30, "open_time", pd.Timestamp("2099-01-01", tz="UTC")),
        "row 30, column open_time",
    ),
    "wrong timeframe": (
        table().assign(open_time=pd.date_range("2024-01-01", periods=30, freq="15min")),
        "row 2, column open_time: the rows are 15m apart",
    ),
    "no rows": (table(0), "has no rows"),
}


@pytest.mark.parametrize(("frame", "says"), BAD.values(), ids=BAD)
def test_a_malformed_file_ends_with_one_clear_line(
    frame: pd.DataFrame, says: str, file: Callable[..., str], candlecast: Run, store: Store
) -> None:
    """Exit code 2, one line that names file, row and column, and nothing pushed."""
    path = file(frame)

    done = candlecast("replay", path)

    assert (done.returncode, done.stdout) == (2, "")
    assert f"{path}: {says}" in done.stderr
    assert done.stderr.count("\n") == 1
    assert store.series() == []


def test_skip_bad_sends_bad_rows_to_the_dead_letters_and_goes_on(
    file: Callable[..., str], candlecast: Run, server: "Server", store: Store
) -> None:
    """Each bad row is kept with its content, place and reason; all others are taken."""
    frame = with_value(5, "close", "n/a")
    frame.loc[11, "volume"] = -1.0
    path = file(frame)

    done = candlecast("replay", path, "--skip-bad")

    assert done.returncode == 0
    assert counts(done.stdout)["bad rows"] == 2
    assert hours(store) == [hour for hour in range(30) if hour not in {4, 11}]
    first, second = letters(server)
    assert (first["series"], first["reason"]) == (str(SERIES), "invalid")
    assert first["error"].startswith(f"{path}: row 5, column close: 'n/a'")
    assert json.loads(second["candle"])["volume"] == "-1.0"


def test_only_bad_rows_that_the_dead_letters_keep_are_sent(server: "Server") -> None:
    """Of more bad rows than are kept the last ones are sent, and the summary says so."""
    store = Store.connect(server.url, limits={"dead_letters": 10})
    empty = CandleFile(Path("f.csv"), SERIES, np.array([]), np.empty((0, 5)))
    bad = [_letter(empty, BadRow(row, "low", "{}", "-1.0 must be > 0")) for row in range(1, 51)]
    aside = Aside(store, bad, store.limits.dead_letters)
    assert (aside.bad, letters(server)) == (0, [])

    for _ in range(2):
        aside.append_all([Append(SERIES, [Candle(T0, 2.0, 3.0, 1.0, 2.0, 1.0)])])

    assert (aside.bad, aside.kept) == (50, 10)
    assert store.model(SERIES).dead_letters == 10
    assert [re.findall(r"row (\d+)", letter["error"]) for letter in letters(server)] == [
        [str(row)] for row in range(41, 51)
    ]
    said = display.summary(Totals(), 1.0, bad_rows=(aside.bad, aside.kept))
    assert "50 bad rows, the last 10 in the dead letters" in said


def test_bad_rows_are_set_aside_once_though_redis_fails_in_between(server: "Server") -> None:
    """The candles are sent again, and only the rows that are not set aside yet."""
    store, bad = Store.connect(server.url), [BadRow(row, "low", "{}", "-1") for row in (1, 2, 3)]
    file = CandleFile(Path("f.csv"), SERIES, np.array([]), np.empty((0, 5)))
    aside = Aside(store, [_letter(file, row) for row in bad], 10)
    appends = [Append(SERIES, [Candle(T0, 2.0, 3.0, 1.0, 2.0, 1.0)])]
    put = store.dead_letters.put

    def fail_at_the_second(series: Series, letter: DeadLetter) -> None:
        if "row 2," in letter.error:
            raise StoreUnavailable("gone")
        put(series, letter)

    store.dead_letters.put = fail_at_the_second  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        aside.append_all(appends)
    store.dead_letters.put = put  # type: ignore[method-assign]

    (appended,) = aside.append_all(appends)
    assert isinstance(appended, Appended)
    assert appended.duplicates == 1
    assert [re.findall(r"row (\d+)", letter["error"]) for letter in letters(server)] == [
        *(["1"], ["2"], ["3"])
    ]


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"CANDLECAST_ALLOWED_SERIES": "only:*"}, "CANDLECAST_ALLOWED_SERIES allows only:* only"),
        ({"CANDLECAST_MAX_SERIES": "1"}, "there are 1 series"),
    ],
)
def test_a_refused_file_leaves_no_dead_letters(
    setting: dict[str, str], says: str, file: Callable[..., str], candlecast: Run, store: Store
) -> None:
    """Bad rows of a series that is not taken are none of ours; nothing of it is left in Redis."""
    candlecast("replay", file(table(), "only-BTCUSDT-1h.csv"))
    before = sorted(store.link.redis.keys())

    done = candlecast("replay", file(with_value(5, "close", "n/a")), "--skip-bad", **setting)

    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert sorted(store.link.redis.keys()) == before


def test_again_is_duplicates_and_other_content_is_revised(
    file: Callable[..., str], candlecast: Run, server: "Server", store: Store
) -> None:
    """A second replay changes nothing; a changed row is counted and kept as a dead letter."""
    candlecast("replay", file(table()))
    before = store.candles(SERIES)

    again = candlecast("replay", file(with_value(8, "close", 11.5)))

    assert again.returncode == 0
    assert counts(again.stdout) == {"accepted": 0, "duplicates": 29, "revised": 1, "refused": 0}
    assert store.candles(SERIES) == before
    assert [letter["reason"] for letter in letters(server)] == ["revised"]


def test_several_files_go_side_by_side(
    file: Callable[..., str], candlecast: Run, store: Store
) -> None:
    """Each file has its own series, from its name or from ``--series`` in the same order."""
    one, two = file(table(700), "one.csv"), file(table(900), "two.parquet")

    done = candlecast("replay", one, two, "--series", "a:A/B:1h", "--series", "a:C/D:E:1h")

    assert counts(done.stdout)["accepted"] == 1_600
    assert [str(series) for series in store.series()] == ["a:A/B:1h", "a:C/D:E:1h"]
    assert len(store.candles(Series.parse("a:C/D:E:1h"))) == 900


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--speed", "fast"], "speed='fast'"),
        (["--speed", "-3"], "speed='-3'"),
        (["--series", "nonsense"], "series='nonsense'"),
        (["--series", "x:BTC/USDT:7h"], "timeframe='7h'"),
        (["--series", "a:A/B:1h", "--series", "a:C/D:1h"], "series=2"),
    ],
)
def test_wrong_options_are_one_line(
    options: list[str], says: str, file: Callable[..., str], candlecast: Run
) -> None:
    """A wrong option is named with its value and what to write instead; exit code 2."""
    done = candlecast("replay", file(table()), *options)

    assert done.returncode == 2
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_files_of_one_series_that_disagree_are_refused(
    file: Callable[..., str], candlecast: Run, store: Store
) -> None:
    """Nobody can tell which one is right; nothing is pushed."""
    paths = [
        file(table(), "x-BTCUSDT-1h.csv"),
        file(with_value(9, "close", 11.0), "x-BTC_USDT-1h.csv"),
    ]

    done = candlecast("replay", *paths)

    assert (done.returncode, store.series()) == (2, [])
    assert "x:BTC/USDT:1h too" in done.stderr
    assert done.stderr.count("\n") == 1


def test_files_of_months_are_replayed_as_one_series(
    file: Callable[..., str], candlecast: Run, store: Store
) -> None:
    """In the order of time whatever theirs is: none of the first month comes too late."""
    frame = table(1_500)
    paths = [
        file(frame.iloc[part], f"BTCUSDT-1h-2024-0{month}.csv")
        for month, part in ((3, slice(1_440, 1_500)), (1, slice(0, 744)), (2, slice(744, 1_440)))
    ]

    done = candlecast("replay", *paths)

    assert (done.returncode, done.stderr) == (0, "")
    assert counts(done.stdout) == {"accepted": 1_500, "duplicates": 0, "revised": 0, "refused": 0}
    assert hours(store, Series.parse("binance:BTC/USDT:1h")) == [*range(1_500)]


def test_a_file_name_without_a_series_says_the_remedy(
    file: Callable[..., str], candlecast: Run
) -> None:
    """A file that does not say its series is not guessed."""
    done = candlecast("replay", file(table(), "candles.csv"))

    assert done.returncode == 2
    assert "--series exchange:BASE/QUOTE:timeframe" in done.stderr


@pytest.mark.parametrize("change", [(r":\d+/", ":1/"), (r":[^:@/]+@", ":wrong@")])
def test_redis_out_of_reach_is_one_line(
    change: tuple[str, str], file: Callable[..., str], candlecast: Run, server: "Server"
) -> None:
    """No server and a wrong password: exit code 2, one line, no password shown."""
    url = re.sub(*change, server.url, count=1)
    assert url != server.url

    done = candlecast("replay", file(table()), CANDLECAST_REDIS_URL=url)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "Redis at 127.0.0.1" in done.stderr
    assert "wrong@" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_waiting_replay_cleanly(
    number: signal.Signals,
    file: Callable[..., str],
    start: Start,
    store: Store,
    eventually: Callable[..., None],
    tmp_path: Path,
) -> None:
    """A replay that waits for a full log ends with its summary; what is not whole is no success."""
    process = start("replay", file(table(1_300)), CANDLECAST_MAX_WAITING="500")
    eventually(lambda: len(hours(store)) == 500, "the log is full")

    process.send_signal(number)

    assert process.wait(timeout=20) == 1
    said = (tmp_path / "replay-0.log").read_text()
    assert "500 accepted, 0 duplicates" in said
    assert "800 not pushed" in said
    assert "Traceback" not in said
    assert hours(store) == list(range(500))


def test_a_full_log_is_waited_for_and_nothing_is_lost(
    file: Callable[..., str], start: Start, store: Store, eventually: Callable[..., None]
) -> None:
    """A second series goes on while the first one is full."""
    paths = [
        file(table(rows), f"x-{name}USDT-1h.csv") for name, rows in (("BTC", 900), ("ETH", 450))
    ]

    start("replay", *paths, CANDLECAST_MAX_WAITING="500")

    eventually(lambda: len(hours(store)) == 500, "the first log is full")
    other = Series.parse("x:ETH/USDT:1h")
    eventually(lambda: hours(store, other) == list(range(450)), "the second log is whole")


def test_speed_paces_the_candles(
    file: Callable[..., str], start: Start, store: Store, eventually: Callable[..., None]
) -> None:
    """At two candles a second the first ones arrive long before the file is through."""
    process = start("replay", file(table()), "--speed", "2")

    eventually(lambda: len(hours(store)) >= 2, "the first candles are there")

    assert process.poll() is None
    assert hours(store) == list(range(len(hours(store))))
    assert len(hours(store)) < 30
