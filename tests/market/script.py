"""What goes wrong at an exchange and when: a script of faults, in Python or as JSON."""

import importlib
import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

Channel = Literal["rest", "ws"]
BOTH: tuple[Channel, ...] = ("rest", "ws")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something wrong in a span of the market's time.

    Attributes
    ----------
    exchange
        Where; at every exchange if empty.
    from_s, until_s
        Seconds of the market's time since its clock's start, the second not included. Faults of
        candles go by the candle's open time, all others by the moment.
    """

    exchange: str = ""
    from_s: float = -math.inf
    until_s: float = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Hole(Fault):
    """Minutes that the exchange never has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongFlag(Fault):
    """The stream calls every candle closed, or none."""

    closed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Revised(Fault):
    """The candle is another one at its close, and right from ``after_s`` seconds on.

    Where REST is not among ``by``, it has the right one from the close on; where the stream is
    not, it never sends the right one.
    """

    after_s: float
    by: tuple[Channel, ...] = BOTH


@dataclass(frozen=True, slots=True, kw_only=True)
class Twice(Fault):
    """The closed candle comes twice, with ``other`` the second time with another volume."""

    other: bool = False
    by: tuple[Channel, ...] = BOTH


@dataclass(frozen=True, slots=True, kw_only=True)
class Late(Fault):
    """The stream sends the closed candle ``by_s`` seconds late, behind younger ones."""

    by_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnect(Fault):
    """Streams are closed, reset, or fall silent for good and answer no ping; new ones too."""

    how: Literal["close", "reset", "silence"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal(Fault):
    """REST refuses everything, in the exchange's own words."""

    kind: Literal["rate_limit", "ban", "error", "maintenance"]
    retry_after_s: int = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Empty(Fault):
    """REST answers without candles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag(Fault):
    """REST shows what was ``by_s`` seconds ago."""

    by_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Skew(Fault):
    """The exchange says that it is ``by_s`` seconds later than its candles show."""

    by_s: float


_Kind = TypeVar("_Kind", bound=Fault)
_KINDS: dict[str, Callable[..., Fault]] = {
    kind.__name__: kind
    for kind in (
        *(Hole, WrongFlag, Revised, Twice, Late),
        *(Disconnect, Refusal, Empty, Lag, Skew),
    )
}


class Script:
    """Faults against a clock's start (UTC milliseconds)."""

    def __init__(self, faults: Iterable[Fault], start_ms: int) -> None:
        self._faults = tuple(faults)
        self._start_ms = start_ms

    def active(self, kind: type[_Kind], exchange: str, at_ms: int) -> _Kind | None:
        """Return the first fault of that kind there and then, if any."""
        at_s = (at_ms - self._start_ms) / 1_000
        for fault in self._faults:
            if (
                isinstance(fault, kind)
                and fault.exchange in {"", exchange}
                and fault.from_s <= at_s < fault.until_s
            ):
                return fault
        return None

    @property
    def longest_delay_ms(self) -> int:
        """How long after its close a candle is still spoken of."""
        delays = (
            fault.by_s if isinstance(fault, Late) else fault.after_s
            for fault in self._faults
            if isinstance(fault, Late | Revised)
        )
        return round(1_000 * max(delays, default=0.0))


def load(source: str) -> list[Fault]:
    """Read faults from JSON, a file of JSON, or a Python module's ``FAULTS``.

    Examples
    --------
    >>> load('[{"fault": "Hole", "exchange": "kraken", "from_s": 60, "until_s": 180}]')
    [Hole(exchange='kraken', from_s=60, until_s=180)]
    """
    if source.lstrip().startswith("["):
        return [_fault(entry) for entry in json.loads(source)]
    if source.endswith(".json"):
        return load(Path(source).read_text())
    return list(importlib.import_module(source).FAULTS)


def _fault(entry: dict[str, Any]) -> Fault:
    values = {
        name: tuple(value) if isinstance(value, list) else value for name, value in entry.items()
    }
    name = values.pop("fault", "")
    if name not in _KINDS:
        raise ValueError(f"fault={name!r}: use one of {', '.join(_KINDS)}")
    return _KINDS[name](**values)
