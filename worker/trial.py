"""One series of a backtest: what was said at each origin, and what it was worth."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from models.distribution import NORMAL_SCORES
from models.evaluation import changes, coverage, diebold_mariano, losses, shares_below
from models.forecaster import ScaleMixtureForecaster
from models.learner import Learner, Outlook
from models.memory import Array
from models.solo import ExpertsAlone
from shared.candle import Candle
from shared.forecast import QUANTILE_LEVELS

BASELINE = "baseline"
_FROM = 2_000
_WINDOWS = 30
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class _Origin:
    """What was said at one origin, of log returns at the m scored horizons."""

    open_time: int
    close: float
    targets: Array
    quantiles: dict[str, Array]


class Trial:
    """A learner over a series, beside the baseline and each of its scale experts alone.

    Comparisons leave out the first 2,000 origins (a third of a shorter series), in which all of
    them learn what they are.
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
        self._said: list[_Origin] = []
        self._last: Outlook | None = None

    def run(self, candles: Iterable[Candle]) -> Iterator[tuple[Candle, Outlook]]:
        """Learn candle by candle; yield each with the outlook after it."""
        for candle in candles:
            self.learner.learn_one(candle)
            self._last = outlook = self.learner.outlook()
            self._keep(candle, outlook)
            yield candle, outlook

    def _keep(self, candle: Candle, outlook: Outlook) -> None:
        volatility = self.learner.baseline.volatility * np.sqrt(self._horizons)
        said = {
            "model": np.log(outlook.quantiles[self._rows]) - math.log(candle.close),
            BASELINE: volatility[:, None] * NORMAL_SCORES,
        }
        if self._alone:
            alone = self._alone.learn_one(candle.open_time, candle.close)[:, self._knots]
            said |= dict(zip(self._alone.names, alone, strict=True))
        targets = np.array(outlook.target_times)[self._rows] - self.learner.timeframe.ms
        # What is only compared may be rounded; bands are held to the last bit.
        quantiles = {
            name: array if name == "model" else array.astype(np.float32)
            for name, array in said.items()
        }
        self._said.append(_Origin(candle.open_time, candle.close, targets, quantiles))

    def report(self) -> dict[str, Any]:
        """Return scores, comparisons and what the pictures show, ready for JSON."""
        report: dict[str, Any] = {
            "candles": self.learner.sequence,
            "scores": self.learner.scores(),
        }
        if not self._said:
            return report
        times = np.array([origin.open_time for origin in self._said])
        closes = np.array([origin.close for origin in self._said])
        moved = changes(times, closes, np.array([origin.targets for origin in self._said]))
        first = min(_FROM, len(times) // 3)
        names = list(self._said[0].quantiles)
        loss = {name: losses(moved, self._stacked(name)) for name in names}
        model = self._stacked("model")
        return report | {
            "horizons": list(self._horizons),
            "compared_from": int(times[first]),
            "comparison": self._comparison(first, loss),
            "coverage": coverage(moved[first:], model[first:]),
            "reliability": {
                "levels": list(QUANTILE_LEVELS),
                "below": shares_below(moved[first:], model[first:]),
            },
            "skill_over_time": self._skill_over_time(times, loss),
            "fan": self._fan(times, closes, model),
        }

    def _stacked(self, name: str) -> Array:
        return np.array([origin.quantiles[name] for origin in self._said], dtype=np.float64)

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

    def _fan(self, times: Array, closes: Array, model: Array) -> dict[str, Any]:
        """Return the last candles, what was said of each one candle before, and what is ahead.

        All times are open times (UTC ms) of the candles that are spoken of.
        """
        assert self._last is not None  # noqa: S101 -- there are origins
        back = slice(-_SHOWN, None)
        bands = np.exp(model[back, 0][:, (1, 4, 7)]) * closes[back, None]
        return {
            "open_times": times[back].tolist(),
            "closes": closes[back].tolist(),
            "one_ahead": bands.tolist(),
            "one_ahead_times": [int(origin.targets[0]) for origin in self._said[back]],
            "ahead_times": [time - self.learner.timeframe.ms for time in self._last.target_times],
            "quantiles": self._last.quantiles.tolist(),
        }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
