"""What a worker does with a claim, in this process on a real server."""

import contextlib
import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from numpy.typing import NDArray

from models import allowed, catalog, entry, state
from models.baseline import RandomWalk
from models.learner import Learner
from models.learners import Learners
from shared.candle import Candle, Series
from shared.errors import StoreUnavailable
from shared.forecast import Forecast
from shared.limits import Limits
from shared.store import Store
from shared.wire import decode_forecast
from tests.integration.steps import FLEET, hasty
from worker.teaching import Model
from worker.update import Updater

pytestmark = pytest.mark.usefixtures("field")

HOUR = 3_600_000
T0 = 1_600_000_000_000 // HOUR * HOUR
SERIES = Series.parse("test:BTC/USDT:1h")
UNLUCKY = 113.0


class Touchy(RandomWalk):
    """Raises at one price, after it has learned half of it."""

    error: type[Exception] = ArithmeticError
    leftover: object = 0
    _learned = (*RandomWalk._learned, "leftover")  # type: ignore[assignment]

    def learn_one(self, y: float, x: Mapping[str, Any] | None = None) -> None:
        """Learn, unless the price is unlucky."""
        super().learn_one(y, x)
        if y == UNLUCKY:
            raise self.error("unlucky")


@pytest.fixture
def updater(store: Store, monkeypatch: pytest.MonkeyPatch) -> Updater:
    """An updater with a model that raises at one price."""
    touchy = entry.Model(version=1, create=lambda _timeframe, _horizon: Touchy())
    monkeypatch.setattr(catalog, "MODELS", {**catalog.MODELS, "touchy": touchy})
    monkeypatch.setattr(allowed, "_PACKAGES", (*allowed._PACKAGES, Touchy.__module__))
    model = Model("touchy", state.Signer(b"k" * 32), lambda _series: 3, FLEET)
    return Updater(store, model)


def candles(*closes: float) -> list[Candle]:
    """Hourly candles with these closes; None leaves a hole."""
    return [
        Candle(T0 + hour * HOUR, close, close, close, close, 1.0)
        for hour, close in enumerate(closes)
        if close
    ]


def run(updater: Updater) -> None:
    """Work until nothing is pending."""
    while updater.store.overview()["pending"]:
        updater.run()


def said(store: Store, *series: Series) -> list[Forecast]:
    """Return what is forecast of each."""
    return [decode_forecast(forecast or b"") for forecast in store.forecasts(series)]


def test_a_candle_at_which_the_model_raises_is_stepped_over(store: Store, updater: Updater) -> None:
    """It lies in the dead letters with its traceback; the model has seen nothing of it."""
    other = Series.parse("other:BTC/USDT:1h")
    store.append(SERIES, candles(100, 101, UNLUCKY, 102))
    store.append(other, candles(100, 101, 0, 102))

    run(updater)

    ((_, letter),) = store.link.redis.xrange(store.keys.dead_letters)
    assert letter[b"reason"] == b"model raised"
    assert b"ArithmeticError: unlucky" in letter[b"error"]
    assert letter[b"candle"] == f"{T0 + 2 * HOUR} 113 113 113 113 1".encode()
    touched, untouched = said(store, SERIES, other)
    assert touched.quantiles == untouched.quantiles
    record = store.model(SERIES)
    assert (record.sequence, record.settled, record.dead_letters, record.lost) == (3, 4, 1, 0)


