"""Whether a model of a user's can be saved, and is quick enough: looked at before it learns."""

import itertools
import time

import structlog

from models.proof import CANDLES, prove
from models.signer import Signer
from shared.errors import InvalidValue

# A hundred series of one minute would take a worker nearly all its time.
_SLOWEST_S = 0.5
# What is loaded with the first candles is not the model's pace.
_SLACK = 20
_LARGE = 1 << 20

log = structlog.get_logger(__name__)


def prove_own(name: str, signer: Signer) -> None:
    """Refuse a model of the user's that cannot be saved, or is so slow that candles would wait."""
    log.info("proving_model", model=name, candles=CANDLES)
    began, learned = time.perf_counter(), itertools.count()

    def tick() -> None:
        before = next(learned)
        took_s = (time.perf_counter() - began) / (before + _SLACK)
        if took_s > _SLOWEST_S:
            remedy = f"{before} candles took it so long that one takes more than {_SLOWEST_S} s"
            raise InvalidValue("model", name, remedy)

    size = prove(name, signer, tick)
    candle_s = (time.perf_counter() - began) / CANDLES
    facts = {"candle_ms": round(1_000 * candle_s, 3), "state_kb": size >> 10}
    log.info("model_proved", model=name, **facts)
    if size > _LARGE:
        says = "each series takes as much of Redis, and of the time it takes to write that"
        log.warning("model_is_large", model=name, state_kb=size >> 10, says=says)
