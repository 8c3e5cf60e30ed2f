"""Feed: what every source of candles offers to `producers.push`."""

from collections.abc import Sequence
from typing import Protocol

from shared.candle import Candle, Series


class Feed(Protocol):
    """The closed candles of one series, oldest first, given out when they are asked for.

    Asked instead of iterated, so that one series whose log is full, or whose next candle has not
    closed yet, never holds up the others. `take` itself may: feeds are asked one after the other,
    and an exchange's `take` is a REST call, for whose answer (or time-out) all of them wait.

    **What a feed promises**: between two calls of `rewind` it leaves out no candle that its source
    has. `push` builds on that: what comes next, or first after ``rewind(t)``, is the source's word
    that it has nothing in between.
    """

    @property
    def series(self) -> Series:
        """The series of all its candles."""
        ...

    def wait_s(self) -> float | None:
        """Seconds until `take` may have something: 0.0 for now, None at the end of the feed."""
        ...

    def take(self, count: int) -> Sequence[Candle]:
        """Return the next candles, at most ``count``; fewer or none when there are no more yet."""
        ...

    def rewind(self, after: int) -> None:
        """Go on with the first candle that opens after ``after`` (UTC milliseconds).

        `shared.records.BEFORE_ALL` is the feed's start, even where its source has older candles.
        """
        ...
