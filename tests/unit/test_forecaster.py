"""The default forecaster."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from river import checks
from river.checks import time_series

from models import catalog, state
from models.constants import HORIZONS, Prior
from models.forecaster import ScaleMixtureForecaster
from models.hours import DAY_MS, HOUR_MS, MONDAY_MS
from models.learner import Learner
from models.memory import Array
from models.moves import Move, measure
from models.network import PooledNetwork
from models.scale import Origin, RecursiveLeastSquares, SlowLevel
from shared import candle as values
from shared.errors import InvalidValue
from shared.forecast import QUANTILE_LEVELS
from tests.priors import draw_prior

Candle = dict[str, Any]


def market(count: int, *, seed: int = 1, step_ms: int = HOUR_MS, busy: float = 1.0) -> list[Candle]:
    """Draw candles of a random walk, volatility 0.5 %, ``busy`` times that from 12:00 to 16:00."""
    rng = np.random.default_rng(seed)
    price, candles = 100.0, []
    for time in range(MONDAY_MS, MONDAY_MS + count * step_ms, step_ms):
        scale = 0.005 * (busy if 12 <= time // HOUR_MS % 24 < 16 else 1)
        path = price * np.exp(np.cumsum(rng.normal(0, scale / 2, 4)))
        o, price = price, float(path[-1])
        high, low = max(o, *path), min(o, *path)
        volume = float(rng.gamma(3))
        candles.append(
            {"open_time": time, "open": o, "high": high, "low": low, "close": price}
            | {"volume": volume}
        )
    return candles


def taught(
    candles: list[Candle], horizon: int = 24, prior: Prior | None = None
) -> ScaleMixtureForecaster:
    """Learn candles."""
    forecaster = ScaleMixtureForecaster(HOUR_MS, horizon, prior=prior)
    for x in candles:
        forecaster.learn_one(x["close"], x)
    return forecaster


def quantiles(forecaster: ScaleMixtureForecaster) -> Array:
    """Return its price quantiles at the nine levels."""
    return forecaster.forecast_quantiles(forecaster.horizon, QUANTILE_LEVELS)


def sessions(candles: list[Candle]) -> list[Candle]:
    """Keep the candles of Monday to Friday, 13:00 to 21:00."""
    kept = []
    for x in candles:
        hour = (x["open_time"] - MONDAY_MS) // HOUR_MS
        if hour // 24 % 7 < 5 and 13 <= hour % 24 < 21:
            kept.append(x)
    return kept


@pytest.mark.parametrize("prior", [None, draw_prior()], ids=["none", "prior"])
def test_river_checks(prior: Prior | None) -> None:
    """River's own checks of estimators and of forecasters hold, with a prior too."""
    checks.check_estimator(ScaleMixtureForecaster(prior=prior))
    dataset = [(x, x["close"]) for x in market(8)]
    for check in (time_series.check_learn_one, time_series.check_forecast):
        check(ScaleMixtureForecaster(prior=prior), dataset)  # type: ignore[no-untyped-call]


def test_finds_volatility_and_its_growth() -> None:
    """On a plain random walk the 90 % band is that of the walk at every horizon."""
    forecaster = taught(market(3000))
    last = forecaster.forecast_quantiles(24, (0.05, 0.95))

    width = np.log(last[:, 1] / last[:, 0]) / (2 * 1.645)

    assert width == pytest.approx(0.005 * np.sqrt(np.arange(1, 25)), rel=0.2)


def test_foresees_the_busy_hours() -> None:
    """Before the hours in which the market moves three times as much the band widens."""
    candles = market(24 * 60 + 12, busy=3.0)

    before, after = (quantiles(taught(candles[:count])) for count in (-1, None))

    widths = [float(np.log(one[0, 7] / one[0, 1])) for one in (before, after)]
    assert before.shape == (24, 9)
    assert widths[0] < 1.5 * widths[1]
    assert widths[1] > 2 * 0.005 * 2 * 1.645


def test_depends_on_the_candles_it_learned() -> None:
    """The same candles give the same forecast, others another."""
    candles = market(80)
    other = [*candles[:60], *({**x, "close": x["low"]} for x in candles[60:])]

    assert (quantiles(taught(candles[:60])) == quantiles(taught(other[:60]))).all()
    assert (quantiles(taught(candles)) != quantiles(taught(other))).any()


