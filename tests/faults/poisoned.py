"""The command, with a learner that candles of certain volumes harm: run it as `candlecast`."""

import os
import signal
import time
from collections.abc import Sequence
from typing import Any

import candlecast
from models.learners import Learners
from shared.candle import Candle

arrive = Learners.arrive


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


def learn(learners: Learners, candles: Sequence[Candle]) -> Any:
    """Learn half of a poisonous candle before it does harm, and any other as always."""
    for learner, candle in zip(learners.members, candles, strict=True):
        deed = _BY_VOLUME.get(candle.volume)
        if deed:
            learner.hours.learn_one(candle.open_time)
            deed()
    return arrive(learners, candles)


if __name__ == "__main__":
    Learners.arrive = learn  # type: ignore[assignment, method-assign]
    candlecast.main()
