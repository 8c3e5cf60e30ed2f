"""Commands that show and check settings, and what other languages need."""
# ruff: noqa: FBT002, PLC0415 -- flags are booleans, and heavy imports only when needed

from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Show or check the settings.")


@app.command()
def show() -> None:
    """Print every setting as the environment variable that sets it; secrets are masked.

    Example: candlecast config show
    """
    from config import settings
    from config.shown import shown

    for line in shown(settings.load()):
        typer.echo(line)


@app.command()
def check() -> None:
    """Check the settings, and that Redis answers.

    Example: candlecast config check
    """
    from shared.alert import read_rules
    from shared.candle import Series
    from shared.store import Store
    from worker import jobs

    read = jobs.configured()
    jobs.model()
    for name in read.markets:
        Series.parse(name)
    read_rules(read.alerts)
    store = Store.connect(read.redis_url, prefix=read.prefix, limits=read.limits())
    typer.echo(f"settings are right; Redis at {store.link.address} answers")


@app.command()
def append_script(
    keys: Annotated[
        bool, typer.Option("--keys", help="Print its KEYS instead, one a line.")
    ] = False,
) -> None:
    """Print the Lua script that appends candles, for programs in other languages.

    Example: candlecast config append-script > append.lua
    """
    from config import settings
    from shared.keys import Keys
    from shared.link import script_source

    lines = Keys(settings.load().prefix).of_scripts if keys else [script_source("append").rstrip()]
    typer.echo("\n".join(lines))
