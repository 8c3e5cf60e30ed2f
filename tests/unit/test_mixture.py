"""Mixing of the scale experts."""

import numpy as np
import pytest

from models.memory import Array
from models.mixture import GradientMixture

PRIOR = (0.7, 0.2, 0.1)


def credited(mixture: GradientMixture, gradient: float, known: Array, rounds: int = 200) -> None:
    """Let the second expert stand one above the others while the gradient is the given one."""
    experts = np.array([[0.0, 1.0, 0.0]] * 2)
    for _ in range(rounds):
        mixed = mixture.predict_one(experts)
        mixture.learn_one(experts, mixed, np.full(2, gradient), known)
        mixture.weigh(0.0)


def test_starts_from_the_prior() -> None:
    """Before anything is learned the mixture is the prior's mean."""
    mixture = GradientMixture((1, 4), PRIOR)
    mixture.weigh(0.0)

    assert mixture.predict_one(np.array([[1.0, 2, 3], [0, 0, 1]])) == pytest.approx([1.4, 0.1])


@pytest.mark.parametrize(("gradient", "grows"), [(0.3, True), (-0.3, False)])
def test_weight_follows_the_gradient(gradient: float, grows: bool) -> None:  # noqa: FBT001
    """Where a larger scale would have gained, the expert who said so gains weight."""
    mixture = GradientMixture((1, 4), PRIOR)

    credited(mixture, gradient, np.ones(2))

    assert (mixture.weights[:, 1] > 0.2).all() == grows
    assert mixture.weights.sum(1) == pytest.approx(1)


def test_horizons_learn_apart_and_unknown_ones_not() -> None:
    """A horizon whose target is unknown keeps weights and sums to the last bit."""
    mixture = GradientMixture((1, 4), PRIOR)
    credited(mixture, 0.3, np.ones(2), rounds=5)
    before = mixture.gains[1].tolist(), mixture.squares[1]

    credited(mixture, 0.3, np.array([1.0, 0.0]))

    assert (mixture.gains[1].tolist(), mixture.squares[1]) == before
    assert mixture.weights[0, 1] > mixture.weights[1, 1]


def test_still_markets_lean_on_the_named_expert() -> None:
    """Where most candles do not move, the expert for that gets more weight."""
    mixture = GradientMixture((1,), PRIOR, still=2)
    mixture.weigh(0.2)
    lively = mixture.weights[0, 2]

    mixture.weigh(0.9)

    assert lively == pytest.approx(0.1)
    assert mixture.weights[0, 2] == pytest.approx((0.1 + 2 * 0.49) / (1 + 2 * 0.49))


def test_weights_are_those_of_the_recipe() -> None:
    """Two thousand lessons leave the weights of a plain transcription of the recipe, part 5."""
    rng, horizons = np.random.default_rng(12), (1, 6)
    mixture = GradientMixture(horizons, PRIOR, still=1)
    gains, squares, weights = np.zeros((2, 3)), np.zeros(2), np.tile(PRIOR, (2, 1))
    for _ in range(2000):
        experts, stillness = rng.normal((0, 0.2, 0.5), 2, (2, 3)), rng.uniform()
        gradient, mixed = rng.normal(0.1, 0.3, 2), mixture.predict_one(experts)
        assert mixed == pytest.approx((weights * experts).sum(1))
        for row, h in enumerate(horizons):
            u = np.clip(experts[row] - mixed[row], -3, 3) * gradient[row] / h**0.5
            gains[row] = 0.9999 * gains[row] + u
            squares[row] = 0.9999 * squares[row] + sum(weights[row] * u**2)
            prior = np.array(PRIOR)
            prior[1] += 2 * max(stillness - 0.2, 0) ** 2
            weights[row] = prior * np.exp(0.3 * gains[row] / np.sqrt(0.02 + squares[row]))
            weights[row] /= weights[row].sum()
        mixture.learn_one(experts, mixed, gradient, np.ones(2))
        mixture.weigh(stillness)

    assert mixture.weights == pytest.approx(weights, rel=1e-9)
