"""The calendar of the variance: when in the day and the week a market is lively."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.constants import Prior
from models.ewma import Ewma
from models.hours import DAY_MS, HOUR_MS
from models.memory import Array, Memory

_CLIP = 4.0
_LEAK = 0.02
_FIRST_LESSON = 26
_SEASON, _SEEN = 0, 1


class Seasonality(Memory):
    """Multiplicative seasonality of the variance, learned online.

    The log variance of a candle is taken as a slow level plus a season: the sum of a table by
    hour of the day, one by weekday, one by hour of the week and, below an hour, one by part of
    the hour. Daily and longer candles have the weekday alone. Each table learns from what the
    others leave, at a rate that falls with the hours (not the candles) it has seen.

    Parameters
    ----------
    timeframe_ms
        Length of a candle in milliseconds.
    prior
        Seasons of markets that trade around the clock, to start from.

    Attributes
    ----------
    now
        Season of the newest candle (log variance), what it taught included.
    height
        Log variance of the newest candle above its slow mean.
    hour, weekday, week, part
        The tables, shape (2, entries): seasons, and the hours seen of each up to a limit.
    """

    _learned = ("now", "candles", "starts_anew", "_level", "_mean")

    def __init__(self, timeframe_ms: int = HOUR_MS, prior: Prior | None = None) -> None:
        self.timeframe_ms = timeframe_ms
        self.prior = prior
        self._intraday = timeframe_ms < DAY_MS
        self._parts = min(12, HOUR_MS // timeframe_ms) if timeframe_ms < HOUR_MS else 0
        self._remember(hour=(2, 24), weekday=(2, 7), week=(2, 168), part=(2, max(self._parts, 1)))
        self.hour: Array
        self.weekday: Array
        self.week: Array
        self.part: Array
        span = max(24, min(DAY_MS // timeframe_ms, 288)) if self._intraday else 24
        self._level = Ewma(span)
        self._mean = Ewma(max(span, 72))
        # Counts are hours, not candles: else one-minute series would learn from noise.
        self._hours = min(timeframe_ms / HOUR_MS, 1.0)
        self.now = 0.0
        self.height = 0.0
        self.candles = 0
        self.starts_anew = False
        self._usual_week = np.zeros(168)
        if prior is not None:
            self._begin_with(prior)

    def recalled(self) -> None:
        """Of the newest candle nothing is known."""
        self.height = 0.0

    def start_anew(self) -> None:
        """Forget all: the market keeps hours, of which a prior for others knows nothing."""
        self.buffer[:] = 0
        self.starts_anew = True

    def learn_one(self, open_time: int, variance: float) -> None:
        """Learn from a candle that opened at ``open_time`` (UTC ms) and showed ``variance``."""
        self.candles += 1
        self.height = self._above_level(variance)
        week = (open_time // HOUR_MS + 72) % 168
        if not self._intraday:
            week -= week % 24
        part = open_time % HOUR_MS * self._parts // HOUR_MS
        if self.candles >= _FIRST_LESSON:
            error = min(max(self.height - self._season(week, part), -_CLIP), _CLIP)
            self._learn(week, part, error)
        self.now = self._season(week, part)

    def ahead(self, open_times: NDArray[np.int64]) -> Array:
        """Return ln mean exp(season) over the first 1, 2, ... H of ``open_times``, shape (H,)."""
        week = (open_times // HOUR_MS + 72) % 168
        series: tuple[Any, ...] = (*self.leading, _SEASON)
        season = self.weekday[(*series, week // 24)]
        if self._intraday:
            season += self.hour[(*series, week % 24)]
            season += self.week[(*series, week)]
        if self._parts:
            season += self.part[(*series, open_times % HOUR_MS * self._parts // HOUR_MS)]
        np.exp(season, out=season)
        season = np.add.accumulate(season, axis=-1)
        season /= np.arange(1.0, season.shape[-1] + 1)
        return np.log(season, out=season)

    def _begin_with(self, prior: Prior) -> None:
        """Put the prior's seasons into the tables, and count it as some hours seen."""
        if not self._intraday:
            self.weekday[_SEASON], self.weekday[_SEEN] = prior.day, 20
            return
        self.hour[_SEASON], self.hour[_SEEN] = prior.hour, 20
        self.weekday[_SEASON], self.weekday[_SEEN] = prior.weekday, 160
        self.week[_SEASON], self.week[_SEEN] = prior.week, 10
        self._usual_week = prior.week.astype(np.float64)
        if self._parts:
            self.part[_SEASON], self.part[_SEEN] = prior.part.reshape(self._parts, -1).mean(1), 20

    def _season(self, week: int, part: int) -> float:
        return float(
            self.hour[_SEASON, week % 24]
            + self.weekday[_SEASON, week // 24]
            + self.week[_SEASON, week]
            + self.part[_SEASON, part]
        )

    def _above_level(self, variance: float) -> float:
        """Log variance, floored at a fiftieth of its slow mean, less its own slow mean."""
        variance += 1e-9
        self._mean.update(variance)
        log_variance = math.log(max(variance, 0.02 * self._mean.get()))
        self._level.update(log_variance)
        return log_variance - self._level.get()

    def _learn(self, week: int, part: int, error: float) -> None:
        """Share the error among the tables; each moves the slower, the more it has seen."""
        hour, weekday = week % 24, week // 24
        limit, inertia = (4800, 80) if self._intraday else (200, 30)
        self.weekday[_SEASON, weekday] += (
            error / 2 * self._gain(self.weekday[_SEEN], weekday, limit, inertia)
        )
        if self._intraday:
            self.hour[_SEASON, hour] += error * self._gain(self.hour[_SEEN], hour, 200, 10)
            usual = 0.0 if self.starts_anew else self._usual_week[week]
            left = error - _LEAK * (self.week[_SEASON, week] - usual)
            self.week[_SEASON, week] += left * self._gain(self.week[_SEEN], week, 100, 60)
        if self._parts:
            self.part[_SEASON, part] += error * self._gain(self.part[_SEEN], part, 400, 20)

    def _gain(self, seen: Array, index: int, limit: int, inertia: int) -> float:
        seen[index] = hours = min(float(seen[index]) + self._hours, limit)
        return self._hours / (hours + inertia)
