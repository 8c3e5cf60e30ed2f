"""The command that takes candles from a pipe."""
# ruff: noqa: FBT002, PLC0415 -- flags are booleans, and heavy imports only when needed

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from producers import cli

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from producers.feed import Feed
    from producers.lines import Intake
    from producers.push import Totals
    from shared.store import Store

app = typer.Typer()


@app.command()
def push(
    series: Annotated[
        str | None,
        typer.Option(help="exchange:symbol:timeframe of the lines that name no series."),
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Put bad lines into the dead letters and go on.")
    ] = False,
    gap_ok: Annotated[
        bool,
        typer.Option(
            "--gap-ok", help="There are no candles between the end of a log and its first line."
        ),
    ] = False,
) -> None:
    """Push candles from standard input, each as its line comes: one JSON object a line.

    Needs series, open_time (UTC milliseconds or ISO 8601), open, high, low, close and volume. The
    lines of a series are in order, with nothing between them. Sending some again does no harm.

    Example: my-program | candlecast push --series mine:BTC/USDT:1h
    """
    from producers.json_candles import Rules
    from producers.lines import Intake
    from shared.candle import Series
    from shared.errors import CandlecastError

    if sys.stdin is None:
        raise CandlecastError("standard input is closed: pipe lines into `candlecast push`")
    with cli.stopping() as stopped:
        default = Series.parse(series) if series else None
        store = cli.connected()
        rules = Rules(series=default, limits=store.limits)
        put = store.dead_letters.put if skip_bad else None
        intake = Intake(sys.stdin.fileno(), rules, put, gap_ok=gap_ok)

        def more() -> "Iterable[Feed] | None":
            if stopped():
                intake.end()
            return intake.more()

        totals = _push(store, intake, more)
    if intake.fault:
        typer.echo(f"candlecast: {intake.fault}", err=True)
    if intake.fault or totals.unsent:
        raise typer.Exit(1)


def _push(
    store: "Store", intake: "Intake", more: "Callable[[], Iterable[Feed] | None]"
) -> "Totals":
    from rich.console import Console

    from producers import display
    from producers.push import Push

    started = time.monotonic()
    with display.progress(None, Console(stderr=True)) as show:
        totals = Push(store, [], progress=show, sleep=intake.wait).run(intake.is_overdue, more)
    totals.unsent += intake.waiting
    bad = (intake.bad, intake.bad)
    said = display.summary(totals, time.monotonic() - started, bad_rows=bad)
    typer.echo(f"{said}; {intake.unplaced} bad lines of no series" if intake.unplaced else said)
    return totals
