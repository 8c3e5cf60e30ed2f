"""Workers that keep learners, and what a learner should have learned."""

from models import state
from models.learner import Learner
from shared.candle import Candle, Series
from shared.limits import Limits
from shared.store import Store
from tests.integration.spoilt import SIGNER
from tests.integration.steps import FLEET, SERIES, walk
from worker.recall import recalled
from worker.teaching import Model
from worker.update import Updater

EVERY = Limits().state_every
WALK = walk(40)
OTHER = Series.parse("test:ETH/USDT:1h")


def worker(store: Store, name: str, model: str = "default") -> Updater:
    """A worker of this name that has learned nothing yet."""
    made = Updater(store, Model(model, SIGNER, lambda _: 24, FLEET))
    made.worker = name
    return made


def feed(store: Store, updater: Updater, candles: list[Candle], series: Series = SERIES) -> None:
    """Append and learn candle by candle."""
    for candle in candles:
        store.append(series, [candle])
        updater.run()


def learner_of(store: Store, series: Series = SERIES) -> bytes:
    """What has been learned, by what is in Redis."""
    record = store.model(series)
    assert record.state is not None
    assert record.fingerprint is not None
    return state.body(recalled(record, SIGNER, record.fingerprint))


def alone(candles: list[Candle]) -> bytes:
    """What a learner has learned that nobody ever saved."""
    learner = Learner(SERIES.timeframe, 24)
    for candle in candles:
        learner.learn_one(candle)
    return state.body(learner)
