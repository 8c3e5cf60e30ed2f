"""What a push shows: a progress bar on a terminal, else plain lines, and one line at the end."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from producers.push import Totals

_LINE_PERIOD_S = 5.0


class Show(Protocol):
    """Shows the totals so far; ``expected`` is how many candles of history there are to come."""

    def __call__(self, totals: Totals, expected: int | None = None) -> None:
        """Show them."""
        ...


@contextmanager
def progress(
    total: int | None, console: Console, clock: Callable[[], float] = time.monotonic
) -> Iterator["Show"]:
    """Give a callback that shows the totals as they grow, of as many as are expected by then.

    Parameters
    ----------
    total
        Candles to come; None when there is no end to them.
    console
        Where to show them: a bar on a terminal, else a line every five seconds.
    clock
        Seconds, monotonic.
    """
    pace = _Pace(clock)
    if not console.is_terminal:
        lines = _Lines(total, console, pace, clock)
        yield lines.show
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, TimeElapsedColumn(), console=console) as bar:
        task = bar.add_task("candles", total=total)

        def show(totals: Totals, expected: int | None = total) -> None:
            speed = f"{pace(totals.taken):,.0f} candles/s{_workers(totals, ', ')}"
            left = expected if expected and totals.taken < expected else None
            bar.update(task, completed=totals.taken, total=total or left, description=speed)

        yield show


def summary(
    totals: Totals,
    seconds: float,
    *,
    total: int | None = None,
    bad_rows: tuple[int, int] = (0, 0),
) -> str:
    """Say in one line what became of the candles, ``total`` of which were to come.

    ``bad_rows`` is how many there were, and how many of them the dead letters hold.

    >>> summary(Totals(accepted=8, duplicates=2, behind=4), 2.0, total=12)  # doctest: +ELLIPSIS
    '8 accepted, 2 duplicates, 0 revised, 0 refused in 2.0 s (5 candles/s); ...; 2 not pushed'
    >>> summary(Totals(accepted=9, holes=2, set_aside=1), 3.0).partition("; ")[2]
    'workers 0 behind; 2 holes; 1 far ahead in the dead letters'
    """
    text = (
        f"{totals.accepted} accepted, {totals.duplicates} duplicates, {totals.revised} revised, "
        f"{totals.refused} refused in {seconds:.1f} s "
        f"({totals.taken / max(seconds, 1e-3):,.0f} candles/s){_workers(totals, '; ')}"
    )
    if totals.holes:
        text += f"; {totals.holes} hole{'s' if totals.holes > 1 else ''}"
    if totals.set_aside:
        text += f"; {totals.set_aside} far ahead in the dead letters"
    bad, kept = bad_rows
    if bad:
        text += f"; {bad} bad rows{f', the last {kept}' if kept < bad else ''} in the dead letters"
    left = totals.unsent if total is None else total - totals.taken
    if left > 0:
        text += f"; {left} not pushed"
    return text


class _Pace:
    """Candles per second over about the last five seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._marks = [(clock(), 0)]

    def __call__(self, taken: int) -> float:
        now = self._clock()
        if now - self._marks[-1][0] >= 1:
            self._marks = [*self._marks[-5:], (now, taken)]
        since, before = self._marks[0]
        return (taken - before) / max(now - since, 1e-3)


def _workers(totals: Totals, lead: str) -> str:
    """Say how far behind workers are, where that is known."""
    return "" if totals.behind is None else f"{lead}workers {totals.behind:,} behind"


class _Lines:
    def __init__(
        self, total: int | None, console: Console, pace: _Pace, clock: Callable[[], float]
    ) -> None:
        self._total = f" of {total:,}" if total is not None else ""
        self._console = console
        self._pace = pace
        self._clock = clock
        self._due = clock() + _LINE_PERIOD_S
        self._shown = 0

    def show(self, totals: Totals, expected: int | None = None) -> None:
        pace = self._pace(totals.taken)
        if self._clock() < self._due or totals.taken == self._shown:
            return
        self._due = self._clock() + _LINE_PERIOD_S
        self._shown = totals.taken
        some = f" of {expected:,}" if expected and totals.taken < expected else self._total
        line = f"{totals.taken:,}{some} candles, {pace:,.0f} candles/s{_workers(totals, ', ')}"
        self._console.print(line, highlight=False)
