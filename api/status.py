"""The state of everything as one JSON-ready report."""

import json
import time
from typing import Any

from shared.records import ModelRecord
from shared.view import View


def report(view: View) -> dict[str, Any]:
    """Return fleet, queues and, for each series, candles, skill, freshness and memory.

    Times are UTC milliseconds; ``lost`` is what was accepted and neither learned, buried nor
    waiting: always zero. ``used_memory_share`` is that of Redis's ``maxmemory``, None where it has
    no such limit.
    """
    now_ms = time.time_ns() // 1_000_000
    names = view.series()
    rows = zip(view.models(names), view.forecasts(names), view.memory(names), strict=True)
    return view.overview() | {
        "used_memory_share": view.used_memory_share() or None,
        "series": [
            _row(record, raw, now_ms) | {"memory_bytes": size} for record, raw, size in rows
        ],
    }


def _row(record: ModelRecord, raw: bytes | None, now_ms: int) -> dict[str, Any]:
    said = json.loads(raw) if raw else {}
    return {
        "series": str(record.series),
        "paused": record.paused,
        "status": said.get("status"),
        "stale": now_ms > said["valid_until"] if said else None,
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
        "last_close": said.get("last_close"),
        "issued_at": said.get("issued_at"),
        "latency_ms": said.get("latency_ms"),
        "skill": said.get("skill", []),
        "revision": record.revision,
        "snapshot_version": record.snapshot_version,
        "snapshot_behind": record.revision - (record.snapshot_revision or 0),
    }
