"""What the recent past says about the variance to come, as 37 numbers."""

import math
from itertools import accumulate, pairwise

import numpy as np

from models.ewma import Ewma
from models.hours import DAY_MS, HOUR_MS
from models.memory import Array, Memory, bounded
from models.moves import Move

SIZE = 37

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
    def stillness(self) -> float:
        """Share of the last 300 candles or so whose close did not move."""
        return float(self.sums[-1] / self.weights[-1])

    def learn_one(self, move: Move, season: float) -> None:
        """Take in a candle and the log variance that the calendar ascribes to its time."""
        variance, change = _deseasonalise(move, season)
        self._level.update(variance)
        self._volume.update(move.volume)
        inputs = np.array(
            (
                variance,
                abs(change) + 1e-6,
                change * change,
                max(math.log(variance), self.level + _FLOOR),
                self._activity(move),
                change,
                change * change if change < 0 else 0.0,
                move.log_return == 0,
            )
        )
        self.weights += _RATES * (1 - self.weights)
        self.sums += _RATES * (inputs[_SOURCE] - self.sums)

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
        means = self.sums / self.weights
        logs = np.log(means[_POSITIVE] + 1e-14)
        features = np.empty(SIZE)
        features[:12] = logs[:12]
        features[9:12] *= 2  # sizes are roots of variances
        features[12:14] = logs[13:16:2]  # squares over 24 and 168 of those kept
        features[14:17] = means[_AT["log_variance"]]
        volatility = features[:17]
        volatility -= self.level
        np.maximum(volatility, _FLOOR, out=volatility)
        volatility *= 0.5
        deviation = math.exp(0.5 * logs[6])  # over 72 candles
        features[17:] = (
            *self._shape(move, season, means.tolist(), deviation),
            season,
            *ahead.take(_SEASONS_AHEAD, mode="clip").tolist(),
            self._log_hours,
            means[-2],
        )
        return bounded(features, _CLIP)

    def _shape(
        self, move: Move, season: float, means: list[float], deviation: float
    ) -> list[float]:
        """Activity, the newest return, drift, downside share and the place in the range."""
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


def clock(open_time: int) -> tuple[float, ...]:
    """Return the hour of the day (two harmonics) and the weekday as points on circles, halved."""
    day = 2 * math.pi * (open_time % DAY_MS) / DAY_MS
    week = 2 * math.pi * ((open_time // DAY_MS + 3) % 7) / 7
    turns = (day, 2 * day, week)
    return tuple(f(turn) / 2 for turn in turns for f in (math.sin, math.cos))