def test_missing_target_teaches_nothing() -> None:
    """Without the target candle no horizon learns; the next candle with targets teaches them."""
    candles = market(40)
    forecaster = taught(candles[:10], horizon=1)
    sizes = forecaster.tracker.sizes.copy()

    forecaster.learn_one(candles[11]["close"], candles[11])
    assert (forecaster.tracker.sizes == sizes).all()

    forecaster.learn_one(candles[12]["close"], candles[12])
    assert (forecaster.tracker.sizes != sizes).any()


def test_label_is_the_variance_spent_since_the_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Experts learn ln mean(0.7 r² + 0.3 range variance) up to the horizon, less the expected."""
    candles = market(60)
    forecaster = taught(candles[:-1], horizon=2)
    expected = forecaster.pending.rows[forecaster.pending.slots(59)][:, 2]
    labels: list[Array] = []
    expert = forecaster.experts[1]
    monkeypatch.setattr(expert, "learn_one", lambda y, _position, _known: labels.append(y))

    forecaster.learn_one(candles[-1]["close"], candles[-1])

    moves = [measure(x, np.log(y["close"])) for y, x in pairwise(candles[-3:])]
    spent = [0.7 * move.log_return**2 + 0.3 * move.variance + 1e-9 for move in reversed(moves)]
    assert labels[0] + expected == pytest.approx(np.log([spent[0], sum(spent) / 2]))


def test_horizons_are_matched_by_time_across_a_hole() -> None:
    """Three ahead of the candle before a hole is found behind it, two ahead is not."""
    candles = market(40)
    forecaster = taught(candles[:20], horizon=3)
    before = forecaster.tracker.sizes.copy()

    forecaster.learn_one(candles[22]["close"], candles[22])

    assert (forecaster.tracker.sizes != before).any(axis=1).tolist() == [False, False, True]


def test_one_wick_does_not_widen_a_week() -> None:
    """A single bad low leaves the forecasts about where they were."""
    candles = market(300)
    wick = {**candles[-1], "low": 0.0001}

    plain, shocked = (
        np.log(quantiles(taught([*candles[:-1], last])) / last["close"])
        for last in (candles[-1], wick)
    )

    assert (shocked[:, 8] < 4 * plain[:, 8]).all()


def test_first_candle_is_wide() -> None:
    """One flat candle of an unknown market: half a percent an hour and more is possible."""
    forecast = quantiles(taught([{**market(1)[0], "high": 100, "low": 100, "close": 100.0}]))

    assert (np.diff(forecast, axis=1) >= 0).all()
    assert forecast[0, 8] > 100.5
    assert forecast[0, 0] > 90


def test_shorter_horizon_is_the_beginning_of_the_longer() -> None:
    """Asking for fewer candles gives the first of them."""
    forecaster = taught(market(50))

    assert (forecaster.forecast_quantiles(5, QUANTILE_LEVELS) == quantiles(forecaster)[:5]).all()
    assert forecaster.forecast(2) == quantiles(forecaster)[:2, 4].tolist()


def test_daily_sessions_run_through() -> None:
    """Daily candles of weekdays, one horizon: nothing breaks, and weekends are stepped over."""
    weekdays = [x for day, x in enumerate(market(300, step_ms=DAY_MS)) if day % 7 < 5]
    forecaster = ScaleMixtureForecaster(DAY_MS, 1)

    for x in weekdays:
        forecaster.learn_one(x["close"], x)

    assert forecaster.hours.is_session
    assert np.isfinite(quantiles(forecaster)).all()


def test_refuses_what_it_cannot_forecast() -> None:
    """Too far, or too early, or without the candle: the error says what to do."""
    with pytest.raises(InvalidValue, match="use 1 to 24"):
        taught(market(2)).forecast(25)
    with pytest.raises(InvalidValue, match="learn a candle"):
        ScaleMixtureForecaster().forecast(1)
    with pytest.raises(InvalidValue, match="open_time"):
        ScaleMixtureForecaster().learn_one(100.0)


def test_range_counts_a_hundred_times_the_usual_at_most() -> None:
    """A wick is capped at a hundred usual variances, a real return counts whole."""
    forecaster = taught(market(300))
    usual, move = forecaster.usual.get(), Move(4.6, 0.0, 9.0, 0.0, 1.0)

    assert forecaster._tempered(move).variance == pytest.approx(100 * usual)
    assert forecaster._tempered(move._replace(log_return=2.0)).variance == 4


def test_doubt_fades_with_the_candles() -> None:
    """The variance of a young series counts 1 + 1 / candles times, that of an old one once."""
    forecaster, scale = ScaleMixtureForecaster(), np.full(9, -9.0)
    for forecaster.candles, factor in ((20, 1.05), (499, 1 + 1 / 499), (500, 1)):
        assert np.exp(forecaster.widened(scale) + 9) == pytest.approx(factor, rel=1e-6)


def test_still_markets_lean_on_the_slow_level() -> None:
    """Where most closes do not move, the mixture starts from more trust in the slow level."""
    dead = [{**x, **dict.fromkeys(("open", "high", "low", "close"), 100.0)} for x in market(300)]
    forecaster = taught(dead)
    mixture, weights = forecaster.mixture, forecaster.mixture.weights.copy()

    mixture.weigh(1.0)
    assert weights == pytest.approx(mixture.weights, rel=0.01)

    mixture.weigh(0.0)
    assert isinstance(slow := forecaster.experts[0], SlowLevel)
    assert slow.span == 2000
    assert (weights[:, 0] > 1.2 * mixture.weights[:, 0]).all()


def test_labels_hold_what_was_said_at_their_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is scored of a forecast is its close and its scale, as they were when it was made."""
    candles, said = market(60), {}
    forecaster = taught(candles[:30], horizon=3)
    learned: list[Array] = []
    monkeypatch.setattr(forecaster.tracker, "learn_one", lambda z, _known: learned.append(z))
    monkeypatch.setattr(forecaster.mixture, "learn_one", lambda *_: None)
    for number, x in enumerate(candles[30:], 30):
        forecaster.learn_one(x["close"], x)
        said[number] = np.log(x["close"]), np.exp(forecaster.scale / 2) * np.sqrt((1, 2, 3))
        for row, back in enumerate((1, 2, 3)):
            if number - back >= 30:
                close, deviation = said[number - back]
                z = (np.log(x["close"]) - close) / deviation[row]
                assert learned[-1][row] == pytest.approx(z, rel=1e-10)


