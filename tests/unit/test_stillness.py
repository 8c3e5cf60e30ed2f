"""Counting of ticks in a market that stands still."""

import pickle

import numpy as np
import pytest

from models import state
from models.forecaster import ScaleMixtureForecaster
from models.hours import HOUR_MS, MONDAY_MS
from models.learner import Learner
from models.memory import Array
from models.stillness import SETTLED, TickHistogram
from shared.candle import Candle, Series, Timeframe
from shared.forecast import QUANTILE_LEVELS

LEVELS = np.array(QUANTILE_LEVELS)
ONE = np.ones(1)


def counted(moves: list[int], others: Array | None = None) -> TickHistogram:
    """Learn moves one candle ahead of a market where every candle is traded."""
    counts = TickHistogram((1,))
    others = np.zeros((1, 9)) if others is None else others
    for move in moves:
        counts.learn_one(np.array([float(move)]), np.array([float(counts.code)]), others, ONE)
        counts.observe(move, 1.0)
    return counts


def bounce(count: int, seed: int = 4) -> list[int]:
    """Trades at the bid or the ask by chance: after a rise only a fall can follow."""
    sides = np.random.default_rng(seed).integers(0, 2, count)
    return [int(move) for move in np.diff(sides)]


def test_knows_where_the_last_move_leads_back() -> None:
    """After a rise to the ask the price falls back or stays, after a fall it rises or stays."""
    counts = counted(bounce(2000))

    counts.observe(1, 1.0)
    after_a_rise = counts.predict_one()[0]
    counts.observe(-1, 1.0)
    after_a_fall = counts.predict_one()[0]

    assert (after_a_rise[:4] == -1).all()
    assert (after_a_rise[5:] == 0).all()
    assert (after_a_fall == -after_a_rise[::-1]).all()


