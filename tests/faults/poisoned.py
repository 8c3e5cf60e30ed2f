"""The command, with a learner that candles of certain volumes harm: run it as `candlecast`."""

import os
import signal
import time

import candlecast
from models.learner import Learner
from shared.candle import Candle

_learn_one = Learner.learn_one


def _raise() -> None:
    raise ArithmeticError("poison")


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _hang() -> None:
    time.sleep(3_600)


_DEEDS = {"raises": _raise, "kills": _kill, "hangs": _hang}
POISONS = tuple(_DEEDS)
"""What a candle may do to who learns it."""


def volume(name: str) -> float:
    """Return the volume that marks a candle as this poison."""
    return 666.25 + POISONS.index(name)


_BY_VOLUME = {volume(name): deed for name, deed in _DEEDS.items()}


def learn_one(learner: Learner, candle: Candle) -> None:
    """Learn half of a poisonous candle before it does harm, and any other as always."""
    deed = _BY_VOLUME.get(candle.volume)
    if deed:
        learner.hours.learn_one(candle.open_time)
        deed()
    _learn_one(learner, candle)


if __name__ == "__main__":
    Learner.learn_one = learn_one  # type: ignore[assignment, method-assign]
    candlecast.main()
