"""States and records that are not ours: refused, counted and learned again."""

import itertools
import json
import pickle
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from models import catalog, state
from shared.candle import Series
from shared.header import START, split
from shared.model_record import ModelRecord
from shared.store import Store
from shared.wire import decode_forecast
from tests.integration.spoilt import (
    ALL_FIELDS,
    FIRST,
    MORE,
    SIGNER,
    forms,
    learned,
    many,
    reach,
    signed,
)
from tests.integration.steps import candles

pytestmark = pytest.mark.timeout(120)

# What is kept in memory is not read: a state that was spoilt then is written over, unseen.
READS_ALL = {"CANDLECAST_KEPT_SERIES": "0"}
MAY_DIFFER = {"issued_at", "latency_ms", "revision", "series", "symbol", "exchange"}
Start = Callable[..., "subprocess.Popen[bytes]"]
Eventually = Callable[..., None]


def of_version(version: int, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A state of another version of the model."""
    other = replace(catalog.MODELS["default"], version=version)
    with monkeypatch.context() as patch:
        patch.setattr(catalog, "MODELS", {**catalog.MODELS, "default": other})
        state.fingerprint.cache_clear()
        raw = learned()
    state.fingerprint.cache_clear()
    return raw


def flipped(raw: bytes, at: int) -> bytes:
    """The bytes with one bit changed."""
    return raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]


def refused_states(monkeypatch: pytest.MonkeyPatch, charge: bytes) -> list[tuple[bytes, str]]:
    """States that no worker may go on from, and what its log says of them."""
    raw = learned()
    print_at = raw.index(b'"fingerprint": "') + 16
    text, (_, second, third) = pickle.dumps("text"), map(str, many(3))
    cut = [(raw[:size], "cut short") for size in (4, 20, 36, 37, 60, len(raw) // 2, len(raw) - 1)]
    return [
        # These three are of the series that gets them, so that nothing but the pickle is wrong.
        (signed(charge), "is not allowed in a state"),
        (signed(text, series=second), "holds a str, not a learner"),
        (signed(text[:-1], series=third), "state cannot be read"),
        (b"", "the state is missing"),
        (raw[:3], "not a saved state"),
        *cut,
        (flipped(raw, 0), "not a saved state"),
        (flipped(raw, 10), "does not match its signature"),
        (flipped(raw, START), "cut short or changed"),
        (flipped(raw, raw.index(SIGNER.key_id.encode())), "signed with key"),
        (flipped(raw, print_at), "does not match its signature"),
        (flipped(raw, len(raw) // 2), "does not match its signature"),
        (flipped(raw, len(raw) - 1), "does not match its signature"),
        (learned(signer=state.Signer(b"o" * 32)), "CANDLECAST_STATE_KEY_PREVIOUS"),
        (learned(horizon=7), "state of fingerprint"),
        (of_version(999, monkeypatch), "state of fingerprint"),
        (signed(text, format=99), "state of format 99"),
        (raw, f"state of series {many(1)[0]}, wanted"),
        (b"CCST" + bytes(32) + (60_000).to_bytes(2) + b"[" * 60_000, "header cannot be read"),
        *((form, "") for form in forms(charge)),
    ]


def said(store: Store, series: Series) -> dict[str, Any]:
    """The published forecast without what may differ between two series."""
    (raw,) = store.forecasts([series])
    assert raw is not None
    return decode_forecast(raw).model_dump(exclude=MAY_DIFFER)


def whys(log: Path) -> dict[str, str]:
    """Why series were learned again, by the log of a worker."""
    lines = (json.loads(line) for line in log.read_text().splitlines() if line.startswith("{"))
    told = [line for line in lines if line["event"] == "series is learned again"]
    assert len({line["series"] for line in told}) == len(told)
    return {line["series"]: line["why"] for line in told}


def learner_of(record: ModelRecord) -> bytes:
    """The pickle of a state, which names neither key nor series."""
    assert record.state is not None
    return split(record.state[START:])[1]


def is_whole(record: ModelRecord) -> bool:
    """Whether every candle is accounted for, and none of them set aside."""
    return (record.settled, record.lost, record.dead_letters) == (len(FIRST + MORE), 0, 0)


def test_a_state_that_is_not_ours_is_refused_and_learned_again(
    store: Store,
    start: Start,
    eventually: Eventually,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    marker: Path,
    charge: bytes,
) -> None:
    """Said why, counted, and bit for bit what a fresh model would be; no candle is lost."""
    cases = refused_states(monkeypatch, charge)
    broken, fresh = many(len(cases)), Series.parse("fresh:BTC/USDT:1h")
    for series in broken:
        store.append(series, FIRST)
    start("worker", **READS_ALL)
    eventually(reach(store, broken, len(FIRST)), "the first candles are learned")
    for series, (raw, _) in zip(broken, cases, strict=True):
        store.link.redis.hset(store.keys.model(str(series)), "state", raw)

    store.append(fresh, FIRST)
    for series in (*broken, fresh):
        store.append(series, MORE)
    eventually(reach(store, [*broken, fresh], len(FIRST + MORE)), "all are learned again")

    told, wanted = whys(tmp_path / "worker-0.log"), store.model(fresh)
    for series, (raw, why) in zip(broken, cases, strict=True):
        record = store.model(series)
        assert why in told[str(series)], raw[:60]
        assert record.rebuilds == 1, why
        assert is_whole(record), why
        assert learner_of(record) == learner_of(wanted), why
        assert said(store, series) == said(store, fresh), why
    assert wanted.rebuilds == 0
    assert "restarting" not in (tmp_path / "worker-0.log").read_text()
    assert not marker.exists()


def test_a_change_of_the_horizon_learns_again(
    store: Store, start: Start, eventually: Eventually, tmp_path: Path
) -> None:
    """Workers that are started anew with another horizon refuse the states of the old one."""
    names = many(3)
    for series in names:
        store.append(series, FIRST)
    first = start("worker")
    eventually(reach(store, names, len(FIRST)), "the first candles are learned")
    first.terminate()
    assert first.wait(30) == 0

    start("worker", "--take-over", CANDLECAST_HORIZONS="1h=6")
    for series in names:
        store.append(series, MORE)
    eventually(reach(store, names, len(FIRST + MORE)), "all are learned again")

    assert [why[:20] for why in whys(tmp_path / "worker-1.log").values()] == [
        "state of fingerprint"
    ] * 3
    assert all(is_whole(record) and record.rebuilds == 1 for record in store.models(names))
    assert len(said(store, names[0])["median"]) == 6


def test_one_broken_record_stops_nobody(
    store: Store, start: Start, eventually: Eventually, tmp_path: Path, marker: Path, charge: bytes
) -> None:
    """Whatever stands in a field of a record, that series and all others go on learning."""
    numbers = [b"-5", b"-1000000", b"1234567890123456", b"9" * 100, b"1.5"]
    kinds = [charge, b"", b"text", b"\xff", *numbers]
    cases = list(itertools.product(ALL_FIELDS, kinds))
    broken, good = many(len(cases)), many(3, "GOOD")
    for series in (*broken, *good):
        store.append(series, FIRST)
    start("worker")
    eventually(reach(store, broken + good, len(FIRST)), "the first candles are learned")
    for series, (name, value) in zip(broken, cases, strict=True):
        store.link.redis.hset(store.keys.model(str(series)), name, value)

    for series in (*broken, *good):
        store.append(series, MORE)
    eventually(reach(store, good, len(FIRST + MORE)), "the others are learned")
    eventually(lambda: store.overview()["pending"] == 0, "nothing is left to be learned")

    for series, case in zip(broken, cases, strict=True):
        (raw,) = store.forecasts([series])
        assert raw is not None, case
        assert decode_forecast(raw).candle_open_time == MORE[-1].open_time, case
        assert case[0] == "rebuilds" or store.model(series).rebuilds <= 1, case
    assert all(is_whole(record) and not record.rebuilds for record in store.models(good))
    assert "restarting" not in (tmp_path / "worker-0.log").read_text()
    assert not marker.exists()


@pytest.mark.parametrize("name", ["fleet", "tick", "housekeeping"])
def test_a_guard_that_somebody_else_has_set_does_not_hold_for_ever(
    store: Store, start: Start, eventually: Eventually, name: str, charge: bytes
) -> None:
    """Without an end, which ours never are, and with no text in it: it is removed."""
    key = getattr(store.keys, name)
    store.link.redis.set(key, charge)
    start("worker")
    names = many(1)
    store.append(names[0], FIRST)
    store.link.redis.delete("rq:queue:candles")

    eventually(reach(store, names, len(FIRST)), "the candles are learned")
    eventually(lambda: store.link.redis.get(key) != charge, "the guard is gone")


def test_a_state_of_another_time_is_refused(
    store: Store, start: Start, eventually: Eventually, tmp_path: Path
) -> None:
    """A state of ours that is older than its record is not gone on from."""
    (series,) = many(1)
    key = store.keys.model(str(series))
    start("worker", **READS_ALL)
    store.append(series, FIRST)
    eventually(reach(store, [series], len(FIRST)), "the first candles are learned")
    old = store.link.redis.hget(key, "state")
    store.append(series, MORE)
    eventually(reach(store, [series], len(FIRST + MORE)), "and more")
    store.link.redis.hset(key, "state", old)

    store.append(series, candles(25, 5))
    eventually(reach(store, [series], 30), "all are learned again")

    assert whys(tmp_path / "worker-0.log") == {
        str(series): "the state has learned 20 candles, the series 25"
    }
    assert store.model(series).rebuilds == 1
