"""What operators do by hand: look at series, have one learned again, retire one."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from shared.candle import Series, utc
from shared.errors import InvalidValue, RegistryError, StateError, StoreError, StoreFull
from shared.model_record import ModelRecord
from shared.store import Store
from shared.view import View

_NAMED = 10
_ATTEMPTS = 5
_WORDS = 2
_LOCK_WAIT_S = 60
Keep = Callable[[ModelRecord], int | None]
"""Keeps a model beyond its series; returns the version that holds it, None where there is none."""


def known(view: View, names: Sequence[str]) -> list[Series]:
    """Return the series of these names, each once.

    Raises
    ------
    InvalidValue
        When there is no such series; it names those that may have been meant.
    StoreError
        When a key of one of them is of another type; it names the key.
    """
    there = {str(series): series for series in view.series()}
    for name in names:
        if name not in there:
            raise InvalidValue("series", name, f"there is no such series; {_instead(name, there)}")
    chosen = [there[name] for name in dict.fromkeys(names)]
    for series, why in view.faults(chosen).items():
        raise StoreError(f"{series} cannot be read: {why}")
    return chosen


def state_of(record: ModelRecord) -> str:
    """Say in a word how a series stands: ``paused``, ``suspect``, ``waiting`` or ``live``."""
    if record.paused:
        return "paused"
    if record.suspect is not None:
        return "suspect"
    return "waiting" if record.waiting else "live"


def overview(view: View) -> list[dict[str, Any]]:
    """Return a JSON-ready row for each series; ``fault`` says why one cannot be read."""
    names = view.series()
    faults = view.faults(names)
    sizes = dict(zip(names, view.memory(names), strict=True))
    records = {record.series: record for record in view.models([*(sizes.keys() - faults.keys())])}
    return [
        {
            "series": str(series),
            "state": state_of(record) if record else "unreadable",
            "learned": record and record.sequence,
            "waiting": record and record.waiting,
            "memory_bytes": sizes[series],
            "appended_at": record and record.appended_at,
            "fault": faults.get(series),
        }
        for series in names
        for record in (records.get(series),)
    ]


def aligned(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the rows of `overview` as lines, by spaces alone: the same in a pipe."""
    lines = [("series", "state", "learned", "waiting", "memory")]
    for row in rows:
        memory = f"{row['memory_bytes'] / 1_024:.0f} KB"
        counts = ("-" if row[name] is None else str(row[name]) for name in ("learned", "waiting"))
        lines.append((row["series"], row["state"], *counts, memory))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for words in lines:
        padded = [
            word.ljust(width) if place < _WORDS else word.rjust(width)
            for place, (word, width) in enumerate(zip(words, widths, strict=True))
        ]
        yield "  ".join(padded)


@dataclass(frozen=True, slots=True)
class Rebuild:
    """What learning a series again takes and costs."""

    record: ModelRecord
    first: int | None
    """Open time of the first retained candle."""
    candles: int

    def __str__(self) -> str:
        series, record = self.record.series, self.record
        if self.first is None:
            return f"{series}: holds no candles; its model begins anew with the next one"
        said = f"{series}: learns {self.candles} candles again, from {utc(self.first)} UTC on"
        if record.paused:
            said += ", once it is resumed"
        if record.since is not None and record.since < self.first:
            said += (
                f"; what it has learned before that, since {utc(record.since)} UTC, is no longer "
                "kept and goes from the model"
            )
        if record.snapshot_version is not None:
            said += f"; version {record.snapshot_version} in MLflow stays"
        return said


def rebuilds(view: View, names: Sequence[Series]) -> list[Rebuild]:
    """Return what a rebuild of each series would take."""
    records = view.models(names)
    return [Rebuild(record, *view.retained(record.series)) for record in records]


