"""What an app needs to read forecasts; depends on redis and pydantic alone.

>>> reader = ForecastReader("redis://127.0.0.1:6379/0")          # doctest: +SKIP
>>> forecast = reader.latest("binance:BTC/USDT:1h")              # doctest: +SKIP
>>> forecast.quantile(0.95, horizon=1)                           # doctest: +SKIP
>>> for forecast in reader.watch("binance:BTC/USDT:1h"):         # doctest: +SKIP
...     print(forecast.median[0], forecast.is_stale(reader.now_ms()))
"""

import asyncio
import contextlib
import itertools
import logging
import time
from bisect import bisect
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Any, Self

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import EqualJitterBackoff

from shared.clients import ANSWER_S, from_url
from shared.errors import CandlecastError, InvalidValue, StoreUnavailable
from shared.following import PAGE, Following, Past, forecasts_of
from shared.forecast import Forecast
from shared.keys import DEFAULT_PREFIX, Keys
from shared.link import Link, time_ms, translated
from shared.records import parsed_series
from shared.wire import decode_forecast

# Redis answers by itself after so long, well before a connection's time-out.
_BLOCK_MS = 5_000
_AT_ONCE, _NAMED = 100, 10
_HISTORIES = {b"none", b"stream"}
_BACKOFF = EqualJitterBackoff(cap=5.0, base=0.1)
_LONGEST = 10  # failures; it counts with two to that power

log = logging.getLogger(__name__)


class UnknownSeries(CandlecastError):
    """Nothing is published for this series; the message says for which there is."""


class ForecastReader:
    """Reads what workers publish under one prefix.

    Parameters
    ----------
    url
        ``redis://default:password@host:6379/0``, or others: `shared.clients.from_url`.
    prefix
        Put before every key.

    Raises
    ------
    InvalidValue
        When the URL is none.
    StoreUnavailable
        Also from every method, when Redis cannot be reached.
    """

    def __init__(self, url: str, *, prefix: str = DEFAULT_PREFIX) -> None:
        self._link = Link.open(url, Keys(prefix))
        self._keys = self._link.keys

    def now_ms(self) -> int:
        """Return Redis's clock, UTC milliseconds: by it `Forecast.is_stale` is safe to ask."""
        return self._link.now_ms()

    def series(self) -> list[str]:
        """Return the names of all known series, sorted; what is no name of ours is left out."""
        with self._link.translated() as client:
            return _names(client.smembers(self._keys.series))

    def latest(self, series: str) -> Forecast:
        """Return the newest forecast.

        Raises
        ------
        UnknownSeries
            When there is none.
        """
        with self._link.translated() as client:
            raw = client.get(self._keys.forecast(series))
        if raw is None:
            raise _unknown(series, self.series())
        return decode_forecast(raw)

    def history(self, series: str, since: int = 0) -> list[Forecast]:
        """Return what was said since a time (UTC milliseconds, by Redis's clock), by revision.

        Redis keeps the newest hundred of each series, or as many as ``CANDLECAST_HISTORY`` says.
        """
        with self._link.translated() as client:
            found = client.xrange(self._keys.forecasts(series), min=since)
        return forecasts_of(found)

    def watch(self, *series: str) -> Iterator[Forecast]:
        """Yield the newest forecast of each series and then each new one, as it is committed.

        While Redis cannot be reached it waits; then it goes on where it was, and misses none that
        the histories still hold.

        Raises
        ------
        UnknownSeries
            When one of them does not exist, nor has been forecast.
        InvalidValue
            When none is named.
        """
        following = Following(map(self._keys.forecasts, _wanted(series)))
        found = self._newest(following)
        for name, entries in zip(dict.fromkeys(series), found, strict=True):
            if not entries and name not in (known := self.series()):
                raise _unknown(name, known)
        yield from following.newest(found)
        while True:
            yield from self._news(following)

    def _newest(self, following: Following) -> list[Any]:
        with self._link.translated() as client, client.pipeline(transaction=False) as pipe:
            for stream in following.streams:
                pipe.xrevrange(stream, count=1)
            return list(pipe.execute())

    def _news(self, following: Following) -> list[Forecast]:
        """Wait for news for some seconds, or until Redis is back."""
        try:
            with self._link.translated() as client:
                found = client.xread(following.after, count=_AT_ONCE, block=_BLOCK_MS)
            return following.news(found)
        except StoreUnavailable as error:
            log.warning("waiting for Redis: %s", error)
        for failures in itertools.count():
            time.sleep(_BACKOFF.compute(min(failures, _LONGEST)))
            with contextlib.suppress(StoreUnavailable):
                return following.newest(self._newest(following))
        return []


