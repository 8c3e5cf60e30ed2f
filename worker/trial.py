"""One series of a backtest: what was said at each origin, and what it was worth."""

import math
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise, takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.evaluation import below, changes, coverage, diebold_mariano, inside, losses, shares
from models.forecaster import ScaleMixtureForecaster
from models.learner import Learner
from models.learners import Outlook
from models.memory import Array
from models.solo import ExpertsAlone
from shared.candle import Candle
from shared.forecast import QUANTILE_LEVELS

BASELINE = "baseline"
_FROM = 2_000
_WINDOWS = 30
_SHOWN = 200
_CHUNK = 1_000


@dataclass(frozen=True, slots=True)
class _Origin:
    """What was said at one origin, of log returns at the m scored horizons."""

    open_time: int
    close: float
    targets: NDArray[np.int64]
    quantiles: dict[str, Array]


@dataclass(frozen=True, slots=True)
class _Scored:
    """What came of some origins in a row: less than a tenth of what was said there."""

    times: NDArray[np.int64]
    losses: dict[str, Array]
    inside: NDArray[np.float16]
    below: NDArray[np.float16]


class Trial:
    """A learner over a series, beside the baseline and each of its scale experts alone.

    Compared is what was said: while the learner falls back, that is the baseline's forecast.
    Comparisons leave out the first 2,000 origins (a third of those of a series of fewer than
    6,000), in which all of them learn what they are.
    """

    def __init__(self, learner: Learner) -> None:
        self.learner = learner
        self._horizons = learner.prequential.horizons
        self._rows = np.array(self._horizons) - 1
        forecaster = learner.forecaster
        self._alone: ExpertsAlone | None = None
        if isinstance(forecaster, ScaleMixtureForecaster):
            self._alone = ExpertsAlone(forecaster)
            self._knots = [forecaster.knots.index(horizon) for horizon in self._horizons]
        self._waiting: list[_Origin] = []
        self._newest: deque[_Origin] = deque(maxlen=_SHOWN)
        self._scored: list[_Scored] = []
        self._last: Outlook | None = None

    def run(self, candles: Iterable[Candle]) -> Iterator[tuple[Candle, Outlook]]:
        """Learn candle by candle; yield each with the outlook after it."""
        for candle in candles:
            self.learner.learn_one(candle)
            self._last = outlook = self.learner.outlook()
            origin = self._origin(candle, outlook)
            self._waiting.append(origin)
            self._newest.append(origin)
            if self.learner.sequence % _CHUNK == 0:
                self._score(candle.open_time)
            yield candle, outlook

    def _origin(self, candle: Candle, outlook: Outlook) -> _Origin:
        naive = self.learner.baseline.forecast_quantiles(self.learner.horizon, QUANTILE_LEVELS)
        # Both in the same way, to the last bit: while the learner falls back they do not differ.
        said = {
            name: np.log(quantiles[self._rows]) - math.log(candle.close)
            for name, quantiles in (("model", outlook.quantiles), (BASELINE, naive))
        }
        if self._alone:
            alone = self._alone.learn_one(candle.open_time, candle.close)[:, self._knots]
            said |= dict(zip(self._alone.names, alone, strict=True))
        targets = np.array(outlook.target_times)[self._rows] - self.learner.timeframe.ms
        return _Origin(candle.open_time, candle.close, targets, said)

    def _score(self, now: float) -> None:
        """Score the oldest origins, as far as their targets have come by the candle of ``now``."""
        waiting = self._waiting
        count = sum(1 for _ in takewhile(lambda origin: origin.targets[-1] <= now, waiting))
        if not count:
            return
        times = np.array([origin.open_time for origin in waiting])
        closes = np.array([origin.close for origin in waiting])
        moved = changes(times, closes, np.array([origin.targets for origin in waiting]))[:count]
        said = {
            name: np.array([origin.quantiles[name] for origin in waiting[:count]])
            for name in waiting[0].quantiles
        }
        self._scored.append(
            _Scored(
                times[:count],
                {name: losses(moved, quantiles) for name, quantiles in said.items()},
                # Nothing but 0, .5, 1 and NaN.
                inside(moved, said["model"]).astype(np.float16),
                below(moved, said["model"]).astype(np.float16),
            )
        )
        del waiting[:count]

    def report(self) -> dict[str, Any]:
        """Return scores, comparisons and what the pictures show, ready for JSON."""
        report: dict[str, Any] = {
            "candles": self.learner.sequence,
            "scores": self.learner.scores(),
        }
        self._score(math.inf)
        if not self._scored:
            return report
        times = np.concatenate([part.times for part in self._scored])
        loss = {
            name: np.concatenate([part.losses[name] for part in self._scored])
            for name in self._scored[0].losses
        }
        first = min(_FROM, len(times) // 3)
        return report | {
            "horizons": list(self._horizons),
            "compared_from": int(times[first]),
            "prior": self._prior(times[first:]),
            "comparison": self._comparison(first, loss),
            "coverage": coverage(np.concatenate([part.inside for part in self._scored])[first:]),
            "reliability": {
                "levels": list(QUANTILE_LEVELS),
                "below": shares(np.concatenate([part.below for part in self._scored])[first:]),
            },
            "skill_over_time": self._skill_over_time(times, loss),
            "fan": self._fan(),
        }

    def _prior(self, times: NDArray[np.int64]) -> dict[str, Any] | None:
        """Say which prior the model began with, and how many compared origins it may have seen."""
        prior = getattr(self.learner.forecaster, "prior", None)
        if prior is None:
            return None
        until = prior.trained_until
        return {
            "digest": prior.digest,
            "trained_until": until,
            "compared": len(times),
            "compared_before": None if until is None else int((times < until).sum()),
        }

    def _comparison(self, first: int, loss: dict[str, Array]) -> dict[str, Any]:
        """CRPS of the model, and its difference from each other one, by horizon."""
        out: dict[str, Any] = {}
        for column, horizon in enumerate(self._horizons):
            own = loss["model"][first:, column]
            out[str(horizon)] = {
                "origins": int(np.isfinite(own).sum()),
                "crps": _finite(float(np.nanmean(own))) if np.isfinite(own).any() else None,
                "against": {
                    name: {
                        key: _finite(value)
                        for key, value in diebold_mariano(own, other[first:, column], horizon)
                        ._asdict()
                        .items()
                    }
                    for name, other in loss.items()
                    if name != "model"
                },
            }
        return out

    def _skill_over_time(self, times: Array, loss: dict[str, Array]) -> dict[str, Any]:
        """CRPS skill against the baseline in windows of equal length, by horizon."""
        cuts = np.linspace(0, len(times), min(_WINDOWS, len(times)) + 1).astype(int)
        pairs = list(pairwise(cuts.tolist()))
        sums = [[np.nansum(loss[name][a:b], 0) for a, b in pairs] for name in ("model", BASELINE)]
        with np.errstate(invalid="ignore", divide="ignore"):
            skill = 1 - np.array(sums[0]) / np.array(sums[1])
        return {
            "until": [int(times[b - 1]) for _, b in pairs],
            "skill": [[_finite(value) for value in row] for row in skill.T.tolist()],
        }

    def _fan(self) -> dict[str, Any]:
        """Return the last candles, what was said of each one candle before, and what is ahead.

        All times are open times (UTC ms) of the candles that are spoken of.
        """
        assert self._last is not None  # noqa: S101 -- there are origins
        closes = np.array([origin.close for origin in self._newest])
        said = np.array([origin.quantiles["model"][0, (1, 4, 7)] for origin in self._newest])
        return {
            "open_times": [origin.open_time for origin in self._newest],
            "closes": closes.tolist(),
            "one_ahead": (np.exp(said) * closes[:, None]).tolist(),
            "one_ahead_times": [int(origin.targets[0]) for origin in self._newest],
            "ahead_times": [time - self.learner.timeframe.ms for time in self._last.target_times],
            "quantiles": self._last.quantiles.tolist(),
        }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
