"""A store that keeps the rules of the candle log in memory, and a feed and a clock for it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from producers.push import BATCH, Push
from shared.candle import Candle, Series
from shared.errors import InvalidValue, StoreUnavailable
from shared.records import BEFORE_ALL, Append, Appended, DeadLetter

MINUTE = 60_000
T0 = 1_700_000_040_000
ONE = Series.parse("x:ONE/USD:1m")
TWO = Series.parse("x:TWO/USD:1m")


def candle(index: int) -> Candle:
    """The ``index``-th minute."""
    return Candle(T0 + index * MINUTE, 2.0, 3.0, 1.0, 2.0, float(index))


def indices(candles: Sequence[Candle]) -> list[int]:
    """Which minutes these are."""
    return [(found.open_time - T0) // MINUTE for found in candles]


@dataclass
class Clock:
    """Time that passes by sleeping."""

    now: float = 1_000.0
    naps: list[float] = field(default_factory=list)
    events: list[tuple[float, Callable[[], object]]] = field(default_factory=list)

    def __call__(self) -> float:
        """Now, in seconds."""
        return self.now

    def at(self, seconds: float, event: Callable[[], object]) -> None:
        """Let something happen when so much time has passed."""
        self.events.append((self.now + seconds, event))

    def sleep(self, seconds: float) -> None:
        """Pass time, and let happen what is due."""
        assert seconds > 0
        self.naps.append(seconds)
        self.now += seconds
        for due, event in [event for event in self.events if event[0] <= self.now]:
            self.events.remove((due, event))
            event()


@dataclass
class Letters:
    """Dead letters in memory."""

    kept: list[tuple[Series, DeadLetter]] = field(default_factory=list)

    def put(self, series: Series, letter: DeadLetter) -> None:
        """Keep it."""
        self.kept.append((series, letter))


@dataclass
class Log:
    """A store in memory: logs in order, gaps refused, room for as many candles as it is told."""

    logs: dict[Series, list[Candle]] = field(default_factory=dict)
    room: dict[Series, int] = field(default_factory=dict)
    memory: float = 0.0
    down: bool = False
    faulty: InvalidValue | None = None
    full: int = 0
    now_ms: int = T0 + 10**12
    dead_letters: Letters = field(default_factory=Letters)
    calls: list[tuple[Series, int, int]] = field(default_factory=list)
    groups: list[list[Series]] = field(default_factory=list)

    def used_memory_share(self) -> float:
        """Whatever the test says."""
        return self.memory

    def _fail(self) -> None:
        if self.down:
            raise StoreUnavailable("down")
        if self.full:
            self.full -= 1
            raise StoreUnavailable("OOM")

    def append_all(self, appends: Sequence[Append]) -> list[Appended | InvalidValue]:
        """Append by the rules of the design."""
        self._fail()
        self.groups.append([append.series for append in appends])
        return [
            self._refusal(one) or self._append(one.series, one.candles, one.after)
            for one in appends
        ]

    def _refusal(self, append: Append) -> InvalidValue | None:
        try:
            for new in append.candles:
                append.series.timeframe.check_closed(new.open_time, self.now_ms)
        except InvalidValue as error:
            return error
        return self.faulty

    def _append(self, series: Series, candles: Sequence[Candle], after: int) -> Appended:
        assert 0 < len(candles) <= BATCH
        self.calls.append((series, len(candles), after))
        log = self.logs.setdefault(series, [])
        counts = dict.fromkeys(("accepted", "duplicates", "revised", "refused", "holes"), 0)
        stopped = None
        for new in candles:
            end = log[-1].open_time if log else BEFORE_ALL
            if new.open_time <= end:
                held = {old.open_time: old for old in log}.get(new.open_time)
                kind = "refused" if held is None else "duplicates" if held == new else "revised"
                counts[kind] += 1
            elif self.room.get(series, 10**9) <= len(log):
                stopped = "full"
            elif after != end and new.open_time != end + MINUTE:
                stopped = "gap"
            else:
                counts["accepted"] += 1
                counts["holes"] += bool(log) and new.open_time != end + MINUTE
                log.append(new)
            if stopped:
                break
            after = new.open_time
        last = log[-1].open_time if log else None
        return Appended(**counts, stopped=stopped, last_open_time=last, behind=len(log))


@dataclass
class ListFeed:
    """Some candles of one series; ``due`` says from when (of the clock) they are there."""

    series: Series
    numbers: Sequence[int]
    clock: Clock
    due: float = 0.0
    position: int = 0
    rewinds: list[int] = field(default_factory=list)

    def wait_s(self) -> float | None:
        """Nothing before ``due``."""
        if self.position == len(self.numbers):
            return None
        return max(0.0, self.due - self.clock())

    def take(self, count: int) -> list[Candle]:
        """The next candles."""
        batch = self.numbers[self.position : self.position + count]
        self.position += len(batch)
        return [candle(number) for number in batch]

    def rewind(self, after: int) -> None:
        """Back to the first one after that time."""
        self.rewinds.append(-1 if after == BEFORE_ALL else (after - T0) // MINUTE)
        self.position = sum(number <= self.rewinds[-1] for number in self.numbers)


def push(log: Log, clock: Clock, *feeds: ListFeed, **options: object) -> Push:
    """A push on the test's clock."""
    return Push(log, feeds, clock=clock, sleep=clock.sleep, **options)  # type: ignore[arg-type]
