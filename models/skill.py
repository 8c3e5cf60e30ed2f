"""Prequential scores: every forecast is scored when its candle arrives, before it is learned."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.distribution import NORMAL_SCORES, chance_of_rise, deviation
from models.memory import Array, Memory
from models.pending import Pending, with_last
from models.quantiles import LEVELS
from models.ticks import TickGrid
from shared.forecast import MEDIAN, Skill

SCORED_HORIZONS = (1, 3, 6, 12, 24)
BANDS = (50, 80, 90, 95)

# What is summed up for each horizon, one row each.
_SUMS = (
    *("candles", "crps", "crps_baseline", "excess_squared"),
    *(f"inside_{band}" for band in BANDS),
    *("error", "error_naive", "percentage_error", "moves", "moves_right"),
    *("brier", "settled", "qlike", "qlike_baseline"),
)
_ROW = {name: row for row, name in enumerate(_SUMS)}

# What is told of each horizon: name, the sum, and what that is divided by; 1 less that for skill.
_MEANS = {
    "crps": ("crps", "candles"),
    "crps_baseline": ("crps_baseline", "candles"),
    "crps_skill": ("crps", "crps_baseline"),
    **{f"coverage_{band}": (f"inside_{band}", "candles") for band in BANDS},
    "mae": ("error", "candles"),
    "mae_naive": ("error_naive", "candles"),
    "mae_skill": ("error", "error_naive"),
    "mape": ("percentage_error", "candles"),
    "direction_accuracy": ("moves_right", "moves"),
    "brier": ("brier", "candles"),
    "qlike": ("qlike", "settled"),
    "qlike_baseline": ("qlike_baseline", "settled"),
}
_OVER, _OF = (np.array([_ROW[pair[side]] for pair in _MEANS.values()]) for side in (0, 1))
_IS_SKILL = np.array([[float(name.endswith("_skill"))] for name in _MEANS])
_NAMES = ("candles", *_MEANS)

# Columns of what waits for its target.
_LOG_CLOSE, _NAIVE, _LEAST, _QUANTILES = 0, 1, 2, 3

_DECAY = 0.999
_LEAST_CANDLES = 200
_LEAST_EXCESS = 0.01
_STANDARD_ERRORS = 3.0
_LEAST_VARIANCE = 1e-16
# Before that many candles there is no variance to speak of, and QLIKE says nothing.
_SETTLED = 100


class Prequential(Memory):
    """Scores of a forecaster and of the baseline at the scored horizons.

    Every score is kept twice: as a mean over all scored candles and as a recency-weighted one
    that looks back on about a thousand.

    Parameters
    ----------
    horizon
        Number of candles that are forecast; scored are those of 1, 3, 6, 12 and 24 below it, and
        itself.

    Attributes
    ----------
    horizons
        The scored horizons, m of them.
    recent, total
        Sums of the scores, recency-weighted and plain, shape (scores, m).
    """

    _learned = ("pending", "ticks", "candles")

    def __init__(self, horizon: int = 24) -> None:
        self.horizon = horizon
        self.horizons = with_last(SCORED_HORIZONS, horizon)
        self.pending = Pending(self.horizons, _QUANTILES + len(LEVELS))
        self.ticks = TickGrid()
        self.candles = 0
        shape = (len(_SUMS), len(self.horizons))
        self._remember(recent=shape, total=shape)
        self.recent: Array
        self.total: Array
        self._steps = np.array(self.horizons)
        self._last = self._steps - 1
        self._roots = np.sqrt(self._steps)

    def learn_one(self, position: int, open_time: int, close: float) -> None:
        """Score what was forecast for the candle of ``open_time`` that closed at ``close``."""
        rows, known = self.pending.due(self.pending.slots(position), open_time)
        scores = _scores(rows, close) * known
        self.recent *= 1 - (1 - _DECAY) * known
        self.recent += scores
        self.total += scores
        self.ticks.learn_one(close)
        self.candles += 1

    def put(
        self,
        position: int,
        path: NDArray[np.int64],
        close: float,
        quantiles: Array,
        naive_volatility: float,
    ) -> None:
        """Keep a forecast until its targets arrive.

        Parameters
        ----------
        position, path
            The market's clock: number of the newest candle, open times of the next, shape (H,).
        close
            Close of the newest candle.
        quantiles
            Price quantiles, shape (H, 9).
        naive_volatility
            The baseline's standard deviation of the log return of one candle.
        """
        rows = np.empty((len(self.horizons), self.pending.width))
        rows[:, _LOG_CLOSE] = math.log(close)
        rows[:, _NAIVE] = naive_volatility * self._roots
        rows[:, _LEAST] = self._least_variance(close)
        rows[:, _QUANTILES:] = np.log(quantiles.take(self._last, 0)) - math.log(close)
        self.pending.put(self.pending.slots(position), path[self._last], rows)

    def _least_variance(self, close: float) -> float:
        """Least variance that a forecast is held to by QLIKE; 0 while QLIKE is not scored.

        It is what rounding to ticks alone makes: a forecast of no change at all, right most of
        the time where ticks are coarse, would be charged any loss for the one time it is not.
        """
        if self.candles < _SETTLED or not self.ticks.tick:
            return 0.0
        return max((self.ticks.tick / close) ** 2 / 12, _LEAST_VARIANCE)

    @property
    def is_worse(self) -> bool:
        """Whether the recent CRPS is worse than the baseline's, beyond noise.

        The excess over the baseline, averaged over the horizons, has to exceed three standard
        errors. Errors of forecasts h ahead overlap, so that n of them count as n / h, and the
        horizons are taken to err together.
        """
        candles, crps, naive, excess_squared = self.recent[:4]  # in the order of _SUMS
        if min(candles.tolist()) < _LEAST_CANDLES:
            return False
        excess = crps / naive - 1
        mean = float(excess.mean())
        if mean <= _LEAST_EXCESS:
            return False
        variance = excess_squared * candles / naive**2 - excess**2
        errors = np.sqrt(variance.clip(0) * self._steps / candles)
        return mean > _STANDARD_ERRORS * float(errors.mean())

    def skill(self) -> tuple[Skill, ...]:
        """Return the recent skill at each scored horizon, as it is published."""
        counts = self.total[_ROW["candles"]].tolist()
        return tuple(
            Skill(
                horizon=horizon,
                candles=int(count),
                crps=_skill(sums, "crps", "crps_baseline"),
                coverage_90=_share(sums, "inside_90"),
                mae=_skill(sums, "error", "error_naive"),
            )
            for horizon, count, sums in zip(
                self.horizons, counts, self.recent.T.tolist(), strict=True
            )
        )

    def scores(self) -> dict[str, Any]:
        """Return every score by horizon, recent and total, ready for JSON."""
        recent, total = _means(self.recent), _means(self.total)
        return {
            str(horizon): {"recent": newest, "total": all_}
            for horizon, newest, all_ in zip(self.horizons, recent, total, strict=True)
        }


def _scores(rows: Array, close: float) -> Array:
    """Score waiting rows (m, width) against the close they waited for: (scores, m)."""
    origin, naive, quantiles = rows[:, _LOG_CLOSE], rows[:, _NAIVE], rows[:, _QUANTILES:]
    change, median = math.log(close) - origin, quantiles[:, MEDIAN]
    column, direction = change[:, None], np.sign(change)
    # Beside every forecast its baseline: shape (2, m, ...).
    both, deviations = np.empty((2, *quantiles.shape)), np.empty((2, len(rows)))
    both[0], both[1] = quantiles, naive[:, None] * NORMAL_SCORES
    deviations[0], deviations[1] = deviation(quantiles), naive
    loss = crps(column, both)
    errors = abs(np.exp(origin + both[:, :, MEDIAN]) - close)
    scores = np.empty((len(_SUMS), len(rows)))
    scores[0] = 1
    scores[1:3] = loss
    scores[3] = (loss[0] - loss[1]) ** 2
    # The bands from the inside out: 25-75 %, 10-90 %, ...
    scores[4:8] = ((quantiles[:, 3::-1] <= column) & (column <= quantiles[:, 5:])).T
    scores[8:10] = errors
    scores[10] = errors[0] / close
    scores[11] = abs(direction)
    scores[12] = (abs(direction) + np.sign(median) * direction) / 2
    scores[13] = (chance_of_rise(quantiles) - (1 + direction) / 2) ** 2
    scores[14] = rows[:, _LEAST] > 0
    scores[15:] = _qlike(change, deviations, rows[:, _LEAST]) * scores[14]
    return scores


def crps(change: Array, quantiles: Array) -> Array:
    """Return twice the mean pinball loss over the levels: (m, 1) and (n, m, 9) give (n, m)."""
    distance = change - quantiles
    pinball: Array = np.vecdot(distance, LEVELS - (distance < 0))
    return pinball * (2 / len(LEVELS))


def _qlike(change: Array, deviation: Array, least: Array) -> Array:
    """Loss of forecast variances (n, m) against squared returns (m,), Patton (2011): (n, m)."""
    variance = np.maximum(deviation * deviation, np.maximum(least, _LEAST_VARIANCE))
    return np.log(variance) + change * change / variance


def _means(sums: Array) -> list[dict[str, float | None]]:
    """Turn sums (scores, m) into the scores of each horizon; None where nothing was scored."""
    wholes = sums.take(_OF, 0)
    means = sums.take(_OVER, 0) / np.where(wholes, wholes, 1)
    means = _IS_SKILL + (1 - 2 * _IS_SKILL) * means
    columns: list[list[float | None]] = means.T.tolist()
    if not wholes.all():
        for column, whole in zip(columns, wholes.T.tolist(), strict=True):
            column[:] = [mean if of else None for mean, of in zip(column, whole, strict=True)]
    counts = sums[_ROW["candles"]].tolist()
    rows = zip(counts, columns, strict=True)
    return [dict(zip(_NAMES, (count, *column), strict=True)) for count, column in rows]


def _share(sums: list[float], name: str) -> float | None:
    whole = sums[_ROW["candles"]]
    return sums[_ROW[name]] / whole if whole else None


def _skill(sums: list[float], name: str, naive: str) -> float | None:
    whole = sums[_ROW[naive]]
    return 1 - sums[_ROW[name]] / whole if whole else None
