"""Claims that one worker learns together: none touches another, and a slow model's are fewer."""

import dataclasses
from collections.abc import Mapping
from typing import Any
from unittest.mock import patch

import pytest

from models import allowed, catalog, entry, state
from models.baseline import RandomWalk
from models.learner import Learner
from shared.candle import Candle, Series
from shared.store import Store
from tests.integration.steps import FLEET, walk
from worker.teaching import Model
from worker.update import Updater

pytestmark = pytest.mark.usefixtures("field")

SIGNER = state.Signer(b"k" * 32)
BASE = walk(12)
UNLUCKY = BASE[10].close


class Scripted(RandomWalk):
    """Takes its time for a candle, and raises where a script says so."""

    now = 0.0
    takes_s = 0.0
    raises = False

    def learn_one(self, y: float, x: Mapping[str, Any] | None = None) -> None:
        """Learn, unless this is the unlucky candle."""
        type(self).now += self.takes_s
        super().learn_one(y, x)
        if self.raises and y == UNLUCKY:
            raise ArithmeticError("unlucky")


@pytest.fixture
def updater(store: Store, monkeypatch: pytest.MonkeyPatch) -> Updater:
    """An updater whose time passes only while its model learns."""
    scripted = entry.Model(version=1, create=lambda _timeframe, _horizon: Scripted())
    monkeypatch.setattr(catalog, "MODELS", {**catalog.MODELS, "scripted": scripted})
    monkeypatch.setattr(allowed, "_PACKAGES", (*allowed._PACKAGES, Scripted.__module__))
    for name in ("now", "takes_s", "raises"):
        monkeypatch.setattr(Scripted, name, getattr(Scripted, name))
    model = Model("scripted", SIGNER, _horizon, FLEET)
    return Updater(store, model, clock=lambda: Scripted.now)


def _horizon(series: str) -> int:
    return 5 if "LONG" in series else 3


def _names(count: int) -> list[Series]:
    return [Series.parse(f"test:{'LONG' if i % 2 else 'S'}{i}/USDT:1h") for i in range(count)]


def _taught(series: Series, candles: list[Candle], model: str = "scripted") -> bytes:
    """The state of a series that was always alone."""
    learner = Learner(series.timeframe, _horizon(str(series)), model)
    for candle in candles:
        learner.learn_one(candle)
    return state.dump(learner, SIGNER, series)


def test_what_befalls_one_of_them_leaves_the_others_as_if_alone(
    store: Store, updater: Updater, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One raises, one has lost its state, one's cannot be saved: all states are as they should."""
    names = _names(6)
    _, raises, lost, unsaved, *_ = names
    for series in names:
        store.append(series, BASE[:6])
    while store.overview()["pending"]:
        updater.run()
    for series in names:
        store.append(series, BASE[6:11] if series == raises else BASE[6:10])
    store.link.redis.hdel(store.keys.model(str(lost)), "state")
    monkeypatch.setattr(Scripted, "raises", True)

    with patch.object(state, "sealed", side_effect=_fails_once_for(unsaved)):
        while store.overview()["pending"]:
            updater.run()

    states = [store.model(series).state for series in names]
    assert states == [_taught(series, BASE[:10]) for series in names]
    assert store.model(raises).dead_letters == 1
    assert store.model(lost).rebuilds == 1


def _fails_once_for(series: Series) -> Any:
    original = state.sealed
    failed: list[Series] = []

    def sealed(body: bytes, learner: Learner, signer: state.Signer, of: Series) -> bytes:
        if of == series and not failed:
            failed.append(of)
            raise ArithmeticError("cannot be saved")
        return original(body, learner, signer, of)

    return sealed


def test_a_fast_model_s_claims_are_committed_at_once(store: Store, updater: Updater) -> None:
    """However many are due, they take one round trip."""
    _append_to_all(store, updater, 20)

    with patch.object(store, "commit", side_effect=store.commit) as commit:
        updater.run()

    assert [len(call.args[0]) for call in commit.call_args_list] == [20]


def test_a_slow_model_s_claims_are_given_back_when_the_time_is_over(
    store: Store, updater: Updater, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are not begun together, lest they outlast their lease."""
    _append_to_all(store, updater, 20)
    monkeypatch.setattr(Scripted, "takes_s", 0.2)

    tally = Updater(store, updater.model, clock=lambda: Scripted.now).run()

    assert 4 <= tally.commits <= 7
    assert tally.released == 20 - tally.commits


def test_series_with_backlogs_of_any_length_learn_in_step(store: Store) -> None:
    """Each is where it would be alone; and none of them is taught alone."""
    names, model = _names(8), Model("default", SIGNER, _horizon, FLEET)
    updater, lengths = Updater(store, model), [4, 1, 12, 4, 7, 1, 9, 3]
    for series in names:
        store.append(series, BASE[:1])
    _until_learned(store, updater)
    updater._together = 64  # it does not know its pace yet, and would begin with groups of few
    for series, length in zip(names, lengths, strict=True):
        store.append(series, BASE[1 : 1 + length], after=BASE[0].open_time)
    with patch.object(Learner, "learn_one", side_effect=AssertionError("alone")):
        _until_learned(store, updater)

    pairs = zip(names, lengths, strict=True)
    states = [_taught(series, BASE[: 1 + length], "default") for series, length in pairs]
    assert [store.model(series).state for series in names] == states
    assert not store.overview()["dead_letters"]


def test_a_job_goes_on_though_doorbells_wait(store: Store) -> None:
    """One job learns all that is due: the next one would cost more than these updates."""
    hasty = Store(store.link, dataclasses.replace(store.limits, claim_series=2))
    for series in _names(7):
        store.append(series, BASE[:1])
    store.ring(20)

    tally = Updater(hasty, Model("default", SIGNER, _horizon, FLEET)).run()

    assert tally.commits == 7
    assert not store.overview()["pending"]


def _until_learned(store: Store, updater: Updater) -> None:
    while store.overview()["pending"]:
        updater.run()


def _append_to_all(store: Store, updater: Updater, count: int) -> None:
    """Let every series close its second candle, the first one learned already."""
    for candle in BASE[:2]:
        while store.overview()["pending"]:
            updater.run()
        for series in _names(count):
            store.append(series, [candle])
