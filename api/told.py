"""The state of everything in words, what is unusual in capitals."""

import time
from collections.abc import Iterator, Mapping
from textwrap import TextWrapper
from typing import Any

from shared.candle import utc

_WRAPPER = TextWrapper(100, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False)
# A live producer says every five seconds how it is doing.
_SILENT_S = 20
_COUNTED = ("reconnects", "retries", "pauses", "holes", "bridged", "corrected", "bad")
_ALWAYS = ("learned", "waiting", "dead_letters", "lost")
_RARE = (
    *("duplicates", "revised", "refused", "holes", "missing"),
    *("rebuilds", "restores", "rollbacks"),
)


def told(state: Mapping[str, Any]) -> Iterator[str]:
    """Return the lines that say what `api.status.report` has found."""
    jobs = ", ".join(f"{count} on {name}" for name, count in state["jobs"].items())
    share = state["used_memory_share"]
    memory = "no maxmemory" if share is None else f"{share:.0%} of maxmemory used"
    yield _folded(
        f"Redis {state['redis']}, {memory}; "
        f"learning: {state['fleet'] or 'nobody (no worker in the last minute)'}; "
        f"{state['pending']} series pending; jobs: {jobs}; dead letters: {state['dead_letters']}"
    )
    if heir := state["heir"]:
        ready = f"ready for {heir['ready']} of {heir['series']} series"
        then = "takes over once it is" if heir["rolls"] else "waits until nobody learns"
        yield _folded(f"preparing to learn next: {heir['fleet']}, {ready}; {then}")
    if state["suspended"]:
        yield _folded(
            "SUSPENDED by `rq suspend`: nothing is learned until `rq resume` or its time is over"
        )
    if state["state_keys"]:
        counts = (f"{count} of key {key}" for key, count in state["state_keys"].items())
        yield _folded(f"states signed: {', '.join(counts)}")
    yield _folded(_snapshots(state["snapshots"]))
    for name, producer in state["producers"].items():
        yield _folded(f"producer {name}: {_producer(producer)}")
    for row in state["series"]:
        yield _folded(f"{row['series']}: {_condition(row, state)}; {_counts(row)}")
        yield from map(_folded, _model(row))
    for series, why in state["unreadable"].items():
        yield _folded(f"{series}: UNREADABLE: {why}")


def _model(row: Mapping[str, Any]) -> Iterator[str]:
    """Say how a series' model does."""
    scored = [skill for skill in row["skill"] if skill["crps"] is not None]
    skill = ", ".join(f"{skill['crps']:+.1%} at {skill['horizon']}" for skill in scored)
    yield (
        f"  CRPS skill {skill or 'not scored yet'}; model version {_version(row)}; "
        f"memory {row['memory_bytes'] / 1_024:.0f} KB"
    )
    if drift := row["drift"]:
        yield (
            f"  drifts {drift['count']}; the newest since {utc(drift['since'])} UTC: "
            f"{drift['signal']} from {drift['before']:.3g} to {drift['after']:.3g}"
        )
    if row["challenger"]:
        yield f"  challenger {_challenger(row['challenger'])}"


def _challenger(row: Mapping[str, Any]) -> str:
    """Say how a challenger does, and how sure it is that it does better or worse."""
    known = {at: one for at, one in row["horizons"].items() if one["crps"] is not None}
    skill = ", ".join(f"{one['crps']:+.1%} at {at}" for at, one in known.items())
    sure = [
        f"{one['ratio']:.3f} at {at} (p {one['p_value']:.2g})"
        for at, one in known.items()
        if one["p_value"] is not None
    ]
    words = [f"{row['model']}: CRPS skill {skill or 'not scored yet'}"]
    words += [f"CRPS over that of the model that speaks {', '.join(sure)}"] * bool(sure)
    words += [f"FAULT {row['fault']}"] * bool(row["fault"])
    return "; ".join(words)


def _snapshots(rounds: Mapping[str, Any]) -> str:
    """Say how the rounds of snapshots go, what is unusual in capitals."""
    words = [f"last round {_ago(rounds['ended_at'])}" if rounds["ended_at"] else "no round yet"]
    if rounds["moved"]:
        words.append(f"{rounds['moved']} series moved since, {rounds['none_yet']} have none yet")
    if oldest := rounds["oldest"]:
        words.append(f"oldest {_ago(oldest['snapshot_at'])} ({oldest['series']})")
    if rounds["error"]:
        words.append(
            f"MLFLOW FAILS since {_ago(rounds['failing_since'])}, {rounds['tries']} times: "
            f"{rounds['error']}; next try {utc(rounds['next_at'])} UTC"
        )
    return f"snapshots: {'; '.join(words)}"


def _producer(told: Mapping[str, Any]) -> str:
    """Say how a producer's exchanges are doing, what is unusual in capitals."""
    words = []
    if (silent_s := told["silent_ms"] // 1_000) >= _SILENT_S:
        words.append(f"NOT HEARD OF for {silent_s} s")
    for exchange, one in told["exchanges"].items():
        said = [f"{exchange} {one.get('series')} series, {one.get('streaming')} by stream"]
        said += [f"{one[name]} {name}" for name in _COUNTED if one.get(name)]
        if one.get("failing"):
            said.append(f"{one['failing']} FAILING: {one.get('error')}")
        words.append(", ".join(said))
    return "; ".join(words)


def _ago(time_ms: int) -> str:
    seconds = max(0, int(time.time() - time_ms / 1_000))
    return f"{seconds} s ago" if seconds < 120 else f"{seconds // 60} min ago"  # noqa: PLR2004


def _condition(row: Mapping[str, Any], state: Mapping[str, Any]) -> str:
    """Say in words how a series stands, what is unusual in capitals."""
    none = "UNREADABLE forecast" if row["series"] in state["unreadable"] else "no forecast"
    words = [row["status"] or "-", {None: none, True: "STALE", False: "fresh"}[row["stale"]]]
    words += ["suspect"] * (row["suspect_until"] is not None) + ["PAUSED"] * row["paused"]
    words += [f"{row['speaks']} SPEAKS"] * (row["status"] == "fallback")
    words += ["the model does WORSE THAN NAIVE"] * row["worse_than_baseline"]
    words += [f"FAULT {row['fault']}"] * bool(row["fault"])
    # The name of those who learn ends with the id of the key that they sign with.
    if state["fleet"] and row["state_key"] not in (None, state["fleet"].rpartition("-")[2]):
        words.append(f"KEY {row['state_key']}")
    return ", ".join(words)


def _counts(row: Mapping[str, Any]) -> str:
    """Name the counters: some at all times, the others where they say something."""
    names = [*_ALWAYS, *(name for name in _RARE if row[name])]
    return ", ".join(f"{row[name]} {name.replace('_', ' ')}" for name in names)


def _folded(line: str) -> str:
    """Break a line between words, at the same place on every terminal."""
    return _WRAPPER.fill(line)


def _version(row: Mapping[str, Any]) -> str:
    words = [str(row["snapshot_version"] or "none yet")]
    words += [row["snapshot_alias"]] * bool(row["snapshot_alias"])
    if row["champion"] and row["snapshot_alias"] != "champion":
        words.append(f"the champion is version {row['champion']['version']}")
    if row["below_champion_since"]:
        words.append("BELOW ITS CHAMPION")
    return ", ".join(words)
