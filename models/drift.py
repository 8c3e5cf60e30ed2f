"""Drift: whether a model's newest forecasts err otherwise than those before them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.distribution import deviation
from models.memory import Array, Memory
from models.scoring import LOG_CLOSE, QUANTILES
from shared.forecast import MEDIAN, Drift

SIGNALS = ("error", "score")

BLOCK = 32
"""Candles whose mean is kept as one number."""
_KEPT, _OLDER, _NEWER = 128, 6, 2
_LIMIT = 5.0
# One error out of a still market may be a thousand times what is usual.
_LARGEST = 5.0
_LEAST_DEVIATION, _LEAST_NOISE = 1e-12, 1e-12


class DriftDetector(Memory):
    r"""Finds, dates and counts changes of the mean of two signals, a candle ahead.

    ``error`` is \|z\|, the error of the median in standard deviations that were forecast; ``score``
    is the CRPS in the same unit. Neither depends on how lively the market is, or on what a naive
    forecast says of it: where a model is honest both stay as they are.

    Means of 32 candles are kept, 128 of them at most. With each new one all ways are tried to cut
    them into an older and a newer part; where the means of both parts differ by five standard
    errors, a drift is found, and the older part is forgotten. This is ADWIN with blocks of equal
    length, and with another measure of noise: the differences of successive means, which a shift
    enters once alone. `python -m benchmarks.drift` shows both on the same errors.

    Attributes
    ----------
    means
        Of the newest blocks, the newest last, shape (2, 128).
    starts
        Open time of the first candle of each block, UTC milliseconds, shape (128,).
    blocks
        How many of them have been kept since the last drift, by signal.
    newest
        The newest drift, as the fields of `shared.forecast.Drift`; None before the first.

    References
    ----------
    Bifet & Gavaldà, "Learning from Time-Changing Data with Adaptive Windowing", SDM 2007; von
    Neumann, "Distribution of the Ratio of the Mean Square Successive Difference to the Variance",
    Annals of Mathematical Statistics 1941.
    """

    _learned = ("sums", "candles", "start", "blocks", "count", "newest")

    def __init__(self) -> None:
        self.sums = (0.0, 0.0)
        self.candles = 0
        self.start = 0
        self.blocks = (0, 0)
        self.count = 0
        self.newest: dict[str, Any] | None = None
        self._remember(single=("means",), means=(len(SIGNALS), _KEPT), starts=(_KEPT,))
        self.means: NDArray[np.float32]
        self.starts: Array

    @property
    def found(self) -> Drift | None:
        """What `newest` says, as it is published."""
        return Drift.model_validate(self.newest) if self.newest else None

    def learn_many(self, times: Sequence[int], signals: Sequence[Sequence[float]]) -> None:
        """Take in the `signals` of some candles, by their open times; NaN where unknown."""
        for open_time, (error, score) in zip(times, signals, strict=True):
            if error != error:  # noqa: PLR0124 -- NaN
                continue
            if not self.candles:
                self.start = open_time
            self.sums = self.sums[0] + error, self.sums[1] + score
            self.candles += 1
            if self.candles == BLOCK:
                self._close_block(open_time)

    def _close_block(self, open_time: int) -> None:
        for kept, new in ((self.means, np.array(self.sums) / BLOCK), (self.starts, self.start)):
            kept[..., :-1] = kept[..., 1:]
            kept[..., -1] = new
        self.sums, self.candles = (0.0, 0.0), 0
        errors, scores = (min(count + 1, _KEPT) for count in self.blocks)
        self.blocks = self._look(0, errors, open_time), self._look(1, scores, open_time)

    def _look(self, signal: int, count: int, open_time: int) -> int:
        """Look for a drift in the newest blocks; return how many of them to keep."""
        means = self.means[signal, -count:].astype(np.float64)
        cut = _cut(means)
        if not cut:
            return count
        self.count += 1
        self.newest = {
            "count": self.count,
            "signal": SIGNALS[signal],
            "since": int(self.starts[cut - count]),
            "found_at": open_time,
            "before": float(means[:cut].mean()),
            "after": float(means[cut:].mean()),
        }
        return count - cut


def _cut(means: Array) -> int:
    """Return where the newer part begins, if both parts differ; 0 if they do not."""
    count = len(means)
    older = np.arange(_OLDER, count - _NEWER + 1)
    if not len(older):
        return 0
    sums = means.cumsum()
    gaps = abs(sums[older - 1] / older - (sums[-1] - sums[older - 1]) / (count - older))
    noise = np.mean(np.diff(means) ** 2) / 2 + _LEAST_NOISE
    excess = gaps / np.sqrt(noise * (1 / older + 1 / (count - older)))
    widest = excess.argmax()
    return int(older[widest]) if excess[widest] > _LIMIT else 0


def signals(rows: Array, known: Array, closes: Array, losses: Array) -> Array:
    """Return what is watched of some forecasts for the next candle.

    Parameters
    ----------
    rows, known, closes
        What was forecast at m horizons, the nearest first, and what came of it: as
        `models.skill.Prequential.score` takes them.
    losses
        What it returned, shape (..., m).

    Returns
    -------
    Error and score, shape (..., 2); NaN where unknown.
    """
    # With an axis for one horizon: of many candles at once products would be rounded otherwise.
    rows = rows[..., :1, :]
    quantiles = rows[..., QUANTILES:]
    error = abs(np.log(closes) - rows[..., LOG_CLOSE] - quantiles[..., MEDIAN])
    both = np.concatenate((error, losses[..., :1]), axis=-1)
    both /= np.maximum(deviation(quantiles), _LEAST_DEVIATION)
    return np.where(known[..., :1] > 0, np.minimum(both, _LARGEST), np.nan)
