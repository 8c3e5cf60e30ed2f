"""The signing key is changed as `docs/operations.md` says, and `status` shows when that is done."""

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from models.state import Signer
from shared.store import Store
from tests.conftest import STATE_KEY
from tests.integration.spoilt import many
from tests.integration.steps import candles

pytestmark = pytest.mark.timeout(120)

NEW_KEY = "new-signing-key-" * 2
OLD, NEW = (Signer(key.encode()).key_id for key in (STATE_KEY, NEW_KEY))
FAST, SLOW, IDLE = many(3)


@pytest.mark.at_length
def test_status_shows_which_states_still_bear_the_key_before(
    store: Store, candlecast: Callable[..., "subprocess.CompletedProcess[str]"]
) -> None:
    """A series is done with its next candle, or by a rebuild; then the old key can go."""
    changing = {"CANDLECAST_STATE_KEY": NEW_KEY, "CANDLECAST_STATE_KEY_PREVIOUS": STATE_KEY}
    done = {"CANDLECAST_STATE_KEY": NEW_KEY}

    def learn(hour: int, *names: Any, **env: str) -> tuple[dict[str, int], list[str | None], str]:
        """Give series a candle, and say how the states are signed then."""
        for series in names:
            store.append(series, candles(hour, 1))
        assert candlecast("worker", "--burst", "--take-over", **env).returncode == 0
        said = json.loads(candlecast("status", "--json").stdout)
        keys = [row["state_key"] for row in said["series"]]
        return said["state_keys"], keys, " ".join(candlecast("status").stdout.split())

    counts, keys, words = learn(0, FAST, SLOW, IDLE)
    assert (counts, keys) == ({OLD: 3}, [OLD] * 3)
    assert f"states signed: 3 of key {OLD}" in words
    assert "KEY" not in words

    counts, keys, words = learn(1, FAST, **changing)
    assert (counts, keys) == ({NEW: 1, OLD: 2}, [NEW, OLD, OLD])
    assert f"states signed: 1 of key {NEW}, 2 of key {OLD}" in words
    assert [f"{series}: warming_up, STALE, KEY {OLD};" in words for series in (FAST, SLOW)] == [
        *(False, True)
    ]

    assert candlecast("rebuild", str(IDLE), "--yes").returncode == 0
    counts, keys, words = learn(1, SLOW, **changing)
    assert (counts, keys) == ({NEW: 3}, [NEW] * 3)
    assert "KEY" not in words

    store.append(IDLE, candles(1, 1))
    learn(2, FAST, SLOW, **done)
    records = store.models([FAST, SLOW, IDLE])
    assert [(record.sequence, record.rebuilds) for record in records] == [(3, 0), (3, 0), (2, 1)]
