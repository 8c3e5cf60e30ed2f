"""Live: the markets of several exchanges at once, each exchange in a thread of its own."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from producers.desk import Desk
from producers.pause import Pause
from producers.push import Totals
from producers.standing import Standing
from shared.candle import Series
from shared.errors import StoreError

_END_S = 10.0


class Live:
    """The desks of several exchanges; which markets they have may change.

    Parameters
    ----------
    desk
        Makes the desk of an exchange for its series; the pauses are those that it has asked for.
    """

    def __init__(self, desk: Callable[[str, Sequence[Series], Pause], Desk]) -> None:
        self._make = desk
        self._desks: dict[str, Desk] = {}
        self._wanted: Mapping[str, tuple[Sequence[Series], object]] = {}
        self._was_changed = False
        self._past: list[Desk] = []
        self._pauses: dict[str, Pause] = {}

    def want(self, series: Iterable[Series], options: Mapping[str, object] | None = None) -> None:
        """Follow these from now on; what has changed of an exchange, or has ended, begins anew."""
        named: dict[str, list[Series]] = {}
        for one in dict.fromkeys(series):
            named.setdefault(one.exchange, []).append(one)
        wanted = {name: (found, (options or {}).get(name)) for name, found in named.items()}
        changed = [
            name
            for name, desk in self._desks.items()
            if desk.fault or self._wanted[name] != wanted.get(name)
        ]
        self._end(changed)
        self._was_changed |= bool(self._wanted) and wanted != self._wanted
        self._wanted = wanted
        for name in wanted.keys() - self._desks.keys():
            pause = self._pauses.setdefault(name, Pause(name))
            self._desks[name] = self._make(name, named[name], pause)
            self._desks[name].start()

    def stop(self) -> None:
        """End all desks, after the candles that they have in hand."""
        self._end([*self._desks])

    def _end(self, names: Iterable[str]) -> None:
        ended = [self._desks.pop(name) for name in names]
        for desk in ended:
            desk.stop()
        deadline = time.monotonic() + _END_S
        for desk in ended:
            # A name server may hold it up; then it ends by itself, or with the process.
            desk.join(max(0.0, deadline - time.monotonic()))
            self._past.append(desk)

    @property
    def standings(self) -> dict[str, Standing]:
        """How each exchange is doing."""
        return {name: desk.standing for name, desk in sorted(self._desks.items())}

    @property
    def has_caught_up(self) -> bool:
        """Whether Redis has all that the exchanges had, but for those that have ended."""
        return all(desk.has_caught_up or desk.fault for desk in self._desks.values())

    def check(self) -> None:
        """See whether anything is followed still.

        What was wrong from the beginning is told at once; after a change of what is wanted, the
        next one may mend it.

        Raises
        ------
        CandlecastError
            What has ended the last desk; or Redis, which is everybody's.
        """
        faults = [desk.fault for desk in self._desks.values() if desk.fault]
        is_over = len(faults) == len(self._desks) and not self._was_changed
        for fault in faults:
            if isinstance(fault, StoreError) or is_over:
                raise fault

    @property
    def totals(self) -> Totals:
        """What became of all candles so far; how far behind workers are, `status` knows."""
        found = Totals.of(desk.totals for desk in (*self._past, *self._desks.values()))
        return replace(found, behind=None)

    @property
    def history(self) -> int:
        """Candles that had closed before they were followed, as far as is known by now."""
        return sum(desk.history for desk in (*self._past, *self._desks.values()))

    @property
    def bad(self) -> int:
        """Rows that were no candles so far."""
        return sum(desk.bad for desk in (*self._past, *self._desks.values()))
