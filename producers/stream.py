"""Candles as an exchange pushes them, by ccxt's websocket clients, kept until they have closed."""

import asyncio
import random
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from types import TracebackType
from typing import Any, Protocol, Self

import structlog

from producers.lane import grown
from producers.rows import Row
from shared.candle import Series, Timeframe

# Of one subscription: exchanges take a few hundred at most.
_AT_ONCE = 100
_BACKOFF_S = (1.0, 60.0)
# A connection that held so long was a good one: after it the waits begin anew.
_STEADY_S = 60.0
_KEPT = 1_000
# So many candles close without a word of any: then a subscription has died and its connection not.
_DEAF_AFTER = 3

log = structlog.get_logger(__name__)


class Client(Protocol):
    """What is used of a ccxt websocket client."""

    @property
    def has(self) -> Mapping[str, Any]:
        """What it can do, by method."""
        ...

    @property
    def clients(self) -> Mapping[str, Any]:
        """Its connections, by address."""
        ...

    async def watch_ohlcv(self, symbol: str, timeframe: str) -> Iterable[Row]:
        """Wait for news of one market; return the candles that have changed."""
        ...

    async def watch_ohlcv_for_symbols(
        self, symbols: Sequence[tuple[str, str]]
    ) -> Mapping[str, Mapping[str, Iterable[Row]]]:
        """Wait for news of several markets; return candles by symbol and timeframe."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


@dataclass(slots=True)
class Tape:
    """What one unbroken connection has told of one series.

    A candle has closed once a later one has come: exchanges tell of them in order. What was open
    when a connection broke may have gone on since, so it is forgotten.

    >>> tape = Tape()
    >>> tape.note([[0, 1.0], [60, 2.0]])
    >>> tape.closed(0), tape.closed(60)
    ([0, 1.0], None)
    >>> tape.broke()
    >>> tape.note([[120, 3.0]])
    >>> tape.closed(60) is None
    True
    """

    rows: dict[int, Row] = field(default_factory=dict)
    newest: int | None = None
    """Open time of the candle that is open, UTC milliseconds; None until the first one comes."""

    def note(self, rows: Iterable[Row]) -> None:
        """Take down what has changed."""
        for row in rows:
            time_ms = _time(row)
            self.rows[time_ms] = list(row)  # ccxt goes on writing into its own
            self.newest = time_ms if self.newest is None else max(self.newest, time_ms)
        for time_ms in sorted(self.rows)[:-_KEPT]:
            del self.rows[time_ms]

    def closed(self, open_time: int) -> Row | None:
        """Return a candle that has closed, as it was told last."""
        if self.newest is None or open_time >= self.newest:
            return None
        return self.rows.get(open_time)

    def broke(self) -> None:
        """Forget the candle that was open."""
        if self.newest is not None:
            self.rows.pop(self.newest, None)
        self.newest = None


class Stream:
    """Follows series of one exchange in a thread of its own.

    Each timeframe has a client, and so connections, of its own: some of ccxt's clients take the
    candles of one timeframe of a market for those of another. Whatever a client raises, it is
    closed, and another one begins after a while, longer each time.

    Parameters
    ----------
    connect
        Returns a new ccxt websocket client with its markets loaded; called in the stream's thread.
    series
        What to follow.
    ring
        Called, in the stream's thread, when there is news.
    backoff_s
        Shortest and longest time between two clients of a timeframe.

    Attributes
    ----------
    reconnects
        How often a client has broken so far.
    corrected
        Candles that were told of and are others by REST.
    """

    def __init__(
        self,
        connect: Callable[[], Client],
        series: Iterable[Series],
        ring: Callable[[], object] = lambda: None,
        backoff_s: tuple[float, float] = _BACKOFF_S,
    ) -> None:
        self._connect = connect
        self._ring = ring
        self._backoff_s = backoff_s
        self._tapes = {one: Tape() for one in series}
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._stopped = asyncio.Event()
        self._unheard: dict[Timeframe, set[int]] = {one.timeframe: set() for one in self._tapes}
        self._deaf = {frame: asyncio.Event() for frame in self._unheard}
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.reconnects = self.corrected = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()

    @property
    def live(self) -> int:
        """How many series have been heard of since their connections were last made."""
        with self._lock:
            return sum(tape.newest is not None for tape in self._tapes.values())

    def closed(self, series: Series, open_time: int) -> Row | None:
        """Return a candle that has closed, if the stream has told of it."""
        with self._lock:
            return self._tapes[series].closed(open_time)

    def compare(self, series: Series, row: Row) -> None:
        """Hear from elsewhere of a candle that has just closed."""
        frame, told = series.timeframe, self.closed(series, _time(row))
        if told is not None:
            self.corrected += [*map(_number, told[1:6])] != [*map(_number, row[1:6])]
            return
        with self._lock:
            unheard = self._unheard[frame]
            unheard.add(_time(row))
            if len(unheard) < _DEAF_AFTER:
                return
            unheard.clear()
        self._loop.call_soon_threadsafe(self._deaf[frame].set)

    # ---------------------------------------------------------------- in the thread

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._main())

    async def _main(self) -> None:
        tasks = [asyncio.create_task(self._follow(frame)) for frame in self._deaf]
        await self._stopped.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, frame: Timeframe) -> None:
        """Follow the series of one timeframe, with one client after the other."""
        mine = [series for series in self._tapes if series.timeframe == frame]
        delay = 0.0
        while True:
            began = self._loop.time()
            why = await self._until_it_breaks(self._deaf[frame], mine)
            self._broke(mine)
            held_s = self._loop.time() - began
            delay = grown(0.0 if held_s >= _STEADY_S else delay, self._backoff_s)
            log.warning("stream_broken", timeframe=str(frame), error=why, next_s=round(delay, 1))
            self.reconnects += 1
            # Not all who have lost the same exchange at once come back at once.
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 -- no secret

    async def _until_it_breaks(self, deaf: asyncio.Event, mine: list[Series]) -> str:
        """Follow series with one client; return what ended it."""
        try:
            client = self._connect()
        except Exception as error:  # noqa: BLE001 -- whatever it is, candles come by REST meanwhile
            return _line(error)
        groups = (
            _groups(mine) if client.has.get("watchOHLCVForSymbols") else [[one] for one in mine]
        )
        listening = [asyncio.create_task(self._listen(client, group)) for group in groups]
        deaf.clear()
        silence = asyncio.create_task(deaf.wait())
        try:
            done, _ = await asyncio.wait([*listening, silence], return_when=asyncio.FIRST_COMPLETED)
            faults = [task.exception() for task in done if task is not silence]
            return next((_line(fault) for fault in faults if fault), "nothing was told of candles")
        finally:
            for task in (*listening, silence):
                task.cancel()
            await asyncio.gather(*listening, silence, return_exceptions=True)
            with suppress(Exception):
                await client.close()

    async def _listen(self, client: Client, group: list[Series]) -> None:
        connections: list[Any] = []
        names = {(one.symbol, str(one.timeframe)): one for one in group}
        while True:
            if client.has.get("watchOHLCVForSymbols"):
                news = await client.watch_ohlcv_for_symbols([*names])
            else:
                ((symbol, frame),) = names
                news = {symbol: {frame: await client.watch_ohlcv(symbol, frame)}}
            told = {
                names[symbol, frame]: list(rows)
                for symbol, frames in news.items()
                for frame, rows in frames.items()
                if (symbol, frame) in names
            }
            if _is_anew(client, connections):
                self._broke(group)
                # Of those before the last one nobody knows on which connection they came.
                told = {one: [max(rows, key=_time)] for one, rows in told.items() if rows}
            self._note(told)

    def _note(self, told: Mapping[Series, Sequence[Row]]) -> None:
        with self._lock:
            for series, rows in told.items():
                self._tapes[series].note(rows)
                self._unheard[series.timeframe].clear()
        self._ring()

    def _broke(self, names: Iterable[Series]) -> None:
        with self._lock:
            for series in names:
                self._tapes[series].broke()


def _is_anew(client: Client, connections: list[Any]) -> bool:
    """Whether a connection of those seen before is gone; and see those there are.

    ccxt connects again by itself where one breaks while nobody waits for it, and tells nobody.
    """
    now = list(client.clients.values())
    anew = any(all(one is not other for other in now) for one in connections)
    connections[:] = now
    return anew


def _time(row: Row) -> int:
    return int(row[0])


def _number(value: Any) -> float:
    return float(value or 0.0)


def _groups(series: Sequence[Series]) -> list[list[Series]]:
    rest = iter(series)
    return list(iter(lambda: list(islice(rest, _AT_ONCE)), []))


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
