"""What the store takes and gives: appends, claims, commits and the record of a model."""

import json
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from shared.candle import Candle, Series
from shared.errors import InvalidValue

_NUMBERS = (
    *("cursor", "saved", "since", "suspect"),
    *("appended_at", "snapshot_version", "snapshot_revision"),
)
_COUNTS = (
    *("sequence", "revision", "attempts", "appended", "settled", "rebuilds"),
    *("dead_letters", "duplicates", "revised", "refused", "holes", "missing"),
)
BEFORE_ALL = -1
"""A time before that of every candle: what comes after it is the first of its source."""
MODEL_FIELDS = (*_NUMBERS, *_COUNTS, "etag", "fingerprint", "scores", "snapshot_alias", "paused")
"""Fields of a model hash but its state, which is as large as all the others ten times over."""
# A letter is for reading; what is longer than any candle or traceback would only fill Redis.
_LONGEST_TEXT = 4_000
# No number of ours is longer; what is no number was not written by us.
_WHOLE = re.compile(rb"-?[0-9]{1,18}")
_PAUSED = b"1"
Entry = tuple[bytes, list[bytes]]
"""One entry of a candle log as Redis returns it: id and flat fields."""


def parsed_series(name: bytes) -> Series | None:
    """Return the series of this name; None where only a newer version could know it."""
    try:
        return Series.parse(name.decode())
    except (InvalidValue, UnicodeDecodeError):
        return None


def _int(raw: bytes | None) -> int | None:
    return int(raw) if raw and _WHOLE.fullmatch(raw) else None


def _text(raw: bytes | None) -> str | None:
    return raw.decode(errors="replace") if raw else None


def _entries(raw: list[Any]) -> list[Entry]:
    return [(entry_id, values) for entry_id, values in raw]


def _scores(raw: bytes | None) -> dict[str, Any]:
    try:
        return dict(json.loads(raw or b"{}"))
    except (RecursionError, TypeError, ValueError):
        return {}


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
            stopped=_text(stopped),
            last_open_time=_int(last),
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
        version = _int(row[12])
        return cls(
            series=Series.parse(row[0].decode()),
            etag=row[1].decode(errors="replace"),
            cursor=_int(row[2]),
            attempts=row[3],
            condemned=bool(row[4]),
            suspect=bool(row[5]),
            revision=_int(row[6]) or 0,
            sequence=_int(row[7]) or 0,
            since=_int(row[8]),
            state=row[9] or None,
            fingerprint=_text(row[10]),
            appended_at=_int(row[11]),
            snapshot=(version, _text(row[13])) if version and version > 0 else None,
            entries=_entries(row[14]),
            spoilt=_text(row[15]),
            behind=_entries(row[16]),
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """The answer to one tick."""

    now: int
    holder: str
    ring: int
    housekeeping: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRecord:
    """One series' committed model and counters, read in one call."""

    series: Series
    cursor: int | None
    last_open_time: int | None
    sequence: int
    since: int | None
    revision: int
    etag: str | None
    saved: int | None
    """Open time of the newest candle that the state has learned."""
    state: bytes | None = field(repr=False)
    behind: list[Entry] = field(repr=False)
    """Entries up to the cursor that the state has not learned."""
    fingerprint: str | None
    scores: dict[str, Any] = field(repr=False)
    attempts: int
    suspect: int | None
    paused: bool
    """Its candles are kept and not learned, until somebody resumes it."""
    appended: int
    appended_at: int | None
    """When candles were last appended, by Redis's clock."""
    settled: int
    """Candles of the log at or before the cursor, learned or buried, each counted once."""
    dead_letters: int
    duplicates: int
    revised: int
    refused: int
    holes: int
    """How often the log goes on after times for which the source had nothing."""
    missing: int
    """Candles that would fill these holes."""
    rebuilds: int
    """How often the series was learned again from its first retained candle."""
    waiting: int
    """Candles of the log beyond the cursor."""
    snapshot_version: int | None
    snapshot_alias: str | None
    snapshot_revision: int | None

    @classmethod
    def read(
        cls,
        series: Series,
        fields: Mapping[str, bytes | None],
        last: bytes | None,
        waiting: int,
        behind: list[Any] | None = None,
    ) -> Self:
        """Type fields of a model hash and the end of its log."""
        numbers: dict[str, Any] = {name: _int(fields[name]) for name in _NUMBERS}
        counts: dict[str, Any] = {name: _int(fields[name]) or 0 for name in _COUNTS}
        return cls(
            series=series,
            last_open_time=_int(last),
            waiting=waiting,
            etag=_text(fields["etag"]),
            paused=fields["paused"] == _PAUSED,
            state=fields.get("state"),
            behind=_entries(behind or []),
            fingerprint=_text(fields["fingerprint"]),
            scores=_scores(fields["scores"]),
            snapshot_alias=_text(fields["snapshot_alias"]),
            **numbers,
            **counts,
        )

    @property
    def lost(self) -> int:
        """Candles that were accepted and are neither settled nor waiting: zero, always."""
        return self.appended - self.settled - self.waiting
