"""Commands of the RQ side."""

from contextlib import suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from worker import dead_letters_cli, lifecycle_cli

if TYPE_CHECKING:
    from shared.store import Store
    from worker.operators import Keep

app = typer.Typer(no_args_is_help=True)
series_app = typer.Typer(no_args_is_help=True, help="List, pause, resume and retire series.")
app.add_typer(series_app, name="series")
app.add_typer(dead_letters_cli.app, name="dead-letters")
app.add_typer(lifecycle_cli.app)

Names = Annotated[list[str], typer.Argument(metavar="SERIES...", help="exchange:symbol:timeframe")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


class QueueName(StrEnum):
    """The two queues; a worker works one of them."""

    candles = "candles"
    housekeeping = "housekeeping"


@app.command()
def worker(
    processes: Annotated[int, typer.Option(min=1, help="Worker processes to keep alive.")] = 1,
    queue: Annotated[QueueName, typer.Option(help="The one queue they work.")] = QueueName.candles,
    burst: Annotated[
        bool, typer.Option("--burst", help="End when the queue is empty; with 1 if it had to wait.")
    ] = False,
    take_over: Annotated[
        bool,
        typer.Option("--take-over", help="Take the field from workers of another model at once."),
    ] = False,
    rolling: Annotated[
        bool,
        typer.Option(
            "--rolling",
            help="Prepare beside workers of another model, then take the field from them.",
        ),
    ] = False,
) -> None:
    """Learn candles and publish forecasts, or keep house.

    Example: candlecast worker --processes 2
    """
    import os
    from ctypes import c_int8

    from shared.errors import InvalidValue, StoreError
    from shared.store import Store
    from worker import jobs
    from worker.candle_worker import work
    from worker.supervisor import Supervisor

    if rolling and (take_over or burst):
        raise InvalidValue("--rolling", "set", "it waits: leave --take-over and --burst out")
    # Tried here once, so that a wrong setting is one line and not N restarts.
    jobs.model()
    _store().link.redis.close()
    read = jobs.configured()
    supervisor_pid = os.getpid()

    def run(name: str, part: c_int8) -> None:
        work(
            *(name, queue.value),
            supervisor_pid=supervisor_pid,
            part=part,
            take_over=take_over,
            rolling=rolling,
            burst=burst,
        )

    def buried(name: str) -> None:
        # Where Redis is away too, the lease gives back what the worker had in hand: nothing else
        # may wait for it here.
        with suppress(StoreError):
            # By the settings that the workers have, whatever stands in `.env` by now.
            store = Store.connect(read.redis_url, prefix=read.prefix, hurried=True)
            store.abandon(name)
            store.link.redis.close()

    supervisor = Supervisor(run, processes, buried=buried, burst=burst)
    supervisor.supervise()
    raise typer.Exit(1 if burst and supervisor.failed else 0)


@app.command()
def ready() -> None:
    """Exit with 0 where workers of these settings learn; else with 1, and say how far they are.

    Who has ended without a word counts for a minute more.

    Example: candlecast ready
    """
    from worker import jobs

    own, told = jobs.model(proven=False).fleet, _store().overview()
    if told["fleet"] == own:
        typer.echo("ready: workers of these settings learn")
        return
    heir = told["heir"] or {"fleet": None}
    how_far = f"not ready: now learns {told['fleet'] or 'nobody'}; prepares "
    if heir["fleet"] == own:
        how_far += f"this one, for {heir['ready']} of {heir['series']} series"
    else:
        how_far += heir["fleet"] or "nobody"
    typer.echo(how_far)
    raise typer.Exit(1)


@app.command()
def snapshot() -> None:
    """Roll back what has failed, and put every model that moved into MLflow now.

    Example: candlecast snapshot
    """
    from worker import jobs

    report = jobs.snapshot_moved(wait_s=60)
    if "skipped" in report:
        typer.echo(f"nothing done: {report['skipped']}", err=True)
        raise typer.Exit(1)
    for series, version in report["rolled_back"].items():
        typer.echo(f"{series}: rolled back to version {version}")
    for series, why in report["stuck"].items():
        typer.echo(f"{series}: has failed and STAYS: {why}", err=True)
    for series, version in report["written"].items():
        typer.echo(f"{series}: version {version}")
    for series, error in report["failed"].items():
        typer.echo(f"{series}: FAILED: {error}", err=True)
    typer.echo(
        f"{len(report['written'])} written, {len(report['failed'])} failed, {report['left']} left"
    )
    raise typer.Exit(1 if report["failed"] or report["stuck"] else 0)


@app.command()
def rebuild(series: Names, yes: Yes = False) -> None:
    """Learn series again, from their first retained candle on.

    What the model has learned before that is lost to it. Dead letters of the retained candles get
    another chance. The forecast in Redis stays until one of a newer candle replaces it.

    Example: candlecast rebuild binance:BTC/USDT:1h
    """
    from worker import operators
    from worker.confirm import confirm

    store = _store()
    chosen = operators.known(store, series)
    for plan in operators.rebuilds(store, chosen):
        typer.echo(plan)
    confirm(f"Rebuild {len(chosen)} series?", yes=yes)
    for one in chosen:
        operators.rebuild(store, one)
    typer.echo(f"{len(chosen)} rebuilt: `candlecast status` shows how far the workers are")


@series_app.command("list")
def list_series(
    json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show each series: whether it is live, waiting, paused or suspect, and its memory.

    Example: candlecast series list
    """
    from json import dumps

    from worker import operators

    rows = operators.overview(_store())
    for line in [dumps(rows, indent=2)] if json else operators.aligned(rows):
        typer.echo(line)
    for row in rows:
        if row["fault"]:
            typer.echo(f"{row['series']} cannot be read: {row['fault']}", err=True)
    if not rows:
        typer.echo("no series yet", err=True)


@series_app.command()
def pause(series: Names) -> None:
    """Let series rest: their candles are kept, and not learned until they are resumed.

    Their forecasts go stale. With CANDLECAST_MAX_WAITING candles kept, the producer waits for that
    series alone.

    Example: candlecast series pause binance:BTC/USDT:1h
    """
    from worker import operators

    store = _store()
    for line in operators.rest(store, operators.known(store, series), paused=True):
        typer.echo(line)


@series_app.command()
def resume(series: Names) -> None:
    """Let paused series go on, with the candles that came meanwhile.

    Example: candlecast series resume binance:BTC/USDT:1h
    """
    from worker import operators

    store = _store()
    for line in operators.rest(store, operators.known(store, series), paused=False):
        typer.echo(line)


@series_app.command()
def retire(
    series: Names,
    no_archive: Annotated[
        bool, typer.Option("--no-archive", help="Keep nothing in MLflow: the models are lost.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Keep the models of series in MLflow, and remove all else of them but their dead letters.

    They are paused first, and stay so where MLflow fails. Stop their producers before: a candle
    that is pushed later begins the series anew.

    Example: candlecast series retire binance:BTC/USDT:1h
    """
    from shared.errors import RegistryError
    from worker import operators
    from worker.confirm import confirm

    store = _store()
    chosen = operators.known(store, series)
    for line in operators.farewells(store, chosen):
        typer.echo(line)
    lost = " Their models are gone for good then!" if no_archive else ""
    confirm(f"Retire {len(chosen)} series?{lost}", yes=yes)
    for one in chosen:
        store.pause(one)
    try:
        keep = None if no_archive else _archive()
    except (RegistryError, OSError) as error:
        typer.echo(f"nothing is retired, {len(chosen)} series are paused: {error}", err=True)
        raise typer.Exit(1) from error
    faults = 0
    for outcome in operators.retire(store, chosen, keep):
        typer.echo(outcome, err=bool(outcome.fault))
        faults += bool(outcome.fault)
    raise typer.Exit(1 if faults else 0)


@dead_letters_cli.app.callback()
def dead_letters(context: typer.Context) -> None:
    """List, show, export and drop what was refused or could not be learned."""
    context.obj = _store


def _archive() -> "Keep":
    from worker import jobs

    return jobs.snapshots().archive


def _store() -> "Store":
    from config import logs, settings
    from shared.store import Store

    read = settings.load()
    logs.configure(level=read.log_level, fmt=read.log_format)
    return Store.connect(read.redis_url, prefix=read.prefix, limits=read.limits())
