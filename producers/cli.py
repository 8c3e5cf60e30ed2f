"""Commands that bring candles in."""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from producers.feed import Feed
    from producers.files import BadRow, CandleFile
    from producers.push import CandleStore
    from shared.candle import Series
    from shared.records import DeadLetter
    from shared.store import Store

app = typer.Typer(no_args_is_help=True)

SeriesNames = Annotated[
    list[str] | None,
    typer.Option(
        help="exchange:symbol:timeframe, once for each file, where the file name "
        "exchange-SYMBOL-timeframe does not say it."
    ),
]
Timeframes = Annotated[
    list[str], typer.Option("--timeframe", help="Length of the candles; may be repeated.")
]
Seconds = Annotated[float | None, typer.Option(min=0, help="Stop by itself after so many seconds.")]


@app.command()
def replay(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Parquet, CSV, Feather or JSON files of candles.")
    ] = None,
    series: SeriesNames = None,
    sql: Annotated[
        str | None, typer.Option(help="Candles of a database instead: its URL for SQLAlchemy.")
    ] = None,
    query: Annotated[str | None, typer.Option(help="The SELECT that gives these.")] = None,
    speed: Annotated[
        str, typer.Option(help="Candles per second of each file, or max.", metavar="max|N")
    ] = "max",
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Put bad rows into the dead letters and go on.")
    ] = False,
) -> None:
    """Push the candles of files, all series side by side; holes in a file are holes of the market.

    Needs the columns open_time, open, high, low, close, volume, or a file of Binance Vision,
    Kraken, CryptoDataDownload, freqtrade, MetaTrader 5 or Polygon.

    Example: candlecast replay binance-BTCUSDT-1h.parquet --speed max
    """
    from producers.aside import Aside
    from producers.files import FileFeed

    with stopping() as stopped:
        pace = _speed(speed)
        bad: list[tuple[CandleFile, BadRow]] = []
        keep = (lambda *found: bad.append(found)) if skip_bad else None
        found = _read(files or (), series or (), sql, query, keep)
        store = connected()
        aside = Aside(store, [_letter(*row) for row in bad], store.limits.dead_letters)
        feeds = [FileFeed(file, pace) for file in found]
        total, bad_rows = sum(map(len, found)), lambda: (aside.bad, aside.kept)
        _push(aside, feeds, stopped, total=total, bad_rows=bad_rows)


@app.command()
def simulate(
    symbols: Annotated[
        list[str] | None, typer.Argument(help="Symbols; BTC/USDT and ETH/USDT by default.")
    ] = None,
    timeframe: Timeframes = ["1m"],  # noqa: B006 -- typer copies it
    history_days: Annotated[
        float, typer.Option(min=0, help="Days of history to push first, at full speed.")
    ] = 14,
    history_candles: Annotated[
        int | None, typer.Option(min=0, help="History as candles of each series instead.")
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            min=0, help="Another seed is another market; a log goes on with its own only."
        ),
    ] = 0,
    seconds: Seconds = None,
    count: Annotated[
        int | None, typer.Option(min=1, help="Stop after so many candles of each series.")
    ] = None,
) -> None:
    """Push a simulated market: its history up to now, then each candle as it closes.

    The same seed gives the same candles everywhere, so a restart goes on where the logs end; a log
    that another seed began is refused. Symbols move independently of each other.

    Example: candlecast simulate BTC/USDT --timeframe 1m --timeframe 1h --history-days 7
    """
    from producers.simulated import (
        DAY_MS,
        EXCHANGE,
        SimulatedFeed,
        SimulatedMarket,
        first_open_time,
    )
    from shared.candle import Series, Timeframe

    with stopping(seconds) as stopped:
        frames = [Timeframe(name) for name in timeframe]
        names = symbols or ["BTC/USDT", "ETH/USDT"]
        wanted = {Series(EXCHANGE, symbol, frame): symbol for symbol in names for frame in frames}
        markets = {symbol: SimulatedMarket(symbol, seed) for symbol in names}
        store = connected()
        now_ms = time.time_ns() // 1_000_000
        feeds = []
        for series, symbol in wanted.items():
            frame = series.timeframe
            history = (
                history_days * DAY_MS if history_candles is None else history_candles * frame.ms
            )
            start = max(frame.floor(int(now_ms - history)), first_open_time(frame))
            end = store.end(series)
            ahead = 0 if end is None else (end - start) // frame.ms + 1
            feed = SimulatedFeed(
                markets[symbol], series, start, None if count is None else count + ahead
            )
            if end is not None:
                (last,) = store.candles(series, after=end - 1, count=1)
                markets[symbol].check_own(series, last)
                feed.rewind(end)
            feeds.append(feed)
        _push(store, feeds, stopped)


def _read(
    files: Sequence[Path],
    series: Sequence[str],
    sql: str | None,
    query: str | None,
    skip_bad: "Callable[[CandleFile, BadRow], None] | None",
) -> "list[CandleFile]":
    from shared.errors import CandlecastError, InvalidValue

    if bool(files) == (sql is not None) or (sql is None) != (query is None):
        raise CandlecastError("name files to replay or a database with --sql and --query, not both")
    if sql is None or query is None:
        from producers.files import read_files

        return read_files(files, series, skip_bad)
    from producers.sql import read_query

    if len(series) > 1:
        raise InvalidValue("series", len(series), "say --series once for a query, or not at all")
    return read_query(sql, query, series[0] if series else None, skip_bad)


def _letter(file: "CandleFile", row: "BadRow") -> "tuple[Series, DeadLetter]":
    from shared.records import DeadLetter

    place = f"{file.path}: row {row.row}, column {row.column}: {row.error}"
    return file.series, DeadLetter(candle=row.candle, reason="invalid", error=place)


def _speed(text: str) -> float | None:
    from shared.errors import InvalidValue

    try:
        speed = None if text == "max" else float(text)
    except ValueError:
        speed = 0.0
    if speed is not None and not 0 < speed < float("inf"):
        raise InvalidValue(
            "speed", text, "write max or a number of candles per second, such as 100"
        )
    return speed


def connected() -> "Store":
    """Set up logging, and return the store that the settings name."""
    from config import logs, settings
    from shared.store import Store

    read = settings.load()
    logs.configure(level=read.log_level, fmt=read.log_format)
    return Store.connect(read.redis_url, prefix=read.prefix, limits=read.limits())


def _push(
    store: "CandleStore",
    feeds: "Sequence[Feed]",
    stopped: Callable[[], bool],
    *,
    total: int | None = None,
    bad_rows: Callable[[], tuple[int, int]] = lambda: (0, 0),
) -> None:
    from rich.console import Console

    from producers import display
    from producers.push import Push

    started = time.monotonic()
    with display.progress(total, Console(stderr=True)) as show:
        totals = Push(store, feeds, progress=show).run(stopped)
    seconds = time.monotonic() - started
    typer.echo(display.summary(totals, seconds, total=total, bad_rows=bad_rows()))
    if total is not None and totals.taken < total:
        raise typer.Exit(1)


@contextmanager
def stopping(seconds: float | None = None) -> Iterator[Callable[[], bool]]:
    """Turn the first SIGINT or SIGTERM, and the time limit, into a condition to stop at."""
    until = float("inf") if seconds is None else time.monotonic() + seconds
    asked = False

    def ask(number: int, _: object) -> None:
        nonlocal asked
        asked = True
        # A second one ends the process the hard way.
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked or time.monotonic() >= until
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
