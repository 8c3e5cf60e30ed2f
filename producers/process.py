"""The stochastic process behind the simulated market: log prices of days, then of minutes.

**Days** are a random walk since 2017, cheap enough to be walked whole:

- log variance: the sum of two AR(1) with half-lives of 18 and 2 days and standard deviations of
  0.7 and 0.4, whose shocks are correlated -0.5 with the day's return (leverage); weekends are
  calmer by exp(-0.5);
- return: Student t with 5 degrees of freedom and that variance, plus a Poisson number of jumps
  (0.25 a day, each normal with 0.4 of the day's standard deviation); the log price is drawn
  back to where it began with a half-life of two years, so that it stays plausible for decades and
  looks like a random walk over weeks.

**Minutes** spread the day's variance and return, so that a day needs none but itself and the day
before:

- share of the variance: a season (two harmonics of the day, highest about 15:30 UTC, and a peak at
  each full hour) times the exponential of an AR(1) with a half-life of two hours, whose shocks
  follow the size and the sign of the minutes' returns (clusters, more so after falls);
- return: Student t with 5 degrees of freedom, plus the minute's share of what is missing to the
  day's return (for normal returns exactly the law of the minutes given the day); the jumps fall
  on random minutes;
- high and low: the laws of maximum and minimum of a Brownian bridge from open to close;
- volume: log-normal, rising with the variance and the size of the move.

Every symbol has a path of its own: BTC and ETH do not move together as real ones do. Prices are
rounded to six digits of the starting price. See Taylor (1986) for the volatility model,
Andersen and Bollerslev (1997) for the season, Merton (1976) for the jumps.
"""

import hashlib
import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

DAY_MINUTES = 1_440
FIRST_DAY = 17_167
"""Days from the epoch to 2017-01-01, where every path begins."""

Floats = NDArray[np.float64]

_PRICES = {"BTC": 60_000.0, "ETH": 3_000.0, "SOL": 150.0, "XRP": 0.6, "BNB": 600.0, "EUR": 1.1}
_DAILY_SD = {"BTC": 0.025, "ETH": 0.033, "BNB": 0.03, "EUR": 0.005, "GBP": 0.006}
_TURNOVER_A_DAY = 5e8

_FREEDOM = 5.0
_UNIT_T = math.sqrt((_FREEDOM - 2) / _FREEDOM)
# Mean and standard deviation of |t| for the Student t of unit variance with 5 degrees of freedom.
_MEAN_SIZE, _SD_SIZE = 0.7351, 0.6780

_DAYS_AT_ONCE = 1_024
_SLOW, _FAST = 0.5 ** (1 / 18), 0.5 ** (1 / 2)
_SLOW_STEP = 0.7 * math.sqrt(1 - _SLOW**2)
_FAST_STEP = 0.4 * math.sqrt(1 - _FAST**2)
_LEVERAGE = -0.5
_WEEKEND, _SATURDAY = -0.5, 5
_PULL = 1 - 0.5 ** (1 / 730)
_JUMPS_A_DAY, _MOST_JUMPS, _JUMP_SD = 0.25, 3, 0.4

_MINUTE_SD = 0.9
_BY_SIZE, _BY_SIGN = 0.5, -0.3
_BY_NEWS = math.sqrt(1 - _BY_SIZE**2 - _BY_SIGN**2)
_DECAY = 0.5 ** (np.arange(DAY_MINUTES + 1) / 120)
_SHOCK_SD = _MINUTE_SD * math.sqrt(1 - float(_DECAY[1]) ** 2)


def _season() -> Floats:
    minute = np.arange(DAY_MINUTES)
    wave = 2 * np.pi * (minute / 60 - 15.5) / 24
    shape: Floats = np.exp(0.55 * np.cos(wave) + 0.2 * np.cos(2 * wave))
    return shape * (1 + 0.6 * np.exp(-(minute % 60) / 3))


_SEASON = _season()


