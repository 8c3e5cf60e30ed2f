"""The scale experts: each says how wide the next candles will be, as log variance a candle."""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.ewma import Ewma
from models.features import SIZE
from models.memory import Array, Memory, bounded, column
from models.pending import Whole

INPUTS = 1 + SIZE + 6
_CLIP = 6.0
# Of a symmetric matrix: where its upper half lies, and which number of that belongs where.
_HALF = np.flatnonzero(np.triu(np.ones((INPUTS, INPUTS))))
_ROWS, _COLUMNS = np.divmod(_HALF, INPUTS)
_WHOLE = np.searchsorted(_HALF, np.arange(INPUTS**2).reshape(INPUTS, INPUTS))
_WHOLE = np.triu(_WHOLE) + np.triu(_WHOLE, 1).T


@dataclass(slots=True)
class Origin:
    """What is known at an origin, as the scale experts see it.

    Attributes
    ----------
    position
        Number of the candle by the market's clock.
    inputs
        Constant, features and clock, shape (44,).
    expected
        Log variance a candle that level and calendar alone expect up to each horizon, shape (m,).
    log_return
        The candle's return.

    Of several series that are stacked the numbers are columns, shape (n, 1), and the arrays have
    one more axis in front.
    """

    position: int
    inputs: Array
    expected: Array
    log_return: float


class ScaleExpert(Protocol):
    """One opinion about the log variance per candle up to each of m horizons."""

    def observe(self, origin: Origin) -> None:
        """Take in the newest candle."""

    def predict_one(self, origin: Origin) -> Array | float:
        """Return the log variance a candle, shape (m,) or one for all."""

    def learn_one(self, y: Array, position: int, known: Array) -> None:
        """Learn labels (log variance less what was expected) that the candle at ``position`` ends.

        ``y`` and ``known`` have shape (m,): a label counts where ``known`` is 1, not where it is 0.
        """


def regressors(features: Array, clocks: Array) -> Array:
    """Put a constant, the features (37,) and the `clock` of the open time (6,) together: (44,)."""
    inputs = np.empty((*features.shape[:-1], INPUTS))
    inputs[..., 0] = 1
    inputs[..., 1 : 1 + SIZE] = features
    inputs[..., 1 + SIZE :] = clocks
    return inputs


class RecursiveLeastSquares(Memory):
    """Linear regression on the features, one output a horizon, all sharing one gain.

    Labels come late: the gain of an origin is worked out at once and applied when the label is
    known, to the error of the coefficients in force by then. Forgetting alone would blow the
    covariance up in directions that are no longer visited, so the ridge it starts with is kept
    alive by pseudo-observations of zero, for one coefficient at a time.

    Parameters
    ----------
    horizons
        Rising numbers of candles ahead, m of them.
    forgetting
        Weight of the past at each candle.
    ridge
        Strength of the pull to zero, in candles.
    ridge_every
        Candles between two pseudo-observations.

    References
    ----------
    Ljung & Söderström, "Theory and Practice of Recursive Identification" (1983).
    """

    def __init__(
        self,
        horizons: tuple[int, ...] = (1,),
        forgetting: float = 0.9999,
        ridge: float = 20.0,
        ridge_every: int = 4,
    ) -> None:
        self.horizons = horizons
        self.forgetting = forgetting
        self.ridge = ridge
        self.ridge_every = ridge_every
        waiting = (horizons[-1], INPUTS)
        self._remember(
            single=("inputs", "gains"),
            coefficients=(len(horizons), INPUTS),
            half=(len(_HALF),),
            inputs=waiting,
            gains=waiting,
            candles=(1,),
        )
        self.coefficients: Array
        self.half: Array
        self.inputs: NDArray[np.float32]
        self.gains: NDArray[np.float32]
        self.candles: Array
        self.half[:] = np.eye(INPUTS).take(_HALF) / ridge
        self._back = np.array(horizons)
        self._ridge_variance = 1 / (INPUTS * (1 - forgetting) * ridge * ridge_every)

    @property
    def covariance(self) -> Array:
        """Covariance of the coefficients but for the noise, shape (44, 44)."""
        return self.half.take(_WHOLE, -1)

    def observe(self, origin: Origin) -> None:
        """Narrow the covariance by the newest inputs and keep them until their labels come."""
        x = origin.inputs
        direction = np.matvec(self.covariance, x)
        spread = (self.forgetting + np.vecdot(x, direction))[..., None]
        slot = (*self.leading, origin.position % self._back[-1])
        self.inputs[slot] = x[..., None, :]
        self.gains[slot] = (direction / spread)[..., None, :]
        direction /= np.sqrt(spread)
        # The product of a vector with itself is symmetric to the last bit, and so is the
        # covariance: half of it is all that needs keeping.
        self.half -= direction.take(_ROWS, -1) * direction.take(_COLUMNS, -1)
        self.half *= 1 / self.forgetting
        self._keep_ridge()
        self.candles += 1

    def inherit(self, other: "RecursiveLeastSquares") -> None:
        """Begin with the coefficients of another series and how sure of them it is."""
        self.coefficients[:], self.half[:] = other.coefficients, other.half
        self.candles[:] = other.candles

    def predict_one(self, origin: Origin) -> Array:
        """Return the log variance a candle up to each horizon, shape (m,)."""
        return bounded(np.matvec(self.coefficients, origin.inputs), _CLIP) + origin.expected

    def learn_one(self, y: Array, position: Whole, known: Array) -> None:
        """Learn labels by the gains of their origins."""
        slots = (*self.leading, (position - self._back) % self._back[-1])
        predicted = np.vecdot(self.inputs[slots], self.coefficients)
        self.coefficients += self.gains[slots] * ((y - predicted) * known)[..., None]

    def _keep_ridge(self) -> None:
        """Every few candles, observe of one coefficient in turn that it is zero."""
        for series, candles in enumerate(self.candles.reshape(-1).tolist()):
            if candles % self.ridge_every:
                continue
            index = int(candles) // self.ridge_every % INPUTS
            half = self.half.reshape(-1, len(_HALF))[series]
            coefficients = self.coefficients.reshape(-1, *self.coefficients.shape[-2:])[series]
            direction = half.take(_WHOLE[index])
            variance = self._ridge_variance + float(direction[index])
            coefficients -= coefficients[:, index, None] * (direction / variance)
            direction /= math.sqrt(variance)
            half -= direction.take(_ROWS) * direction.take(_COLUMNS)


class SlowLevel(Memory):
    """The average squared return over many candles: right where nothing can be foreseen.

    Parameters
    ----------
    span
        Candles it looks back on.
    """

    _learned = ("square",)

    def __init__(self, span: int = 2000) -> None:
        self.span = span
        self.square = Ewma(span)

    def observe(self, origin: Origin) -> None:
        """Take in the newest return."""
        squares = origin.log_return * origin.log_return
        if not isinstance(squares, np.ndarray):
            self.square.update(squares)
            return
        for average, square in zip(self._squares, squares[:, 0].tolist(), strict=True):
            average.update(square)

    def predict_one(self, origin: Origin) -> Array | float:  # noqa: ARG002 - they know the same
        """Return the log variance a candle, the same for all horizons."""
        logs: Array | float = column([math.log(one.get() + 1e-10) for one in self._squares])
        return logs

    @property
    def _squares(self) -> list[Ewma]:
        return [member.square for member in self.members]

    def learn_one(self, y: Array, position: Whole, known: Array) -> None:
        """Learn nothing: returns are all that this expert needs."""
