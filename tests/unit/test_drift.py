"""Drift: found where errors change, and not where they do not."""

import math
import pickle

import numpy as np
import pytest
from river.drift import ADWIN

from models.drift import BLOCK, DriftDetector, signals
from models.learner import Learner
from models.learners import Learners
from models.scoring import scores_of
from shared.candle import Candle, Timeframe
from tests.unit.test_learner import candles

MINUTE = 60_000
CALM = 4_000


def errors(count: int, seed: int, size: float = 1.0) -> list[float]:
    r"""Seeded \|z\| with fat tails, as real ones are."""
    found = abs(np.random.default_rng(seed).standard_t(4, count)) / math.sqrt(2)
    return [min(size * float(error), 5.0) for error in found]


def watched(*parts: list[float]) -> DriftDetector:
    """One that has seen errors, a candle a minute, and a score that stays as it is."""
    detector = DriftDetector()
    seen = [error for part in parts for error in part]
    times = [MINUTE * place for place in range(len(seen))]
    detector.learn_many(times, [(error, 0.5) for error in seen])
    return detector


@pytest.mark.parametrize("seed", range(5))
def test_errors_that_stay_as_they_are_are_no_drift(seed: int) -> None:
    """However many there are: of 100,000 none was mistaken."""
    assert watched(errors(20_000, seed)).found is None


@pytest.mark.parametrize("size", [0.6, 1.4])
@pytest.mark.parametrize("seed", range(5))
def test_a_change_is_found_and_dated(size: float, seed: int) -> None:
    """Once, within a few blocks, and with what was before and what is after."""
    detector = watched(errors(CALM, seed), errors(1_000, seed + 100, size))
    found = detector.found

    assert found
    assert (found.count, found.signal) == (1, "error")
    assert abs(found.since / MINUTE - CALM) <= 4 * BLOCK
    assert CALM < found.found_at / MINUTE <= CALM + 12 * BLOCK
    assert found.after / found.before == pytest.approx(size, rel=0.2)
    # What was before is forgotten: the mean of what is kept is that of the new errors.
    assert detector.blocks[0] * BLOCK <= 1_000 + 4 * BLOCK


@pytest.mark.at_length
def test_it_is_found_before_adwin_finds_it() -> None:
    """On the same errors, which ADWIN wants between 0 and 1; neither is mistaken before."""
    delays: dict[str, list[int]] = {"own": [], "adwin": []}
    for seed in range(20):
        stream = errors(CALM, seed) + errors(1_500, seed + 100, 1.3)
        detector, adwin = DriftDetector(), ADWIN()  # type: ignore[no-untyped-call]
        found: dict[str, int] = {}
        for place, error in enumerate(stream):
            detector.learn_many([place], [(error, 0.5)])
            adwin.update(error / 5)  # type: ignore[no-untyped-call]
            if detector.count:
                found.setdefault("own", place)
            if adwin.drift_detected:
                found.setdefault("adwin", place)
        for name, seen in delays.items():
            seen.append(found[name] - CALM)

    assert min(map(min, delays.values())) >= 0
    assert np.median(delays["own"]) < 0.8 * np.median(delays["adwin"])


def test_each_signal_has_its_own_window() -> None:
    """A drift of one forgets nothing of the other."""
    detector = DriftDetector()
    rng = np.random.default_rng(1)
    for place in range(640):
        score = float(rng.normal(0.5 if place < 320 else 0.4, 0.02))
        detector.learn_many([place], [(float(rng.uniform()), score)])

    assert detector.found
    assert detector.found.signal == "score"
    assert detector.blocks == (20, 10)
    assert detector.found.since == 320


def test_what_is_not_known_is_not_counted() -> None:
    """A hole among the candles moves nothing."""
    seen = errors(2_000, 3) + errors(300, 4, 2.0)
    with_holes = DriftDetector()
    for place, error in enumerate(seen):
        with_holes.learn_many([place * MINUTE] * 2, [(error, 0.5), (math.nan, math.nan)])

    assert with_holes.found == watched(seen).found is not None


