"""What holds for any candles: forecasts are whole, causal, repeatable and survive saving."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from river import checks

from models import state
from models.baseline import RandomWalk
from models.calendar import Seasonality
from models.ewma import Ewma
from models.features import Features
from models.forecaster import ScaleMixtureForecaster
from models.hours import TradingHours
from models.learner import Learner
from models.memory import Memory
from models.mixture import GradientMixture
from models.pending import Pending
from models.quantiles import QuantileTracker
from models.scale import RecursiveLeastSquares, SlowLevel
from models.skill import Prequential
from models.stillness import TickHistogram
from models.ticks import TickGrid
from shared.candle import Candle, Series, Timeframe

SIGNER = state.Signer(b"property")
SERIES = Series.parse("test:BTC/USDT:1h")
ESTIMATORS = (
    *(RandomWalk, Seasonality, Ewma, Features, ScaleMixtureForecaster, TradingHours),
    *(GradientMixture, Pending, QuantileTracker, RecursiveLeastSquares, SlowLevel),
    *(Prequential, TickGrid, TickHistogram),
)
TIMEFRAMES = ("1m", "10m", "1h", "4h", "1d", "1w")

prices = st.one_of(
    st.floats(1e-9, 1e9), st.floats(99, 101), st.sampled_from([1e-9, 1e-4, 100.0, 1e9])
)
volumes = st.one_of(st.just(0.0), st.floats(0, 1e15))


@st.composite
def streams(draw: st.DrawFn) -> tuple[Timeframe, list[Candle]]:
    """Draw candles of one timeframe on its grid, holes between some of them."""
    timeframe = Timeframe(draw(st.sampled_from(TIMEFRAMES)))
    time = timeframe.floor(draw(st.integers(10**9, 2 * 10**12)))
    candles = []
    for _ in range(draw(st.integers(2, 40))):
        o, c, a, b = (draw(prices) for _ in range(4))
        high, low = max(o, c, a, b), min(o, c, a, b)
        candles.append(Candle(time, o, high, low, c, draw(volumes)))
        time += timeframe.ms * draw(st.sampled_from((1, 1, 1, 1, 1, 2, 3, 50)))
    return timeframe, candles


horizons = st.sampled_from((1, 2, 5, 24, 30, 64))
some = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def taught(timeframe: Timeframe, horizon: int, candles: list[Candle]) -> Learner:
    """Learn candles."""
    learner = Learner(timeframe, horizon)
    for candle in candles:
        learner.learn_one(candle)
    return learner


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_river_checks(estimator: type[Memory]) -> None:
    """Every part is a River estimator: parameters, clones, copies and names as River has them."""
    checks.check_estimator(estimator())


@some
@given(stream=streams(), horizon=horizons)
def test_every_outlook_is_whole(stream: tuple[Timeframe, list[Candle]], horizon: int) -> None:
    """Finite, positive, non-crossing, with probabilities and rising times, after each candle."""
    timeframe, candles = stream
    learner = Learner(timeframe, horizon)
    for candle in candles:
        learner.learn_one(candle)
        outlook = learner.outlook()

        assert np.isfinite(outlook.quantiles).all()
        assert (outlook.quantiles > 0).all()
        assert (np.diff(outlook.quantiles, axis=1) >= 0).all()
        assert np.isfinite(outlook.volatility).all()
        assert (outlook.volatility >= 0).all()
        assert ((outlook.prob_up >= 0) & (outlook.prob_up <= 1)).all()
        times = np.array((candle.open_time + timeframe.ms, *outlook.target_times))
        assert (np.diff(times) >= timeframe.ms).all()


@some
@given(stream=streams(), horizon=horizons, cut=st.integers(0, 39))
def test_saving_changes_no_bit(
    stream: tuple[Timeframe, list[Candle]], horizon: int, cut: int
) -> None:
    """Saved and loaded after any candle, the rest is learned to the same bits.

    It is loaded into a learner that has learned others before, as a worker does.
    """
    timeframe, candles = stream
    name = state.fingerprint("default", horizon)
    saved = taught(timeframe, horizon, candles[:cut])
    used = taught(timeframe, horizon, candles[::2])
    used.outlook()
    assert state.load(state.dump(saved, SIGNER, SERIES), SIGNER, name, SERIES, used) is used
    saved = used
    for candle in candles[cut:]:
        saved.learn_one(candle)

    whole = taught(timeframe, horizon, candles)

    assert whole.outlook().quantiles.tobytes() == saved.outlook().quantiles.tobytes()
    assert state.dump(whole, SIGNER, SERIES) == state.dump(saved, SIGNER, SERIES)


@some
@given(stream=streams(), horizon=horizons, factor=st.floats(0.5, 2.0))
def test_an_outlook_does_not_change_afterwards(
    stream: tuple[Timeframe, list[Candle]], horizon: int, factor: float
) -> None:
    """What was handed out shares nothing with the learner that goes on."""
    timeframe, candles = stream
    learner = taught(timeframe, horizon, candles[:-1])
    said = learner.outlook()
    quantiles = said.quantiles.tobytes()

    learner.learn_one(scaled(candles[-1], factor))

    assert said.quantiles.tobytes() == quantiles


@some
@given(stream=streams(), horizon=horizons, cut=st.integers(1, 39), factor=st.floats(0.5, 2.0))
def test_no_forecast_peeks(
    stream: tuple[Timeframe, list[Candle]], horizon: int, cut: int, factor: float
) -> None:
    """Whatever follows a prefix, all that was said in it, and its scores, are the same."""
    timeframe, candles = stream
    futures = candles[cut:], [scaled(candle, factor) for candle in candles[cut:]]

    said = [
        recorded(timeframe, horizon, [*candles[:cut], *future], cut) for future in (*futures, [])
    ]

    assert said[0] == said[1] == said[2]


def scaled(candle: Candle, factor: float) -> Candle:
    """Multiply the prices."""
    o, high, low, c = (
        price * factor for price in (candle.open, candle.high, candle.low, candle.close)
    )
    return Candle(candle.open_time, o, high, low, c, candle.volume)


def recorded(timeframe: Timeframe, horizon: int, candles: list[Candle], cut: int) -> list[str]:
    """Learn candles all at once; return what was said, scored and kept during the first ones."""
    learner, said = Learner(timeframe, horizon), []
    for candle in candles:
        learner.learn_one(candle)
        waiting = learner.prequential.pending
        said.append(
            f"{learner.outlook().quantiles.tolist()} {learner.scores()} {waiting.rows.tolist()}"
        )
    return said[:cut]
