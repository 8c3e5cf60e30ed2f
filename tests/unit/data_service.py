"""A data service on this machine: candles of hours and days behind a login, and its moods."""

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from shared.candle import Candle, Timeframe

PASSWORD = "correct-horse"


@dataclass(frozen=True)
class Answer:
    """What the service says instead of candles."""

    status: int = 200
    body: str = "{}"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Service:
    """Candles by pair and timeframe; tokens are good for ``uses`` answers.

    Attributes
    ----------
    moods
        Answers that come before any other one.
    asked
        Paths with their queries, in order.
    signed
        What each of them was signed with.
    """

    url: str = ""
    candles: dict[tuple[str, str], list[Candle]] = field(default_factory=dict)
    uses: int = 1_000_000
    moods: list[Answer] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    signed: list[str | None] = field(default_factory=list)
    logins: list[dict[str, str]] = field(default_factory=list)
    page: int = 500
    token: str = ""
    left: int = 0
    may_answer: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """Give no answers meanwhile."""
        self.may_answer.clear()
        try:
            yield
        finally:
            self.may_answer.set()

    def log_in(self, given: dict[str, str]) -> Answer:
        """Answer a token that is good for some uses."""
        self.logins.append(given)
        if given.get("password") != PASSWORD:
            return Answer(401, json.dumps({"error": f"not {given}"}))
        self.token, self.left = f"secret-{len(self.logins)}", self.uses
        return Answer(body=json.dumps({"access_token": self.token}))

    def give(self, path: str, signed: str | None) -> Answer:
        """Answer with candles, to whoever shows the token."""
        self.may_answer.wait()
        self.asked.append(path)
        self.signed.append(signed)
        if self.moods:
            return self.moods.pop(0)
        if self.token and (signed != f"Bearer {self.token}" or self.left == 0):
            return Answer(401)
        self.left -= 1
        parts = urlsplit(path)
        _, _, pair, name = parts.path.split("/")
        since = int(parse_qs(parts.query)["from"][0])
        found = [c for c in self.candles.get((pair, name), []) if c.open_time >= since]
        rows = [row(candle) for candle in found[: self.page]]
        return Answer(body=json.dumps({"data": {"candles": rows}}))


def row(candle: Candle) -> dict[str, Any]:
    """A candle as this service has it: times in seconds, prices as text."""
    prices = {name[0]: repr(getattr(candle, name)) for name in ("open", "high", "low", "close")}
    return {"t": candle.open_time // 1_000, **prices, "v": candle.volume}


class _Handler(BaseHTTPRequestHandler):
    service: Service

    def do_GET(self) -> None:
        self._say(self.service.give(self.path, self.headers["Authorization"]))

    def do_POST(self) -> None:
        text = self.rfile.read(int(self.headers["Content-Length"])).decode()
        is_json = self.headers["Content-Type"] == "application/json"
        form = {name: values[0] for name, values in parse_qs(text).items()}
        self._say(self.service.log_in(json.loads(text) if is_json else form))

    def _say(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in {"Content-Type": "application/json", **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        # Who lost patience is gone.
        with contextlib.suppress(ConnectionError):
            self.wfile.write(answer.body.encode())

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def running() -> Iterator[Service]:
    """Run a service at an address of its own."""
    service = Service()
    service.may_answer.set()
    handler = type("Handler", (_Handler,), {"service": service})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        service.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield service
        finally:
            server.shutdown()
            thread.join()


def walk(frame: Timeframe, start: int, count: int) -> list[Candle]:
    """Candles of a price that rises by a crooked step."""
    closes = [100 + i * 0.1 for i in range(count + 1)]
    return [
        Candle(start + i * frame.ms, closes[i], closes[i] + 1, closes[i] - 1, closes[i + 1], i / 3)
        for i in range(count)
    ]
