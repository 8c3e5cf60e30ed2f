"""Whether a model can be saved: shown by doing it."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from models import state
from models.learner import Learner
from shared.candle import Candle, Series
from shared.errors import InvalidValue, StateError

_SERIES = Series.parse("proof:BTC/USDT:1h")
_HORIZON = 24
_BEFORE, _AFTER = 400, 100
CANDLES = 2 * (_BEFORE + _AFTER)
"""Candles that are learned to show it."""

_REMEDY = (
    "it has to be made of parts that pickle can save by value, seeded where they draw, and in no "
    "order of a set"
)


def prove(model: str, signer: state.Signer, tick: Callable[[], object] = lambda: None) -> int:
    """Show that two of a model learn the same, and that one goes on from what it saved.

    Parameters
    ----------
    model
        Name in the catalog.
    signer
        Signs states, and says which modules they may name.
    tick
        Called before each candle; what it raises ends the proof.

    Returns
    -------
    Bytes of a state after 400 candles.

    Raises
    ------
    InvalidValue
        When it does not, with the reason.
    """
    candles = _walk(_BEFORE + _AFTER)
    one, other = (Learner(_SERIES.timeframe, _HORIZON, model) for _ in range(2))
    for learner in (one, other):
        learner.learn_many(_each(candles[:_BEFORE], tick))
    _compare(one, other, model, "learns otherwise from the same candles")
    try:
        raw = state.dump(one, signer, _SERIES)
        loaded = state.load(raw, signer, state.fingerprint(model, _HORIZON), _SERIES)
    except StateError as error:
        remedy = f"its state cannot be read ({error}); CANDLECAST_STATE_MODULES allows packages"
        raise InvalidValue("model", model, remedy) from error
    except Exception as error:  # whatever pickle makes of what is not to be pickled
        remedy = f"its state cannot be saved ({type(error).__name__}: {error}): {_REMEDY}"
        raise InvalidValue("model", model, remedy) from error
    _check(one, model, _BEFORE)
    for learner in (one, loaded):
        learner.learn_many(_each(candles[_BEFORE:], tick))
    _compare(one, loaded, model, "goes on otherwise from what it saved")
    _check(one, model, _BEFORE + _AFTER)
    return len(raw)


def _each(candles: Iterable[Candle], tick: Callable[[], object]) -> Iterator[Candle]:
    for candle in candles:
        tick()
        yield candle


def _check(learner: Learner, model: str, candles: int) -> None:
    scores = learner.scores()
    for fault in (scores["fault"], scores.get("challenger", {}).get("fault")):
        if fault:
            raise InvalidValue("model", model, f"after {candles} candles: {fault}")


def _compare(one: Learner, other: Learner, model: str, fault: str) -> None:
    said, again = one.outlook(), other.outlook()
    if one.scores() != other.scores() or not np.array_equal(said.quantiles, again.quantiles):
        raise InvalidValue("model", model, f"it {fault}: {_REMEDY}")


def _walk(count: int) -> list[Candle]:
    """Return candles of an invented market, always the same."""
    rng, step = np.random.default_rng(0), _SERIES.timeframe.ms
    closes = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, count + 1)))
    pairs = zip(closes.tolist(), closes[1:].tolist(), rng.uniform(1, 2, count), strict=False)
    return [
        Candle(i * step, o, 1.002 * max(o, c), 0.998 * min(o, c), c, float(volume))
        for i, (o, c, volume) in enumerate(pairs)
    ]
