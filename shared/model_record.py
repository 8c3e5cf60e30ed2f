"""The record of a series' model: what was committed, and how its candles were dealt with."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from shared.candle import Series
from shared.records import Entry, entries, text, whole

_NUMBERS = (
    *("cursor", "saved", "since", "suspect"),
    *("appended_at", "snapshot_version", "snapshot_revision"),
)
_COUNTS = (
    *("sequence", "revision", "attempts", "appended", "settled", "rebuilds"),
    *("dead_letters", "duplicates", "revised", "refused", "holes", "missing"),
)
MODEL_FIELDS = (*_NUMBERS, *_COUNTS, "etag", "fingerprint", "scores", "snapshot_alias", "paused")
"""Fields of a model hash but its state, which is as large as all the others ten times over."""
_PAUSED = b"1"


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
            **numbers,
            **counts,
        )

    @property
    def lost(self) -> int:
        """Candles that were accepted and are neither settled nor waiting: zero, always."""
        return self.appended - self.settled - self.waiting
