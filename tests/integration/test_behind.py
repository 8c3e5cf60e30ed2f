"""States that lack the newest candles: whoever reads them has these too, or learns anew."""

import json
from collections.abc import Mapping
from typing import Any
from unittest.mock import Mock, patch

import pytest
from pydantic import ValidationError

from config.settings import Settings
from models import catalog, entry, state
from models.baseline import RandomWalk
from models.gate import Bar
from shared.candle import Candle, Series
from shared.limits import Limits
from shared.store import Store
from tests.integration.keeping import EVERY, WALK, alone, feed, learner_of, worker
from tests.integration.spoilt import SIGNER
from tests.integration.steps import FLEET, HOUR, SERIES, T0, times
from worker.judge import Judge
from worker.snapshot import Snapshots

pytestmark = pytest.mark.usefixtures("field")


class Raising(RandomWalk):
    """Raises at one price."""

    def learn_one(self, y: float, x: Mapping[str, Any] | None = None) -> None:
        """Learn any other."""
        if y == 113.0:
            raise ArithmeticError("113")
        super().learn_one(y, x)


def test_a_buried_candle_is_never_behind(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever learned it again would learn it after all."""
    raising = entry.Model(version=1, create=lambda _timeframe, _horizon: Raising())
    monkeypatch.setattr(catalog, "MODELS", {**catalog.MODELS, "raising": raising})
    keeper = worker(store, "a", "raising")
    closes = [100.0, 101.0, 113.0, 102.0]

    lacking = []
    for hour, close in enumerate(closes):
        feed(store, keeper, [Candle(T0 + hour * HOUR, close, close, close, close, 1.0)])
        lacking.append(times(store.model(SERIES).behind))

    record = store.model(SERIES)
    assert (record.sequence, record.dead_letters) == (3, 1)
    assert lacking[2] == []
    assert lacking[3] in ([], [3])


def test_what_the_state_lacks_is_never_trimmed(store: Store) -> None:
    """However short the log is kept."""
    short = Store(store.link, Limits(retention=1))
    keeper = worker(short, "a")

    for number, candle in enumerate(WALK, 1):
        feed(short, keeper, [candle])
        assert learner_of(store) == alone(WALK[:number])

    assert len(store.candles(SERIES)) <= EVERY


def test_what_states_lack_counts_as_candles_of_a_claim(store: Store) -> None:
    """So that no claim takes longer than it may."""
    names = [Series.parse(f"test:C{number}/USDT:1h") for number in range(6)]
    for series in names:
        feed(store, worker(store, "a"), WALK[:8], series)
    lacking = {series: len(store.model(series).behind) for series in names}
    for series in names:
        store.append(series, WALK[8:9])
    small = Store(store.link, Limits(claim_candles=4))

    claims = small.claim(FLEET, "b").claims

    assert sum(lacking.values()) > 6
    taken = [1 + lacking[claim.series] for claim in claims]
    assert sum(taken[:-1]) < 4 <= sum(taken)


def test_a_log_that_lost_what_the_state_lacks_is_learned_again(store: Store) -> None:
    """As much of it as is there; the worker that kept it would have gone on."""
    keeper, count = worker(store, "a"), 2
    feed(store, keeper, WALK[:2])
    while len(store.model(SERIES).behind) < 2:
        feed(store, keeper, WALK[count : count + 1])
        count += 1
    first, _ = store.model(SERIES).behind
    store.link.redis.xdel(store.keys.candles(str(SERIES)), first[0])

    feed(store, worker(store, "b"), WALK[count : count + 1])

    record = store.model(SERIES)
    assert (record.rebuilds, record.sequence) == (1, count)


def test_one_that_cannot_be_recalled_does_not_hold_up_its_neighbours(store: Store) -> None:
    """It is learned again; those that are taken up with it learn in step as ever."""
    names = [Series.parse(f"test:C{number}/USDT:1h") for number in range(5)]
    for series in names:
        feed(store, worker(store, "a"), WALK[:2], series)
    keeper, count = worker(store, "a"), 2
    while count < 2 * EVERY or len(store.model(names[2]).behind) < 2:
        for series in names:
            feed(store, keeper, WALK[count : count + 1], series)
        count += 1
    first, *_ = store.model(names[2]).behind
    store.link.redis.xdel(store.keys.candles(str(names[2])), first[0])
    other = worker(store, "b")
    for series in names:
        store.append(series, WALK[count : count + 1])

    other.run()

    records = store.models(names)
    assert [record.rebuilds for record in records] == [0, 0, 1, 0, 0]
    assert [record.attempts for record in records] == [0] * 5
    whole = alone(WALK[: count + 1])
    assert all(learner_of(store, series) == whole for series in names if series != names[2])


def test_a_state_of_an_older_release_is_gone_on_from(store: Store) -> None:
    """It was written at the cursor, without a word of where it stands."""
    feed(store, worker(store, "a"), WALK[:10])
    key = store.keys.model(str(SERIES))
    saved = store.link.redis.hget(key, "saved")
    store.link.redis.hset(key, "keeper", "")
    feed(store, worker(store, ""), WALK[10:12])
    assert store.model(SERIES).behind == []
    store.link.redis.hset(key, "saved", saved)
    assert store.model(SERIES).behind

    feed(store, worker(store, "b"), WALK[12:13])

    assert learner_of(store) == alone(WALK[:13])
    assert store.model(SERIES).rebuilds == 0


def test_a_state_may_lack_as_many_candles_as_the_settings_allow(store: Store) -> None:
    """All of them are handed out."""
    slow = Store(store.link, Limits(state_every=32))
    keeper, lacking = worker(slow, "a"), []

    for number, candle in enumerate(WALK, 1):
        feed(slow, keeper, [candle])
        lacking.append(len(store.model(SERIES).behind))
        assert learner_of(store) == alone(WALK[:number])

    with pytest.raises(ValidationError):
        Settings(state_every=33)
    assert lacking.count(0) == 2


def test_no_snapshot_is_made_of_what_no_worker_could_go_on_from(store: Store) -> None:
    """Where the log has lost what the state lacks, or the model is another one by now."""
    feed(store, worker(store, "a"), WALK[:12])
    assert store.model(SERIES).behind
    key, log = store.keys.model(str(SERIES)), store.keys.candles(str(SERIES))
    held = store.link.redis.hget(key, "fingerprint")

    with patch("models.state.fingerprint", return_value="another"):
        other = Snapshots(store, Mock(), SIGNER, Mock()).take(budget_s=60)
    store.link.redis.delete(log)
    cut = Snapshots(store, Mock(), SIGNER, Mock()).take(budget_s=60)

    assert held
    assert "another model" in other.failed[str(SERIES)]
    assert "candles, the series 12" in cut.failed[str(SERIES)]
    assert not other.written | cut.written


def test_a_snapshot_holds_what_the_state_lacks(store: Store) -> None:
    """A version is the model as it was committed, not as it was written last."""
    feed(store, worker(store, "a"), WALK[:12])
    assert store.model(SERIES).behind
    written: dict[str, Any] = {}

    def write(record: Any, metrics: Mapping[str, float], verdict: Mapping[str, str]) -> int:
        written.update(state=record.state, cursor=record.cursor, metrics=metrics, **verdict)
        return 1

    registry = Mock(write=write, champion=Mock(return_value=None))
    judge = Judge(store, registry, SIGNER, lambda _: Bar(500, 0.0, (0.85, 0.95)))
    Snapshots(store, registry, SIGNER, judge).take(budget_s=60)

    print_ = state.fingerprint("default", 24)
    assert state.body(state.load(written["state"], SIGNER, print_, SERIES)) == alone(WALK[:12])
    assert written["cursor"] == WALK[11].open_time
    scores = json.loads(json.dumps(store.model(SERIES).scores))
    assert written["metrics"]["crps_h1"] == scores["horizons"]["1"]["recent"]["crps"]
    assert written["verdict"] == "failed"
    assert written["reasons"].startswith("12 candles learned, 500 asked; ")
