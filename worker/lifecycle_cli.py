"""Commands that look at a series' models in MLflow, and put one back in force."""
# ruff: noqa: FBT002, PLC0415 -- flags are booleans, and heavy imports only when needed

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from shared.candle import Series
    from worker.lifecycle import Restore, Restorer

app = typer.Typer()

Name = Annotated[str, typer.Argument(metavar="SERIES", help="exchange:symbol:timeframe")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
AcceptGap = Annotated[
    bool,
    typer.Option("--accept-gap", help="Even if candles after it are no longer kept."),
]


@app.command()
def models(
    series: Name,
    json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    draw: Annotated[
        int | None,
        typer.Option(metavar="VERSION", help="Draw it: pictures in MLflow."),
    ] = None,
) -> None:
    """Show the versions of a series' model: what each had to show, and what the gate said.

    Example: candlecast models binance:BTC/USDT:1h
    """
    from json import dumps

    from shared.candle import Series
    from worker import jobs
    from worker.versions_table import lines

    named = Series.parse(series)
    if draw is not None:
        place = jobs.gallery().draw(named, draw)
        typer.echo(dumps({"pictures": place}) if json else place)
        return
    found = jobs.registry().versions(named)
    if json:
        typer.echo(dumps([asdict(version) for version in found], indent=2))
    else:
        for line in lines(found):
            typer.echo(line)
    if not found:
        typer.echo(f"{named} has no version in MLflow: `candlecast snapshot` makes one", err=True)
        raise typer.Exit(1)


@app.command()
def restore(
    series: Name,
    version: Annotated[
        int | None, typer.Option(min=1, help="The champion, unless a number says which.")
    ] = None,
    accept_gap: AcceptGap = False,
    other: Annotated[
        str | None,
        typer.Option("--from", metavar="SERIES", help="Begin with what another's model knows."),
    ] = None,
    yes: Yes = False,
) -> None:
    """Put a version of a series' model back in force, and learn the candles after it again.

    With --from it is another series' version: the model begins anew, but with the seasons,
    regression, weights and quantiles of that one, and learns all retained candles.

    Example: candlecast restore binance:BTC/USDT:1h --version 12
    """
    named, restorer = _known(series)
    if other is not None:
        _warm_start(named, restorer, other, version, yes=yes)
        return
    _put_back(restorer, restorer.find(named, version), "restored", accept_gap=accept_gap, yes=yes)


@app.command()
def rollback(series: Name, accept_gap: AcceptGap = False, yes: Yes = False) -> None:
    """Put the champion of a series back in force: `restore` without a version, counted apart.

    Example: candlecast rollback binance:BTC/USDT:1h
    """
    named, restorer = _known(series)
    _put_back(restorer, restorer.find(named), "rolled-back", accept_gap=accept_gap, yes=yes)


def _put_back(
    restorer: "Restorer", found: "Restore", kind: Any, *, accept_gap: bool, yes: bool
) -> None:
    from shared.records import Event
    from worker.confirm import confirm

    typer.echo(found)
    if found.hole and accept_gap:
        typer.echo(f"  WARNING: {found.hole}")
    number = found.version.number
    confirm(f"Put version {number} of {found.series} back?", yes=yes)
    restorer.put_back(
        found, Event(event=kind, version=number, why="by hand"), accept_gap=accept_gap
    )
    typer.echo("done: `candlecast status` shows how far the workers are")


def _warm_start(
    series: "Series", restorer: "Restorer", other: str, version: int | None, *, yes: bool
) -> None:
    from shared.candle import Series
    from worker.confirm import confirm

    found = restorer.find(Series.parse(other), version)
    typer.echo(
        f"{series}: begins anew with what version {found.version.number} of {found.series} knows; "
        "what it has learned itself goes from the model, and its retained candles are learned again"
    )
    confirm(f"Begin {series} anew?", yes=yes)
    restorer.warm_start(series, found)
    typer.echo("done: `candlecast status` shows how far the workers are")


def _known(name: str) -> "tuple[Series, Restorer]":
    from worker import jobs, operators

    (series,) = operators.known(jobs.store(), [name])
    return series, jobs.restorer()
