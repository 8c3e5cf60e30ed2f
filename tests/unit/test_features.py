"""What the recent past says about the variance to come."""

import math
from itertools import pairwise

import numpy as np
import pytest

from models.features import SIZE, Features, clock
from models.hours import DAY_MS, HOUR_MS, MONDAY_MS
from models.memory import Array
from models.moves import Move

AHEAD = np.zeros(24)


def walk(count: int, scale: float = 0.01, volume: float = 5.0, seed: int = 3) -> list[Move]:
    """Draw moves of a random walk whose candles show the variance of its returns."""
    rng = np.random.default_rng(seed)
    closes = np.cumsum(rng.normal(0, scale, count))
    return [
        Move(
            log_close=float(close),
            log_return=float(step),
            variance=scale**2 * float(rng.gamma(4, 0.25)),
            location=float(rng.normal(0, scale / 2)),
            volume=volume * float(rng.gamma(4, 0.25)),
        )
        for close, step in zip(closes, np.diff(closes, prepend=0), strict=True)
    ]


def taught(moves: list[Move], season: float = 0.0) -> tuple[Features, Array]:
    """Learn the moves; return the estimator and its last features."""
    features = Features(HOUR_MS)
    for move in moves:
        features.learn_one(move, season)
    return features, features.transform_one(moves[-1], season, AHEAD)


def test_features_do_not_depend_on_scale() -> None:
    """Ten times the volatility and the volume moves the level and leaves all features."""
    quiet, small = taught(walk(600, 0.01, 5))
    lively, large = taught(walk(600, 0.1, 50))

    assert len(small) == SIZE
    assert large == pytest.approx(small, abs=0.01)
    assert lively.level - quiet.level == pytest.approx(2 * math.log(10), abs=0.01)


def test_level_is_the_mean_variance() -> None:
    """The level is the logarithm of the deseasonalised variance of a candle."""
    still = Move(4.6, 0.01, 1e-4, 0.0, 1.0)

    features, _ = taught([still] * 20, season=math.log(2))

    assert features.level == pytest.approx(math.log(5e-5), abs=1e-4)


def test_features_do_not_depend_on_season() -> None:
    """A market in its busy hour looks as it does in a quiet one, but for the calendar's own."""
    moves = walk(300)
    _, plain = taught(moves)
    busy = [
        move._replace(
            variance=4 * move.variance, log_return=2 * move.log_return, location=2 * move.location
        )
        for move in moves
    ]
    _, deseasonalised = taught(busy, season=math.log(4))

    own = [28, 29]  # the place in the range is seen as it is, and the season itself
    assert np.delete(deseasonalised, own) == pytest.approx(np.delete(plain, own), abs=0.01)
    assert deseasonalised[29] == pytest.approx(math.log(4))


def test_first_features_rise_with_recent_variance() -> None:
    """After a burst the short spans stand above the long ones, in order."""
    moves = walk(500)
    burst = [move._replace(variance=0.01) for move in moves[-3:]]

    _, features = taught(moves[:-3] + burst)

    spans = features[:9]
    assert all(short > long for short, long in pairwise(spans))
    assert spans[0] > 1


def test_trend_and_downside_have_their_sign() -> None:
    """Falling prices: drift features are negative, the downside share is high."""
    fall = [move._replace(log_return=-0.01) for move in walk(300)]

    _, features = taught(fall)

    assert (features[22:25] < -0.5).all()
    assert features[25:28] == pytest.approx(0.5, abs=0.01)


def test_seasons_ahead_are_those_of_the_scored_horizons() -> None:
    """The calendar's outlook is read at 1, 3, 6, 12 and 24 candles, or at the last."""
    moves = walk(50)
    features, _ = taught(moves)

    long = features.transform_one(moves[-1], 0, np.arange(24) / 10)
    short = features.transform_one(moves[-1], 0, np.arange(4) / 10)

    assert long[30:35] == pytest.approx([0, 0.2, 0.5, 1.1, 2.3])
    assert short[30:35] == pytest.approx([0, 0.2, 0.3, 0.3, 0.3])


