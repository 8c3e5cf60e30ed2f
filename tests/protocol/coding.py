"""What the numbers of the model stand for on a real server."""

import json

from shared.candle import Candle
from shared.records import Entry
from tests.protocol import rules
from tests.protocol.rules import State

HOUR = 3_600_000
T0 = 1_600_000_000_000 // HOUR * HOUR


def candle(code: int) -> Candle:
    """The candle that a number of the model stands for."""
    return Candle(T0 + rules.time(code) * HOUR, 1, 1_000, 1, 100 + code, 1)


def code(found: Candle) -> int:
    """The number that stands for a candle."""
    return round(found.close - 100)


def opened(entries: list[Entry]) -> list[int]:
    """Open times of log entries."""
    return [int(entry_id.partition(b"-")[0]) for entry_id, _ in entries]


def encode(state: State) -> bytes:
    """A model's state as the bytes that a worker would write."""
    return json.dumps(state).encode()
