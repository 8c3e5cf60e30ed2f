"""Alerts on a real Redis: told once, kept in a stream, and posted to an address."""

import asyncio
import base64
import hashlib
import hmac
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from api.notifier import Notifier
from api.webhook import Webhook
from shared.alert import Alert, read_rules
from shared.alerts import Alerts
from shared.candle import Series
from shared.errors import StoreUnavailable
from shared.reader import AsyncForecastReader
from shared.store import Store
from shared.view import View
from tests.conftest import Server
from tests.integration.steps import SERIES
from tests.integration.test_api import NAME, WALK, learn, recent

KEY = b"0123456789abcdef01234567"
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"


def alert(state: str = "raised", rule: str = "stale", at: int = 1) -> Alert:
    """One by hand."""
    fields: dict[str, Any] = {"rule": rule, "kind": "stale", "series": NAME, "state": state}
    return Alert(**fields, at=at, text="late")


@pytest.fixture
def alerts(server: Server) -> Alerts:
    """Where they are told."""
    return Alerts(View.connect(server.url).link)


def judge(server: Server, *rules: dict[str, Any], then: Callable[[], object] | None = None) -> None:
    """Let a notifier look once; then let something happen, and let it judge what is new."""

    async def run() -> None:
        view = View.connect(server.url)
        async with AsyncForecastReader(server.url) as reader:
            notifier = Notifier(reader, view, Alerts(view.link), read_rules(rules))
            await notifier.step()
            if then:
                then()
                await notifier.step()

    asyncio.run(run())


def told(alerts: Alerts) -> list[tuple[str, str]]:
    """What was told, oldest first."""
    return [(one.rule, one.state) for one in reversed(alerts.newest(100))]


def test_each_alert_is_told_once(alerts: Alerts) -> None:
    """Whoever says it, and again once it was cleared."""
    answers = [alerts.tell(alert(state)) for state in ("cleared", "raised", "raised")]
    before = alerts.raised()
    answers += [alerts.tell(alert(state)) for state in ("cleared", "cleared", "raised")]

    assert answers == [False, True, False, True, False, True]
    assert before == [alert()]
    assert told(alerts) == [("stale", state) for state in ("raised", "cleared", "raised")]


def test_what_nobody_of_ours_wrote_is_left_out(alerts: Alerts, store: Store) -> None:
    """Nobody's alert is lost by it."""
    alerts.tell(alert())
    store.link.redis.xadd(store.keys.alerts, {"alert": "nonsense"})
    store.link.redis.hset(store.keys.alerts_raised, "x", "nonsense")

    assert (alerts.newest(9), alerts.raised()) == ([alert()], [alert()])


def test_a_stale_forecast_is_told_and_cleared(server: Server, store: Store, alerts: Alerts) -> None:
    """A notifier that begins anew tells nothing twice."""
    candles = recent()
    learn(store, SERIES, candles[:3])
    for _ in range(2):
        judge(server, {"kind": "stale"})
    raised = alerts.raised()
    learn(store, SERIES, candles[3:])
    judge(server, {"kind": "stale"})

    assert [(one.series, one.state, one.revision) for one in raised] == [(NAME, "raised", 3)]
    assert "stale for " in raised[0].text
    assert (told(alerts), alerts.raised()) == ([("stale", "raised"), ("stale", "cleared")], [])


