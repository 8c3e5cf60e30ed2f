"""The reader's answers, on a stand-in for Redis."""

from unittest import mock

import fakeredis
import pytest

from shared.errors import StoreUnavailable
from shared.reader import ForecastReader, UnknownSeries


@pytest.fixture
def redis() -> fakeredis.FakeRedis:
    """A Redis in this process."""
    return fakeredis.FakeRedis()


@pytest.fixture
def reader(redis: fakeredis.FakeRedis) -> ForecastReader:
    """A reader of that Redis."""
    with mock.patch("redis.Redis.from_url", return_value=redis):
        return ForecastReader("redis://anywhere")


def test_an_unknown_series_is_told_with_those_that_exist(
    redis: fakeredis.FakeRedis, reader: ForecastReader
) -> None:
    """Somebody who mistyped a name sees the right ones."""
    redis.sadd("candlecast:series", "b:X/Y:1h", "a:X/Y:1h")

    with pytest.raises(UnknownSeries, match=r"a:X/Z:1h.*exist: a:X/Y:1h, b:X/Y:1h"):
        reader.latest("a:X/Z:1h")


def test_a_redis_that_is_not_there_is_our_own_error() -> None:
    """No redis-py exception reaches an app."""
    with pytest.raises(StoreUnavailable):
        ForecastReader("redis://127.0.0.1:1/0").series()