def test_a_prior_is_a_fourth_expert() -> None:
    """The network begins with 58 % of the say, the regression with 35 %, the levels with 7 %."""
    prior = draw_prior()
    forecaster, plain = ScaleMixtureForecaster(prior=prior), ScaleMixtureForecaster()

    slow, regression, quick, network = forecaster.experts
    assert isinstance(network, PooledNetwork)
    assert (network.prior, network.horizons) == (prior, forecaster.knots)
    assert isinstance(regression, RecursiveLeastSquares)
    assert isinstance(slow, SlowLevel)
    assert isinstance(quick, SlowLevel)
    assert (slow.span, quick.span) == (2000, 66)
    assert forecaster.mixture.weights == pytest.approx(np.tile((0.05, 0.35, 0.02, 0.58), (9, 1)))
    assert plain.mixture.weights == pytest.approx(np.tile((0.05, 0.35, 0.02), (9, 1)) / 0.42)


def test_a_prior_is_where_season_and_quantiles_start() -> None:
    """Its sizes are carried to the knots linearly in ln h, its seasons are the calendar's."""
    prior = draw_prior()
    forecaster = ScaleMixtureForecaster(HOUR_MS, 30, prior=prior)

    logs = np.log(forecaster.knots), np.log(HORIZONS)
    sizes = np.column_stack([np.interp(*logs, column) for column in prior.sizes.T])
    assert forecaster.tracker.sizes == pytest.approx(sizes)
    assert forecaster.calendar.hour[0] == pytest.approx(prior.hour)


def test_the_network_is_heard_from_the_first_candles_on() -> None:
    """One that says 2 more moves the mixture by its weight, the largest, widened for its youth."""
    prior = draw_prior()
    loud = Prior(**{**vars(prior), "bias_3": prior.bias_3 + np.float32(2)})

    one, two = (taught(market(6), prior=which) for which in (prior, loud))

    assert two.opinions - one.opinions == pytest.approx(np.tile((0, 0, 0, 2), (9, 1)), abs=1e-5)
    for forecaster in (one, two):
        weights = forecaster.mixture.weights
        assert (weights[:, 3] > 0.4).all()
        mixed = (weights * forecaster.opinions).sum(axis=1)
        unknown = 1e-4 / 4**6  # the guess for a market of which no candle is known, fading
        assert np.exp(forecaster.scale) == pytest.approx(7 / 6 * np.exp(mixed) + unknown)


