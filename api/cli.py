"""Commands that read: one series' forecast, and the state of everything."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
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
    from rich.console import Console
    from rich.table import Table

    now_ms = time.time_ns() // 1_000_000
    fresh = "STALE" if said.is_stale(now_ms) else "fresh"
    table = Table(
        title=f"{said.series} after {_utc(said.candle_open_time)}: "
        f"close {said.last_close:g}, {said.status}, {fresh}",
        caption=f"{said.model.name}, {said.sequence} candles learned; {_skill(said)}",
    )
    columns = [(level, said.quantile_levels.index(level)) for level in _SHOWN]
    for heading in ("ahead", "closes (UTC)", *(f"{level:.0%}" for level, _ in columns), "up"):
        table.add_column(heading, justify="right")
    for step, row in enumerate(said.quantiles):
        table.add_row(
            *(str(step + 1), _utc(said.target_times[step])),
            *(f"{row[index]:.8g}" for _, index in columns),
            f"{said.prob_up[step]:.0%}",
        )
    Console().print(table)


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


_STATUS_COLUMNS = (
    *("series", "status", "learned", "waiting", "dead_letters", "lost"),
    *("duplicates", "revised", "refused", "snapshot_version"),
)


def _print_status(state: "dict[str, Any]") -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    jobs = ", ".join(f"{count} on {name}" for name, count in state["jobs"].items())
    console.print(
        f"Redis {state['redis']}; fleet {state['fleet'] or 'nobody (no worker runs)'}; "
        f"{state['pending']} series pending; jobs: {jobs}; dead letters: {state['dead_letters']}"
    )
    table = Table()
    for heading in (*_STATUS_COLUMNS, "freshness", "CRPS skill"):
        table.add_column(heading.replace("_", " "), overflow="fold")
    for row in state["series"]:
        freshness = {None: "no forecast", True: "STALE", False: "fresh"}[row["stale"]]
        scored = [skill for skill in row["skill"] if skill["crps"] is not None]
        skill = ", ".join(f"{skill['horizon']}: {skill['crps']:+.1%}" for skill in scored)
        values = (row[name] for name in _STATUS_COLUMNS)
        table.add_row(*("-" if v is None else str(v) for v in values), freshness, skill or "-")
    console.print(table)
