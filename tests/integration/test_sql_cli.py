"""``candlecast replay --sql``: candles of a real database, through the real command."""

import sqlite3
import subprocess
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from producers import sql
from shared.candle import Candle, Series
from shared.errors import CandlecastError
from shared.store import Store

HOUR = 3_600_000
T0 = 1_704_067_200_000  # 2024-01-01
SERIES = Series.parse("x:BTC/USDT:1h")
SELECT = "SELECT open_time, open, high, low, close, volume FROM candles"
Run = Callable[..., subprocess.CompletedProcess[str]]
Make = Callable[..., str]


def candles(count: int = 30, base: float = 10.0) -> list[Candle]:
    """Valid hourly candles."""
    steps = [base + i * 0.25 for i in range(count)]
    return [Candle(T0 + i * HOUR, s, s + 2, s - 1, s + 1, i * 0.5) for i, s in enumerate(steps)]


def numbers(candle: Candle) -> list[float]:
    """All but the time."""
    return [candle.open, candle.high, candle.low, candle.close, candle.volume]


@pytest.fixture
def database(tmp_path: Path) -> Make:
    """Make a SQLite file of candles and return its URL."""

    def make(kinds: Sequence[str], rows: list[tuple[Any, ...]], more: str = "") -> str:
        names = ("open_time", "open", "high", "low", "close", "volume", *more.split())
        columns = ", ".join(
            f"{name} {kind}" for name, kind in zip(names, [*kinds, *["TEXT"] * 9], strict=False)
        )
        path = tmp_path / "candles.db"
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(f"CREATE TABLE candles ({columns})")
            marks = ", ".join("?" * len(names))
            connection.executemany(f"INSERT INTO candles VALUES ({marks})", rows)  # noqa: S608
        return f"sqlite:///{path}"

    return make


def as_text(candle: Candle) -> tuple[str, ...]:
    """A row of text."""
    moment = datetime.fromtimestamp(candle.open_time / 1_000, UTC)
    return moment.isoformat(), *(repr(number) for number in numbers(candle))


KINDS: dict[str, tuple[str, str, Callable[[Candle], tuple[Any, ...]]]] = {
    "INTEGER milliseconds and REAL": (
        *("INTEGER", "REAL"),
        lambda c: (c.open_time, *numbers(c)),
    ),
    "INTEGER seconds and NUMERIC": (
        *("INTEGER", "NUMERIC"),
        lambda c: (c.open_time // 1_000, *numbers(c)),
    ),
    "TEXT": ("TEXT", "TEXT", as_text),
    "DATETIME": (
        *("DATETIME", "REAL"),
        lambda c: (str(pd.Timestamp(c.open_time, unit="ms")), *numbers(c)),
    ),
}


@pytest.mark.parametrize(("time", "number", "row"), KINDS.values(), ids=KINDS)
def test_the_rows_of_a_query_are_pushed(
    time: str,
    number: str,
    row: Callable[[Candle], tuple[Any, ...]],
    database: Make,
    candlecast: Run,
    store: Store,
) -> None:
    """Whatever the types of the columns and the order of the rows."""
    url = database((time, *[number] * 5), [row(candle) for candle in candles()])

    done = candlecast(
        *("replay", "--sql", url, "--series", str(SERIES)),
        *("--query", f"{SELECT} ORDER BY (open * 4) % 7"),
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "30 accepted" in done.stdout
    assert store.candles(SERIES) == candles()


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        ("series", [("x:BTC/USDT:1h",), ("x:ETH/USDT:1h",)]),
        ("exchange symbol timeframe", [("X", "BTCUSDT", "1h"), ("x", "ETH/USDT", "1h")]),
    ],
)
def test_a_query_may_hold_many_series(
    columns: str, names: list[tuple[str, ...]], database: Make, candlecast: Run, store: Store
) -> None:
    """Its own columns say them; rows of both in turn are told apart."""
    pairs = zip(candles(), candles(30, 50.0), strict=True)
    rows = [
        (candle.open_time, *numbers(candle), *name)
        for pair in pairs
        for candle, name in zip(pair, names, strict=True)
    ]
    url = database(["INTEGER", *["REAL"] * 5], rows, columns)

    done = candlecast("replay", "--sql", url, "--query", "SELECT * FROM candles")

    assert (done.returncode, done.stderr) == (0, "")
    assert store.candles(SERIES) == candles()
    assert store.candles(Series.parse("x:ETH/USDT:1h")) == candles(30, 50.0)
    both = candlecast(
        *("replay", "--sql", url, "--query", "SELECT * FROM candles", "--series", "a:B/C:1h")
    )
    assert both.returncode == 2
    assert "name 2 series: leave --series out" in both.stderr


def test_a_bad_row_is_named_by_its_place_in_the_query(
    database: Make, candlecast: Run, store: Store
) -> None:
    """It ends the command, or becomes a dead letter."""
    rows: list[tuple[Any, ...]] = [(c.open_time, *numbers(c)) for c in reversed(candles())]
    rows[4] = (rows[4][0], None, *rows[4][2:])
    url = database(["INTEGER", *["REAL"] * 5], rows)
    command = ("replay", "--sql", url, "--query", SELECT, "--series", str(SERIES))

    strict, lenient = candlecast(*command), candlecast(*command, "--skip-bad")

    assert strict.returncode == 2
    assert "candles.db: row 5, column open: " in strict.stderr
    assert lenient.returncode == 0
    assert len(store.candles(SERIES)) == 29
    assert store.model(SERIES).dead_letters == 1


