"""What the recent past says about the variance to come, as 37 numbers."""

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate, pairwise

import numpy as np

from models.ewma import Ewma
from models.hours import DAY_MS, HOUR_MS
from models.memory import Array, Memory, bounded, column, each, rows
from models.moves import Move

NAMES = (
    *(f"variance_{span}" for span in (1, 2, 4, 8, 16, 32, 72, 500, 1500)),
    *("size_4", "size_24", "size_168", "square_24", "square_168"),
    *("log_variance_6", "log_variance_24", "log_variance_168"),
    *("activity_24", "activity_168", "activity_4_of_168", "return_sign", "return_size"),
    *("drift_6", "drift_24", "drift_72", "downside_6", "downside_24", "downside_72", "place"),
    *("season", "season_1", "season_3", "season_6", "season_12", "season_24"),
    *("candle_length", "stillness"),
)
"""Of the features, in their order: see `Features`."""

SIZE = len(NAMES)

CLOCK = ("day_sin", "day_cos", "half_day_sin", "half_day_cos", "week_sin", "week_cos")
"""Of what `clock` returns."""

# The exponentially weighted means that are kept: of what, over which spans (candles).
_SPANS = {
    "variance": (1, 2, 4, 8, 16, 32, 72, 500, 1500),
    "size": (4, 24, 168),
    "square": (6, 24, 72, 168),
    "log_variance": (6, 24, 168),
    "activity": (4, 24, 168),
    "drift": (6, 24, 72),
    "downside": (6, 24, 72),
    "stillness": (168, 300),
}
_ENDS = (0, *accumulate(map(len, _SPANS.values())))
_AT = {name: slice(*ends) for name, ends in zip(_SPANS, pairwise(_ENDS), strict=True)}
_RATES = 2 / (np.array([span for spans in _SPANS.values() for span in spans]) + 1.0)
_SOURCE = np.repeat(np.arange(len(_SPANS)), [len(spans) for spans in _SPANS.values()])
_POSITIVE = slice(0, _AT["square"].stop)
_HALF_ROOTS = [math.sqrt(span) / 2 for span in _SPANS["drift"]]

_FLOOR = -7.0
_CLIP = 4.0
_SEASONS_AHEAD = np.array((1, 3, 6, 12, 24)) - 1