def test_everything_is_bounded_in_a_dead_market() -> None:
    """Candles without movement or volume give finite features and full stillness."""
    features, vector = taught([Move(4.6, 0.0, 0.0, 0.0, 0.0)] * 400)

    assert (abs(vector) <= 4).all()
    assert features.stillness == pytest.approx(1)


def test_transform_is_pure() -> None:
    """Asking for the features twice gives the same and changes nothing."""
    moves = walk(30)
    features, vector = taught(moves)
    before = features.memory()

    again = features.transform_one(moves[-1], 0.0, AHEAD)

    assert (again == vector).all()
    assert features.memory() == before


def test_clock_goes_round() -> None:
    """Six in the morning is a quarter of the day, Monday the start of the week."""
    turns = clock(MONDAY_MS + DAY_MS // 4)

    assert turns == pytest.approx((0.5, 0, 0, -0.5, 0, 0.5), abs=1e-12)


def by_the_recipe(moves: list[Move], seasons: Array, ahead: Array) -> Array:
    """Return the features as a plain transcription of the recipe, part 2, has them."""

    def mean(values: Array, span: float) -> float:
        weights = (1 - 2 / (span + 1)) ** np.arange(len(values))[::-1]
        return float(np.average(values, weights=weights))

    def running(values: Array, span: float) -> Array:
        return np.array([mean(values[: n + 1], span) for n in range(len(values))])

    r = np.array([move.log_return for move in moves])
    volume = np.array([move.volume for move in moves])
    b = np.array([move.variance for move in moves]) * np.exp(-seasons) + 1e-10
    change: Array = r * np.exp(-seasons / 2)
    levels, square = np.log(running(b, 168)), change * change
    level, sd = levels[-1], math.sqrt(mean(b, 72))
    z, u = change[-1] / sd, np.log(1 + 1000 * volume / running(volume, 720))
    logs = np.maximum(np.log(b), levels - 7)
    down = np.where(change < 0, square, 0)
    x = [max(math.log(mean(b, q)) - level, -7) / 2 for q in (1, 2, 4, 8, 16, 32, 72, 500, 1500)]
    x += [max(2 * math.log(mean(abs(change) + 1e-6, q)) - level, -7) / 2 for q in (4, 24, 168)]
    x += [max(math.log(mean(square, q) + 1e-14) - level, -7) / 2 for q in (24, 168)]
    x += [max(mean(logs, q) - level, -7) / 2 for q in (6, 24, 168)]
    x += [u[-1] - mean(u, 24), u[-1] - mean(u, 168), mean(u, 4) - mean(u, 168)]
    x += [math.tanh(z / 2), math.log(abs(z) + 0.1) / 2]
    x += [math.tanh(math.sqrt(q) * mean(change, q) / (2 * sd)) for q in (6, 24, 72)]
    x += [(mean(down, q) + 1e-10) / (mean(square, q) + 2e-10) - 0.5 for q in (6, 24, 72)]
    x += [max(-2, min(2, moves[-1].location / sd)), seasons[-1], *ahead[[0, 2, 5, 11, 23]]]
    x += [math.log(1 / 4) / 4, mean(r == 0, 168)]
    return np.array(x).clip(-4, 4)


def test_features_are_those_of_the_recipe() -> None:
    """Hundreds of candles, some without a move or without volume, give the recipe's features."""
    rng, features = np.random.default_rng(8), Features(HOUR_MS // 4)
    moves = [
        move._replace(log_return=0.0, volume=0.0) if rng.random() < 0.2 else move
        for move in walk(300)
    ]
    seasons, ahead = rng.normal(0, 0.5, len(moves)), rng.normal(0, 0.5, 24)
    for count, (move, season) in enumerate(zip(moves, seasons.tolist(), strict=True), 1):
        features.learn_one(move, season)
        if count in (1, 2, 30, 299, 300):
            expected = by_the_recipe(moves[:count], seasons[:count], ahead)
            assert features.transform_one(move, season, ahead) == pytest.approx(expected, abs=1e-6)
