"""The record of a series' model: what was committed, and how its candles were dealt with."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from shared.candle import Series
from shared.records import Entry, entries, text, whole

_NUMBERS = (
    *("cursor", "saved", "since", "suspect"),
    *("appended_at", "snapshot_version", "snapshot_revision", "snapshot_at"),
    "below_since",
)
_COUNTS = (
    *("sequence", "revision", "attempts", "appended", "settled"),
    *("rebuilds", "restores", "rollbacks"),
    *("dead_letters", "duplicates", "revised", "refused", "holes", "missing"),
)
_TEXTS = ("etag", "fingerprint", "scores", "snapshot_alias", "paused", "champion", "origin")
MODEL_FIELDS = (*_NUMBERS, *_COUNTS, *_TEXTS)
"""Fields of a model hash but its state, which is as large as all the others ten times over."""
_PAUSED = b"1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Champion:
    """The version of a series' model that others are held against, and what it had to show.

    Attributes
    ----------
    version
        Of the registered model in MLflow.
    cursor
        Open time of the last candle that it has learned.
    skill, error
        CRPS skill over the baseline, mean of the scored horizons, and its standard error.
    """

    version: int
    cursor: int
    skill: float | None
    error: float | None

    @classmethod
    def read(cls, raw: bytes | None) -> Self | None:
        """Read what `to_json` has made; None of what nobody of ours wrote."""
        try:
            champion = cls(**json.loads(raw or b""))
        except (RecursionError, TypeError, ValueError):
            return None
        whole_ones = (champion.version, champion.cursor)
        others = (champion.skill, champion.error)
        is_sound = all(type(number) is int for number in whole_ones) and all(
            number is None or isinstance(number, float | int) for number in others
        )
        return champion if is_sound else None

    def to_json(self) -> str:
        """Return it as text, to be kept."""
        return json.dumps(asdict(self))


def _scores(raw: bytes | None) -> dict[str, Any]:
    try:
        return dict(json.loads(raw or b"{}"))
    except (RecursionError, TypeError, ValueError):
        return {}


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
    restores: int
    """How often somebody put a version back in force."""
    rollbacks: int
    """How often its champion was put back because the live model had failed."""
    waiting: int
    """Candles of the log beyond the cursor."""
    snapshot_version: int | None
    snapshot_alias: str | None
    snapshot_revision: int | None
    snapshot_at: int | None
    """When the newest version was noted, by Redis's clock."""
    champion: Champion | None
    origin: str | None
    """What it began with, where it was another series' champion: ``series@version``."""
    below_since: int | None
    """When its skill was first seen below the champion's, if it is; by the clock of who looked."""

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
        numbers: dict[str, Any] = {name: whole(fields[name]) for name in _NUMBERS}
        counts: dict[str, Any] = {name: whole(fields[name]) or 0 for name in _COUNTS}
        return cls(
            series=series,
            last_open_time=whole(last),
            waiting=waiting,
            etag=text(fields["etag"]),
            paused=fields["paused"] == _PAUSED,
            state=fields.get("state"),
            behind=entries(behind or []),
            fingerprint=text(fields["fingerprint"]),
            scores=_scores(fields["scores"]),
            snapshot_alias=text(fields["snapshot_alias"]),
            origin=text(fields["origin"]),
            champion=Champion.read(fields["champion"]),
            **numbers,
            **counts,
        )

    @property
    def lineage(self) -> str:
        """What tells a model from the one that it was put in place of."""
        changes = self.rebuilds, self.restores, self.rollbacks
        return f"{self.fingerprint} {self.since} {'-'.join(map(str, changes))} {self.origin or ''}"

    @property
    def lost(self) -> int:
        """Candles that were accepted and are neither settled nor waiting: zero, always."""
        return self.appended - self.settled - self.waiting
