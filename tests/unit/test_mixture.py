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
