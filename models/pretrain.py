"""Pooled training: one network and one calendar from the candles of many series.

Needs the extra ``pretrain``. Seeded: the same candles give the same constants, bit for bit, on the
same kind of processor and library builds.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import autograd.numpy as anp
import numpy as np
from autograd import value_and_grad
from numpy.typing import NDArray

from models.constants import HORIZONS, MOST_SPREADS, SHAPES, Prior
from models.features import SIZE
from models.forecaster import ScaleMixtureForecaster
from models.hours import TradingHours
from models.memory import Array, bounded
from models.moves import fields_of
from models.pending import knots
from models.scale import Origin
from models.seasons import Tables
from shared.candle import Candle, Timeframe
from shared.errors import InvalidValue

LEVELS = np.array((0.5, 0.8, 0.9, 0.95))
_BATCH, _RATE, _DECAY = 1_024, 3e-3, 0.1
_PINBALL_SHARE, _PINBALL_UNIT = 0.5, 6.0
_ERROR_CLIP, _Z_CLIP = 4.0, 30.0
_LEAST_SPREAD = 0.05
_WARM = 200
_NORMAL = np.log((0.6745, 1.2816, 1.6449, 1.9600))

Parameters = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Lessons:
    """What one series teaches, one row an origin; float32.

    Attributes
    ----------
    features
        Shape (n, 37).
    labels
        Log variance a candle less what level and calendar expected, at the network's horizons,
        shape (n, 5).
    sizes
        Absolute return over the deviation that level and calendar expected, shape (n, 5); NaN
        where the target is missing.
    """

    features: NDArray[np.float32]
    labels: NDArray[np.float32]
    sizes: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.features)

    def every(self, rows: int) -> Self:
        """Return every so many of the rows, beginning with the first."""
        return replace(
            self,
            features=self.features[::rows],
            labels=self.labels[::rows],
            sizes=self.sizes[::rows],
        )


class Recorder:
    """A scale expert that keeps what the others are asked, and what would have been right."""

    def __init__(self, candles: int, knots: Sequence[int]) -> None:
        self.features = np.full((candles, SIZE), np.nan, np.float32)
        self.labels = np.full((candles, len(HORIZONS)), np.nan, np.float32)
        self.sizes = np.full((candles, len(HORIZONS)), np.nan, np.float32)
        self._columns = [knots.index(horizon) for horizon in HORIZONS]
        self._rows: dict[int, int] = {}
        self._expected = np.zeros((candles, len(HORIZONS)))
        self._closes = np.zeros(candles)
        self._row = -1

    def observe(self, origin: Origin) -> None:
        """Keep the origin's features and its close."""
        close = self._closes[self._row] + origin.log_return if self._row >= 0 else 0.0
        self._row += 1
        self._rows[origin.position] = self._row
        self._closes[self._row] = close
        self.features[self._row] = origin.inputs[1 : 1 + SIZE]
        self._expected[self._row] = origin.expected[self._columns]

    def predict_one(self, origin: Origin) -> Array:
        """Return what level and calendar expect."""
        return origin.expected

    def learn_one(self, y: Array, position: int, known: Array) -> None:
        """Keep the labels that the candle at ``position`` ends, and its standardised return."""
        for number, (column, horizon) in enumerate(zip(self._columns, HORIZONS, strict=True)):
            # A market whose hours were just learned may have counted otherwise at the origin.
            row = self._rows.get(position - horizon)
            if known[column] and row is not None:
                self.labels[row, number] = y[column]

    def lessons(self) -> Lessons:
        """Return the rows, the first ones and those without any label left out."""
        for number, horizon in enumerate(HORIZONS):
            deviation = np.sqrt(horizon) * np.exp(self._expected[:, number] / 2)
            moved = np.full(len(self._closes), np.nan)
            for position, row in self._rows.items():
                target = self._rows.get(position + horizon)
                if target is not None:
                    moved[row] = abs(self._closes[target] - self._closes[row])
            self.sizes[:, number] = np.minimum(moved / deviation, _Z_CLIP)
        kept = np.flatnonzero(np.isfinite(self.labels).any(axis=1))
        kept = kept[kept >= _WARM]
        return Lessons(self.features[kept], self.labels[kept], self.sizes[kept])


def lessons_of(candles: Iterable[Candle], timeframe: Timeframe, prior: Prior) -> Lessons:
    """Run the default model's senses over a series and return what it teaches the network.

    Parameters
    ----------
    candles
        In order.
    prior
        Whose calendar the series starts from; its network is not used.
    """
    candles = list(candles)
    recorder = Recorder(len(candles), knots(HORIZONS[-1]))
    forecaster = ScaleMixtureForecaster(
        timeframe.ms, HORIZONS[-1], prior=prior, panel=((recorder, 1.0),)
    )
    for candle in candles:
        forecaster.learn_one(candle.close, fields_of(candle))
    return recorder.lessons()


def keeps_hours(candles: Iterable[Candle], timeframe: Timeframe) -> bool:
    """Whether a market closes at regular hours."""
    hours = TradingHours(timeframe.ms, 1)
    for candle in candles:
        hours.learn_one(candle.open_time)
    return hours.is_session


