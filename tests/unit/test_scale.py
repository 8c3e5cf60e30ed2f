"""The scale experts."""

import pickle

import numpy as np
import pytest

from models.features import SIZE, clock
from models.memory import Array
from models.scale import INPUTS, Origin, RecursiveLeastSquares, SlowLevel, regressors

HORIZONS = (1, 3)
CLOCK = np.array(clock(0))


def origin(position: int, inputs: Array, log_return: float = 0.0) -> Origin:
    """Make an origin of which level and calendar expect nothing."""
    return Origin(position, inputs, np.zeros(len(HORIZONS)), log_return)


def draw(rng: np.random.Generator) -> Array:
    """Draw the inputs of one candle."""
    return regressors(rng.normal(0, 1, INPUTS - 7), CLOCK)


def taught(candles: int, *, skip: int = 0) -> tuple[RecursiveLeastSquares, Array]:
    """Learn labels that are linear in the inputs of their origins, some of them missing."""
    rng = np.random.default_rng(5)
    model, truth = RecursiveLeastSquares(HORIZONS), rng.normal(0, 0.2, (len(HORIZONS), INPUTS))
    seen: dict[int, Array] = {}
    for position in range(candles):
        known = np.array(
            [position >= back and (not skip or position % skip > 0) for back in HORIZONS], float
        )
        # A label that must not count is nonsense.
        labels = np.array(
            [
                truth[row] @ seen[position - back] if known[row] else 99.0
                for row, back in enumerate(HORIZONS)
            ]
        )
        model.learn_one(labels, position, known)
        seen[position] = draw(rng)
        model.observe(origin(position, seen[position]))
    return model, truth


@pytest.mark.parametrize("skip", [0, 7])
def test_regression_finds_the_coefficients(skip: int) -> None:
    """Each horizon's coefficients are found from its late labels; unknown ones count nothing."""
    model, truth = taught(3000, skip=skip)
    inputs = draw(np.random.default_rng(9))

    assert model.predict_one(origin(3000, inputs)) == pytest.approx(truth @ inputs, abs=0.1)


def test_regression_matches_ridge_regression() -> None:
    """Without forgetting and kept-alive ridge it is the textbook solution."""
    rng = np.random.default_rng(2)
    model = RecursiveLeastSquares((1,), forgetting=1 - 1e-12, ridge=2.0, ridge_every=10**9)
    rows, labels = [], []
    for position in range(200):
        if position:
            labels.append(float(rng.normal()))
            model.learn_one(np.array(labels[-1:]), position, np.ones(1))
        rows.append(draw(rng).astype(np.float32).astype(float))
        model.observe(Origin(position, rows[-1], np.zeros(1), 0.0))
        # The first pseudo-observation is made at once and halves the first coefficient's prior.

    x, y = np.array(rows[:-1]), np.array(labels)
    ridge = 2.0 * np.eye(INPUTS)
    ridge[0, 0] += 1 / model._ridge_variance
    exact = np.linalg.solve(x.T @ x + ridge, x.T @ y)
    assert model.coefficients[0] == pytest.approx(exact, abs=2e-3)


def test_regression_forgets() -> None:
    """When the truth changes its sign, the old labels fade as fast as they are told to."""
    rng = np.random.default_rng(6)
    model, truth = RecursiveLeastSquares((1,), forgetting=0.99), rng.normal(0, 0.2, INPUTS)
    inputs = draw(rng)
    for position in range(2000):
        label = float(truth @ inputs) * (1 if position < 1500 else -1)
        model.learn_one(np.array([label]), position, np.array([float(position > 0)]))
        inputs = draw(rng)
        model.observe(Origin(position, inputs, np.zeros(1), 0.0))

    assert model.coefficients[0] @ truth < -0.5 * float(truth @ truth)


def test_regression_survives_constant_inputs() -> None:
    """A hundred thousand identical candles blow nothing up: the ridge is kept alive."""
    model = RecursiveLeastSquares((1,), forgetting=0.999)
    still = Origin(0, regressors(np.zeros(37), CLOCK), np.zeros(1), 0.0)
    for position in range(100_000):
        still.position = position
        model.observe(still)

    assert abs(model.covariance).max() < 10
    assert np.linalg.eigvalsh(model.covariance).min() > 0


def test_covariance_stays_symmetric_to_the_last_bit() -> None:
    """Half of the covariance is all that is saved: the copy equals the original exactly."""
    model, _ = taught(500)

    copy = pickle.loads(pickle.dumps(model))

    assert (model.covariance == model.covariance.T).all()
    assert (copy.covariance == model.covariance).all()
    assert (copy.inputs == model.inputs).all()
    assert (copy.gains == model.gains).all()
    assert (copy.coefficients == model.coefficients).all()


def test_prediction_is_bounded_and_added_to_what_was_expected() -> None:
    """The regression corrects level and calendar by six at most."""
    model = RecursiveLeastSquares(HORIZONS)
    model.coefficients[:] = 100
    asked = origin(0, np.ones(INPUTS))
    asked.expected[:] = (-9, -8)

    assert model.predict_one(asked).tolist() == [-3, -2]


def test_slow_level_is_the_mean_squared_return() -> None:
    """At first it is the plain mean, and the same for all horizons."""
    level = SlowLevel(2000)
    for position, log_return in enumerate((0.01, 0.03)):
        level.observe(origin(position, np.zeros(INPUTS), log_return))

    mean = (0.01**2 + 0.03**2) / 2
    assert level.predict_one(origin(2, np.zeros(INPUTS))) == pytest.approx(np.log(mean), abs=1e-3)


def test_regression_remembers_ten_thousand_candles() -> None:
    """By default a thousand recent labels do not outweigh two thousand older ones."""
    model = RecursiveLeastSquares((1,))
    still = regressors(np.zeros(SIZE), CLOCK)
    for position in range(3000):
        label = 1.0 if position < 2000 else -1.0
        model.learn_one(np.array([label]), position, np.array([float(position > 0)]))
        model.observe(Origin(position, still, np.zeros(1), 0.0))

    assert 0.1 < model.predict_one(Origin(3000, still, np.zeros(1), 0.0))[0] < 0.4