@pytest.mark.parametrize("cut", [1, 31, 32, 100, 2_010])
def test_it_goes_on_to_the_bit_from_where_it_was_saved(cut: int) -> None:
    """In the midst of a block too."""
    seen = errors(2_000, 3) + errors(300, 4, 2.0)
    whole = watched(seen)
    part = pickle.loads(pickle.dumps(watched(seen[:cut])))
    times = [MINUTE * place for place in range(cut, len(seen))]
    part.learn_many(times, [(error, 0.5) for error in seen[cut:]])

    assert part.found == whole.found is not None
    assert pickle.dumps(part) == pickle.dumps(whole)


def test_what_is_watched_of_a_forecast() -> None:
    """The median's error in standard deviations, and its CRPS in the same unit."""
    normal = np.array([-1.96, -1.645, -1.282, -0.674, 0.0, 0.674, 1.282, 1.645, 1.96])
    rows = np.zeros((3, 1, 3 + 9))
    rows[..., 1] = 0.01
    rows[..., 3:] = 0.01 * normal
    closes = np.exp([[0.01], [-0.02], [1.0]])
    losses = scores_of(rows, closes)[..., 1, :]

    error, score = signals(rows, np.array([[1.0], [1.0], [1.0]]), closes, losses).T

    assert error[:2] == pytest.approx([1.0, 2.0], rel=0.05)
    assert score[:2] == pytest.approx(losses[:2, 0] / 0.01, rel=0.05)
    assert (error[2], score[2]) == (5.0, 5.0)
    assert np.isnan(signals(rows, np.zeros((3, 1)), closes, losses)).all()


@pytest.mark.at_length
@pytest.mark.parametrize("tail", [2.5, 4.0])
def test_a_market_with_fat_tails_that_stays_as_it_is_is_no_drift(tail: float) -> None:
    """Nor do its jumps, after which a naive forecast would take long to calm down."""
    chance = np.random.default_rng(7)
    moves = np.clip(chance.standard_t(tail, 6_000) * 0.005, -0.5, 0.5)
    learner, price = Learner(Timeframe("1h"), 1), 100.0
    stream = []
    for place, move in enumerate(moves.tolist()):
        close = price * math.exp(move)
        high, low = max(price, close), min(price, close)
        stream.append(Candle(place * 3_600_000, price, high, low, close, 1.0))
        price = close
    learner.learn_many(stream)

    assert learner.drift.found is None


def standing_still(count: int, after: list[Candle]) -> list[Candle]:
    """A market in which the price does not move any more."""
    last, step = after[-1], after[1].open_time - after[0].open_time
    price = last.close
    return [
        Candle(last.open_time + step * (1 + place), price, price, price, price, 1.0)
        for place in range(count)
    ]


def test_a_learner_finds_it_alone_as_among_others() -> None:
    """It is said with the forecast, and stands among the scores."""
    stream = candles(512)
    stream += standing_still(256, stream)
    other = candles(len(stream), seed=2)
    alone = Learner(Timeframe("1h"), 3)
    alone.learn_many(stream)
    both = [Learner(Timeframe("1h"), 3) for _ in range(2)]
    rows = np.zeros((2, both[0].extent))
    for member, row in zip(both, rows, strict=True):
        member.gather(row)
    together = Learners(both)
    together.learn_many(zip(stream, other, strict=True))
    found = alone.drift.found

    assert found
    assert stream[511].open_time - 2 * BLOCK * 3_600_000 < found.since
    assert found.after < found.before
    assert [one.drift.found for one in both] == [found, None]
    assert [said.drift for said in together.outlooks()] == [found, None]
    assert together.scores()[0]["drift"] == found.model_dump()
    assert together.scores()[1]["drift"] is None
