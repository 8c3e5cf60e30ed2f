"""What an app needs to read forecasts; depends on redis and pydantic alone.

>>> reader = ForecastReader("redis://127.0.0.1:6379/0")          # doctest: +SKIP
>>> forecast = reader.latest("binance:BTC/USDT:1h")              # doctest: +SKIP
>>> forecast.median[0], forecast.is_stale(now_ms)                # doctest: +SKIP
"""

from collections.abc import Iterator

from shared.errors import CandlecastError
from shared.forecast import Forecast
from shared.keys import DEFAULT_PREFIX, Keys
from shared.link import Link
from shared.records import parsed_series
from shared.wire import decode_forecast

_POLL_S = 5.0


class UnknownSeries(CandlecastError):
    """Nothing is published for this series; the message says for which there is."""


class ForecastReader:
    """Reads what workers publish under one prefix.

    Parameters
    ----------
    url
        ``redis://default:password@host:6379/0``.
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

    def series(self) -> list[str]:
        """Return the names of all known series, sorted; what is no name of ours is left out."""
        with self._link.translated() as redis:
            names = redis.smembers(self._keys.series)
        return [str(series) for name in sorted(names) if (series := parsed_series(name))]

    def latest(self, series: str) -> Forecast:
        """Return the newest forecast.

        Raises
        ------
        UnknownSeries
            When there is none.
        """
        with self._link.translated() as redis:
            raw = redis.get(self._keys.forecast(series))
        if raw is None:
            known = ", ".join(self.series()) or "none yet"
            raise UnknownSeries(f"no forecast for series={series!r}; series that exist: {known}")
        return decode_forecast(raw)

    def watch(self, series: str) -> Iterator[Forecast]:
        """Yield the newest forecast and then each new one, as it is committed."""
        with (
            self._link.translated() as redis,
            redis.pubsub(ignore_subscribe_messages=True) as channel,
        ):
            channel.subscribe(self._keys.forecast_channel(series))
            yield self.latest(series)
            while True:
                # A blocking read would end with the socket's timeout on a quiet series.
                message = channel.get_message(timeout=_POLL_S)
                if message:
                    yield decode_forecast(message["data"])