def test_a_market_that_keeps_hours_makes_the_calendar_start_anew_once() -> None:
    """From the candle on that shows its hours, what the prior said of others' days is gone."""
    forecaster, since = ScaleMixtureForecaster(prior=draw_prior()), 0
    for x in sessions(market(24 * 7 * 8)):
        forecaster.learn_one(x["close"], x)
        assert forecaster.calendar.starts_anew == forecaster.hours.is_session
        since += forecaster.hours.is_session
        lessons = since or max(forecaster.candles - 25, 0) + 24 * 20
        assert forecaster.calendar.hour[1].sum() == lessons

    assert since > 200
    assert not forecaster.calendar.hour[:, :13].any()
    assert forecaster.calendar.hour[0, 13:21].all()


def test_one_outage_leaves_the_prior_in_the_calendar() -> None:
    """Forty hours without candles are no opening hours."""
    prior, candles = draw_prior(), market(400)

    forecaster = taught([*candles[:200], *candles[240:]], prior=prior)

    assert not forecaster.calendar.starts_anew
    assert forecaster.calendar.hour[1].sum() == 24 * 20 + 360 - 25


class Sure:
    """A scale expert that always says the same log variance, and notes what it is told."""

    def __init__(self, says: float) -> None:
        self.says = says
        self.seen: list[int] = []
        self.labels = 0.0

    def observe(self, origin: Origin) -> None:
        """Note the place."""
        self.seen.append(origin.position)

    def predict_one(self, origin: Origin) -> float:
        """Say the same, once the place is noted."""
        assert self.seen[-1] == origin.position
        return self.says

    def learn_one(self, y: Array, position: int, known: Array) -> None:  # noqa: ARG002 - a protocol
        """Count the labels that are known."""
        self.labels += known.sum()


def test_a_panel_of_ones_own_takes_the_place_of_all_experts() -> None:
    """Its opinions, weighted as it says, are the forecast scale; the network has no say."""
    panel = (Sure(-9.0), 3.0), (Sure(-7.0), 1.0)
    forecaster = ScaleMixtureForecaster(HOUR_MS, 3, prior=draw_prior(), panel=panel)
    assert forecaster.mixture.weights.tolist() == [[0.75, 0.25]] * 3

    for x in market(520):
        forecaster.learn_one(x["close"], x)

    assert forecaster.experts == (panel[0][0], panel[1][0])
    assert forecaster.opinions.tolist() == [[-9.0, -7.0]] * 3
    assert forecaster.scale == pytest.approx(forecaster.mixture.weights @ (-9, -7))
    assert all(expert.seen == list(range(520)) for expert, _ in panel)
    assert all(expert.labels == 519 + 518 + 517 for expert, _ in panel)


@pytest.mark.parametrize("kind", ["shipped", "none", "mine"])
def test_saved_with_a_prior_it_goes_on_bit_for_bit(kind: str, tmp_path: Path) -> None:
    """Saved and loaded in mid-stream, before and after its calendar has started anew."""
    draw_prior(80).save(tmp_path / "mine")
    model = catalog.with_prior("default", str(tmp_path / "mine") if kind == "mine" else kind)
    signer, series = state.Signer(b"k" * 32), values.Series.parse("test:BTC/USDT:1h")
    print_ = state.fingerprint(model, 24)
    whole, saved = (Learner(series.timeframe, 24, model) for _ in range(2))
    for number, x in enumerate(sessions(market(24 * 7 * 8))):
        candle = values.Candle(**x)
        whole.learn_one(candle)
        saved.learn_one(candle)
        if number % 31 == 0:
            saved = state.load(state.dump(saved, signer, series), signer, print_, series)

    assert isinstance(saved.forecaster, ScaleMixtureForecaster)
    assert len(saved.forecaster.experts) == (3 if kind == "none" else 4)
    assert saved.forecaster.calendar.starts_anew
    assert whole.outlook().quantiles.tobytes() == saved.outlook().quantiles.tobytes()
    assert state.dump(whole, signer, series) == state.dump(saved, signer, series)
