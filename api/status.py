"""The state of everything as one JSON-ready report."""

import json
import time
from typing import Any

from shared.records import ModelRecord
from shared.store import Store


def report(store: Store) -> dict[str, Any]:
    """Return fleet, queues and, for each series, candles, skill and freshness.

    Times are UTC milliseconds; ``lost`` is what was accepted and neither learned, buried nor
    waiting: always zero.
    """
    now_ms = time.time_ns() // 1_000_000
    names = store.series()
    rows = zip(store.models(names), store.forecasts(names), strict=True)
    return store.overview() | {"series": [_row(record, raw, now_ms) for record, raw in rows]}


def _row(record: ModelRecord, raw: bytes | None, now_ms: int) -> dict[str, Any]:
    said = json.loads(raw) if raw else {}
    return {
        "series": str(record.series),
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
        "attempts": record.attempts,
        "suspect_until": record.suspect,
        "cursor": record.cursor,
        "log_end": record.last_open_time,
        "last_close": said.get("last_close"),
        "issued_at": said.get("issued_at"),
        "latency_ms": said.get("latency_ms"),
        "skill": said.get("skill", []),
        "revision": record.revision,
        "snapshot_version": record.snapshot_version,
        "snapshot_behind": record.revision - (record.snapshot_revision or 0),
    }
