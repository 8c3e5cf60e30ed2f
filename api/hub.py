"""Hub: one reader of Redis for all who follow forecasts over HTTP."""

import asyncio
import contextlib
import math
import time
from asyncio import FIRST_COMPLETED
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import NamedTuple, Self

import structlog

from shared.errors import CandlecastError
from shared.following import Following, is_past
from shared.forecast import Forecast
from shared.reader import AsyncForecastReader

_RETRY_S = 1.0
_LOOK_AGAIN_S = 5.0
# Whoever reads so slowly is cut off, and comes again with the id of what it has seen last.
_MOST_UNREAD = 1_000
# So many begin at once: each takes a connection to Redis for a moment.
_BEGINNING = 16

log = structlog.get_logger(__name__)


class TooSlow(CandlecastError):
    """Somebody does not read what comes."""


class Event(NamedTuple):
    """A forecast, and its JSON: written once for all who follow."""

    forecast: Forecast
    text: str


class Hub:
    """Follows the series that anybody wants, and hands each forecast to all who want it.

    To be used in one event loop, inside ``async with``.

    Parameters
    ----------
    reader
        Its own.
    """

    def __init__(self, reader: AsyncForecastReader) -> None:
        self._reader = reader
        self._following = Following(())
        self._readers: dict[str, set[asyncio.Queue[Event]]] = {}
        self._overrun: set[asyncio.Queue[Event]] = set()
        self._beginning = asyncio.Semaphore(_BEGINNING)
        self._known: set[str] = set()
        self._changed = asyncio.Event()
        self._look_at = math.inf
        self._ready = asyncio.Condition()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self._reader.close()

    async def follow(self, names: Iterable[str], since: int | None = None) -> AsyncIterator[Event]:
        """Yield the newest forecast of each series, or all since a time, and then each new one.

        Parameters
        ----------
        names
            Of series that exist.
        since
            UTC milliseconds of Redis's clock.

        Raises
        ------
        TooSlow
            When a thousand wait to be read.
        """
        wanted = dict.fromkeys(names)
        newest: dict[str, Forecast] = {}
        with self._joined(wanted) as queue:
            async with self._ready:
                # What is said from here on comes by the queue.
                await self._ready.wait_for(lambda: wanted.keys() <= self._known)
            past = self._newest(wanted) if since is None else self._past(wanted, since)
            async for forecast in past:
                newest[forecast.series] = forecast
                yield _event(forecast)
            while True:
                event = await queue.get()
                if queue in self._overrun:
                    raise TooSlow(f"{_MOST_UNREAD} forecasts wait to be read")
                if not is_past(event.forecast, newest.get(event.forecast.series)):
                    yield event

    async def _newest(self, names: Iterable[str]) -> AsyncIterator[Forecast]:
        """Yield the newest forecast of each, by time."""
        async with self._beginning:
            readable = await self._reader.readable(names)
            said = await self._reader.begin(Following(self._reader.following(readable)))
        for forecast in sorted(said, key=_issued_at):
            yield forecast

    async def _past(self, names: Iterable[str], since: int) -> AsyncIterator[Forecast]:
        """Yield what was said since a time, by time; of a long past little is held at once."""
        async with self._beginning:
            past = await self._reader.past(await self._reader.readable(names), since)
        while not past.is_over:
            async with self._beginning:
                pages = await self._reader.pages(past)
            for forecast in past.next(pages):
                yield forecast

    @contextlib.contextmanager
    def _joined(self, names: Iterable[str]) -> Iterator[asyncio.Queue[Event]]:
        queue: asyncio.Queue[Event] = asyncio.Queue(_MOST_UNREAD)
        for name in names:
            if name not in self._readers:
                self._changed.set()
            self._readers.setdefault(name, set()).add(queue)
        try:
            yield queue
        finally:
            self._overrun.discard(queue)
            for name in names:
                self._readers[name].discard(queue)
                if not self._readers[name]:
                    del self._readers[name]
                    self._changed.set()

    async def _run(self) -> None:
        """Read until it is cancelled; what fails is tried again."""
        while True:
            try:
                await self._begin()
                while not self._changed.is_set():
                    self._tell(await self._news())
            except Exception as error:  # noqa: BLE001 -- all who follow depend on it
                log.warning("forecasts_not_read", error=str(error), next_s=_RETRY_S)
                await asyncio.sleep(_RETRY_S)

    async def _begin(self) -> None:
        """Find the places from which on to read, for all who have come and gone."""
        self._changed.clear()
        names = {*self._readers}
        self._known &= names  # whoever comes back to one has to wait for it
        readable = await self._reader.readable(sorted(names))
        self._following.change(self._reader.following(readable))
        if readable:
            self._tell(await self._reader.begin(self._following))
        is_whole = len(readable) == len(names)
        self._look_at = math.inf if is_whole else time.monotonic() + _LOOK_AGAIN_S
        async with self._ready:
            self._known = names
            self._ready.notify_all()

    async def _news(self) -> list[Forecast]:
        """Return what is said next, or nothing once it has to begin anew."""
        changed = asyncio.create_task(self._changed.wait())
        reading = asyncio.create_task(self._read())
        left_s = None if self._look_at == math.inf else max(self._look_at - time.monotonic(), 0.0)
        try:
            await asyncio.wait({changed, reading}, timeout=left_s, return_when=FIRST_COMPLETED)
        finally:  # also where the hub ends
            changed.cancel()
            reading.cancel()
            await asyncio.gather(changed, reading, return_exceptions=True)
        if time.monotonic() >= self._look_at:  # what could not be read may be mended by now
            self._changed.set()
        return [] if reading.cancelled() else reading.result()

    async def _read(self) -> list[Forecast]:
        if not self._following.streams:
            await asyncio.Event().wait()
        return await self._reader.news(self._following)

    def _tell(self, forecasts: Iterable[Forecast]) -> None:
        # By time, as one id stands for what was sent of all series.
        for forecast in sorted(forecasts, key=_issued_at):
            event = _event(forecast)
            for queue in self._readers.get(forecast.series, ()):
                try:
                    queue.put_nowait(event)
                except asyncio.QueueFull:
                    self._overrun.add(queue)


def _event(forecast: Forecast) -> Event:
    return Event(forecast, forecast.model_dump_json())


def _issued_at(forecast: Forecast) -> int:
    return forecast.issued_at