URL = "postgresql+psycopg://trader:s3cr%40t@127.0.0.1:1/markets?sslpassword=hush"
WRONG = {
    "no such table": ("{url}", "SELECT * FROM prices", "no such table: prices"),
    "no SQL": ("{url}", "candles, please", "candles.db: cannot be read: near "),
    "no SELECT": ("{url}", "DELETE FROM candles", "is no SELECT"),
    "no rows": ("{url}", f"{SELECT} WHERE close < 0", "the query gives no rows"),
    "no column": (
        "{url}",
        "SELECT open_time, close FROM candles",
        "column open, high, low, volume",
    ),
    "no time": ("{url}", "SELECT close FROM candles", "of no known layout: it has 'close'"),
    "no such file": ("sqlite:////absent/candles.db", SELECT, "there is no such database"),
    "no URL": ("candles.db", SELECT, "--sql is no URL of a database"),
    "no such kind": ("nosuch://trader:s3cr@t@host/x", SELECT, "--sql is no URL of a database"),
    "unknown kind": ("nosuch://trader:hush@host/x", SELECT, "nosuch://host/x: SQLAlchemy knows no"),
    "no number of a port": ("mysql://trader:hush@host:s3cr/x", SELECT, "is no URL of a database"),
    "no driver": (URL, SELECT, "psycopg is not installed"),
    "wrong option": ("{url}?timeout=s3cr", SELECT, "candles.db: cannot be read: "),
    "no database": (f"sqlite:///{__file__}", SELECT, "cannot be read: file is not a database"),
}


@pytest.mark.parametrize(("url", "query", "says"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_with_a_database_or_query_is_said(
    url: str, query: str, says: str, database: Make
) -> None:
    """In one line, without a secret, and nothing is done to the database."""
    own = database(["INTEGER", *["REAL"] * 5], [(c.open_time, *numbers(c)) for c in candles()])

    with pytest.raises(CandlecastError) as error:
        sql.read_query(url.format(url=own), query, str(SERIES))

    assert says in str(error.value)
    assert "\n" not in str(error.value)
    assert "s3cr" not in str(error.value)
    with closing(sqlite3.connect(own.removeprefix("sqlite:///"))) as connection:
        assert connection.execute("SELECT count(*) FROM candles").fetchone() == (30,)


def test_a_database_that_cannot_be_read_is_one_line(candlecast: Run, store: Store) -> None:
    """Exit code 2, nothing pushed, no secret shown."""
    done = candlecast("replay", "--sql", URL, "--query", SELECT, "--series", str(SERIES))

    assert (done.returncode, done.stdout, store.series()) == (2, "", [])
    assert "psycopg is not installed" in done.stderr
    assert done.stderr.count("\n") == 1
    assert "s3cr" not in done.stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "name files to replay or a database with --sql and --query, not both"),
        (("x-BTCUSDT-1h.csv", "--sql", "sqlite://", "--query", "SELECT 1"), "name files to replay"),
        (("--sql", "sqlite://"), "with --sql and --query"),
        (("--query", "SELECT 1"), "with --sql and --query"),
        (("--sql", "sqlite://", "--query", "SELECT 1 AS close"), "say --series, or select series"),
        (
            *(("--sql", "sqlite://", "--query", "SELECT 1", *("--series", "a:B/C:1h") * 2),),
            "say --series once",
        ),
    ],
)
def test_wrong_options_are_named(options: tuple[str, ...], says: str, candlecast: Run) -> None:
    """A query takes the place of files, and needs to know the series."""
    done = candlecast("replay", *options)

    assert done.returncode == 2
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_a_driver_says_is_without_secrets() -> None:
    """Passwords of the URL, as they are and as they were written, and what its options hold."""
    error = ValueError("no way in for\n trader with s3cr@t (s3cr%40t), key hush")

    reason = sql._reason(error, sql._address(URL))

    assert reason == "cannot be read: no way in for trader with *** (***), key ***"


def test_decimals_and_datetimes_of_a_driver_are_read(database: Make) -> None:
    """What drivers of other databases give: decimals, and times of day of changing zones."""
    sqlite3.register_converter("EXACT", lambda text: Decimal(text.decode()))
    sqlite3.register_converter("MOMENT", lambda text: datetime.fromisoformat(text.decode()))
    zones = [timezone(timedelta(hours=hours)) for hours in (0, 1, -5)]
    rows = [
        (
            datetime.fromtimestamp(candle.open_time / 1_000, zones[i % 3]).isoformat(),
            *map(repr, numbers(candle)),
        )
        for i, candle in enumerate(candles())
    ]
    url = database(["MOMENT", *["EXACT"] * 5], rows)

    (file,) = sql.read_query(f"{url}?detect_types=1", SELECT, str(SERIES))

    assert list(file) == candles()