class Features(Memory):
    """Volatility at many spans, activity, drift, asymmetry and the calendar.

    All but the calendar is deseasonalised, and volatility is relative to the *level*: the
    logarithm of the deseasonalised variance averaged over 168 candles. So one set of numbers
    means the same in every market and year. In order (shipped constants go by it):

    ====== =======================================================================
    0-8    log variance over 1, 2, 4, 8, 16, 32, 72, 500, 1500 candles
    9-13   log size of returns over 4, 24, 168, and of their squares over 24, 168
    14-16  mean of the log variance over 6, 24, 168
    17-19  activity (log volume) against its means over 24 and 168; of 4 against 168
    20-21  newest return, standardised: its sign and its size
    22-24  drift over 6, 24, 72
    25-27  downside share of the squared returns over 6, 24, 72
    28     place of the close in the candle's range
    29-34  season now, and of the next 1, 3, 6, 12, 24 candles
    35-36  length of a candle; share of the last 168 closes that did not move
    ====== =======================================================================

    Parameters
    ----------
    timeframe_ms
        Length of a candle in milliseconds.
    """

    _learned = ("_level", "_volume")

    def __init__(self, timeframe_ms: int = HOUR_MS) -> None:
        self.timeframe_ms = timeframe_ms
        self._remember(sums=(_ENDS[-1],), weights=(_ENDS[-1],))
        self.sums: Array
        self.weights: Array
        self._level = Ewma(168)
        self._volume = Ewma(720)
        self._log_hours = math.log(timeframe_ms / HOUR_MS) / 4

    @property
    def level(self) -> float:
        """Log variance of a candle with the season taken out."""
        return math.log(self._level.get())

    @property
    def stillness(self) -> float | Array:
        """Share of the last 300 candles or so whose close did not move; 0 before the first."""
        if self.leading:
            return np.asarray(self.sums[:, -1:] / np.maximum(self.weights[:, -1:], _RATES[-1]))
        return float(self.sums[-1] / max(self.weights[-1], _RATES[-1]))

    def learn_one(self, move: Move, season: float) -> None:
        """Take in a candle and the log variance that the calendar ascribes to its time."""
        self.learn((move,), (season,))

    def learn(self, moves: Sequence[Move], seasons: Sequence[float]) -> None:
        """Take in a candle of each of several series that are stacked here."""
        candles = zip(self.members, moves, seasons, strict=True)
        inputs = rows([np.array(own.take_in(move, season)) for own, move, season in candles])
        self.weights += _RATES * (1 - self.weights)
        self.sums += _RATES * (inputs.take(_SOURCE, -1) - self.sums)

    def take_in(self, move: Move, season: float) -> tuple[float, ...]:
        """Take in level and volume of a candle; return what is to be averaged of it, 8 numbers."""
        variance, change = _deseasonalise(move, season)
        self._level.update(variance)
        self._volume.update(move.volume)
        return (
            variance,
            abs(change) + 1e-6,
            change * change,
            max(math.log(variance), self.level + _FLOOR),
            self._activity(move),
            change,
            change * change if change < 0 else 0.0,
            float(move.log_return == 0),
        )

    def transform_one(self, move: Move, season: float, ahead: Array) -> Array:
        """Return the features after a candle has been learned.

        Parameters
        ----------
        move, season
            The candle, as it was learned.
        ahead
            Log variance that the calendar ascribes to the next 1, 2, ... H candles, shape (H,).

        Returns
        -------
        Shape (37,), each within [-4, 4].
        """
        return self.transform(ahead, (move,), (season,))

    def transform(self, ahead: Array, moves: Sequence[Move], seasons: Sequence[float]) -> Array:
        """Return the features of several series that are stacked here, shape (n, 37)."""
        means = self.sums / self.weights
        logs = np.log(means[..., _POSITIVE] + 1e-14)
        features = np.empty((*means.shape[:-1], SIZE))
        features[..., :12] = logs[..., :12]
        features[..., 9:12] *= 2  # sizes are roots of variances
        features[..., 12:14] = logs[..., 13:16:2]  # squares over 24 and 168 of those kept
        features[..., 14:17] = means[..., _AT["log_variance"]]
        volatility = features[..., :17]
        volatility -= self.levels
        np.maximum(volatility, _FLOOR, out=volatility)
        volatility *= 0.5
        deviations = np.exp(logs[..., 6] / 2)  # over 72 candles
        known = zip(*(each(a.tolist(), moves) for a in (means, deviations)), strict=True)
        candles = zip(self.members, moves, seasons, known, strict=True)
        features[..., 17:30] = rows(
            [own.told(move, season, *its) for own, move, season, its in candles]
        )
        features[..., 30:35] = ahead.take(_SEASONS_AHEAD, -1, mode="clip")
        features[..., 35] = self._log_hours
        features[..., 36] = means[..., -2]
        return bounded(features, _CLIP)

    @property
    def levels(self) -> float | Array:
        """Return the `level` of each series, shape (n, 1); of one alone just that."""
        levels: float | Array = column([own.level for own in self.members])
        return levels

    def told(self, move: Move, season: float, means: list[float], deviation: float) -> list[float]:
        """Activity, the newest return, drift, downside share, place in the range, and season."""
        activity = self._activity(move)
        short, medium, long = means[_AT["activity"]]
        z = _deseasonalise(move, season)[1] / deviation
        return [
            activity - medium,
            activity - long,
            short - long,
            math.tanh(z / 2),
            math.log(abs(z) + 0.1) / 2,
            *(
                math.tanh(root * drift / deviation)
                for root, drift in zip(_HALF_ROOTS, means[_AT["drift"]], strict=True)
            ),
            *(
                (down + 1e-10) / (square + 2e-10) - 0.5
                for down, square in zip(means[_AT["downside"]], means[_AT["square"]], strict=False)
            ),
            min(max(move.location / deviation, -2.0), 2.0),
            season,
        ]

    def _activity(self, move: Move) -> float:
        """Logarithm of the volume relative to its mean of 720 candles."""
        mean = self._volume.get()
        return math.log1p(1000 * (move.volume / mean)) if mean > 0 else 0.0


def _deseasonalise(move: Move, season: float) -> tuple[float, float]:
    """Variance and return as they would be at an average time of the week."""
    return (
        move.variance * math.exp(-season) + 1e-10,
        move.log_return * math.exp(-season / 2),
    )


@lru_cache(maxsize=256)
def clock(open_time: int) -> tuple[float, ...]:
    """Return the hour of the day (two harmonics) and the weekday as points on circles, halved."""
    day = 2 * math.pi * (open_time % DAY_MS) / DAY_MS
    week = 2 * math.pi * ((open_time // DAY_MS + 3) % 7) / 7
    turns = (day, 2 * day, week)
    return tuple(f(turn) / 2 for turn in turns for f in (math.sin, math.cos))
