"""Asking before something is done that cannot be undone."""

import sys

import typer

from shared.errors import CandlecastError


def confirm(question: str, *, yes: bool) -> None:
    """Go on only when told so: by ``--yes``, or on a terminal by whoever sits there.

    Raises
    ------
    CandlecastError
        When nobody can be asked.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise CandlecastError(f"nothing done, as nobody can be asked here: {question} Say --yes")
    typer.confirm(question, abort=True, err=True)