def test_what_was_read_is_judged_when_redis_is_back(
    server: Server, store: Store, alerts: Alerts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though it failed in between; and one spoilt series stops no other."""
    learn(store, SERIES, WALK[:3])
    learn(store, Series.parse("test:ETH/USDT:1h"), WALK[:1])
    store.link.redis.set(store.keys.model("test:ETH/USDT:1h"), "spoilt")
    clock, failures = AsyncForecastReader.now_ms, [StoreUnavailable("away")]

    async def now_ms(self: AsyncForecastReader) -> int:
        if failures:
            raise failures.pop()
        return await clock(self)

    async def run() -> None:
        view = View.connect(server.url)
        async with AsyncForecastReader(server.url) as reader:
            notifier = Notifier(reader, view, alerts, read_rules([{"kind": "stale"}]))
            with pytest.raises(StoreUnavailable):
                await notifier.step()
            await notifier.step()

    monkeypatch.setattr(AsyncForecastReader, "now_ms", now_ms)
    asyncio.run(run())

    assert [one.series for one in alerts.raised()] == [NAME]


def test_a_rule_or_a_series_that_is_no_more_is_cleared(
    server: Server, store: Store, alerts: Alerts
) -> None:
    """Nobody shall look at it for ever."""
    learn(store, SERIES, recent())
    kept, other = {"kind": "price", "above": 0.01}, {"kind": "volatility", "above": 1e-9}
    judge(server, kept, other)
    judge(server, kept)
    after_rule = [one.rule for one in alerts.raised()]
    store.retire(SERIES, revision=store.model(SERIES).revision)
    judge(server, kept)

    assert (after_rule, alerts.raised()) == (["price"], [])
    assert told(alerts)[2:] == [("volatility", "cleared"), ("price", "cleared")]


class Receiver:
    """A server that takes alerts, and answers what it is told to."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.pause_s = 0.0
        self.talks = False
        self.got: list[tuple[dict[str, str], bytes]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                time.sleep(receiver.pause_s)
                receiver.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(receiver.answers.pop(0) if receiver.answers else 204)
                self.send_header("location", "/elsewhere")
                self.end_headers()
                with suppress(OSError):
                    while receiver.talks:
                        self.wfile.write(b" ")
                        time.sleep(0.1)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"

    @property
    def rules(self) -> list[str]:
        """Of what it was sent."""
        return [json.loads(body)["rule"] for _, body in self.got]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Somebody who wants to be told."""
    receiver = Receiver()
    thread = threading.Thread(target=receiver.server.serve_forever)
    thread.start()
    yield receiver
    receiver.server.shutdown()
    thread.join()
    receiver.server.server_close()


@pytest.fixture
def posting(alerts: Alerts, receiver: Receiver) -> Iterator[None]:
    """A webhook at work, from before anything is told."""
    alerts.join()
    stopped = threading.Event()
    webhook = Webhook(receiver.url, SECRET, alerts)
    thread = threading.Thread(target=webhook.run, args=(stopped,))
    thread.start()
    yield
    stopped.set()
    thread.join()


@pytest.mark.usefixtures("posting")
def test_an_outage_of_all_series_is_told_of_each(
    alerts: Alerts, receiver: Receiver, store: Store, eventually: Callable[..., None]
) -> None:
    """However slowly they are taken."""
    now = store.link.now_ms()
    receiver.pause_s = 0.5
    for number in range(2_000):
        alerts.tell(alert(rule=f"r{number}", at=now))
    receiver.pause_s = 0.0
    eventually(lambda: len(receiver.got) == 2_000, "all are posted")

    assert receiver.rules == [f"r{number}" for number in range(2_000)]


@pytest.mark.usefixtures("posting")
def test_a_redis_without_its_data_costs_no_alert(
    alerts: Alerts, receiver: Receiver, store: Store, eventually: Callable[..., None]
) -> None:
    """What is told from then on is posted, though nobody had joined by then."""
    alerts.tell(alert(rule="a", at=store.link.now_ms()))
    eventually(lambda: receiver.got, "it is posted")
    store.link.redis.flushdb()
    for rule in ("b", "c"):
        alerts.tell(alert(rule=rule, at=store.link.now_ms()))
    eventually(lambda: len(receiver.got) == 3, "all are posted")

    assert receiver.rules == ["a", "b", "c"]


@pytest.mark.usefixtures("posting")
def test_a_receiver_that_talks_on_holds_up_nobody(
    alerts: Alerts, receiver: Receiver, store: Store, eventually: Callable[..., None]
) -> None:
    """Its status is all that is of interest."""
    receiver.talks = True
    for rule in ("a", "b"):
        alerts.tell(alert(rule=rule, at=store.link.now_ms()))
    eventually(lambda: len(receiver.got) == 2, "both are posted")


@pytest.mark.usefixtures("posting")
def test_an_alert_is_posted_signed_and_until_it_is_taken(
    alerts: Alerts, receiver: Receiver, store: Store, eventually: Callable[..., None]
) -> None:
    """In order; what is refused is not sent again, nor holds up others."""
    now = store.link.now_ms()
    receiver.answers = [503, 204, 400, 302]
    for rule in ("a", "b", "c", "d"):
        alerts.tell(alert(rule=rule, at=now))
    eventually(lambda: len(receiver.got) == 5, "all are posted")

    assert receiver.rules == ["a", "a", "b", "c", "d"]
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 4
    for headers, body in receiver.got:
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        digest = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == f"v1,{digest}"
        assert headers["content-type"] == "application/json"


def test_what_was_not_delivered_comes_at_the_next_start(
    alerts: Alerts, receiver: Receiver, store: Store
) -> None:
    """Also what was begun; what is an hour old is not sent any more."""
    alerts.join()
    now = store.link.now_ms()
    alerts.tell(alert(rule="old", at=now - 3_600_001))
    alerts.tell(alert(rule="new", at=now))
    given = [one for _, one in alerts.undelivered() if one]  # and then it was killed
    stopped = threading.Event()
    thread = threading.Thread(target=Webhook(receiver.url, SECRET, alerts).run, args=(stopped,))
    thread.start()
    while not receiver.got:
        stopped.wait(0.02)
    stopped.set()
    thread.join()

    assert [one.rule for one in given] == ["old", "new"]
    assert receiver.rules == ["new"]


def test_the_command_tells_and_posts(
    start: Callable[..., Any],
    tmp_path: Path,
    store: Store,
    alerts: Alerts,
    receiver: Receiver,
    eventually: Callable[..., None],
) -> None:
    """And ends in good order."""
    learn(store, SERIES, WALK[:3])
    setting = {"CANDLECAST_ALERTS_WEBHOOK": receiver.url, "CANDLECAST_ALERTS_SECRET": SECRET}
    processes = [start("notify", **setting) for _ in range(2)]
    logs = [tmp_path / f"notify-{number}.log" for number in range(2)]
    eventually(lambda: all("started" in log.read_text() for log in logs), "both are there")
    eventually(lambda: receiver.got, "it is posted")
    for process in processes:
        process.send_signal(signal.SIGTERM)

    assert [process.wait(20) for process in processes] == [0, 0]
    assert len(receiver.got) == 1
    assert json.loads(receiver.got[0][1])["series"] == NAME
    assert told(alerts) == [("stale", "raised")]


def test_wrong_rules_are_said(candlecast: Callable[..., Any]) -> None:
    """By both commands that read them."""
    for command in (("notify",), ("config", "check")):
        done = candlecast(*command, CANDLECAST_ALERTS='[{"kind": "price"}]')
        assert (done.returncode, "say either above or below" in done.stderr) == (2, True)