def untrained(seasons: Tables) -> Prior:
    """Return a prior of these seasons whose network says nothing."""
    shapes = {name: np.zeros(shape, np.float32) for name, shape in SHAPES.items()}
    ones = {"spread": np.ones(SIZE, np.float32), "sizes": np.tile(np.exp(_NORMAL), (5, 1))}
    return Prior(**(shapes | ones | seasons))


def train(
    lessons: Sequence[Lessons],
    prior: Prior,
    *,
    seed: int = 1,
    epochs: int,
    on_epoch: Callable[[int, float], object] = lambda _epoch, _loss: None,
) -> Prior:
    """Fit the network to all lessons by AdamW with a cosine schedule.

    One half of the loss is the mean pinball loss (times 6) of the absolute standardised return at
    50, 80, 90 and 95 %, with a shape that is learned for each horizon; the other is half the
    squared error of the log variance, the error bounded at 4.

    Parameters
    ----------
    lessons
        Of the series, in an order that counts.
    prior
        That the lessons were learned with: its calendar is kept.
    seed
        Of the weights to begin with and of the order of the rows.
    epochs
        Times that each row is seen.
    on_epoch
        Called after each epoch with its number and its mean loss.

    Raises
    ------
    InvalidValue
        When there is no row to learn from.

    References
    ----------
    Loshchilov & Hutter, "Decoupled Weight Decay Regularization", ICLR 2019.
    """
    if not sum(map(len, lessons)):
        raise InvalidValue("candles", 0, f"give series of more than {_WARM} candles each")
    features, labels, sizes = (
        np.concatenate([getattr(one, name) for one in lessons])
        for name in ("features", "labels", "sizes")
    )
    center, spread = features.mean(0, np.float64), features.std(0, np.float64)
    told = spread > _LEAST_SPREAD
    spread = np.where(told, spread, 1.0)
    chance = np.random.default_rng(seed)
    optimizer = _AdamW(_first_weights(chance), epochs * -(-len(features) // _BATCH))
    slope = value_and_grad(_loss)
    for epoch in range(epochs):
        order, total = chance.permutation(len(features)), 0.0
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            inputs = bounded((features[rows] - center) / spread, MOST_SPREADS) * told
            loss, slopes = slope(optimizer.weights, inputs, labels[rows], sizes[rows])
            optimizer.step(slopes)
            total += float(loss) * len(rows)
        on_epoch(epoch + 1, total / len(order))
    weights = dict(optimizer.weights)
    # What never varied here has taught nothing, and shall say nothing where it does.
    weights["weights_1"] = weights["weights_1"] * told[:, None]
    shape = np.exp(weights.pop("shape"))
    return replace(prior, center=center, spread=spread, sizes=shape, **weights)


def _first_weights(chance: np.random.Generator) -> Parameters:
    def layer(name: str) -> Array:
        rows, columns = SHAPES[name]
        return chance.normal(0, 1 / np.sqrt(rows), (rows, columns))

    return {
        **{f"weights_{number}": layer(f"weights_{number}") for number in (1, 2, 3)},
        **{f"bias_{number}": np.zeros(SHAPES[f"bias_{number}"]) for number in (1, 2, 3)},
        "skip": np.zeros(SHAPES["skip"]),
        "shape": np.tile(_NORMAL, (len(HORIZONS), 1)),
    }


def _loss(weights: Parameters, inputs: Array, labels: Array, sizes: Array) -> Any:
    wide = anp.tanh(anp.dot(inputs, weights["weights_1"]) + weights["bias_1"])
    narrow = anp.tanh(anp.dot(wide, weights["weights_2"]) + weights["bias_2"])
    output = anp.dot(narrow, weights["weights_3"]) + anp.dot(inputs, weights["skip"])
    output = output + weights["bias_3"]
    known = np.isfinite(sizes) & np.isfinite(labels)
    error = np.where(known, labels, 0) - output
    error = anp.where(known, anp.minimum(anp.maximum(error, -_ERROR_CLIP), _ERROR_CLIP), 0)
    quantiles = anp.exp(output / 2)[:, :, None] * anp.exp(weights["shape"])
    distance = np.where(known, sizes, 0)[:, :, None] - quantiles
    pinball = anp.maximum(LEVELS * distance, (LEVELS - 1) * distance)
    pinball = anp.mean(anp.where(known[:, :, None], pinball, 0))
    return _PINBALL_SHARE * _PINBALL_UNIT * pinball + (1 - _PINBALL_SHARE) * anp.mean(error**2) / 2


class _AdamW:
    """Adam with weight decay apart from the gradient, its rate falling along half a cosine."""

    def __init__(self, weights: Parameters, steps: int) -> None:
        self.weights = weights
        self._steps = steps
        self._step = 0
        self._first = {name: np.zeros_like(array) for name, array in weights.items()}
        self._second = {name: np.zeros_like(array) for name, array in weights.items()}

    def step(self, slopes: Parameters) -> None:
        """Move the weights against the gradient."""
        rate = _RATE * (1 + np.cos(np.pi * self._step / self._steps)) / 2
        self._step += 1
        for name, slope in slopes.items():
            first, second = self._first[name], self._second[name]
            first += 0.1 * (slope - first)
            second += 0.001 * (slope * slope - second)
            root = np.sqrt(second / (1 - 0.999**self._step)) + 1e-8
            self.weights[name] -= rate * first / (1 - 0.9**self._step) / root
            if name.startswith(("weights", "skip")):
                self.weights[name] -= rate * _DECAY * self.weights[name]
