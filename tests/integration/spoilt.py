"""Keys and states that are not ours, for the tests of what a worker makes of them."""

import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models import state
from models.learner import Learner
from shared.candle import Series, Timeframe
from shared.model_record import MODEL_FIELDS
from shared.store import Store
from tests.integration.steps import candles

SIGNER = state.Signer(b"0123456789abcdef" * 2)
FIRST, MORE = candles(0, 20), candles(20, 5)
# Fields that scripts and snapshots write beside those that are read into a record.
_MORE = {"state", "until", "published", "last_revised", "worker", "keeper"}
ALL_FIELDS = sorted({*MODEL_FIELDS, *_MORE})


class Charge:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


def header(**facts: Any) -> bytes:
    """A state's header, with its length before it."""
    ours = {"format": state.FORMAT, "key": SIGNER.key_id, "series": str(many(1)[0])}
    ours["fingerprint"] = state.fingerprint("default", 24)
    text = json.dumps(ours | facts).encode()
    return len(text).to_bytes(2) + text


def signed(body: bytes, **facts: Any) -> bytes:
    """Sign something with our own key as if it were a state of the first of many series."""
    content = header(**facts) + body
    return b"CCST" + SIGNER.sign(content) + content


def learned(
    horizon: int = 24, signer: state.Signer = SIGNER, series: Series | None = None
) -> bytes:
    """A state that has learned the first candles: of the first of many series, unless told."""
    learner = Learner(Timeframe("1h"), horizon)
    for candle in FIRST:
        learner.learn_one(candle)
    return state.dump(learner, signer, series or many(1)[0])


def forms(charge: bytes) -> list[bytes]:
    """A pickle as it is, compressed as RQ does, and as a state with a signature of somebody's."""
    forged = b"CCST" + state.Signer(b"o" * 32).sign(header() + charge) + header() + charge
    return [charge, zlib.compress(charge), b"CCST" + bytes(32) + charge, forged]


def many(count: int, name: str = "X") -> list[Series]:
    """Series to be broken, one in each way."""
    return [Series.parse(f"test:{name}{number}/USDT:1h") for number in range(count)]


def reach(store: Store, names: list[Series], sequence: int) -> Callable[[], bool]:
    """A condition: all of them have learned that many candles."""
    return lambda: all(record.sequence == sequence for record in store.models(names))
