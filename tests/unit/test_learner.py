"""One series' learner."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from models import catalog, entry
from models.forecaster import ScaleMixtureForecaster
from models.hours import HOUR_MS, MONDAY_MS
from models.learner import Learner
from models.learners import Outlook
from models.memory import Array
from models.scale import RecursiveLeastSquares
from shared.candle import Candle, Timeframe
from shared.errors import InvalidValue
from shared.forecast import QUANTILE_LEVELS


class Stubborn:
    """A forecaster that always says the same factors of the last close."""

    def __init__(self, factors: Sequence[float]) -> None:
        self.factors = np.array(factors)
        self.close = 0.0

    def learn_one(self, y: float, x: Mapping[str, Any] | None = None) -> None:
        """Remember the close; refuse a price of 13."""
        assert x is not None
        assert x["close"] == y
        if y == 13:
            raise RuntimeError("thirteen")
        self.close = y

    def forecast(
        self,
        horizon: int,
        xs: Sequence[Mapping[str, Any]] | None = None,  # noqa: ARG002 - River's signature
    ) -> list[float]:
        """Return the middle factor."""
        return [self.close * float(self.factors[4])] * horizon

    def forecast_quantiles(self, horizon: int, levels: Sequence[float]) -> Array:
        """Return the factors at every horizon."""
        return np.tile(self.close * self.factors[: len(levels)], (horizon, 1))


@pytest.fixture
def stubborn(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Put a model into the catalog that says these factors."""
    factors = [0.9, 0.95, 0.97, 0.99, 1.0, 1.01, 1.03, 1.05, 1.1]
    model = entry.Model(version=1, create=lambda _timeframe, _horizon: Stubborn(factors))
    monkeypatch.setattr(catalog, "MODELS", {"stubborn": model})
    return factors


def candles(count: int, *, seed: int = 3, scale: float = 0.01) -> list[Candle]:
    """Draw hourly candles of a random walk from a Monday on."""
    rng = np.random.default_rng(seed)
    closes = (100 * np.exp(np.cumsum(rng.normal(0, scale, count + 1)))).tolist()
    return [
        Candle(MONDAY_MS + hour * HOUR_MS, o, max(o, c) * 1.001, min(o, c) * 0.999, c, 1.0)
        for hour, (o, c) in enumerate(pairwise(closes))
    ]


def taught(stream: list[Candle], horizon: int = 24, model: str = "default") -> Learner:
    """Learn candles."""
    learner = Learner(Timeframe("1h"), horizon, model)
    for candle in stream:
        learner.learn_one(candle)
    return learner


def check(outlook: Outlook, horizon: int) -> None:
    """Assert what is true of every outlook."""
    assert outlook.quantiles.shape == (horizon, len(QUANTILE_LEVELS))
    assert np.isfinite(outlook.quantiles).all()
    assert (outlook.quantiles > 0).all()
    assert (np.diff(outlook.quantiles, axis=1) >= 0).all()
    assert (outlook.median == outlook.quantiles[:, 4]).all()
    assert outlook.volatility.shape == outlook.prob_up.shape == (horizon,)
    assert (outlook.volatility > 0).all()
    assert ((outlook.prob_up > 0) & (outlook.prob_up < 1)).all()
    assert len(outlook.target_times) == horizon


@pytest.mark.parametrize("horizon", [1, 7, 24, 64])
def test_outlook_is_whole_from_the_first_candle(horizon: int) -> None:
    """Every number is there and right in kind after one candle and after many."""
    stream = candles(150)
    check(taught(stream[:1], horizon).outlook(), horizon)

    learner = taught(stream, horizon)

    check(learner.outlook(), horizon)
    assert learner.sequence == 150
    assert learner.outlook().skill[-1].horizon == horizon


def flat(price: float) -> Callable[[int, Candle], Candle]:
    """Make every candle the same."""
    return lambda _, candle: Candle(candle.open_time, price, price, price, price, 0.0)


def crash(number: int, candle: Candle) -> Candle:
    """Lose 40 % in the 200th candle."""
    return scaled(candle, 1.0 if number < 200 else 0.6, low=0.6 if number == 200 else 1.0)


def wick(number: int, candle: Candle) -> Candle:
    """Touch next to nothing in the 200th candle."""
    return scaled(candle, 1.0, low=1e-6 if number == 200 else 1.0)


def leap(number: int, candle: Candle) -> Candle:
    """Go from a billionth to a billion and back, with volumes as wild."""
    return scaled(candle, 1e9 if number % 2 else 1e-9, volume=10.0 ** (number % 300))


def scaled(candle: Candle, factor: float, *, low: float = 1.0, volume: float = 1.0) -> Candle:
    """Multiply the prices, the low once more, and set the volume."""
    o, high, least, c = (
        price * factor for price in (candle.open, candle.high, candle.low, candle.close)
    )
    return Candle(candle.open_time, o, high, least * low, c, volume)


@pytest.mark.parametrize("twist", [flat(100.0), flat(1e-9), flat(1e9), crash, wick, leap])
def test_outlook_is_whole_whatever_happens(twist: Callable[[int, Candle], Candle]) -> None:
    """Dead markets, crashes, bad prints and absurd prices: every forecast is one."""
    learner = Learner(Timeframe("1h"), 24)
    for number, candle in enumerate(candles(400)):
        learner.learn_one(twist(number, candle))
        check(learner.outlook(), 24)


