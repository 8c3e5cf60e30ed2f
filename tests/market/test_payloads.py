"""Recorded messages of real exchanges: ccxt reads each kind right, or we know why not.

CANDLECAST_SHARED names the folder that holds ``payloads/``, by default ``shared`` beside the
project. Each file there needs a rule in `tests.market.payload_rules`.
"""

import fnmatch
import functools
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ccxt
import ccxt.pro
import pytest

from tests.market.payload import Misread, NoExchange, NotWatched, Read, Row, Rule
from tests.market.payload_rules import RULES

SHARED = Path(os.environ.get("CANDLECAST_SHARED", Path(__file__).parents[3] / "shared"))
PAYLOADS = SHARED / "payloads"
_RECEIVED = re.compile(r"\d+\.\d+: (?P<message>.*)")
_CANDLE = re.compile(r"kline|andle")
_SUBSCRIBED = re.compile(r'"event":"subscribe"|"type":"ack"')

pytestmark = pytest.mark.skipif(
    not PAYLOADS.exists(),
    reason=f"no {PAYLOADS}: set CANDLECAST_SHARED to the folder that holds payloads/",
)


class Heard:
    """What ccxt's handlers need of a connection."""

    url = "wss://recorded/stream/spot"

    def __init__(self) -> None:
        self.subscriptions: dict[str, Any] = {}

    def resolve(self, *_: object) -> None:
        """Nobody waits."""

    def reject(self, error: Exception, *_: object) -> None:
        """Let errors be seen."""
        raise error


def texts(path: Path) -> Iterator[tuple[str, str]]:
    """Yield key and text of what a file recorded: each line of JSON has a key of its own."""
    name = path.relative_to(PAYLOADS).as_posix()
    if path.suffix == ".jsonl":
        for line in map(json.loads, path.read_text().splitlines()):
            yield f"{name} {line.get('case', line.get('kind'))}", line["raw"]
    elif path.suffix == ".txt":
        for line in path.read_text().splitlines():
            if received := _RECEIVED.fullmatch(line):
                yield name, received["message"]
    elif path.suffix == ".json" and path.parent.name != "file-formats":
        yield name, path.read_text()
    else:
        yield name, ""


@functools.cache
def recorded() -> dict[str, list[str]]:
    """All that was recorded, by the pattern that rules it."""
    found: dict[str, list[str]] = {}
    for path in sorted(path for path in PAYLOADS.rglob("*") if path.is_file()):
        for key, text in texts(path):
            found.setdefault(ruling(key), []).append(text)
    return found


def ruling(key: str) -> str:
    """The pattern that rules a file or a line; the key itself where none does."""
    return next((pattern for pattern in RULES if fnmatch.fnmatchcase(key, pattern)), key)


def messages(pattern: str, holds: str) -> list[Any]:
    """What was recorded under a pattern, those that hold the text."""
    return [json.loads(text) for text in recorded()[pattern] if re.search(holds, text)]


def market(name: str, kind: str, **more: Any) -> dict[str, Any]:
    """A market as ccxt has it once it has loaded them."""
    kinds = {one: one == kind for one in ("spot", "swap", "future", "option")}
    return {
        "id": name,
        "symbol": name,
        "base": name,
        "quote": name,
        "type": kind,
        "contract": kind != "spot",
        "inverse": False,
        "precision": {},
        "limits": {},
        **kinds,
        **more,
    }


def answered(message: Any, rule: Read | Misread) -> list[Row]:
    """Rows of an answer by ccxt's parser."""
    source = getattr(ccxt, rule.exchange)()
    of = next(iter(markets(message, rule)), None)
    rows = (source.parse_ohlcv(row, of) for row in rule.shape.raw(message))
    return [tuple(map(float, row)) for row in rows]


def streamed(message: Any, rule: Read | Misread) -> dict[float, Row]:
    """Rows that ccxt's client holds after a message, by open time."""
    source, client = getattr(ccxt.pro, rule.exchange)(), Heard()
    source.set_markets(markets(message, rule) or [market("NONE", "spot")])
    if rule.exchange == "bitfinex":
        # The recorder put the subscription where its number was.
        client.subscriptions["7"], message = message[0], [7, message[1]]
    source.handle_message(client, message)
    series = [rows for frames in source.ohlcvs.values() for rows in frames.values()]
    return {row[0]: tuple(map(float, row)) for rows in series for row in rows}


