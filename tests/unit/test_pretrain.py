"""What a series teaches the pooled network, and how it is trained."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from models import seasons
from models.constants import HORIZONS, SHAPES, Prior
from models.features import SIZE
from models.forecaster import ScaleMixtureForecaster
from models.hours import HOUR_MS, MONDAY_MS
from models.memory import Array
from models.moves import fields_of, measure
from models.network import PooledNetwork
from models.scale import INPUTS, Origin
from shared.candle import Candle, Timeframe
from tests.priors import draw_prior

pytest.importorskip("autograd", reason="training needs the extra pretrain")

from autograd import value_and_grad

from models import pretrain
from models.pretrain import Lessons, Parameters

HOUR, FIRST = Timeframe("1h"), 200
NORMAL = (0.6745, 1.2816, 1.6449, 1.96)


def walk(count: int, *, seed: int = 1, start: int = MONDAY_MS) -> list[Candle]:
    """Draw hourly candles of a random walk."""
    rng = np.random.default_rng(seed)
    closes = (100 * np.exp(np.cumsum(0.005 * rng.standard_t(5, count + 1)))).tolist()
    wicks = (1 + 0.001 * rng.exponential(1, count)).tolist()
    return [
        Candle(start + n * HOUR_MS, o, max(o, c) * wick, min(o, c) / wick, c, 3.0 * wick)
        for n, ((o, c), wick) in enumerate(zip(pairwise(closes), wicks, strict=True))
    ]


class Notes:
    """A scale expert that keeps the origins it is shown, by the number of the candle."""

    def __init__(self) -> None:
        self.origins: list[Origin] = []

    def observe(self, origin: Origin) -> None:
        """Keep it."""
        self.origins.append(origin)

    def predict_one(self, origin: Origin) -> Array:
        """Say what was expected."""
        return origin.expected

    def learn_one(self, y: Array, position: int, known: Array) -> None:
        """Learn nothing."""


def plainly(candles: list[Candle], prior: Prior, number: int) -> tuple[Array, Array, Array]:
    """Work out what one candle teaches: features, labels and sizes; NaN where a target is none."""
    notes = Notes()
    forecaster = ScaleMixtureForecaster(HOUR_MS, 24, prior=prior, panel=((notes, 1.0),))
    for candle in candles:
        forecaster.learn_one(candle.close, fields_of(candle))
    places = {candle.open_time: place for place, candle in enumerate(candles)}
    origin, labels, sizes = notes.origins[number], [], []
    for horizon in HORIZONS:
        target = places.get(candles[number].open_time + horizon * HOUR_MS)
        expected = origin.expected[forecaster.knots.index(horizon)]
        if target is None:
            labels.append(np.nan)
            sizes.append(np.nan)
            continue
        path = candles[number : target + 1]
        moves = [measure(fields_of(x), np.log(before.close)) for before, x in pairwise(path)]
        spent = sum(0.7 * move.log_return**2 + 0.3 * move.variance for move in moves)
        labels.append(np.log(spent / horizon + 1e-9) - expected)
        moved = abs(np.log(path[-1].close / path[0].close))
        sizes.append(moved / (np.sqrt(horizon) * np.exp(expected / 2)))
    return origin.inputs[1:38], np.array(labels), np.array(sizes)


def test_a_row_is_what_its_candle_knew_and_what_came_of_it() -> None:
    """Also across a hole: where the target is missing there is no label and no size."""
    candles, prior = walk(360), draw_prior()
    del candles[300:304]

    lessons = pretrain.lessons_of(candles, HOUR, prior)

    # The last candle has no target, those before it have some; two have none in the hole alone.
    assert len(lessons) == len(candles) - FIRST - 1
    for number in (200, 201, 288, 290, 294, 297, 299, 300, 320, 340, len(candles) - 2):
        features, labels, sizes = plainly(candles, prior, number)
        row = number - FIRST
        assert lessons.features[row] == pytest.approx(features, rel=1e-5, abs=1e-6)
        assert lessons.labels[row] == pytest.approx(labels, rel=1e-4, abs=1e-5, nan_ok=True)
        assert lessons.sizes[row] == pytest.approx(sizes, rel=1e-4, abs=1e-5, nan_ok=True)
    missing = np.isnan(lessons.labels)
    assert (missing == np.isnan(lessons.sizes)).all()
    # From the candle before the hole (299): 1 and 3 ahead are in it, 6 and more are behind it.
    assert missing[299 - FIRST].tolist() == [True, True, False, False, False]
    assert missing[290 - FIRST].tolist() == [False, False, False, True, False]


@pytest.mark.parametrize("seed", [11, 15])
def test_a_market_whose_candles_often_do_not_come_teaches_too(seed: int) -> None:
    """Where six of ten are missing its hours seem to close and open, and targets move about."""
    there = np.random.default_rng(seed).random(24 * 7 * 4) > 0.6
    candles = [candle for candle, came in zip(walk(len(there)), there, strict=True) if came]

    lessons = pretrain.lessons_of(candles, HOUR, draw_prior())

    assert 20 < len(lessons) < len(candles) - FIRST
    assert np.isfinite(lessons.labels[:, :3]).any(axis=0).all()


def test_sizes_are_bounded_and_too_few_candles_teach_nothing() -> None:
    """A crash counts as 30 deviations; the first 200 candles are for warming up."""
    candles = walk(260)
    last = candles[-1]
    candles[-1] = Candle(last.open_time, last.open, last.open, 1e-6, 1e-6, 1.0)

    lessons = pretrain.lessons_of(candles, HOUR, draw_prior())

    assert np.nanmax(lessons.sizes) == 30
    assert {len(pretrain.lessons_of(walk(n), HOUR, draw_prior())) for n in (0, 1, 201)} == {0}
    assert len(pretrain.lessons_of(walk(202), HOUR, draw_prior())) == 1


def test_lessons_begin_with_the_calendar_of_the_prior() -> None:
    """The season that level and calendar expect is part of what is asked."""
    candles, prior = walk(210), draw_prior()
    other = Prior(**{**vars(prior), "hour": prior.hour[::-1]})
    network = Prior(**{**vars(prior), "weights_1": prior.weights_1 * 2})

    own, shifted, same = (
        pretrain.lessons_of(candles, HOUR, which).labels for which in (prior, other, network)
    )

    assert (own[:, 0] != shifted[:, 0]).any()
    assert np.array_equal(own, same, equal_nan=True)


def problem(rows: int, seed: int) -> tuple[Lessons, Array]:
    """Draw lessons in which the eighth feature, on a scale of its own, says the log variance."""
    rng = np.random.default_rng(seed)
    features = rng.normal(0, 1, (rows, SIZE))
    truth = 0.8 * features[:, [7]] + np.linspace(0, 0.4, len(HORIZONS))
    features[:, 7] = 2 + 3 * features[:, 7]
    sizes = abs(rng.standard_normal(truth.shape)) * np.exp(truth / 2)
    labels = truth + rng.normal(0, 0.5, truth.shape)
    labels[::11, 4] = sizes[::11, 4] = np.nan
    arrays = (array.astype(np.float32) for array in (features, labels, sizes))
    return Lessons(*arrays), truth


def untaught() -> Prior:
    """Return a prior without seasons whose network says nothing."""
    return pretrain.untrained(seasons.fit([]))


def said(prior: Prior, features: NDArray[np.floating]) -> Array:
    """Return what the network says to each row, where nothing was expected: (n, 5)."""
    network, out = PooledNetwork(HORIZONS, prior), []
    for row in features:
        inputs = np.full(INPUTS, np.nan)
        inputs[1 : 1 + SIZE] = row
        out.append(network.predict_one(Origin(0, inputs, np.zeros(len(HORIZONS)), 0.0)))
    return np.array(out)


def test_training_finds_what_predicts_the_scale() -> None:
    """The loss falls with each epoch, and the network goes by the one feature that counts."""
    lessons, _ = problem(3000, 1)
    losses: list[tuple[int, float]] = []

    trained = pretrain.train(
        [lessons], untaught(), epochs=14, on_epoch=lambda *told: losses.append(told)
    )

    fresh, truth = problem(400, 2)
    answers = said(trained, fresh.features)
    assert [number for number, _ in losses] == list(range(1, 15))
    assert all(later < earlier for (_, earlier), (_, later) in pairwise(losses))
    assert losses[-1][1] < 0.85 * losses[0][1]
    assert trained.center[7] == pytest.approx(lessons.features[:, 7].mean())
    assert trained.spread[7] == pytest.approx(lessons.features[:, 7].std(), rel=1e-4)
    shares = [np.corrcoef(answers[:, 1], column)[0, 1] for column in fresh.features.T]
    assert np.argmax(shares) == 7
    assert np.corrcoef(answers[:, 1], truth[:, 1])[0, 1] > 0.75
    assert (abs(trained.sizes / NORMAL - 1) < 0.15).all()


def test_the_same_seed_gives_the_same_constants() -> None:
    """Another seed, or lessons in another order, give others; the calendar stays as it was."""
    # More rows than a batch holds: within one their order is of no matter.
    one, two = problem(900, 3)[0], problem(200, 4)[0]
    start = draw_prior()

    def train(*lessons: Lessons, seed: int = 1) -> Prior:
        return pretrain.train(lessons, start, seed=seed, epochs=2)

    first = train(one, two)
    assert train(one, two).digest == first.digest
    assert train(one, two, seed=2).digest != first.digest
    assert train(two, one).digest != first.digest
    for name in ("hour", "weekday", "week", "part", "day"):
        assert (getattr(first, name) == getattr(start, name)).all()


def test_a_feature_that_never_moves_says_nothing_where_it_does() -> None:
    """Taught by candles of one length, the network hears nothing of the length of others."""
    lessons, _ = problem(250, 5)
    lessons.features[:, 35] = 0.5

    trained = pretrain.train([lessons], untaught(), epochs=1)

    other = lessons.features[:1].copy()
    other[:, 35] = -0.9
    assert trained.spread[35] == 1
    assert (said(trained, other) == said(trained, lessons.features[:1])).all()


def drawn_weights(seed: int) -> Parameters:
    """Draw the parameters that are trained."""
    rng = np.random.default_rng(seed)
    names = [f"{kind}_{layer}" for kind in ("weights", "bias") for layer in (1, 2, 3)] + ["skip"]
    weights = {name: rng.normal(0, 0.3, SHAPES[name]) for name in names}
    return {**weights, "shape": np.log(NORMAL) + rng.normal(0, 0.2, SHAPES["sizes"])}


def by_the_formula(weights: Parameters, inputs: Array, labels: Array, sizes: Array) -> float:
    """Return the loss as its description has it, number by number."""
    total = 0.0
    for x, label, size in zip(inputs, labels, sizes, strict=True):
        wide = np.tanh(x @ weights["weights_1"] + weights["bias_1"])
        narrow = np.tanh(wide @ weights["weights_2"] + weights["bias_2"])
        output = narrow @ weights["weights_3"] + x @ weights["skip"] + weights["bias_3"]
        for column in range(len(HORIZONS)):
            if np.isnan(label[column]) or np.isnan(size[column]):
                continue
            error = max(-4.0, min(4.0, label[column] - output[column]))
            total += 0.5 * error**2 / 2
            for level, shape in zip((0.5, 0.8, 0.9, 0.95), weights["shape"][column], strict=True):
                distance = size[column] - np.exp(output[column] / 2) * np.exp(shape)
                pinball = level * distance if distance > 0 else (level - 1) * distance
                total += 0.5 * 6 * pinball / 4
    return total / labels.size


def batch() -> tuple[Array, Array, Array]:
    """Draw a batch in which some targets are missing and some errors are beyond the bound."""
    rng = np.random.default_rng(6)
    inputs = rng.normal(0, 1, (12, SIZE))
    labels, sizes = rng.normal(0, 2, (12, 5)), abs(rng.normal(0, 1, (12, 5)))
    labels[3, 2], labels[4, 0] = 40.0, -40.0
    labels[5, 1] = sizes[5, 1] = labels[6, 3] = sizes[7, 4] = np.nan
    return inputs, labels, sizes


def test_loss_is_that_of_the_description() -> None:
    """Pinball and bounded squared error, in the shares told; what is missing counts as zero."""
    weights, data = drawn_weights(7), batch()

    assert float(pretrain._loss(weights, *data)) == pytest.approx(by_the_formula(weights, *data))


@pytest.mark.parametrize("name", drawn_weights(8))
def test_gradient_is_that_of_the_loss(name: str) -> None:
    """Some weights of each array, moved a little either way, change the loss as it says."""
    weights, data = drawn_weights(8), batch()
    _, slopes = value_and_grad(pretrain._loss)(weights, *data)

    step = 1e-6
    for index in np.random.default_rng(9).integers(0, weights[name].size, 4):
        losses = []
        for sign in (1, -1):
            moved = {**weights, name: weights[name].copy()}
            moved[name].flat[index] += sign * step
            losses.append(by_the_formula(moved, *data))
        slope = (losses[0] - losses[1]) / (2 * step)
        assert slopes[name].flat[index] == pytest.approx(slope, rel=1e-4, abs=1e-7)


def test_steps_are_those_of_adamw() -> None:
    """Moments, their correction, half a cosine of the rate, and decay of weights but not biases."""
    rng, steps = np.random.default_rng(10), 5
    start: dict[str, Array] = {name: rng.normal(0, 1, 3) for name in ("weights_1", "skip", "bias")}
    optimizer = pretrain._AdamW({name: x.copy() for name, x in start.items()}, steps)
    first, second = ({name: np.zeros(3) for name in start} for _ in range(2))
    for step in range(steps):
        slopes = {name: rng.normal(0, 1, 3) for name in start}
        optimizer.step(slopes)
        rate = 0.003 * (1 + np.cos(np.pi * step / steps)) / 2
        for name, slope in slopes.items():
            first[name] = 0.9 * first[name] + 0.1 * slope
            second[name] = 0.999 * second[name] + 0.001 * slope**2
            m, v = first[name] / (1 - 0.9 ** (step + 1)), second[name] / (1 - 0.999 ** (step + 1))
            start[name] = start[name] - rate * m / (np.sqrt(v) + 1e-8)
            start[name] *= 1 if name == "bias" else 1 - rate * 0.1

    for name, weights in start.items():
        assert optimizer.weights[name] == pytest.approx(weights, rel=1e-12)


def test_a_market_that_closes_at_regular_hours_is_told() -> None:
    """Weekdays from 13:00 to 21:00 are hours, around the clock with one outage is none."""
    candles = walk(24 * 7 * 5)
    open_ = [x for x in candles if 13 <= x.open_time // HOUR_MS % 24 < 21]

    assert pretrain.keeps_hours(open_, HOUR)
    assert not pretrain.keeps_hours(candles, HOUR)
    assert not pretrain.keeps_hours([*candles[:300], *candles[340:]], HOUR)


def test_untrained_the_network_says_nothing() -> None:
    """What level and calendar expect is left as it is, and sizes are those of a normal return."""
    tables = seasons.fit([]) | {"hour": np.arange(24, dtype=np.float32)}

    prior = pretrain.untrained(tables)

    assert not said(prior, np.random.default_rng(1).normal(0, 1, (3, SIZE))).any()
    assert prior.sizes == pytest.approx(np.tile(NORMAL, (5, 1)))
    assert prior.hour.tolist() == list(range(24))