class AsyncForecastReader:
    """The same for asyncio: what `ForecastReader` has, to be awaited.

    >>> async with AsyncForecastReader("redis://127.0.0.1") as reader:   # doctest: +SKIP
    ...     async for forecast in reader.watch("binance:BTC/USDT:1h"):
    ...         print(forecast.median[0])

    Parameters
    ----------
    url, prefix
        See `ForecastReader`. It connects with the first question.

    Raises
    ------
    InvalidValue
        When the URL is none.
    StoreUnavailable
        From every method, when Redis cannot be reached.
    """

    def __init__(self, url: str, *, prefix: str = DEFAULT_PREFIX) -> None:
        # Its own limit would now and then swallow a cancellation (before Python 3.12: bpo-42130).
        self._redis = from_url(redis.asyncio.Redis, url, retry=Retry, answer_s=None)
        self._keys = Keys(prefix)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def now_ms(self) -> int:
        """Return Redis's clock, UTC milliseconds."""
        async with self._answering():
            return time_ms(await self._redis.time())

    async def series(self) -> list[str]:
        """Return the names of all known series, sorted."""
        async with self._answering():
            return _names(await self._redis.smembers(self._keys.series))

    async def latest(self, series: str) -> Forecast:
        """Return the newest forecast; see `ForecastReader.latest`."""
        async with self._answering():
            raw = await self._redis.get(self._keys.forecast(series))
        if raw is None:
            raise _unknown(series, await self.series())
        return decode_forecast(raw)

    async def history(self, series: str, since: int = 0) -> list[Forecast]:
        """Return what was said since a time; see `ForecastReader.history`."""
        async with self._answering():
            found = await self._redis.xrange(self._keys.forecasts(series), min=since)
        return forecasts_of(found)

    async def watch(self, *series: str) -> AsyncIterator[Forecast]:
        """Yield each new forecast; see `ForecastReader.watch`."""
        following = Following(map(self._keys.forecasts, _wanted(series)))
        found = await self._newest(following)
        for name, entries in zip(dict.fromkeys(series), found, strict=True):
            if not entries and name not in (known := await self.series()):
                raise _unknown(name, known)
        for forecast in following.newest(found):
            yield forecast
        while True:
            for forecast in await self.news(following):
                yield forecast

    async def begin(self, following: Following) -> list[Forecast]:
        """Return what is news in the newest entries of some histories."""
        return following.newest(await self._newest(following))

    async def news(self, following: Following) -> list[Forecast]:
        """Return what follows in some histories; wait for it for some seconds, or for Redis."""
        try:
            async with self._answering():
                found = await self._redis.xread(following.after, count=_AT_ONCE, block=_BLOCK_MS)
            return following.news(found)
        except StoreUnavailable as error:
            log.warning("waiting for Redis: %s", error)
            # Its name may lead to another server by now.
            await self._redis.connection_pool.disconnect(inuse_connections=False)
        for failures in itertools.count():
            await asyncio.sleep(_BACKOFF.compute(min(failures, _LONGEST)))
            with contextlib.suppress(StoreUnavailable):
                return await self.begin(following)
        return []

    async def past(self, series: Iterable[str], since: int) -> Past:
        """Return what was said of some series since a time, as all are now: to be read in pages."""
        streams = self.following(series)
        async with self._answering(), self._redis.pipeline(transaction=True) as pipe:
            for stream in streams:
                pipe.xrevrange(stream, count=1)
            found = await pipe.execute()
        ends = zip(streams, found, strict=True)
        return Past({stream: entries[0][0] for stream, entries in ends if entries}, since)

    async def pages(self, past: Past) -> list[Any]:
        """Return the next page of each history of a past that is wanted."""
        async with self._answering(), self._redis.pipeline(transaction=False) as pipe:
            for stream, (start, end) in past.wanted().items():
                pipe.xrange(stream, min=start, max=end, count=PAGE)
            return list(await pipe.execute())

    async def readable(self, series: Iterable[str]) -> list[str]:
        """Return those whose history is none yet, or a stream: another key there stops no other."""
        names = [*series]
        async with self._answering(), self._redis.pipeline(transaction=False) as pipe:
            for key in self.following(names):
                pipe.type(key)
            kinds = await pipe.execute()
        return [name for name, kind in zip(names, kinds, strict=True) if kind in _HISTORIES]

    @contextlib.asynccontextmanager
    async def _answering(self) -> AsyncIterator[None]:
        """Turn the errors of the client into ours, and a silence too."""
        try:
            async with asyncio.timeout(ANSWER_S):
                with translated(self._redis):
                    yield
        except TimeoutError as error:
            raise StoreUnavailable(f"Redis has not answered for {ANSWER_S:.0f} s") from error

    def following(self, series: Iterable[str]) -> list[str]:
        """Return the keys of the histories of some series, for `Following`."""
        return [self._keys.forecasts(name) for name in series]

    async def _newest(self, following: Following) -> list[Any]:
        async with self._answering(), self._redis.pipeline(transaction=False) as pipe:
            for stream in following.streams:
                pipe.xrevrange(stream, count=1)
            return list(await pipe.execute())


def _wanted(series: tuple[str, ...]) -> tuple[str, ...]:
    if not series:
        raise InvalidValue("series", "", "name those to be watched: binance:BTC/USDT:1h")
    return tuple(dict.fromkeys(series))


def _names(members: Iterable[bytes]) -> list[str]:
    return [str(series) for name in sorted(members) if (series := parsed_series(name))]


def _unknown(series: str, known: list[str]) -> UnknownSeries:
    return UnknownSeries(f"no forecast for series={series!r}; {neighbours(series, known)}")


def neighbours(name: str, known: Sequence[str]) -> str:
    """Say which series exist, those next to a name by the alphabet, for a message about it."""
    first = max(0, min(bisect(known, name) - _NAMED // 2, len(known) - _NAMED))
    named = ", ".join(known[first : first + _NAMED]) or "none yet"
    return f"series that exist{f' ({len(known)})' if len(known) > _NAMED else ''}: {named}"