class MinuteProcess:
    """The minutes of one symbol and seed, a day at a time."""

    def __init__(self, symbol: str, seed: int) -> None:
        digest = hashlib.sha256(symbol.encode()).digest()
        base = symbol.partition("/")[0]
        self._key = (seed, int.from_bytes(digest[:8]))
        self._price = _PRICES.get(base, 10 ** (digest[8] / 64 - 1))
        self._sd = _DAILY_SD.get(base, 0.03 + 0.02 * digest[9] / 255)
        self._digits = 5 - math.floor(math.log10(self._price))
        self._walk = _DayWalk(self._key, math.log(self._price), self._sd)
        self.day = lru_cache(maxsize=8)(self._day)
        self._shocks = lru_cache(maxsize=4)(self._draw_shocks)

    def _day(self, day: int) -> Floats:
        """Return open, high, low, close and volume of a day's minutes, shape (1440, 5)."""
        start, end, variance, calm_return, jumps = self._walk.day(day)
        shares = self._variance_shares(day)
        deviations = np.sqrt(variance * shares)
        returns = deviations * self._shocks(day)[0]
        returns += shares * (calm_return - returns.sum())
        for minute, size in jumps:
            returns[minute] += size
        path = start + np.concatenate(([0.0], np.cumsum(returns)))
        # The next day starts from this very float.
        path[-1] = end
        rng = np.random.default_rng((*self._key, 2, day))
        high, low = _extremes(path, deviations, rng)
        prices = np.exp(np.stack([path[:-1], high, low, path[1:]])).round(self._digits)
        volume = self._volumes(prices[3], shares * DAY_MINUTES, returns / deviations, rng)
        volume *= (variance / self._sd**2) ** 0.35
        return np.column_stack([*prices, volume.round(5)])

    def _variance_shares(self, day: int) -> Floats:
        """Return what part of the day's variance falls on each minute."""
        before, news = self._shocks(day - 1)[1], self._shocks(day)[1]
        level = _SHOCK_SD * _DECAY[-1] * np.sum(before / _DECAY[1:])
        # Level before each minute: its own shock counts from the next one on.
        levels = _DECAY[:-1] * (level + _SHOCK_SD * _before(np.cumsum(news / _DECAY[1:])))
        weights = _SEASON * np.exp(levels)
        shares: Floats = weights / weights.sum()
        return shares

    def _draw_shocks(self, day: int) -> tuple[Floats, Floats]:
        """Return the minutes' return shocks and the volatility shocks that follow from them."""
        rng = np.random.default_rng((*self._key, 1, day))
        shocks = _UNIT_T * rng.standard_t(_FREEDOM, DAY_MINUTES)
        sizes = (np.abs(shocks) - _MEAN_SIZE) / _SD_SIZE
        news = _BY_NEWS * rng.standard_normal(DAY_MINUTES)
        return shocks, _BY_SIZE * sizes + _BY_SIGN * shocks + news

    def _volumes(
        self, prices: Floats, activity: Floats, shocks: Floats, rng: np.random.Generator
    ) -> Floats:
        usual = _TURNOVER_A_DAY / DAY_MINUTES / prices
        noise = np.exp(0.5 * rng.standard_normal(DAY_MINUTES) - 0.125)
        volumes: Floats = usual * activity**0.7 * (0.5 + 0.6 * np.abs(shocks)) * noise
        return volumes


class _DayWalk:
    """Log price, variance, return and jumps of each day since `FIRST_DAY`."""

    def __init__(self, key: tuple[int, int], start: float, sd: float) -> None:
        self._key = key
        self._start = start
        self._sd = sd
        self._slow = self._fast = 0.0
        self._prices = [start]
        self._days: list[tuple[float, float, list[tuple[int, float]]]] = []

    def day(self, day: int) -> tuple[float, float, float, float, list[tuple[int, float]]]:
        """Return log prices at start and end, variance, return without jumps, and the jumps."""
        index = day - FIRST_DAY
        while len(self._days) <= index:
            self._extend()
        return (self._prices[index], self._prices[index + 1], *self._days[index])

    def _extend(self) -> None:
        """Walk the next days; drawn in blocks of fixed size, so that asking order is no matter."""
        size, first = _DAYS_AT_ONCE, len(self._days)
        rng = np.random.default_rng((*self._key, 0, first // size))
        shocks = (_UNIT_T * rng.standard_t(_FREEDOM, size)).tolist()
        slow, fast = rng.standard_normal((2, size)).tolist()
        jumps = np.minimum(rng.poisson(_JUMPS_A_DAY, size), _MOST_JUMPS).tolist()
        minutes = rng.integers(0, DAY_MINUTES, (size, _MOST_JUMPS)).tolist()
        sizes = (_JUMP_SD * rng.standard_normal((size, _MOST_JUMPS))).tolist()
        for i in range(size):
            # The epoch was a Thursday.
            weekday = (FIRST_DAY + first + i + 3) % 7
            weekend = _WEEKEND if weekday >= _SATURDAY else 0.0
            variance = self._sd**2 * math.exp(self._slow + self._fast + weekend)
            deviation = math.sqrt(variance)
            pull = -_PULL * (self._prices[-1] - self._start)
            calm = deviation * shocks[i] + pull
            jumped = [(minutes[i][j], deviation * sizes[i][j]) for j in range(jumps[i])]
            self._days.append((variance, calm, jumped))
            self._prices.append(self._prices[-1] + calm + sum(size for _, size in jumped))
            fall, rest = _LEVERAGE * shocks[i], math.sqrt(1 - _LEVERAGE**2)
            self._slow = _SLOW * self._slow + _SLOW_STEP * (fall + rest * slow[i])
            self._fast = _FAST * self._fast + _FAST_STEP * (fall + rest * fast[i])


def _extremes(path: Floats, deviations: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Draw maximum and minimum of Brownian bridges between the points of a path."""
    spread = -2 * deviations**2 * np.log(1 - rng.random((2, len(deviations))))
    middle, step = (path[:-1] + path[1:]) / 2, np.diff(path)
    reach = np.sqrt(step**2 + spread) / 2
    return middle + reach[0], middle - reach[1]


def _before(sums: Floats) -> Floats:
    return np.concatenate(([0.0], sums[:-1]))
