"""River models of a user, good and bad; they are named by their path."""
# ruff: noqa: ARG002 -- the methods are River's

import random
from datetime import timedelta
from typing import Any

import numpy as np
from river import base, compose, preprocessing, time_series

from models.calibrated import calibrated


class Unheard(Exception):
    """An error of somebody's own."""


class Unspeakable(Exception):
    """An error that cannot be told."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class Unspoken(Exception):
    """An error that ends the process of whoever wants to tell it."""

    def __str__(self) -> str:
        raise SystemExit(4)


ERRORS: dict[str, BaseException] = {
    "exit": SystemExit(3),
    "untold": Unspeakable(),
    "mute": Unspoken(),
    "surrogate": ValueError("bad \ud800"),
    "value": ValueError("no idea"),
    "coloured": ValueError("no\n\x1b[31m idea"),
    "own": Unheard("of nobody's"),
    "stop": StopIteration(),
    "file": FileNotFoundError("no such file"),
    "memory": MemoryError(),
}


class Stubborn(time_series.base.Forecaster):
    """Says the last value, and something of one's own for some candles."""

    def __init__(self, says: float = 0.0, wrong_at: int = 0, error: str = "") -> None:
        self.says = says
        self.wrong_at = wrong_at
        self.error = error
        self.count = 0
        self.last = 0.0

    def learn_one(self, y: float, x: dict[str, Any] | None = None) -> None:
        """Remember the value."""
        self.count += 1
        self.last = y

    def forecast(self, horizon: int, xs: list[dict[str, Any]] | None = None) -> list[float]:
        """The last value, but where it goes wrong."""
        if self.wrong_at in (self.count, -1):
            if self.error:
                raise ERRORS[self.error]
            return [self.last + self.says] * horizon
        return [self.last] * horizon


class Unteachable(Stubborn):
    """Cannot learn for some candles, and has something to say all the same."""

    def learn_one(self, y: float, x: dict[str, Any] | None = None) -> None:
        """Remember the value, but where it goes wrong."""
        super().learn_one(y, x)
        if self.count == self.wrong_at:
            raise ERRORS[self.error]

    def forecast(self, horizon: int, xs: list[dict[str, Any]] | None = None) -> list[float]:
        """The last value."""
        return [self.last] * horizon


class Locked(Stubborn):
    """Cannot be saved from some candle on."""

    def __getstate__(self) -> dict[str, Any]:
        if self.count > 700:
            raise OSError("my disk")
        return self.__dict__


class Leaving(Stubborn):
    """Ends the process where it is to be saved, from some candle on."""

    def __getstate__(self) -> dict[str, Any]:
        if self.count > 700:
            raise SystemExit(3)
        return self.__dict__


class Returning(Stubborn):
    """Cannot be read back, for a reason that can be set."""

    why: BaseException | None = None

    def __setstate__(self, state: dict[str, Any]) -> None:
        if self.why:
            raise self.why
        self.__dict__.update(state)


class Biased(Stubborn):
    """Says always too much."""

    def forecast(self, horizon: int, xs: list[dict[str, Any]] | None = None) -> list[float]:
        """By three per cent."""
        return [self.last + 3.0] * horizon


class Gambler(Stubborn):
    """Says something else each time."""

    def forecast(self, horizon: int, xs: list[dict[str, Any]] | None = None) -> list[float]:
        """By chance, which nobody has seeded."""
        return [self.last + random.gauss(0, 1)] * horizon


class Forgetful(Stubborn):
    """Saves less than it knows."""

    def forecast(self, horizon: int, xs: list[dict[str, Any]] | None = None) -> list[float]:
        """The last value, a little higher each time."""
        return [self.last + self.count / 1_000] * horizon

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "count": 0}


class Hoarder(Stubborn):
    """Holds, from some candle on, what no state may name."""

    def learn_one(self, y: float, x: dict[str, Any] | None = None) -> None:
        """Remember the time that has passed."""
        super().learn_one(y, x)
        if self.count > 700:
            self.passed = timedelta(hours=self.count)


class Deaf(Stubborn):
    """Does not take what it is given."""

    def forecast(self, horizon: int) -> list[float]:  # type: ignore[override]
        """Without the arguments that River's have."""
        return [self.last] * horizon


class Witness(base.Regressor):
    """Remembers what it was taught, and says nothing."""

    def __init__(self) -> None:
        self.lessons: list[tuple[dict[str, float], float]] = []

    def learn_one(self, x: dict[Any, Any], y: float) -> None:
        """Remember."""
        self.lessons.append((x, y))

    def predict_one(self, x: dict[Any, Any]) -> float:
        """Nothing."""
        return 0.0


class Drawing(base.Regressor):
    """Draws by a generator of NumPy's own, seeded."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = np.random.default_rng(seed)
        self.drawn = 0.0

    def learn_one(self, x: dict[Any, Any], y: float) -> None:
        """Draw."""
        self.drawn = float(self.rng.normal()) * y

    def predict_one(self, x: dict[Any, Any]) -> float:
        """What was drawn last."""
        return self.drawn


def doubled(x: dict[str, float]) -> dict[str, float]:
    """A function of one's own."""
    return {name: 2 * value for name, value in x.items()}


good = Stubborn()
biased = Biased()
drawn = Drawing(1)
hoarder = Hoarder()
deaf = Deaf()
fine = Stubborn(says=1.5e-5)
finer = Stubborn(says=2.4e-5)
gambler = Gambler()
forgetful = Forgetful()
dated = Stubborn(says=timedelta(1))  # type: ignore[arg-type]
witness = Witness()
raising = Stubborn(wrong_at=120, error="value")
absurd = Stubborn(says=1e9, wrong_at=120)
silent = Stubborn(says=float("nan"), wrong_at=120)
own_error = Stubborn(wrong_at=120, error="own")
stopping = Stubborn(wrong_at=120, error="stop")
missing_file = Stubborn(wrong_at=120, error="file")
exiting = Stubborn(wrong_at=120, error="exit")
untold = Stubborn(wrong_at=120, error="untold")
coloured = Stubborn(wrong_at=120, error="coloured")
leaving = Leaving()
returning = Returning()
unspoken = Stubborn(wrong_at=120, error="mute")
surrogate = Stubborn(wrong_at=120, error="surrogate")
unteachable = Unteachable(wrong_at=120, error="value")
locked = Locked()
starved = Stubborn(wrong_at=120, error="memory")
scaler = preprocessing.StandardScaler()
closure = compose.FuncTransformer(lambda x: x) | Witness()
second = calibrated(Stubborn(), version=2)
mute = Stubborn(says=float("nan"), wrong_at=-1)
number = 7
