"""Commands that read: one series' forecast, and the state of everything."""

import gc
import signal
import time
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from shared.candle import utc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.forecast import Forecast

app = typer.Typer(no_args_is_help=True)

# So long a request that is under way when the API ends may take.
_GRACE_S = 3
_COLLECT = 10_000, 50, 100
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
        f"{said.series} after {utc(said.candle_open_time)} UTC: close {said.last_close:g}, "
        f"{said.status}, {fresh}, {said.sequence} candles learned by {said.model.name}"
    )
    columns = [(level, said.quantile_levels.index(level)) for level in _SHOWN]
    rows = [
        (
            *(str(step + 1), utc(said.target_times[step])),
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


@app.command()
def status(
    json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show every series: candles, what waits, what was refused, freshness, memory and skill.

    Example: candlecast status --json
    """
    from json import dumps

    from api.status import report
    from api.told import told
    from config import settings
    from shared.view import View

    read = settings.load()
    state = report(View.connect(read.redis_url, prefix=read.prefix, limits=read.limits()))
    typer.echo(dumps(state, indent=2) if json else "\n".join(told(state)))


@app.command()
def api(
    host: Annotated[str | None, typer.Option(help="Instead of CANDLECAST_API_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Instead of CANDLECAST_API_PORT.")] = None,
    new_token: Annotated[
        bool, typer.Option("--new-token", help="Print a token for an app, and its hash, and end.")
    ] = False,
) -> None:
    """Serve forecasts, candles and skill over HTTP, read-only; /openapi.json describes it.

    Example: candlecast api --port 8000
    """
    from api import access
    from config import settings
    from shared.errors import CandlecastError

    if new_token:
        token, digest = access.new_token()
        typer.echo(f"token, for the app: {token}\nfor CANDLECAST_API_TOKENS: {digest}")
        return
    try:
        import uvicorn

        from api.app import create
        from api.queries import Queries
    except ImportError as error:
        raise CandlecastError("the API needs its extra: pip install 'candlecast[api]'") from error
    from shared.reader import AsyncForecastReader, ForecastReader
    from shared.view import View

    read = settings.load()
    place = host or read.api_host
    may = access.Access(place, read.api_tokens, read.api_per_minute)
    view = View.connect(read.redis_url, prefix=read.prefix, limits=read.limits())
    queries = Queries(view, ForecastReader(read.redis_url, prefix=read.prefix))
    follow = partial(AsyncForecastReader, read.redis_url, prefix=read.prefix)
    served = create(queries, follow, may, read.api_origins)
    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn ends in good order at these, and then raises them once more.
        signal.signal(number, lambda *_: None)
    _collect_seldom()
    uvicorn.run(
        served,
        host=place,
        port=read.api_port if port is None else port,
        access_log=False,
        proxy_headers=False,  # whoever asks could be anybody by them
        timeout_graceful_shutdown=_GRACE_S,  # streams have no end of their own
    )


def _collect_seldom() -> None:
    """Spare the readers: a full collection stops them all for as long as it takes.

    What there is at the start stays, and the rest is looked through less often.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT)
