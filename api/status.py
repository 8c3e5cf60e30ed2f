"""The state of everything as one JSON-ready report."""

import time
from collections import Counter
from dataclasses import asdict
from typing import Any

from shared.errors import DecodeError
from shared.forecast import Forecast
from shared.model_record import ModelRecord
from shared.view import View
from shared.wire import decode_forecast


def report(view: View) -> dict[str, Any]:
    """Return fleet, heir, queues and, for each series, candles, skill, freshness and memory.

    Times are UTC milliseconds; ``lost`` is what was accepted and neither learned, buried nor
    waiting: always zero. ``used_memory_share`` is that of Redis's ``maxmemory``, None where it has
    no such limit. ``unreadable`` says of series why: one of a spoilt forecast has a row as if it
    had none, one of a spoilt key has no row. ``state_keys`` counts the states by the id of the
    signing key that they bear: while the key is changed, some still bear the one before.
    """
    now_ms = time.time_ns() // 1_000_000
    names = view.series()
    unreadable = {str(series): why for series, why in view.faults(names).items()}
    names = [series for series in names if str(series) not in unreadable]
    rows, keys = [], view.state_keys(names)
    read = zip(view.models(names), view.forecasts(names), view.memory(names), keys, strict=True)
    for record, raw, size, key_id in read:
        said = None
        try:
            said = decode_forecast(raw) if raw else None
        except DecodeError:
            key = view.keys.forecast(str(record.series))
            unreadable[str(record.series)] = (
                f"the key {key} holds no forecast that can be read; the next candle replaces it"
            )
        rows.append(_row(record, said, now_ms) | {"memory_bytes": size, "state_key": key_id})
    return view.overview() | {
        "snapshots": view.rounds.read() | _waiting(rows),
        "producers": view.producers.read(),
        "used_memory_share": view.used_memory_share() or None,
        "state_keys": dict(Counter(key_id for key_id in keys if key_id)),
        "series": rows,
        "unreadable": unreadable,
    }


def _waiting(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Say of how many series there is no version yet, and whose newest is oldest of the others."""
    moved = [row for row in rows if row["learned"] and row["snapshot_behind"]]
    aged = [row for row in moved if row["snapshot_at"]]
    oldest = min(aged, key=lambda row: (row["snapshot_at"], row["series"]), default=None)
    return {
        "moved": len(moved),
        "none_yet": sum(row["snapshot_version"] is None for row in moved),
        "oldest": oldest and {name: oldest[name] for name in ("series", "snapshot_at")},
    }


def _row(record: ModelRecord, said: Forecast | None, now_ms: int) -> dict[str, Any]:
    return {
        "series": str(record.series),
        "paused": record.paused,
        "status": said and said.status,
        "stale": said.is_stale(now_ms) if said else None,
        "appended": record.appended,
        "learned": record.sequence,
        "waiting": record.waiting,
        "dead_letters": record.dead_letters,
        "lost": record.lost,
        "duplicates": record.duplicates,
        "revised": record.revised,
        "refused": record.refused,
        "holes": record.holes,
        "missing": record.missing,
        "rebuilds": record.rebuilds,
        "attempts": record.attempts,
        "suspect_until": record.suspect,
        "cursor": record.cursor,
        "appended_at": record.appended_at,
        "log_end": record.last_open_time,
        "last_close": said and said.last_close,
        "issued_at": said and said.issued_at,
        "latency_ms": said and said.latency_ms,
        "skill": [skill.model_dump() for skill in said.skill] if said else [],
        "drift": said and said.drift and said.drift.model_dump(),
        "speaks": said and said.model.name,
        **_troubles(record.scores),
        "challenger": _challenger(record.scores.get("challenger")),
        "revision": record.revision,
        "snapshot_version": record.snapshot_version,
        "snapshot_alias": record.snapshot_alias,
        "snapshot_at": record.snapshot_at,
        "champion": record.champion and asdict(record.champion),
        "below_champion_since": record.below_since,
        "restores": record.restores,
        "rollbacks": record.rollbacks,
        "snapshot_behind": record.revision - (record.snapshot_revision or 0),
    }


def _troubles(scores: dict[str, Any]) -> dict[str, Any]:
    return {
        "worse_than_baseline": bool(scores.get("worse_than_baseline")),
        "fault": str(scores.get("fault") or ""),
        "faults": scores.get("faults") or 0,
        "last_fault": str(scores.get("last_fault") or ""),
        "last_fault_at": scores.get("last_fault_at"),
    }


def _challenger(scores: Any) -> dict[str, Any] | None:
    """Return how a challenger stands, by horizon; None without one, or of what is not ours."""
    try:
        return {
            "model": scores["model"],
            "fault": scores["fault"],
            "horizons": {
                horizon: {"crps": group["recent"]["crps_skill"], **scores["contest"][horizon]}
                for horizon, group in scores["horizons"].items()
            },
        }
    except (AttributeError, KeyError, TypeError):
        return None
