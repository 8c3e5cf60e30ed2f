"""Forecasts as server-sent events, from `candlecast api` as a process."""

import http.client
import json
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest

from shared.candle import Series
from shared.reader import ForecastReader
from shared.store import Store
from tests.conftest import Server
from tests.integration.steps import SERIES
from tests.integration.test_api import NAME, WALK, learn

ETH = Series.parse("test:ETH/USDT:1h")


class Events:
    """What one reader is sent."""

    def __init__(self, address: str, *names: str, after: int | None = None) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=20)
        headers = {} if after is None else {"Last-Event-ID": str(after)}
        query = urlencode([("series", name) for name in names])
        self._connection.request("GET", f"/v1/stream?{query}", headers=headers)
        self.answer = self._connection.getresponse()

    def next(self) -> tuple[str, int, int]:
        """The next event: series, sequence and id."""
        fields: dict[str, str] = {}
        while not fields.keys() >= {"event", "id", "data"}:
            name, _, text = self.answer.readline().decode().rstrip("\n").partition(": ")
            fields[name] = text
        said = json.loads(fields["data"])
        assert fields["event"] == "forecast"
        assert int(fields["id"]) == said["issued_at"]
        return said["series"], said["sequence"], said["issued_at"]

    def sequences(self, count: int) -> list[int]:
        """How many candles the next forecasts have learned."""
        return [self.next()[1] for _ in range(count)]

    def close(self) -> None:
        """Go away."""
        self._connection.close()


@pytest.fixture
def address(
    start: Callable[..., object], eventually: Callable[..., None], tmp_path: Path, store: Store
) -> str:
    """Where the interface is served; two candles of a series are learned."""
    learn(store, SERIES, WALK[:2])
    start("api", "--port", "0")
    log = tmp_path / "api-0.log"
    pattern = r"http://127\.0\.0\.1:\d+"
    eventually(lambda: re.search(pattern, log.read_text()), "it serves")
    found = re.search(pattern, log.read_text())
    assert found
    return found[0]


def test_each_reader_is_sent_the_newest_and_then_each_new_one(address: str, store: Store) -> None:
    """Whoever comes later, for whatever series."""
    first = Events(address, NAME)
    assert first.sequences(1) == [2]
    learn(store, ETH, WALK[:1])
    both = Events(address, NAME, str(ETH))
    assert sorted(both.next()[:2] for _ in range(2)) == [(NAME, 2), (str(ETH), 1)]
    learn(store, SERIES, WALK[2:5])
    learn(store, ETH, WALK[1:2])

    assert first.sequences(3) == [3, 4, 5]
    assert [both.next()[:2] for _ in range(4)] == [*((NAME, n) for n in (3, 4, 5)), (str(ETH), 2)]
    assert first.answer.getheader("content-type", "").startswith("text/event-stream")
    first.close()
    learn(store, SERIES, WALK[5:6])
    assert both.sequences(1) == [6]
    both.close()


def test_who_was_away_is_sent_what_was_missed(address: str, store: Store, server: Server) -> None:
    """From the last event on that was seen; what comes then follows it."""
    before = Events(address, NAME)
    (_, _, last) = before.next()
    before.close()
    learn(store, SERIES, WALK[2:6])

    after = Events(address, NAME, after=last)
    told = [after.next() for _ in range(4)]
    if told[0][2] == last:  # a commit may be later than the time that is its forecast's id
        told = [*told[1:], after.next()]
    learn(store, SERIES, WALK[6:7])

    assert [sequence for _, sequence, _ in told] == [3, 4, 5, 6]
    assert after.sequences(1) == [7]
    assert ForecastReader(server.url).latest(NAME).sequence == 7
    after.close()


def test_many_may_begin_at_once(address: str, store: Store) -> None:
    """More than Redis would be asked by at a time; none is turned away."""
    many = [Events(address, NAME) for _ in range(200)]
    learn(store, SERIES, WALK[2:3])

    assert [one.sequences(2) for one in many] == [[2, 3]] * 200
    for one in many:
        one.close()


def test_many_may_ask_at_once(address: str) -> None:
    """More than there are connections to Redis; all are answered."""
    asking = [http.client.HTTPConnection(urlsplit(address).netloc, timeout=20) for _ in range(400)]
    for one in asking:
        one.connect()
    for one in asking:
        one.request("GET", f"/v1/forecast?{urlencode({'series': NAME})}")
    answers = [one.getresponse() for one in asking]

    assert {answer.status for answer in answers} == {200}
    assert {json.load(answer)["sequence"] for answer in answers} == {2}
    for one in asking:
        one.close()


def test_a_series_that_is_none_is_a_problem(address: str) -> None:
    """Before anything is sent."""
    for names, status in (((NAME, "test:NO/NE:1h"), 404), (("nonsense",), 422), ((), 422)):
        events = Events(address, *names)
        assert events.answer.status == status
        assert events.answer.getheader("content-type") == "application/problem+json"
        events.close()
