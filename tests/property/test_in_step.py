"""Learners that learn in step: each is to the last bit what it is alone."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import state
from models.learner import Learner
from models.learners import Learners
from models.memory import stacked
from models.twins import sessions, thinned
from shared.candle import Candle, Timeframe
from tests.integration.steps import walk
from tests.property.test_models import SERIES, SIGNER, horizons, some, streams, taught

HOUR = Timeframe("1h")


def in_rows(
    timeframe: Timeframe, horizon: int, count: int, model: str = "default"
) -> list[Learner]:
    """New learners in the rows of one array."""
    learners = [Learner(timeframe, horizon, model) for _ in range(count)]
    for learner, row in zip(learners, np.zeros((count, learners[0].extent)), strict=True):
        learner.gather(row)
    return learners


def teach(learners: Sequence[Learner], markets: Sequence[Sequence[Candle]]) -> None:
    """Teach each its market, candle by candle; the longest markets come first."""
    for at in range(len(markets[0])):
        candles = [market[at] for market in markets if len(market) > at]
        Learners(learners[: len(candles)]).learn(candles)


def check(together: Learner, alone: Learner) -> None:
    """Compare all that is known and said."""
    one, two = together.outlook(), alone.outlook()
    for name in ("quantiles", "median", "volatility", "prob_up"):
        assert getattr(one, name).tobytes() == getattr(two, name).tobytes(), name
    assert (one.target_times, one.status, one.skill) == (two.target_times, two.status, two.skill)
    assert together.scores() == alone.scores()
    assert state.dump(together, SIGNER, SERIES) == state.dump(alone, SIGNER, SERIES)


@some
@given(
    stream=streams(), horizon=horizons, cuts=st.lists(st.integers(1, 40), min_size=1, max_size=4)
)
def test_any_candles(stream: tuple[Timeframe, list[Candle]], horizon: int, cuts: list[int]) -> None:
    """Several parts of a market, some longer than others."""
    timeframe, candles = stream
    markets = [candles, *sorted((candles[:cut] for cut in cuts), key=len, reverse=True)]
    learners = in_rows(timeframe, horizon, len(markets))

    teach(learners, markets)

    for learner, market in zip(learners, markets, strict=True):
        check(learner, taught(timeframe, horizon, market))


@some
@given(stream=streams(), horizon=horizons, cut=st.integers(0, 200))
def test_many_candles_at_once(
    stream: tuple[Timeframe, list[Candle]], horizon: int, cut: int
) -> None:
    """However they are cut into parts, they teach what they do one by one."""
    timeframe, candles = stream
    learner = Learner(timeframe, horizon)

    learner.learn_many(candles[:cut])
    learner.learn_many(candles[cut:])

    check(learner, taught(timeframe, horizon, candles))


def test_many_rounds_of_several_at_once() -> None:
    """Those that learn in step score many candles at once, and gaps and sessions with them."""
    markets = [market[:300] for market in _markets()[:-1]]
    learners = in_rows(HOUR, 24, len(markets))

    Learners(learners).learn_many(zip(*markets, strict=True))

    for learner, market in zip(learners, markets, strict=True):
        check(learner, taught(HOUR, 24, market))


def _markets() -> list[list[Candle]]:
    """A lively one, one with gaps, one that mostly stands still, one with sessions, young ones."""
    whole, other = walk(700), walk(640, seed=5)
    gaps = [candle for number, candle in enumerate(other) if number % 17]
    markets = [whole, gaps, thinned(whole[:590], 3), sessions(walk(2_200, seed=6)), whole[:40]]
    return sorted(markets, key=len, reverse=True)


@pytest.mark.parametrize("model", ["default", "default@none", "random-walk"])
def test_any_markets(model: str) -> None:
    """Whatever the others are, and however many there are."""
    markets = _markets()
    learners = in_rows(HOUR, 24, len(markets), model)

    teach(learners, markets)
    said = Learners(learners).outlooks()
    scores = Learners(learners).scores()

    for learner, market, outlook, score in zip(learners, markets, said, scores, strict=True):
        alone = Learner(HOUR, 24, model)
        for candle in market:
            alone.learn_one(candle)
        assert outlook.quantiles.tobytes() == alone.outlook().quantiles.tobytes()
        assert outlook.skill == alone.outlook().skill
        assert score == alone.scores()
        check(learner, alone)


def test_the_place_in_the_row_does_not_matter() -> None:
    """The same market in all of 64 rows gives the same bits in all of them."""
    learners = in_rows(HOUR, 24, 64)

    teach(learners, [walk(120)] * 64)

    assert len({state.dump(learner, SIGNER, SERIES) for learner in learners}) == 1
    check(learners[0], taught(HOUR, 24, walk(120)))


def test_only_rows_of_one_array_are_stacked() -> None:
    """Others would be read where they do not lie."""
    learners = in_rows(HOUR, 24, 4)

    assert stacked([learner.prequential for learner in learners[::2]]).total.shape[0] == 2
    apart = Learner(HOUR, 24), Learner(HOUR, 24)
    for others in ([learners[at] for at in (0, 1, 3)], apart, (apart[0], learners[0])):
        with pytest.raises(ValueError, match="rows of one array"):
            stacked([learner.prequential for learner in others])
