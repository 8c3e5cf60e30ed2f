"""What an app needs to read forecasts; depends on redis and pydantic alone.

>>> reader = ForecastReader("redis://127.0.0.1:6379/0")          # doctest: +SKIP
>>> forecast = reader.latest("binance:BTC/USDT:1h")              # doctest: +SKIP
>>> forecast.median[0], forecast.is_stale(now_ms)                # doctest: +SKIP
"""

from collections.abc import Iterator
from typing import Any

import redis

from shared.errors import CandlecastError, StoreUnavailable
from shared.forecast import Forecast
from shared.keys import Keys
from shared.wire import decode_forecast


class UnknownSeries(CandlecastError):
    """Nothing is published for this series; the message says for which there is."""


class ForecastReader:
    """Reads what workers publish under one prefix.

    Parameters
    ----------
    url
        ``redis://:password@host:6379/0``.
    prefix
        Put before every key.

    Raises
    ------
    StoreUnavailable
        From every method, when Redis cannot be reached.
    """

    def __init__(self, url: str, *, prefix: str | None = None) -> None:
        self._redis: Any = redis.Redis.from_url(url, protocol=2, socket_connect_timeout=3)
        self._keys = Keys(prefix) if prefix is not None else Keys()

    def series(self) -> list[str]:
        """Return the names of all known series, sorted."""
        return sorted(name.decode() for name in self._call("smembers", self._keys.series))

    def latest(self, series: str) -> Forecast:
        """Return the newest forecast.

        Raises
        ------
        UnknownSeries
            When there is none.
        """
        raw = self._call("get", self._keys.forecast(series))
        if raw is None:
            known = ", ".join(self.series()) or "none yet"
            raise UnknownSeries(f"no forecast for series={series!r}; series that exist: {known}")
        return decode_forecast(raw)

    def watch(self, series: str) -> Iterator[Forecast]:
        """Yield the newest forecast and then each new one, as it is committed."""
        with self._redis.pubsub(ignore_subscribe_messages=True) as channel:
            try:
                channel.subscribe(self._keys.forecast_channel(series))
                yield self.latest(series)
                for message in channel.listen():
                    yield decode_forecast(message["data"])
            except redis.ConnectionError as error:
                raise StoreUnavailable(f"Redis: {error}") from error

    def _call(self, command: str, *args: str) -> Any:
        try:
            return getattr(self._redis, command)(*args)
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise StoreUnavailable(f"Redis: {error}") from error
