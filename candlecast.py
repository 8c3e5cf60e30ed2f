"""The command ``candlecast``: joins the commands of the folders; above all layers."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import api.cli
import api.notify_cli
import producers.cli
import producers.live_cli
import producers.push_cli
import worker.cli
import worker.config_cli

_CORES = os.cpu_count() or 1

Files = Annotated[
    list[Path],
    typer.Argument(help="Parquet, CSV, Feather or JSON files of candles, or folders of them."),
]
Processes = Annotated[int, typer.Option(min=1, help="Series that run at once.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out bad rows, and say so.")]

if TYPE_CHECKING:
    from rich.progress import Progress

    from producers.files import BadRow, CandleFile

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Streams of closed market candles in, live calibrated forecasts out.",
)
for _part in (
    producers.cli.app,
    producers.live_cli.app,
    producers.push_cli.app,
    worker.cli.app,
    api.cli.app,
    api.notify_cli.app,
):
    app.add_typer(_part)
app.add_typer(worker.config_cli.app, name="config")


@app.command()
def demo(
    exchange: Annotated[str | None, typer.Argument(help="Name in ccxt, such as binance.")] = None,
    symbols: producers.live_cli.Symbols = None,
    timeframe: Annotated[
        list[str] | None,
        typer.Option(help="Length of the candles; may be given several times. By default 1m."),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=1, help="Stop by itself after so many seconds.")
    ] = None,
    data: Annotated[
        Path, typer.Option(help="Folder for candles, models and logs; kept between starts.")
    ] = Path(".candlecast/demo"),
    mlflow_page: Annotated[bool, typer.Option("--mlflow-page", help="Serve MLflow too.")] = False,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="Do not look for a public exchange.")
    ] = False,
) -> None:
    """Run everything embedded: server, producer, workers, snapshots, the page, dashboards.

    Without an exchange it takes BTC/USDT and ETH/USDT from the first public one that answers.

    Example: candlecast demo kraken BTC/USD --timeframe 1m --timeframe 1h
    """
    from rich.console import Console

    from config import logs
    from producers.connect import first_reachable
    from shared.candle import Timeframe
    from shared.errors import InvalidValue
    from worker.demo import SIMULATED, Plan, run

    logs.configure(level="warning")
    wanted, frames = tuple(symbols or ()), tuple(timeframe or ("1m",))
    if exchange and simulated:
        raise InvalidValue("exchange", exchange, "leave it out, or --simulated")
    if exchange and not wanted:
        raise InvalidValue("symbols", "", "name one market or more: BTC/USDT ETH/USDT")
    for name in frames:
        Timeframe(name)
    named = exchange or (SIMULATED if simulated else None)
    plan = Plan(data.resolve(), seconds, mlflow_page, named, wanted, frames, first_reachable)
    run(plan, Console())


@app.command()
def update(
    exchange: producers.live_cli.Exchange = None,
    symbols: producers.live_cli.Symbols = None,
    timeframe: producers.live_cli.Frames = None,
    history: producers.live_cli.History = 500,
    wait: Annotated[
        float, typer.Option(min=1, help="Seconds that the exchanges, and then learning, may take.")
    ] = 300,
) -> None:
    """Do once what the services do all the time: fetch what is new, learn, publish, snapshot.

    For cron and CI. Without CANDLECAST_REDIS_URL it runs a Redis of its own meanwhile, whose data
    stays in CANDLECAST_DATA_DIR. Exit code 1 if an exchange did not give all of its candles.

    Example: candlecast update kraken BTC/USD --timeframe 1h --timeframe 1d
    """
    from config import settings
    from worker import board, jobs, once

    read = settings.load()
    redis_is_set = "redis_url" in read.model_fields_set
    with nullcontext() if redis_is_set else once.own_redis(read.data_dir):
        jobs.configured()
        learning = once.Learning()
        failing = producers.live_cli.fetch(
            exchange, symbols or (), timeframe or (), history, wait, learning.some
        )
        learning.rest(wait)
        kept = jobs.snapshot_moved(wait_s=wait)
        for row in board.rows(jobs.store()):
            typer.echo(row.line())
        written = kept.get("written", {})
        typer.echo(f"{learning.count} candles learned, {len(written)} models kept in MLflow")
        jobs.let_go()
    for name, why in failing.items():
        typer.echo(f"candlecast: {name}: {why}", err=True)
    if failing or kept.get("failed") or kept.get("skipped"):
        raise typer.Exit(1)


@app.command()
def backtest(
    files: Files,
    out: Annotated[
        Path, typer.Option(help="Folder for forecasts.parquet, report.json and report.html.")
    ],
    series: producers.cli.SeriesNames = None,
    no_prior: Annotated[
        bool, typer.Option("--no-prior", help="Begin without what other series have taught.")
    ] = False,
    skip_bad: SkipBad = False,
    processes: Processes = _CORES,
) -> None:
    """Run the live code path over files, without Redis; keep every forecast and compare them.

    Example: candlecast backtest binance-BTCUSDT-1h.parquet --out results
    """
    from config import settings
    from models import catalog
    from worker import backtest as runs
    from worker import summary

    read = settings.load()
    model = catalog.with_prior(read.model, "none" if no_prior else read.prior)
    # All of them before anything is written: a bad file shall leave no result that looks whole.
    found = _read(files, series, skip_bad=skip_bad)
    tasks = [runs.Task(file.series, file, model, read.horizon(str(file.series))) for file in found]
    with _progress() as progress:
        bars = [progress.add_task(str(task.series), total=len(task.candles)) for task in tasks]

        def show(done: Sequence[int]) -> None:
            for bar, count in zip(bars, done, strict=True):
                progress.update(bar, completed=count)

        report = runs.run(tasks, out, processes=processes, on_progress=show)
    for line in summary.lines(report):
        typer.echo(line)
    typer.echo(f"every forecast is in {out / 'forecasts.parquet'}, scores in {out / 'report.json'}")
    typer.echo(_pictures(report, out / runs.PAGE))


def _read(
    files: Sequence[Path], series: Sequence[str] | None, *, skip_bad: bool
) -> "list[CandleFile]":
    from producers.files import read_files
    from producers.folders import candle_files

    first: dict[Path | str, tuple[CandleFile, BadRow]] = {}

    def keep(file: "CandleFile", row: "BadRow") -> None:
        first.setdefault(file.path, (file, row))

    paths = candle_files(files, None if series else _leave_out)
    found = read_files(paths, series or (), keep if skip_bad else None)
    for file, row in first.values():
        where = f"first row {row.row}, column {row.column}: {row.error}"
        typer.echo(f"left out: {file.bad_rows} bad rows of {file.path}, {where}", err=True)
    return found


def _leave_out(error: Exception) -> None:
    typer.echo(f"left out: {error}", err=True)


def _pictures(report: dict[str, Any], path: Path) -> str:
    try:
        from worker import report as page
    except ModuleNotFoundError as error:
        return f"no page with pictures: {error.name} is missing (pip install 'candlecast[report]')"
    page.write(report, path)
    return f"tables and pictures are in {path}"


@app.command()
def pretrain(
    files: Files,
    out: Annotated[Path, typer.Option(help="File of the constants, to name in CANDLECAST_PRIOR.")],
    until: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Learn candles before this day.")
    ] = None,
    series: producers.cli.SeriesNames = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same constants.")] = 1,
    skip_bad: SkipBad = False,
    processes: Processes = _CORES,
) -> None:
    """Teach the pooled network and the calendar's start from many series.

    Example: candlecast pretrain candles/ --until 2024-03-01 --out prior.npz
    """
    import models  # noqa: F401 -- first: it keeps NumPy to one thread
    from shared.errors import CandlecastError

    try:
        from worker import pooling
    except ModuleNotFoundError as error:
        raise CandlecastError(
            f"{error.name} is missing: pip install 'candlecast[pretrain]'"
        ) from error
    if out.is_dir():
        raise CandlecastError(f"--out {out} is a folder: name a file in it, such as prior.npz")
    found = _read(files, series, skip_bad=skip_bad)
    end = until.replace(tzinfo=UTC).timestamp() * 1_000 if until else None
    pools = [
        pooling.Pool(file.series, [c for c in file if end is None or c.open_time < end])
        for file in found
    ]
    # Tried before the work, and beside the file that may be in use.
    draft = out.with_name(f".{out.name}.part")
    out.parent.mkdir(parents=True, exist_ok=True)
    draft.touch()
    with _removed_at_the_end(draft), _progress() as progress:
        bar = progress.add_task("series", total=len(pools))
        learned = progress.add_task("epochs", total=pooling.EPOCHS)
        prior = pooling.train(
            pools,
            seed=seed,
            processes=processes,
            on_lessons=lambda done: progress.update(bar, completed=done),
            on_epoch=lambda epoch, loss: progress.update(
                learned, completed=epoch, description=f"epochs, loss {loss:.5f}"
            ),
        )
        prior.save(draft)
        draft.replace(out)
    typer.echo(f"{out}: {prior.digest}, from {sum(len(p.candles) for p in pools)} candles")


@contextmanager
def _removed_at_the_end(path: Path) -> Iterator[None]:
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _progress() -> "Progress":
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal)


def main() -> None:
    """Run a command; what is wrong with its input or surroundings is one line and exit code 2."""
    from config.settings import SettingsError
    from shared.errors import CandlecastError

    try:
        app()
    except BrokenPipeError:
        # Whoever read the output has enough of it; nothing more can be said there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (CandlecastError, SettingsError, OSError) as error:
        typer.echo(f"candlecast: {error}", err=True)
        sys.exit(2)
