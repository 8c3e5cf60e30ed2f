"""The scale experts one by one."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from models import constants
from models.constants import Prior
from models.forecaster import ScaleMixtureForecaster
from models.hours import HOUR_MS, MONDAY_MS
from models.memory import Array
from models.network import PooledNetwork
from models.pending import knots
from models.scale import RecursiveLeastSquares, ScaleExpert, SlowLevel
from models.solo import ExpertsAlone
from shared.forecast import QUANTILE_LEVELS

HORIZON = 7
ROWS = np.array(knots(HORIZON)) - 1
# Two holes: one that the shorter horizons step over, and one that is longer than all of them.
MISSING = {*range(60, 63), *range(120, 130)}
# A market is taken for one that mostly stands still until it has moved a few times.
AWAKE = MONDAY_MS + 40 * HOUR_MS
OLD = 500


@dataclass
class Market:
    """A market and the smallest change of its price, which is about 100 at the start."""

    tick: float
    count: int = 220

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield hourly candles whose volatility of 1 % comes and goes."""
        rng = np.random.default_rng(8)
        price = 100.0
        for hour in range(self.count):
            path = price + np.cumsum(rng.normal(0, 0.5 + 0.3 * np.sin(hour / 20), 4))
            o, price = price, float(np.round(path[-1] / self.tick) * self.tick)
            if hour not in MISSING:
                yield {
                    "open_time": MONDAY_MS + hour * HOUR_MS,
                    "open": o,
                    "high": max(o, price, *path),
                    "low": min(o, price, *path),
                    "close": price,
                    "volume": float(rng.gamma(3)),
                }


def forecaster(
    prior: Prior | None, panel: tuple[tuple[ScaleExpert, float], ...] = ()
) -> ScaleMixtureForecaster:
    """Return a forecaster that does not take its series for a young one."""
    made = ScaleMixtureForecaster(HOUR_MS, HORIZON, prior=prior, panel=panel)
    made.candles = OLD
    return made


def returns(forecaster: ScaleMixtureForecaster, close: float) -> Array:
    """Return its quantiles of the log return at the knots."""
    prices = forecaster.forecast_quantiles(HORIZON, QUANTILE_LEVELS)[ROWS]
    return np.asarray(np.log(prices / close))


def prior() -> Prior:
    """Return the shipped prior."""
    shipped = constants.prior()
    assert shipped
    return shipped


@pytest.mark.parametrize("tick", [1e-6, 0.4])
def test_an_expert_alone_is_a_forecaster_with_one_expert(tick: float) -> None:
    """Each says what a forecaster without the others says, on coarse ticks and past holes too."""
    shipped, horizons = prior(), knots(HORIZON)
    whole = forecaster(shipped)
    experts: tuple[ScaleExpert, ...] = (
        SlowLevel(2000),
        RecursiveLeastSquares(horizons),
        SlowLevel(66),
        PooledNetwork(horizons, shipped),
    )
    singles = [forecaster(shipped, ((expert, 1.0),)) for expert in experts]
    alone = ExpertsAlone(whole)

    for x in Market(tick):
        for one in (whole, *singles):
            one.learn_one(x["close"], x)
        quantiles = alone.learn_one(x["open_time"], x["close"])
        if x["open_time"] >= AWAKE:
            expected = np.stack([returns(single, x["close"]) for single in singles])
            assert quantiles == pytest.approx(expected, rel=1e-9, abs=1e-13)


def test_young_series_are_not_doubted() -> None:
    """An expert alone keeps to its own scale; only the forecaster widens that of a young series."""
    young = ScaleMixtureForecaster(HOUR_MS, HORIZON, panel=((SlowLevel(66), 1.0),))
    alone = ExpertsAlone(young)
    x = next(iter(Market(1e-6)))

    young.learn_one(x["close"], x)
    quantiles = alone.learn_one(x["open_time"], x["close"])

    tail = (0.6745, 1.2816, 1.6449, 1.96)
    scores = np.array([*(-size for size in tail[::-1]), 0, *tail])
    sigma = np.exp(young.opinions / 2) * np.sqrt(knots(HORIZON))[:, None]
    assert quantiles[0] == pytest.approx(sigma * scores)
    assert (returns(young, x["close"])[:, 8] > 1.4 * quantiles[0, :, 8]).all()


def test_names_tell_experts_of_a_kind_apart() -> None:
    """The two slow levels are told apart by their spans."""
    names = ("SlowLevel(2000)", "RecursiveLeastSquares", "SlowLevel(66)")

    assert ExpertsAlone(ScaleMixtureForecaster()).names == names
    assert ExpertsAlone(ScaleMixtureForecaster(prior=prior())).names == (*names, "PooledNetwork")


def test_quantiles_do_not_cross() -> None:
    """Where what was tracked crosses, what is said does not."""
    whole = ScaleMixtureForecaster(HOUR_MS, HORIZON)
    alone = ExpertsAlone(whole)
    alone._tracker.tilts[:, 6] = -5.0

    for x in list(Market(1e-6))[:3]:
        whole.learn_one(x["close"], x)
        quantiles = alone.learn_one(x["open_time"], x["close"])

    assert quantiles.shape == (3, len(knots(HORIZON)), 9)
    assert (np.diff(quantiles) >= 0).all()


def test_asking_the_experts_does_not_disturb_the_forecaster() -> None:
    """It forecasts the same whether or not its experts are asked one by one."""
    asked, unasked = (ScaleMixtureForecaster(HOUR_MS, HORIZON, prior=prior()) for _ in range(2))
    alone = ExpertsAlone(asked)

    for x in Market(0.4):
        asked.learn_one(x["close"], x)
        unasked.learn_one(x["close"], x)
        alone.learn_one(x["open_time"], x["close"])[:] = 0
        assert (returns(asked, x["close"]) == returns(unasked, x["close"])).all()
