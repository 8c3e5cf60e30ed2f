"""What the store takes and gives: appends, claims, commits and ticks."""

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from shared.candle import Candle, Series
from shared.errors import InvalidValue

BEFORE_ALL = -1
"""A time before that of every candle: what comes after it is the first of its source."""
# A letter is for reading; what is longer than any candle or traceback would only fill Redis.
_LONGEST_TEXT = 4_000
# No number of ours is longer; what is no number was not written by us.
_WHOLE = re.compile(rb"-?[0-9]{1,18}")
Entry = tuple[bytes, list[bytes]]
"""One entry of a candle log as Redis returns it: id and flat fields."""


def parsed_series(name: bytes) -> Series | None:
    """Return the series of this name; None where only a newer version could know it."""
    try:
        return Series.parse(name.decode())
    except (InvalidValue, UnicodeDecodeError):
        return None


def whole(raw: bytes | None) -> int | None:
    """Read a whole number of ours; what is none is None."""
    return int(raw) if raw and _WHOLE.fullmatch(raw) else None


def text(raw: bytes | None) -> str | None:
    """Read a text; an empty one is None."""
    return raw.decode(errors="replace") if raw else None


def entries(raw: list[Any]) -> list[Entry]:
    """Type entries of a log."""
    return [(entry_id, values) for entry_id, values in raw]


@dataclass(frozen=True, slots=True)
class Append:
    """Closed candles for one series' log, oldest first, at most 500.

    They are all that their source has between the first and the last of them, and ``after`` is the
    open time of the candle that it has right before them (`BEFORE_ALL` where it has none).
    """

    series: Series
    candles: Sequence[Candle]
    after: int = BEFORE_ALL


@dataclass(frozen=True, slots=True, kw_only=True)
class Appended:
    """What became of the candles of one append."""

    accepted: int
    duplicates: int
    revised: int
    refused: int
    holes: int
    """Accepted candles that their source has right behind the log's end, with times between."""
    stopped: str | None
    """``gap`` or ``full``: why the candles from ``taken`` on were not dealt with."""
    last_open_time: int | None
    behind: int
    """Candles between the model's cursor and the end of the log."""

    @classmethod
    def read(cls, answer: list[Any]) -> Self:
        """Type the answer of the append script."""
        accepted, duplicates, revised, refused, holes, stopped, last, behind = answer
        return cls(
            accepted=accepted,
            duplicates=duplicates,
            revised=revised,
            refused=refused,
            holes=holes,
            stopped=text(stopped),
            last_open_time=whole(last),
            behind=behind,
        )

    @property
    def taken(self) -> int:
        """Candles dealt with, from the front of what was appended."""
        return self.accepted + self.duplicates + self.revised + self.refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One due series: its committed model and the candles beyond its cursor."""

    series: Series
    etag: str
    cursor: int | None
    attempts: int
    condemned: bool
    """The next candle has taken three workers down alone: bury it unlearned."""
    suspect: bool
    """Handed out candle by candle, because claims of the series have died."""
    revision: int
    sequence: int
    since: int | None
    state: bytes | None
    fingerprint: str | None
    appended_at: int | None
    snapshot: tuple[int, str | None] | None
    entries: list[Entry]
    spoilt: str | None
    """A field of the record that is not as ours are: the series has to be learned again."""
    behind: list[Entry] = field(default_factory=list)
    """Entries up to the cursor that the state has not learned."""
    is_kept: bool = False
    """The worker that claims it is named as its keeper: the state is not handed out."""

    @classmethod
    def read(cls, row: list[Any]) -> Self:
        """Type one row of the claim script's answer; whatever it holds, the others are claimed."""
        version = whole(row[12])
        return cls(
            series=Series.parse(row[0].decode()),
            etag=row[1].decode(errors="replace"),
            cursor=whole(row[2]),
            attempts=row[3],
            condemned=bool(row[4]),
            suspect=bool(row[5]),
            revision=whole(row[6]) or 0,
            sequence=whole(row[7]) or 0,
            since=whole(row[8]),
            state=row[9] or None,
            fingerprint=text(row[10]),
            appended_at=whole(row[11]),
            snapshot=(version, text(row[13])) if version and version > 0 else None,
            entries=entries(row[14]),
            spoilt=text(row[15]),
            behind=entries(row[16]),
            is_kept=bool(row[17]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The answer to one claim; ``holder`` is the fleet that may learn now."""

    now: int
    holder: str
    claims: list[Claim]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """What is set aside, and why.

    ``candle`` is open time and numbers as the log has them, or the row as its source gave it;
    ``error`` what was raised, or what else there is to say.
    """

    candle: str
    reason: str
    error: str

    @property
    def fields(self) -> dict[str, str]:
        """The entry's fields, none longer than a reader needs; of an error its end says most."""
        return {
            "candle": self.candle[:_LONGEST_TEXT],
            "reason": self.reason,
            "error": self.error[-_LONGEST_TEXT:],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """What one claim has learned; ``entries`` are the log entries it covers, the dead one too."""

    claim: Claim
    entries: list[Entry]
    learned: int
    state: bytes | None
    """None where that which is there stands, and this worker keeps the newer one."""
    fingerprint: str
    scores: Mapping[str, Any] | None
    """None where nothing was learned: those that are there stand."""
    since: int | None
    forecast: bytes | None = None
    dead_letter: DeadLetter | None = None
    keeper: str = ""
    """Name of the worker that keeps what was learned in its memory."""
    etag: str = field(default_factory=lambda: uuid.uuid4().hex)
    """Token of the series from then on."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """What is added to the totals with it, beside what the script counts: `shared.totals`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What was done to a model, for those who watch.

    Attributes
    ----------
    event
        ``rebuilt``, ``restored``, ``rolled-back``, ``taken-over`` or ``warm-started``.
    version
        Of which version in MLflow, if of one.
    why
        In words.
    origin
        What the model that is in force then had begun with, where it was another series' champion:
        ``series@version``.
    """

    event: Literal["rebuilt", "restored", "rolled-back", "taken-over", "warm-started"]
    version: int | None = None
    why: str = ""
    origin: str = ""

    @property
    def counter(self) -> str:
        """Field of the series' record that counts it."""
        counters = {"rebuilt": "rebuilds", "rolled-back": "rollbacks", "taken-over": "take_overs"}
        return counters.get(self.event, "restores")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """The answer to one tick."""

    now: int
    holder: str
    ring: int
    housekeeping: bool
