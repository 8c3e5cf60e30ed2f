"""The command ``candlecast``: joins the commands of the folders; above all layers."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import api.cli
import producers.cli
import worker.cli

if TYPE_CHECKING:
    from rich.progress import Progress

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Streams of closed market candles in, live calibrated forecasts out.",
)
for _part in (producers.cli.app, worker.cli.app, api.cli.app):
    app.add_typer(_part)


@app.command()
def demo(
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
    """Run everything embedded: server, producer, workers, snapshots, dashboards.

    Example: candlecast demo --seconds 60
    """
    from rich.console import Console

    from config import logs
    from producers.exchange import first_reachable
    from worker.demo import Plan, run

    logs.configure(level="warning")
    finder = (lambda: None) if simulated else first_reachable
    run(Plan(data.resolve(), seconds, mlflow_page, finder), Console())


@app.command()
def backtest(
    files: Annotated[list[Path], typer.Argument(help="Parquet, CSV or Feather files of candles.")],
    out: Annotated[Path, typer.Option(help="Folder for forecasts.parquet and report.json.")],
    series: producers.cli.SeriesNames = None,
) -> None:
    """Run the live code path over files, without Redis, and keep every forecast.

    Example: candlecast backtest binance-BTCUSDT-1h.parquet --out results
    """
    from config import settings
    from models.learner import Learner
    from producers.files import read_files
    from worker.backtest import Backtest

    read = settings.load()
    # All of them before anything is written: a bad file shall leave no result that looks whole.
    found = read_files(files, series or ())
    with Backtest(out) as test, _progress() as progress:
        for candles in found:
            horizon = read.horizon(str(candles.series))
            learner = Learner(candles.series.timeframe, horizon, read.model)
            task = progress.add_task(str(candles.series), total=len(candles))
            for done in test.run(candles.series, candles, learner):
                progress.update(task, completed=done)
    for line in test.summary():
        typer.echo(line)
    typer.echo(f"every forecast is in {out / 'forecasts.parquet'}, scores in {out / 'report.json'}")


config_app = typer.Typer(no_args_is_help=True, help="Show or check the settings.")
app.add_typer(config_app, name="config")


@config_app.command()
def show() -> None:
    """Print every setting as the environment variable that sets it; secrets are masked.

    Example: candlecast config show
    """
    from config import settings

    for line in settings.shown(settings.load()):
        typer.echo(line)


@config_app.command()
def check() -> None:
    """Check the settings, and that Redis answers.

    Example: candlecast config check
    """
    from shared.store import Store
    from worker import jobs

    read = jobs.configured()
    jobs.model()
    store = Store.connect(read.redis_url, prefix=read.prefix, limits=read.limits())
    typer.echo(f"settings are right; Redis at {store.link.address} answers")


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
