"""Candles as an exchange pushes them, by ccxt's websocket clients, kept until they have closed."""

import asyncio
import math
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self
from zlib import crc32

import structlog

from producers.client import Client, groups_of, held_of, is_anew
from producers.lane import regrown, spread
from producers.rows import Row
from producers.tape import Tape, is_same, time_of
from shared.candle import Series, Timeframe

_BACKOFF_S = (1.0, 60.0)
_END_S = 5.0
# So many candles of a series close without a word of it: then its subscription has died, though its
# connection has not. It may be that the exchange never tells of it: longer each time.
_DEAF_AFTER = (3, 48)
# Of each series the first ones are asked for, whatever is told of them, and then one in so many.
_PROVEN_BY = 3
_PROBED_EVERY = 60

log = structlog.get_logger(__name__)


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
    trusts
        Whether what it tells last of a candle of that series is final. All the same none is told
        of until three were the same elsewhere, nor one in sixty after that, so that they are asked
        for; once one was another, or was told again otherwise after its close, none is.

    Attributes
    ----------
    reconnects
        How often a client has broken so far.
    corrected
        Candles that were told of and are others by REST, or by a later word.
    is_distrusted
        Whether nothing is told, since a stream before this one had to be corrected.
    """

    def __init__(
        self,
        connect: Callable[[], Client],
        series: Iterable[Series],
        ring: Callable[[], object] = lambda: None,
        backoff_s: tuple[float, float] = _BACKOFF_S,
        trusts: Callable[[Series], bool] = lambda _: True,
    ) -> None:
        self._connect = connect
        self._ring = ring
        self._backoff_s = backoff_s
        self._trusts = trusts
        self._tapes = {one: Tape() for one in series}
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._stopped = asyncio.Event()
        self._proven = dict.fromkeys(self._tapes, 0)
        self._compared = dict.fromkeys(self._tapes, -1)
        self._silent: Series | None = None
        self._unheard: dict[Series, set[int]] = {one: set() for one in self._tapes}
        self._patience = dict.fromkeys(self._tapes, _DEAF_AFTER[0])
        self._deaf = {one.timeframe: asyncio.Event() for one in self._tapes}
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.reconnects = self.corrected = 0
        self.is_distrusted = False

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
        # A name server may hold it up; then it ends with the process.
        self._thread.join(_END_S)

    @property
    def live(self) -> int:
        """How many series have been heard of since their connections were last made."""
        with self._lock:
            return sum(tape.newest is not None for tape in self._tapes.values())

    def closed(self, series: Series, open_time: int, latest: float = math.inf) -> Row | None:
        """Return a candle that has closed, if the stream has told of it and its word is final.

        Where it tells of one that opens after ``latest`` (UTC milliseconds), a time is wrong, and
        nothing is certain.
        """
        step_ms = series.timeframe.ms
        # Not all series at once.
        is_probe = (open_time // step_ms - crc32(str(series).encode())) % _PROBED_EVERY == 0
        is_doubted = self.is_distrusted or self.corrected or self._proven[series] < _PROVEN_BY
        if is_probe or is_doubted or open_time + step_ms > latest or not self._trusts(series):
            return None
        with self._lock:
            tape = self._tapes[series]
            # A row off the grid closes nothing.
            is_closed = open_time + step_ms <= (tape.newest or 0) <= latest
            return tape.closed(open_time) if is_closed else None

    def compare(self, series: Series, row: Row) -> None:
        """Hear from elsewhere of a candle that has just closed."""
        with self._lock:
            told = self._tapes[series].closed(time_of(row))
            if told is not None:
                is_new = time_of(row) > self._compared[series]
                self._compared[series] = max(time_of(row), self._compared[series])
                self.corrected += is_new and not is_same(told, row)
                self._proven[series] += is_new and is_same(told, row)
                return
            unheard = self._unheard[series]
            unheard.add(time_of(row))
            if len(unheard) < self._patience[series]:
                return
            unheard.clear()
            self._silent = series
            self._patience[series] = min(2 * self._patience[series], _DEAF_AFTER[1])
        self._loop.call_soon_threadsafe(self._deaf[series.timeframe].set)

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
            delay = regrown(delay, self._loop.time() - began, self._backoff_s)
            facts = {"exchange": mine[0].exchange, "timeframe": str(frame), "error": why}
            log.warning("stream_broken", **facts, next_s=round(delay, 1))
            self.reconnects += 1
            await asyncio.sleep(spread(delay))

    async def _until_it_breaks(self, deaf: asyncio.Event, mine: list[Series]) -> str:
        """Follow series with one client; return what ended it."""
        try:
            client = self._connect()
        except Exception as error:  # noqa: BLE001 -- whatever it is, candles come by REST meanwhile
            return _line(error)
        groups = groups_of(client, mine)
        listening = [asyncio.create_task(self._listen(client, group)) for group in groups]
        deaf.clear()
        silence = asyncio.create_task(deaf.wait())
        try:
            done, _ = await asyncio.wait([*listening, silence], return_when=asyncio.FIRST_COMPLETED)
            faults = [task.exception() for task in done - {silence} if not task.cancelled()]
            return next((_line(fault) for fault in faults if fault), f"{self._silent} fell silent")
        finally:
            for task in (*listening, silence):
                task.cancel()
            await asyncio.gather(*listening, silence, return_exceptions=True)
            with suppress(Exception):
                await client.close()

    async def _listen(self, client: Client, group: list[Series]) -> None:
        connections: list[Any] = []
        doubtful: set[Series] = set()
        names = {(one.symbol, str(one.timeframe)): one for one in group}
        while True:
            if client.has.get("watchOHLCVForSymbols"):
                news = await client.watch_ohlcv_for_symbols([[*name] for name in names])
            else:
                ((symbol, frame),) = names
                news = {symbol: {frame: await client.watch_ohlcv(symbol, frame)}}
            told = {
                names[symbol, frame]: list(rows)
                for symbol, frames in news.items()
                for frame, rows in frames.items()
                if (symbol, frame) in names
            }
            if is_anew(client, connections):
                self._broke(group)
                doubtful = set(group)
            held = {one: held_of(client, one) for one in told}
            for series in doubtful & told.keys():
                # Of those before the newest nobody knows on which connection they came.
                told[series] = sorted(told[series], key=time_of)[-1:]
                doubtful.discard(series)
            self._note(told, held)

    def _note(
        self, told: Mapping[Series, Sequence[Row]], held: Mapping[Series, Sequence[Row]]
    ) -> None:
        has_closed = False
        with self._lock:
            for series, rows in told.items():
                tape = self._tapes[series]
                before = tape.newest
                self.corrected += tape.note(rows, held[series])
                has_closed |= tape.newest != before
                self._unheard[series].clear()
                # The first word may be but the answer to the subscription.
                if before is not None and tape.newest != before:
                    self._patience[series] = _DEAF_AFTER[0]
        if has_closed:
            self._ring()

    def _broke(self, names: Iterable[Series]) -> None:
        with self._lock:
            for series in names:
                self._tapes[series].broke()


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
