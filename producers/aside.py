"""Aside: bad rows that go to the dead letters once their series has taken candles."""

from collections.abc import Sequence

from producers.push import CandleStore, Letters
from shared.candle import Series
from shared.errors import InvalidValue
from shared.records import Append, Appended, DeadLetter


class Aside:
    """A store that sets the bad rows of a series aside when it takes candles of it.

    So a push that is refused leaves nothing behind, and one that is tried again doubles nothing.

    Parameters
    ----------
    store
        Where candles and letters go.
    rows
        What is to be set aside, the oldest first.
    keep
        How many of them at most: of more than the dead letters hold, the first ones would only
        push out others.

    Attributes
    ----------
    bad, kept
        How many rows there were so far, and how many of them were set aside.
    """

    def __init__(
        self, store: CandleStore, rows: Sequence[tuple[Series, DeadLetter]], keep: int
    ) -> None:
        self._store = store
        self._rows: dict[Series, list[DeadLetter | None]] = {}
        self.bad = self.kept = 0
        for number, (series, letter) in enumerate(rows):
            kept = letter if number >= len(rows) - keep else None
            self._rows.setdefault(series, []).append(kept)

    @property
    def dead_letters(self) -> Letters:
        """Where candles go that can never be appended."""
        return self._store.dead_letters

    def append_all(self, appends: Sequence[Append]) -> list[Appended | InvalidValue]:
        """Append candles, then set aside what waits for that."""
        answers = self._store.append_all(appends)
        for append, answer in zip(appends, answers, strict=True):
            if isinstance(answer, Appended):
                self._set_aside(append.series)
        return answers

    def _set_aside(self, series: Series) -> None:
        rows = self._rows.get(series, [])
        while rows:
            if rows[0] is not None:
                self.dead_letters.put(series, rows[0])
                self.kept += 1
            # Only now: where Redis fails, the candles are appended once more.
            del rows[0]
            self.bad += 1

    def used_memory_share(self) -> float:
        """Share of Redis's memory limit in use."""
        return self._store.used_memory_share()