def rest(store: Store, names: Sequence[Series], *, paused: bool) -> Iterator[str]:
    """Pause series or let them go on, and say of each how it stands."""
    for record in store.models(names):
        store.pause(record.series, paused=paused)
        said = "paused" if paused else "resumed" if record.paused else "not paused"
        already = " already" if paused and record.paused else ""
        yield f"{record.series}: {said}{already}, {record.waiting} candles waiting"


def rebuild(store: Store, series: Series) -> None:
    """Have a series learned again from its first retained candle.

    Raises
    ------
    InvalidValue
        When the series is no longer there.
    """
    nothing: dict[str, Any] = {"state": b"", "fingerprint": "", "scores": {}}
    answer = store.restore(series, etag=None, cursor=None, sequence=0, since=None, **nothing)
    if answer == "unknown":
        raise InvalidValue("series", str(series), "it has been retired; nothing is left to learn")


def farewells(view: View, names: Sequence[Series]) -> Iterator[str]:
    """Say what goes with each series, and whether somebody seems to feed it still."""
    now_ms = time.time_ns() // 1_000_000
    for record in view.models(names):
        wait = f", {record.waiting} that wait are lost" if record.waiting else ""
        yield f"{record.series}: {record.sequence} candles learned{wait}"
        quiet_ms = now_ms - (record.appended_at or 0)
        if quiet_ms < 2 * record.series.timeframe.ms:
            yield (
                f"  WARNING: its last candles came {max(0, quiet_ms) // 1_000} s ago; stop its "
                "producer, which would begin it anew"
            )


@dataclass(frozen=True, slots=True)
class Retired:
    """What became of one series."""

    series: Series
    version: int | None = None
    """The version of its registered model that keeps it."""
    fault: str = ""
    """Why it is there still, and paused."""

    def __str__(self) -> str:
        if self.fault:
            return f"{self.series}: NOT retired, and paused: {self.fault}"
        kept = f", its model is version {self.version} in MLflow" if self.version else ""
        return f"{self.series}: retired{kept}"


def retire(store: Store, names: Sequence[Series], keep: Keep | None) -> Iterator[Retired]:
    """Remove each paused series, its model kept before that unless ``keep`` is None.

    Raises
    ------
    StoreError
        When Redis fails: then what was not yielded is there still, and paused.
    """
    for series in names:
        try:
            version = _kept_and_removed(store, series, keep) if keep else _gone(store, series)
        except (RegistryError, StateError) as error:
            yield Retired(series, fault=str(error))
        else:
            yield Retired(series, version)


def _gone(store: Store, series: Series) -> int | None:
    """Keep nothing of a series."""
    try:
        return _kept_and_removed(store, series, lambda _: None)
    except StoreFull:
        # A full Redis grants no lock, but it lets go of what it has, and notes no snapshot.
        return _removed(store, series, lambda _: None)


def _kept_and_removed(store: Store, series: Series, keep: Keep) -> int | None:
    # A round of snapshots that has the series in hand would write one more version of it, and so
    # take the mark of its end off again.
    with store.snapshot_lock(wait_s=_LOCK_WAIT_S) as renew:
        if renew is None:
            raise RegistryError("a round of snapshots is under way; try again after it")
        return _removed(store, series, keep)


def _removed(store: Store, series: Series, keep: Keep) -> int | None:
    for _ in range(_ATTEMPTS):
        record = store.model(series)
        version = keep(record)
        # A worker that had it in hand when it was paused may have committed since.
        if store.retire(series, revision=record.revision):
            return version
    raise RegistryError("its model moves on all the while: is it being restored?")


def _instead(name: str, there: Mapping[str, Series]) -> str:
    folded = {known.casefold(): known for known in there}
    if near := get_close_matches(name.casefold(), folded, n=3):
        return f"did you mean {' or '.join(folded[match] for match in near)}?"
    if not there:
        return "there are none yet"
    more = f" and {len(there) - _NAMED} more" if len(there) > _NAMED else ""
    return f"there are {', '.join(sorted(there)[:_NAMED])}{more}"