def test_a_market_that_is_dead_for_months_wakes_up() -> None:
    """The regression stays solvable through thousands of equal candles, and so do forecasts."""
    learner = Learner(Timeframe("1h"), 24)
    dead = flat(100.0)
    for number, candle in enumerate(candles(3_300)):
        learner.learn_one(dead(number, candle) if number < 3_000 else candle)
        if number % 50 == 0 or number >= 3_000:
            check(learner.outlook(), 24)

    forecaster = learner.forecaster
    assert isinstance(forecaster, ScaleMixtureForecaster)
    (regression,) = (e for e in forecaster.experts if isinstance(e, RecursiveLeastSquares))
    spread = np.linalg.eigvalsh(regression.covariance)
    assert 0 < spread.min() < spread.max() < 1.1 / regression.ridge
    assert learner.outlook().volatility[0] > 1e-4


def test_a_million_candles_are_no_limit() -> None:
    """Where all counters stand at a hundred million the next candles are learned as ever."""
    learner = taught(candles(300))
    forecaster = learner.forecaster
    assert isinstance(forecaster, ScaleMixtureForecaster)
    learner.sequence = forecaster.candles = 10**8
    forecaster.tracker.candles[:] = 10**8
    learner.hours.position = forecaster.hours.position = 10**8 // 24 * 24 + 299
    learner.prequential.total *= 10**6

    for candle in candles(400)[300:]:
        learner.learn_one(candle)

    check(learner.outlook(), 24)
    assert learner.sequence == 10**8 + 100


def test_outlook_is_pure() -> None:
    """Asking changes nothing that is said later."""
    stream = candles(60)
    asked, unasked = Learner(Timeframe("1h"), 6), Learner(Timeframe("1h"), 6)
    for candle in stream:
        asked.learn_one(candle)
        asked.outlook()
        asked.scores()
        unasked.learn_one(candle)

    assert (asked.outlook().quantiles == unasked.outlook().quantiles).all()
    assert asked.scores() == unasked.scores()


def test_targets_are_the_closes_of_the_next_candles() -> None:
    """Target times are close times: the first is two candle lengths after the last open."""
    learner = taught(candles(5), 3)
    last = MONDAY_MS + 4 * HOUR_MS

    assert learner.outlook().target_times == tuple(last + k * HOUR_MS for k in (2, 3, 4))


def test_warms_up_then_lives() -> None:
    """The first hundred candles say that they are the first."""
    stream = candles(100)

    assert taught(stream[:99]).outlook().status == "warming_up"
    assert taught(stream).outlook().status == "live"


@pytest.mark.usefixtures("stubborn")
def test_bad_forecasts_fall_back_to_the_baseline() -> None:
    """A model far too wide is replaced; its skill stays visible."""
    learner = taught(candles(1000, scale=0.001), 6, "stubborn")

    outlook = learner.outlook()

    assert outlook.status == "fallback"
    expected = learner.baseline.forecast_quantiles(6, QUANTILE_LEVELS)
    assert (outlook.quantiles == expected).all()
    assert (outlook.skill[0].crps or 0) < -1
    assert learner.scores()["worse_than_baseline"]


def test_not_finite_falls_back_at_once(stubborn: list[float]) -> None:
    """A model that says NaN never reaches a reader, and the baseline is not scored for it."""
    stubborn[3] = float("nan")
    learner = taught(candles(30), 6, "stubborn")

    check(learner.outlook(), 6)
    assert learner.outlook().status == "fallback"
    assert learner.scores()["horizons"]["1"]["total"]["candles"] == 0
    assert learner.outlook().skill[0].crps is None


@pytest.mark.usefixtures("stubborn")
def test_raises_what_the_model_raises() -> None:
    """A poisonous candle's error comes out as it is."""
    learner = taught(candles(3), 6, "stubborn")

    with pytest.raises(RuntimeError, match="thirteen"):
        learner.learn_one(Candle(MONDAY_MS + 9 * HOUR_MS, 13.0, 13.0, 13.0, 13.0, 0.0))


def test_scores_before_it_learns() -> None:
    """The score of the newest candle does not depend on having learned it."""
    stream = candles(40)
    shocked = [*stream[:-1], replace(stream[-1], close=stream[-1].low)]

    plain, other = taught(stream[:-1], 1), taught(shocked, 1)
    interval = plain.outlook().quantiles[0]

    inside = interval[1] <= shocked[-1].close <= interval[7]
    before, after = (x.scores()["horizons"]["1"]["total"] for x in (plain, other))
    assert after["candles"] == before["candles"] + 1
    gained = after["coverage_90"] * after["candles"] - before["coverage_90"] * before["candles"]
    assert gained == pytest.approx(float(inside))


def test_scores_are_json() -> None:
    """All of it can be stored as JSON, from the first candle on."""
    for count in (1, 50):
        scores = taught(candles(count)).scores()
        assert json.loads(json.dumps(scores, allow_nan=False)) == scores


def test_refuses_what_it_cannot_do() -> None:
    """No horizon of 0 or 65, no unknown model, no outlook before a candle."""
    for horizon in (0, 65):
        with pytest.raises(InvalidValue, match="1 to 64"):
            Learner(Timeframe("1h"), horizon)
    with pytest.raises(InvalidValue, match="default"):
        Learner(Timeframe("1h"), 3, "magic")
    with pytest.raises(InvalidValue, match="learn a candle"):
        Learner(Timeframe("1h"), 3).outlook()


def test_import_is_light() -> None:
    """A worker that imports the learner does not load River's time series or pandas."""
    code = "import models.learner, sys; print([m for m in sys.modules if m in (%r, %r, %r)])"

    output = subprocess.run(
        [sys.executable, "-c", code % ("river.time_series", "pandas", "scipy")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert output.strip() == "[]"
