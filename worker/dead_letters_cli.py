"""The commands ``candlecast dead-letters``; ``worker.cli`` joins them and opens their store."""
# ruff: noqa: FBT002, PLC0415 -- flags are booleans, and heavy imports only when needed

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from shared.dead_letters import DeadLetters
    from shared.store import Store

app = typer.Typer(no_args_is_help=True)

Series = Annotated[str | None, typer.Argument(help="Of this series only.")]
Reason = Annotated[
    str | None,
    typer.Option(help="invalid, revised, undecodable, 'model raised' or 'kills workers'."),
]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]


@app.command("list")
def list_(
    context: typer.Context,
    series: Series = None,
    reason: Reason = None,
    count: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many to show.")] = 20,
    json: AsJson = False,
) -> None:
    """Show the newest dead letters, a line each: id, time (UTC), series, candle and why.

    Example: candlecast dead-letters list --reason 'model raised' --count 50
    """
    from itertools import islice
    from json import dumps

    from worker import dead_letters

    letters = _letters(context)
    found = dead_letters.matching(letters, series, reason)
    shown = list(islice(found, count))
    more = sum(1 for _ in found)
    if json:
        rows = [dead_letters.as_json(letter) for letter in shown]
        typer.echo(dumps({"dead_letters": rows, "more": more}, indent=2))
        return
    for letter in shown:
        typer.echo(dead_letters.line(letter))
    if not shown:
        typer.echo(dead_letters.nothing(letters), err=True)
    elif more:
        typer.echo(f"{more} more: --count {count + more} shows them all", err=True)


@app.command()
def show(
    context: typer.Context,
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="As `list` shows it.")],
    json: AsJson = False,
) -> None:
    """Show all of one dead letter, with its traceback where it has one.

    One candle cannot be played again, as learning is in order: `candlecast rebuild` learns a
    series again, with what is in the dead letters of its log.

    Example: candlecast dead-letters show 1764000000000-0
    """
    from json import dumps

    from worker import dead_letters

    letter = dead_letters.found(_letters(context), letter_id)
    if json:
        typer.echo(dumps(dead_letters.as_json(letter), indent=2))
    else:
        typer.echo(dead_letters.page(letter))


@app.command()
def export(
    context: typer.Context,
    series: Series = None,
    reason: Reason = None,
    out: Annotated[Path | None, typer.Option(help="A new file; standard output otherwise.")] = None,
) -> None:
    """Write dead letters as lines of JSON, the oldest first; times are UTC milliseconds.

    Example: candlecast dead-letters export --out dead-letters.jsonl
    """
    import sys
    from json import dumps

    from worker import dead_letters

    found = list(dead_letters.matching(_letters(context), series, reason))
    lines = [dumps(dead_letters.as_json(letter)) + "\n" for letter in reversed(found)]
    if out is None:
        sys.stdout.writelines(lines)
        return
    # Never over an earlier export: what that one holds may have been dropped since.
    with out.open("x") as file:
        file.writelines(lines)
    typer.echo(f"{len(lines)} dead letters are in {out}", err=True)


@app.command()
def drop(
    context: typer.Context,
    letter_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="As `list` shows them.")
    ] = None,
    series: Annotated[str | None, typer.Option(help="All of this series.")] = None,
    reason: Reason = None,
    everything: Annotated[bool, typer.Option("--all", help="All there are.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove dead letters for good; --series and --reason together mean both.

    Example: candlecast dead-letters drop --series binance:BTC/USDT:1h --reason revised --yes
    """
    from shared.errors import CandlecastError
    from worker import dead_letters
    from worker.confirm import confirm

    if sum((bool(letter_ids), bool(series or reason), everything)) != 1:
        raise CandlecastError("say which: ids, or --series and --reason, or --all")
    letters = _letters(context)
    ids = dead_letters.checked_ids(letter_ids or ())
    ids = ids or [letter.id for letter in dead_letters.matching(letters, series, reason)]
    if ids:
        confirm(f"Drop {len(ids)} dead letters for good?", yes=yes)
    dropped = letters.drop(ids)
    typer.echo(f"{dropped} dropped")
    if not ids:
        typer.echo(dead_letters.nothing(letters), err=True)
    if letter_ids and dropped < len(ids):
        typer.echo(f"{len(ids) - dropped} of these ids are not there", err=True)
        raise typer.Exit(1)


def _letters(context: typer.Context) -> "DeadLetters":
    store: Callable[[], Store] = context.obj
    return store().dead_letters