def test_tells_candles_with_trade_from_those_without() -> None:
    """Where trade without a move comes before moves, and silence before silence, bands say so."""
    counts = TickHistogram((1,))
    for number in range(3000):
        trades = number % 4 < 2
        move = float((-1) ** (number // 4) * 3) if number % 4 == 1 else 0.0
        counts.learn_one(np.array([move]), np.array([float(counts.code)]), np.zeros((1, 9)), ONE)
        counts.observe(0.0, float(trades))

    counts.observe(0.0, 0.0)
    silent = counts.predict_one()[0]
    counts.observe(0.0, 5.0)
    traded = counts.predict_one()[0]

    assert not silent[1:8].any()
    assert (traded[[1, 7]] == (-3, 3)).all()


def test_quantiles_are_those_of_the_discounted_counts() -> None:
    """Of one state's shares with a little of all states', the least tick with enough below."""
    rng = np.random.default_rng(3)
    moves = [*rng.integers(-25, 26, 300).tolist(), -4]
    counts, shares, code = counted(moves), np.zeros((3, 41)), 1
    shares[:, 20] = 0.005
    for move in moves:
        mirrored = int(np.clip(-move if code < 0 else move, -20, 20))
        if code:  # nothing is counted after a leap
            shares[abs(code) - 1] *= 0.999
            shares[abs(code) - 1, mirrored + 20] += 0.001
        code = (3 if move else 2) * (-1 if (move or code) < 0 else 1) * (abs(move) <= 10)

    mixed = shares[abs(code) - 1] + 0.005 * shares.mean(0)
    cumulated = np.cumsum(mixed[::-1] if code < 0 else mixed)
    expected = np.searchsorted(cumulated, LEVELS * cumulated[-1]) - 20
    assert counts.code == code
    assert counts.predict_one()[0] == pytest.approx(expected)


@pytest.mark.parametrize(("width", "grows"), [(0.0, True), (1.0, False)])
def test_is_trusted_as_far_as_it_gains(width: float, grows: bool) -> None:  # noqa: FBT001
    """Beside one who says that nothing moves it gains, beside one who is as good it does not."""
    moves = bounce(2000)
    others = np.repeat([-width, 0, width], (4, 1, 4))[None]
    if not grows:
        moves = [int(move) for move in np.random.default_rng(1).choice((-1, 0, 1), 2000)]

    share = float(counted(moves, others).share[0])

    assert share > 0.7 if grows else share < 0.45


def test_learns_nothing_of_what_is_unknown_or_was_not_counted() -> None:
    """Neither without the target nor from origins at which the market was lively."""
    counts = TickHistogram((1, 2))
    before = counts.memory()

    counts.learn_one(np.ones(2), np.array([2.0, 0.0]), np.zeros((2, 9)), np.array([0.0, 1.0]))

    assert str(counts.memory()) == str(before)
    assert counts.counts is None


def test_a_leap_is_no_going_to_and_fro() -> None:
    """After a move of more than ten ticks, up or down, the counts have nothing to say."""
    counts = counted(bounce(500))

    codes = []
    for move in (10, 11, 0, -10, -11, 1):
        counts.observe(float(move), 1.0)
        codes.append(counts.code)

    assert codes == [3, 0, 2, -3, 0, 3]


def hourly(moves: list[int]) -> ScaleMixtureForecaster:
    """Learn candles that close on ticks of a hundredth of the first price."""
    forecaster, closes = ScaleMixtureForecaster(HOUR_MS), 100 + np.cumsum(moves)
    for number, close in enumerate(closes.tolist()):
        prices = dict.fromkeys(("open", "high", "low", "close"), float(close))
        x = {"open_time": MONDAY_MS + number * HOUR_MS, **prices, "volume": 1.0}
        forecaster.learn_one(float(close), x)
    return forecaster


@pytest.mark.parametrize(("candles", "counts"), [(SETTLED, False), (SETTLED + 2, True)])
def test_a_market_that_stands_still_is_counted_from_the_fiftieth_candle_on(
    candles: int,
    counts: bool,  # noqa: FBT001
) -> None:
    """The next close is the first that ends a move from an origin of which that is known."""
    assert (hourly(bounce(candles)).counts.counts is not None) == counts


def test_a_lively_market_is_never_counted() -> None:
    """Not in its first candles either, where one that did not move is a large share."""
    moves = np.random.default_rng(8).choice((-2, -1, 1, 2), 300).tolist()
    moves[1] = 0

    assert hourly(moves).counts.counts is None


def test_counts_are_not_asked_after_a_leap() -> None:
    """A market that wakes up is forecast by its scale alone, whatever the counts have learned."""
    moves = [*bounce(400), 30]
    forecaster = hourly(moves)
    before = forecaster.forecast_quantiles(24, QUANTILE_LEVELS)

    forecaster.counts.gains[:] = 1e3

    assert forecaster.counts.counts is not None
    assert (forecaster.forecast_quantiles(24, QUANTILE_LEVELS) == before).all()


def test_saved_counts_go_on_to_the_last_bit() -> None:
    """A copy in mid-stream says and learns the same."""
    counts, moves = counted(bounce(500)), bounce(500, seed=9)
    copy = pickle.loads(pickle.dumps(counts))
    for one in (counts, copy):
        for move in moves:
            one.learn_one(
                np.array([float(move)]), np.array([float(one.code)]), np.ones((1, 9)), ONE
            )
            one.observe(move, 1.0)

    assert pickle.dumps(copy) == pickle.dumps(counts)
    assert (copy.predict_one() == counts.predict_one()).all()


def coarse(count: int) -> list[Candle]:
    """Trades at the bid or the ask, most candles without any."""
    chance = np.random.default_rng(5)
    sides, trades = chance.integers(0, 2, count), chance.random(count) < 0.4
    made, close = [], 100.0
    for number in range(count):
        opened, close = close, 100 + 0.01 * sides[number] if trades[number] else close
        high, low = max(opened, close), min(opened, close)
        time = MONDAY_MS + number * HOUR_MS
        made.append(Candle(time, opened, high, low, close, float(trades[number])))
    return made


def test_saved_in_a_still_market_it_goes_on_bit_for_bit() -> None:
    """Saved and loaded now and then while ticks are counted, into a learner used before."""
    signer, series = state.Signer(b"k" * 32), Series.parse("test:ALGO/BTC:1h")
    name = state.fingerprint("default", 24)
    whole, saved, used = (Learner(series.timeframe, 24) for _ in range(3))
    for number, candle in enumerate(coarse(700)):
        whole.learn_one(candle)
        saved.learn_one(candle)
        if number % 37 == 0:
            raw = state.dump(saved, signer, series)
            used, saved = saved, state.load(raw, signer, name, series, used)

    assert isinstance(saved.forecaster, ScaleMixtureForecaster)
    assert saved.forecaster.counts.counts is not None
    assert whole.outlook().quantiles.tobytes() == saved.outlook().quantiles.tobytes()
    assert state.dump(whole, signer, series) == state.dump(saved, signer, series)


def test_a_mirrored_market_gets_mirrored_quantiles() -> None:
    """Counts move both sides alike: after a fall all is as after a rise, the other way round."""
    said: list[list[Array]] = []
    for side in (1, -1):
        learner = Learner(Timeframe("1h"), 3)
        said.append([])
        for number in range(1_000):
            # Twenty candles to and fro, then twenty that stand still.
            close = 100 + side * 0.01 * (number % 2 if number % 40 < 20 else 0)
            prices = (100.0, max(100.0, close), min(100.0, close), close)
            learner.learn_one(Candle(MONDAY_MS + number * HOUR_MS, *prices, 1.0))
            if number >= 900:
                said[-1].append(np.round((learner.outlook().quantiles - close) / 0.01))

    for here, mirrored in zip(*said, strict=True):
        assert abs(here).max() > 0
        assert (here == -mirrored[:, ::-1]).all()


def test_the_share_is_learned_without_the_median() -> None:
    """Where all else agrees, a median of the counts' own earns and loses nothing."""
    counts = TickHistogram((1,))
    counts.counts = np.zeros((1, 3, 41), np.float32)
    counts.counts[:, :, [19, 21]] = 0.5  # one tick down or up
    others = np.array([[-1.0, -1, -1, -1, 0, 1, 1, 1, 1]])

    counts.learn_one(np.ones(1), np.ones(1), others, ONE)

    assert counts.gains.tolist() == counts.squares.tolist() == [0]
