"""Prequential scores: every forecast is scored when its candle arrives, before it is learned."""

from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.memory import Array, Memory
from models.pending import Pending, Whole, with_last
from models.quantiles import LEVELS
from models.scoring import (
    BANDS,
    LEAST,
    LEAST_VARIANCE,
    LOG_CLOSE,
    NAIVE,
    QUANTILES,
    ROW,
    SUMS,
    scores_of,
)
from models.ticks import TickGrid
from shared.forecast import Skill

SCORED_HORIZONS = (1, 3, 6, 12, 24)

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
_OVER, _OF = (np.array([ROW[pair[side]] for pair in _MEANS.values()]) for side in (0, 1))
_IS_SKILL = np.array([float(name.endswith("_skill")) for name in _MEANS])
_PUBLISHED = itemgetter(*map(list(_MEANS).index, ("crps_skill", "coverage_90", "mae_skill")))
_NAMES = ("candles", *_MEANS)

DECAY = 0.999
"""What the weight of a score falls by with each candle."""
_LEAST_CANDLES = 200
_LEAST_EXCESS = 0.01
_STANDARD_ERRORS = 3.0
# What divides: nothing is scored where there is less.
_LEAST_SUM = 1e-300
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
        self.pending = Pending(self.horizons, QUANTILES + len(LEVELS))
        self.ticks = TickGrid()
        self.candles = 0
        shape = (len(SUMS), len(self.horizons))
        self._remember(recent=shape, total=shape)
        self.recent: Array
        self.total: Array
        self._steps = np.array(self.horizons)
        self._last = self._steps - 1
        self._roots = np.sqrt(self._steps)

    def learn_one(self, position: int, open_time: int, close: float) -> None:
        """Score what was forecast for the candle of ``open_time`` that closed at ``close``."""
        rows, known = self.due(position, open_time)
        self.score(rows[None], known[None], np.array([[close]]))
        self.take_in(close)

    def due(self, position: Whole, open_time: Whole) -> tuple[Array, Array]:
        """Return what was forecast for a candle: see `models.pending.Pending.due`."""
        return self.pending.due(self.pending.slots(position), open_time)

    def score(self, rows: Array, known: Array, closes: Array) -> Array:
        """Score what was forecast for some candles, one after the other.

        Parameters
        ----------
        rows, known
            What `due` returned at each, shapes (candles, m, width) and (candles, m).
        closes
            What each closed at, shape (candles, 1).

        Returns
        -------
        The CRPS of each, shape (candles, m), NaN where unknown.
        """
        known = known[..., None, :]
        scores = scores_of(rows, closes) * known
        decays = 1 - (1 - DECAY) * known
        for decay, score in zip(decays, scores, strict=True):
            self.recent *= decay
            self.recent += score
            self.total += score
        return np.where(known[..., 0, :] > 0, scores[..., ROW["crps"], :], np.nan)

    def take_in(self, close: float) -> None:
        """Count a candle and its step."""
        self.ticks.learn_one(close)
        self.candles += 1

    def put(
        self,
        position: Whole,
        path: NDArray[np.int64],
        close: float | Array,
        quantiles: Array,
        naive_volatility: float | Array,
        least_variance: float | Array | None = None,
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
        least_variance
            As `least_variance` says by default.
        """
        if least_variance is None:
            least_variance = self.least_variance(float(close))
        log_close = np.log(close)
        rows = np.empty((*path.shape[:-1], len(self.horizons), self.pending.width))
        rows[..., LOG_CLOSE] = log_close
        rows[..., NAIVE] = naive_volatility * self._roots
        rows[..., LEAST] = least_variance
        rows[..., QUANTILES:] = np.log(quantiles.take(self._last, -2)) - log_close[..., None]
        self.pending.put(self.pending.slots(position), path.take(self._last, -1), rows)

    def least_variance(self, close: float) -> float:
        """Least variance that a forecast is held to by QLIKE; 0 while QLIKE is not scored.

        It is what rounding to ticks alone makes: a forecast of no change at all, right most of
        the time where ticks are coarse, would be charged any loss for the one time it is not.
        """
        if self.candles < _SETTLED or not self.ticks.tick:
            return 0.0
        return max((self.ticks.tick / close) ** 2 / 12, LEAST_VARIANCE)

    @property
    def is_worse(self) -> NDArray[np.bool_]:
        """Whether the recent CRPS is worse than the baseline's, beyond noise.

        The excess over the baseline, averaged over the horizons, has to exceed three standard
        errors.
        """
        candles, naive, excess = self._excess()
        enough = np.minimum.reduce(candles, -1) >= _LEAST_CANDLES
        mean = np.add.reduce(excess, -1) / len(self.horizons)
        suspect = np.asarray(enough & (mean > _LEAST_EXCESS))
        if not suspect.any():
            return suspect
        return np.asarray(suspect & (mean > _STANDARD_ERRORS * self._error(candles, naive, excess)))

    def skill_and_error(self) -> tuple[float, float] | None:
        """Return the recent CRPS skill, the mean of the horizons, and its standard error.

        None until each horizon has been scored.
        """
        candles, naive, excess = self._excess()
        if candles.min() < 1:
            return None
        return -float(excess.mean()), float(self._error(candles, naive, excess))

    def _excess(self) -> tuple[Array, Array, Array]:
        """Return candles, CRPS of the baseline and the excess over it, each of shape (..., m)."""
        sums = np.maximum(self.recent[..., :3, :], _LEAST_SUM)  # in the order of SUMS
        candles, crps, naive = (sums[..., row, :] for row in range(3))
        return candles, naive, crps / naive - 1

    def _error(self, candles: Array, naive: Array, excess: Array) -> Array:
        """Return the standard error of the mean excess.

        Errors of forecasts h ahead overlap, so that n of them count as n / h, and the horizons are
        taken to err together.
        """
        excess_squared = np.maximum(self.recent[..., 3, :], _LEAST_SUM)
        variance = excess_squared * candles / naive**2 - excess**2
        errors = np.sqrt(np.maximum(variance, 0) * self._steps / candles)
        return np.asarray(np.add.reduce(errors, -1) / len(self.horizons))

    def skills(self) -> list[tuple[Skill, ...]]:
        """Return the recent skill of each of several series, as it is published."""
        counts = self.total[..., ROW["candles"], :]
        return [
            tuple(
                Skill(horizon=horizon, candles=int(count), crps=crps, coverage_90=inside, mae=mae)
                for horizon, count, (crps, inside, mae) in zip(
                    self.horizons, own, map(_PUBLISHED, means), strict=True
                )
            )
            for own, means in zip(
                counts.reshape(-1, len(self.horizons)).tolist(), _means(self.recent), strict=True
            )
        ]

    def scores(self) -> dict[str, Any]:
        """Return every score by horizon, recent and total, ready for JSON."""
        return self.all_scores()[0]

    def all_scores(self) -> list[dict[str, Any]]:
        """Return the `scores` of each of several series."""
        return [
            {
                str(horizon): {"recent": newest, "total": all_}
                for horizon, newest, all_ in zip(self.horizons, *told, strict=True)
            }
            for told in zip(_named(self.recent), _named(self.total), strict=True)
        ]


def _means(sums: Array) -> list[list[list[float | None]]]:
    """Turn sums (..., scores, m) into the means of each series and horizon; None of nothing."""
    sums = sums.reshape(-1, *sums.shape[-2:]).swapaxes(1, 2)
    wholes = sums.take(_OF, 2)
    means = sums.take(_OVER, 2) / np.where(wholes, wholes, 1)
    means = _IS_SKILL + (1 - 2 * _IS_SKILL) * means
    told: list[list[list[float | None]]] = means.tolist()
    if not wholes.all():
        for series, horizon in zip(*np.nonzero((wholes == 0).any(2)), strict=True):
            mean, of = told[series][horizon], wholes[series, horizon].tolist()
            mean[:] = [value if whole else None for value, whole in zip(mean, of, strict=True)]
    return told


def _named(sums: Array) -> list[list[dict[str, float | None]]]:
    """Turn sums (..., scores, m) into what is told of each series and horizon."""
    counts = sums[..., ROW["candles"], :].reshape(-1, sums.shape[-1]).tolist()
    return [
        [
            dict(zip(_NAMES, (count, *mean), strict=True))
            for count, mean in zip(*one_series, strict=True)
        ]
        for one_series in zip(counts, _means(sums), strict=True)
    ]