@pytest.mark.parametrize("error", [MemoryError, OSError, StoreUnavailable])
def test_errors_of_the_surroundings_are_not_blamed_on_the_candle(
    store: Store, updater: Updater, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """They end the job; nothing is committed and nothing buried."""
    monkeypatch.setattr(Touchy, "error", error)
    store.append(SERIES, candles(100, UNLUCKY))

    times = 6 if error is StoreUnavailable else 1
    for _ in range(times):
        with pytest.raises(error):
            updater.run()

    record = store.model(SERIES)
    assert (record.sequence, record.dead_letters, record.waiting) == (0, 0, 2)


@pytest.mark.parametrize(("error", "buried", "runs"), [(MemoryError, 1, 10), (OSError, 0, 30)])
def test_a_candle_at_which_memory_fails_is_buried_and_a_failing_system_buries_none(
    store: Store,
    updater: Updater,
    monkeypatch: pytest.MonkeyPatch,
    error: type[Exception],
    buried: int,
    runs: int,
) -> None:
    """Neighbours go on meanwhile; when the system is well again, every candle is learned."""
    monkeypatch.setattr(Touchy, "error", error)
    other = Series.parse("other:BTC/USDT:1h")
    store.append(SERIES, candles(100, UNLUCKY, 102))
    store.append(other, candles(100, 101, 102))
    eager = Updater(hasty(store), updater.model)

    for _ in range(runs):
        with contextlib.suppress(error):
            eager.run()

    assert store.model(other).sequence == 3
    assert store.model(SERIES).dead_letters == buried
    monkeypatch.setattr(Touchy, "learn_one", RandomWalk.learn_one)
    run(updater)
    record = store.model(SERIES)
    assert (record.sequence, record.dead_letters, record.lost) == (3 - buried, buried, 0)


@pytest.mark.parametrize("fails", ["body", "scores"])
def test_a_candle_after_which_nothing_can_be_kept_is_stepped_over(
    store: Store, updater: Updater, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    """Exactly that one, whatever was learned with it; the model has seen nothing of it."""
    monkeypatch.setattr(Touchy, "learn_one", _leaves(print if fails == "scores" else _running()))
    monkeypatch.setattr(Learners, "scores", _scores_unless(print))
    other = Series.parse("other:BTC/USDT:1h")
    store.append(SERIES, candles(100, 101, 102, UNLUCKY, 104, 105, 106))
    store.append(other, candles(100, 101, 102, 0, 104, 105, 106))

    run(updater)

    ((_, letter),) = store.link.redis.xrange(store.keys.dead_letters)
    assert letter[b"reason"] == b"model raised"
    assert b"TypeError: " in letter[b"error"]
    assert letter[b"candle"] == f"{T0 + 3 * HOUR} 113 113 113 113 1".encode()
    touched, untouched = said(store, SERIES, other)
    assert touched.quantiles == untouched.quantiles
    record = store.model(SERIES)
    assert (record.sequence, record.settled, record.dead_letters, record.lost) == (6, 7, 1, 0)
    assert record.scores == store.model(other).scores


@pytest.mark.parametrize("error", [TypeError, MemoryError])
def test_a_series_of_which_nothing_can_ever_be_kept_holds_up_nobody(
    store: Store, updater: Updater, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """Its candles go to the dead letters one by one, before and after it has had a state."""
    other = Series.parse("other:BTC/USDT:1h")
    body = state.body

    def fail(learner: Learner, modules: Collection[str], **how: bool) -> bytes:
        if 102 < learner.close < 200:
            raise error("not today")
        return body(learner, modules, **how)

    monkeypatch.setattr(state, "body", fail)
    third = Series.parse("third:BTC/USDT:1h")
    store.append(SERIES, candles(100, 101, 103, 104))
    store.append(third, candles(103, 104))
    store.append(other, candles(200, 201, 203, 204))
    eager = Updater(hasty(store), updater.model)

    for _ in range(40):
        with contextlib.suppress(MemoryError):
            eager.run()

    assert store.overview()["pending"] == 0
    records = store.models([SERIES, third, other])
    assert [(r.sequence, r.dead_letters, r.lost) for r in records] == [
        (2, 2, 0),
        (0, 2, 0),
        (4, 0, 0),
    ]
    assert all(record.rebuilds == 0 for record in records)
    assert [record.scores.get("sequence") for record in records] == [2, None, 4]
    monkeypatch.setattr(state, "body", body)
    for series in (SERIES, third):
        store.append(series, candles(100, 101, 103, 104, 105)[-1:], after=store.end(series) or 0)
    run(updater)
    assert [record.sequence for record in store.models([SERIES, third])] == [3, 1]


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
def test_a_state_that_kills_whoever_loads_it_is_learned_again(
    store: Store, updater: Updater, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    """Where claims that had only to bury a candle died too, the candle is not at fault."""
    other = Series.parse("other:BTC/USDT:1h")
    for series in (SERIES, other):
        store.append(series, candles(100, 101))
    run(updater)
    for series in (SERIES, other):
        store.append(series, candles(100, 101, 102, 103)[2:])
    deaths, load = [], state.load

    def fail(raw: bytes, signer: state.Signer, print_: str, series: Series, *into: Any) -> Learner:
        if series == SERIES and not store.model(SERIES).rebuilds:
            deaths.append(series)
            raise error("no room")
        return load(raw, signer, print_, series, *into)

    monkeypatch.setattr(state, "load", fail)
    eager = Updater(hasty(store), updater.model)
    for _ in range(12):
        with contextlib.suppress(error):
            eager.run()

    assert len(deaths) == 2 + 3 + 3
    records = store.models([SERIES, other])
    assert [(r.sequence, r.rebuilds) for r in records] == [(4, 1), (4, 0)]
    assert all((r.waiting, r.dead_letters, r.lost) == (0, 0, 0) for r in records)


def test_what_a_raise_left_takes_up_no_other_state(store: Store, updater: Updater) -> None:
    """Learners are used again for series after series, but none that was left half-taught."""
    whole = candles(100, 101, 102, 103, 104, UNLUCKY, 106, 107)
    with patch.object(state, "load", side_effect=state.load) as load:
        for part in (whole[:4], whole[4:7], whole[7:]):
            store.append(SERIES, part)
            run(updater)

    *half_taught, one, two, three = (id(call.args[4]) for call in load.call_args_list)
    assert len(set(half_taught) - {id(None), one, two, three}) == 2


@pytest.mark.parametrize(
    "spoil",
    [{"cursor": None}, {"cursor": T0 + HOUR}, {"state": None}, {"state": None, "sequence": None}],
    ids=["no cursor", "an earlier cursor", "no state", "no state and no sequence"],
)
def test_a_state_that_does_not_go_with_its_cursor_is_learned_again(
    store: Store, updater: Updater, spoil: dict[str, int | None]
) -> None:
    """No candle is learned twice on top of it, and none before the cursor is left out."""
    key, whole = store.keys.model(str(SERIES)), candles(100, 101, 102, 103, 104)
    store.append(SERIES, whole[:4])
    run(updater)
    for field, value in spoil.items():
        if value is None:
            store.link.redis.hdel(key, field)
        else:
            store.link.redis.hset(key, field, value)

    store.append(SERIES, whole[4:])
    run(updater)

    record = store.model(SERIES)
    assert (record.sequence, record.rebuilds, record.cursor) == (5, 1, T0 + 4 * HOUR)
    assert (record.settled, record.waiting, record.lost) == (5, 0, 0)


def test_a_forecast_that_cannot_be_published_costs_nobody_else(
    store: Store, updater: Updater, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The candle is learned, nothing is published for it, and the neighbour goes on."""
    other = Series.parse("other:BTC/USDT:1h")
    monkeypatch.setattr(Touchy, "forecast_quantiles", _nonsense_at(101))
    store.append(SERIES, candles(100, 101))
    store.append(other, candles(100, 102))
    # The printing of a traceback may take a busy machine a second.
    unhurried = Store(store.link, Limits(job_ms=60_000, series_ms=60_000))

    tally = Updater(unhurried, updater.model).run()

    assert (tally.commits, tally.withheld) == (2, 1)
    withheld, published = store.forecasts([SERIES, other])
    assert withheld is None
    assert published is not None
    assert store.model(SERIES).sequence == 2


def test_a_job_gives_back_what_it_has_no_time_for(store: Store, updater: Updater) -> None:
    """After its time, untouched series are due at once and a doorbell is left for them."""
    names = [Series.parse(f"test:S{i}/USDT:1h") for i in range(5)]
    for series in names:
        store.append(series, candles(100))
    store.link.redis.delete("rq:queue:candles")
    clock = _ticking(0.3)
    hurried = Updater(store, updater.model, clock=lambda: next(clock))

    tally = hurried.run()

    assert tally.commits >= 1
    assert tally.commits + tally.released == 5
    assert store.overview()["jobs"]["candles"] == 1
    assert len(store.claim(FLEET).claims) == tally.released


def test_a_series_learns_no_longer_than_its_share(store: Store, updater: Updater) -> None:
    """One deep backlog does not keep its neighbours waiting: it is committed in parts."""
    store.append(SERIES, candles(*range(100, 110)))
    clock = _ticking(0.1)
    hurried = Updater(store, updater.model, clock=lambda: next(clock))

    hurried.run()

    assert 0 < store.model(SERIES).sequence < 10
    run(updater)
    assert store.model(SERIES).sequence == 10


@pytest.mark.parametrize("step_s", [0.0, 0.1])
def test_one_job_goes_on_while_anything_is_due(
    store: Store, updater: Updater, step_s: float
) -> None:
    """A backlog needs neither a second doorbell nor a tick, however its commits leave."""
    small = Store(store.link, Limits(series_candles=4, job_ms=1_000_000, series_ms=1_000_000))
    store.append(SERIES, candles(*range(120, 140)))
    store.link.redis.delete("rq:queue:candles")
    clock = _ticking(step_s)

    tally = Updater(small, updater.model, clock=lambda: next(clock)).run()

    assert (tally.candles, tally.commits) == (20, 5)


def test_another_fleet_learns_nothing(store: Store, updater: Updater) -> None:
    """A worker of another model leaves everything as it is."""
    store.append(SERIES, candles(100))
    store.tick("somebody else", "take over")

    assert updater.run().commits == 0
    assert store.model(SERIES).attempts == 0


def test_only_live_forecasts_have_a_latency(store: Store, updater: Updater) -> None:
    """In a backlog the time from append to forecast says nothing."""
    store.append(SERIES, candles(100, 101))
    updater.run()
    (backlog,) = said(store, SERIES)
    store.append(SERIES, candles(100, 101, 102)[2:])
    updater.run()
    (live,) = said(store, SERIES)

    assert backlog.latency_ms is None
    assert live.latency_ms is not None
    assert live.latency_ms < Limits().lease_ms


def _running() -> Iterator[int]:
    yield 0


def _leaves(leftover: object) -> Callable[..., None]:
    def learn_one(self: Touchy, y: float, x: Mapping[str, Any] | None = None) -> None:
        RandomWalk.learn_one(self, y, x)
        if y == UNLUCKY:
            self.leftover = leftover

    return learn_one


def _scores_unless(leftover: object) -> Callable[[Learners], list[dict[str, Any]]]:
    scores = Learners.scores

    def scores_unless(self: Learners) -> list[dict[str, Any]]:
        if any(getattr(one.forecaster, "leftover", 0) is leftover for one in self.members):
            raise TypeError(f"{leftover} was left")
        return scores(self)

    return scores_unless


def _nonsense_at(close: float) -> Callable[..., NDArray[np.float64]]:
    sane = RandomWalk.forecast_quantiles

    def forecast_quantiles(
        self: RandomWalk, horizon: int, levels: Sequence[float]
    ) -> NDArray[np.float64]:
        quantiles = sane(self, horizon, levels)
        return quantiles[:, ::-1] if self.close == close else quantiles

    return forecast_quantiles


def _ticking(step_s: float) -> Iterator[float]:
    return itertools.count(0.0, step_s)
