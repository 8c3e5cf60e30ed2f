"""Commands that read: one series' forecast, and the state of everything."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from shared.forecast import Forecast

app = typer.Typer(no_args_is_help=True)

_SHOWN = (0.05, 0.25, 0.5, 0.75, 0.95)


@app.command()
def forecast(
    series: Annotated[str, typer.Argument(help="exchange:symbol:timeframe")],
    json: Annotated[bool, typer.Option("--json", help="Print the JSON of the contract.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on with each new forecast.")] = False,
) -> None:
    """Show the newest forecast of a series.

    Example: candlecast forecast binance:BTC/USDT:1h
    """
    from config import settings
    from shared.reader import ForecastReader

    read = settings.load()
    reader = ForecastReader(read.redis_url, prefix=read.prefix)
    try:
        for said in reader.watch(series) if watch else [reader.latest(series)]:
            typer.echo(said.model_dump_json()) if json else _print_forecast(said)
    except KeyboardInterrupt:
        return


def _print_forecast(said: "Forecast") -> None:
    now_ms = time.time_ns() // 1_000_000
    fresh = "STALE" if said.is_stale(now_ms) else "fresh"
    typer.echo(
        f"{said.series} after {_utc(said.candle_open_time)} UTC: close {said.last_close:g}, "
        f"{said.status}, {fresh}, {said.sequence} candles learned by {said.model.name}"
    )
    columns = [(level, said.quantile_levels.index(level)) for level in _SHOWN]
    rows = [
        (
            *(str(step + 1), _utc(said.target_times[step])),
            *(f"{row[index]:.7g}" for _, index in columns),
            f"{said.prob_up[step]:.0%}",
        )
        for step, row in enumerate(said.quantiles)
    ]
    _print_rows(("ahead", "closes (UTC)", *(f"{level:.0%}" for level, _ in columns), "up"), rows)
    typer.echo(_skill(said))


def _print_rows(headings: "Sequence[str]", rows: "Sequence[Sequence[str]]") -> None:
    """Align columns by spaces alone, as readable in a pipe as on a terminal."""
    lines = [headings, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    for line in lines:
        cells = (text.rjust(width) for text, width in zip(line, widths, strict=True))
        typer.echo("  ".join(cells))


def _skill(said: "Forecast") -> str:
    scored = [skill for skill in said.skill if skill.crps is not None]
    if not scored:
        return "not scored yet"
    return "CRPS skill " + ", ".join(f"{skill.horizon}: {skill.crps:+.1%}" for skill in scored)


def _utc(time_ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(time_ms / 1_000))


@app.command()
def status(
    json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show every series: candles, what waits, what was refused, skill and freshness.

    Example: candlecast status --json
    """
    from json import dumps

    from api.status import report
    from config import settings
    from shared.store import Store

    read = settings.load()
    state = report(Store.connect(read.redis_url, prefix=read.prefix, limits=read.limits()))
    typer.echo(dumps(state, indent=2)) if json else _print_status(state)


_COUNTS = ("learned", "waiting", "dead_letters", "lost", "duplicates", "revised", "refused")


def _print_status(state: "dict[str, Any]") -> None:
    jobs = ", ".join(f"{count} on {name}" for name, count in state["jobs"].items())
    typer.echo(
        f"Redis {state['redis']}; learning: {state['fleet'] or 'nobody (no worker runs)'}; "
        f"{state['pending']} series pending; jobs: {jobs}; dead letters: {state['dead_letters']}"
    )
    for row in state["series"]:
        freshness = {None: "no forecast", True: "STALE", False: "fresh"}[row["stale"]]
        counts = ", ".join(f"{row[name]} {name.replace('_', ' ')}" for name in _COUNTS)
        scored = [skill for skill in row["skill"] if skill["crps"] is not None]
        skill = ", ".join(f"{skill['crps']:+.1%} at {skill['horizon']}" for skill in scored)
        typer.echo(f"{row['series']}: {row['status'] or '-'}, {freshness}; {counts}")
        typer.echo(f"  CRPS skill {skill or 'not scored yet'}; model version {_version(row)}")


def _version(row: "dict[str, Any]") -> str:
    return str(row["snapshot_version"] or "none yet")