def markets(message: Any, rule: Read | Misread) -> list[dict[str, Any]]:
    """The markets that ccxt has to know to read a message."""
    if not isinstance(rule, Read):
        return []
    if rule.exchange == "phemex":
        # Spot markets have an s before their name, and count in other units.
        kind = "spot" if message["symbol"].startswith("s") else "swap"
        return [market(message["symbol"], kind, **rule.scales)]
    return [market(name, kind) for name, kind in rule.markets.items()]


def reads(rule: Read | Misread, message: Any, wanted: list[Row]) -> list[Row]:
    """What ccxt reads where these rows are wanted."""
    if rule.rest:
        return answered(message, rule)
    held = streamed(message, rule)
    return [held.get(row[0], ()) for row in wanted]


def rules(pattern: str) -> tuple[Rule, ...]:
    """The rules under a pattern."""
    rule = RULES[pattern]
    return rule if isinstance(rule, tuple) else (rule,)


def ruled_by(kind: type[Any]) -> pytest.MarkDecorator:
    """Parametrize by the rules of a kind and their patterns."""
    ruled = [(pattern, rule) for pattern in RULES for rule in rules(pattern)]
    return pytest.mark.parametrize(
        ("pattern", "rule"), [(pattern, rule) for pattern, rule in ruled if isinstance(rule, kind)]
    )


def test_every_file_has_its_rule() -> None:
    """A new payload without a rule fails here, and so does a rule that nothing needs."""
    found = set(recorded())

    assert found - RULES.keys() == set()
    assert RULES.keys() - found == set()


def test_no_candle_of_a_recording_is_left_out() -> None:
    """Each received line that speaks of candles is read, or is the answer to a subscription."""
    left = [
        text
        for pattern, found in recorded().items()
        for text in found
        if _CANDLE.search(text)
        and not any(
            re.search(rule.holds, text) if isinstance(rule, Read | Misread) else True
            for rule in rules(pattern)
        )
    ]

    assert [text for text in left if not _SUBSCRIBED.search(text)] == []


@ruled_by(Read)
def test_candles_are_read_right(pattern: str, rule: Read) -> None:
    """Each recorded candle comes out of ccxt with its time, prices and volume."""
    count, first = 0, None
    for message in messages(pattern, rule.holds):
        wanted = rule.shape.rows(message)
        assert reads(rule, message, wanted) == wanted
        first = first or next(iter(wanted), None)
        count += len(wanted)

    assert first == rule.first
    assert count == rule.rows


@ruled_by(Misread)
def test_what_ccxt_misreads_is_still_misread(pattern: str, rule: Misread) -> None:
    """Once ccxt reads one of these right, its rule has to say so."""
    found = messages(pattern, rule.holds)

    assert found
    for message in found:
        wanted = rule.shape.rows(message)
        assert wanted
        try:
            got = reads(rule, message, wanted)
        except (TypeError, AttributeError, KeyError):
            continue
        assert got != wanted


@ruled_by(NoExchange)
def test_exchanges_that_ccxt_does_not_have(pattern: str, rule: NoExchange) -> None:
    """Nothing can be read from an exchange that ccxt does not know."""
    assert recorded()[pattern]
    assert rule.exchange not in ccxt.exchanges


@ruled_by(NotWatched)
def test_streams_that_ccxt_does_not_read(pattern: str, rule: NotWatched) -> None:
    """Such an exchange is to be polled."""
    assert recorded()[pattern]
    assert rule.exchange in ccxt.exchanges
    watching = getattr(ccxt.pro, rule.exchange, None)
    assert watching is None or not watching().has["watchOHLCV"]


def test_gate_streams_the_volume_of_the_quote() -> None:
    """Time and prices are right; the volume is that of the other currency than by REST."""
    pattern = "ws-candles-crypto-msg-parser/gate.jsonl spot"
    rule = RULES[pattern]
    assert isinstance(rule, Misread)
    (message,) = messages(pattern, rule.holds)
    (wanted,) = rule.shape.rows(message)
    (got,) = reads(rule, message, [wanted])

    assert got[:5] == wanted[:5]
    assert (got[5], wanted[5]) == (3272.187909, 0.1533)
