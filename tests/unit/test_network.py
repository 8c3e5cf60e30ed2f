"""The pooled expert."""

from dataclasses import replace

import numpy as np
import pytest

from models.constants import HORIZONS, SHAPES, Prior
from models.features import SIZE
from models.memory import Array
from models.network import PooledNetwork
from models.pending import knots
from models.scale import INPUTS, Origin
from tests.priors import draw_prior


def draw(horizons: tuple[int, ...], seed: int = 3) -> Origin:
    """Draw an origin."""
    rng = np.random.default_rng(seed)
    return Origin(9, rng.normal(0, 1, INPUTS), rng.normal(-9, 1, len(horizons)), 0.01)


def by_the_formula(prior: Prior, features: Array, horizons: tuple[int, ...]) -> Array:
    """Return the network's output as the description of its weights has it, in double precision."""
    weights = {name: getattr(prior, name).astype(np.float64) for name in SHAPES}
    z = np.clip((features - weights["center"]) / weights["spread"], -8, 8)
    wide = np.tanh(z @ weights["weights_1"] + weights["bias_1"])
    narrow = np.tanh(wide @ weights["weights_2"] + weights["bias_2"])
    output = narrow @ weights["weights_3"] + weights["bias_3"] + z @ weights["skip"]
    return np.array([np.interp(np.log(h), np.log(HORIZONS), output) for h in horizons]).clip(-7, 7)


NINTH = np.float32(1 / 9)


def mild() -> Prior:
    """Draw a prior that says nothing extreme."""
    prior = draw_prior()
    return replace(
        prior, spread=prior.spread + 1, skip=prior.skip * NINTH, weights_3=prior.weights_3 * NINTH
    )


@pytest.mark.parametrize("horizons", [HORIZONS, knots(24), knots(64), knots(7), (1,)])
def test_predicts_by_the_formula(horizons: tuple[int, ...]) -> None:
    """Two layers of tanh units beside a linear map correct what level and calendar expect."""
    prior, origin = mild(), draw(horizons)
    output = by_the_formula(prior, origin.inputs[1:38], horizons)

    predicted = PooledNetwork(horizons, prior).predict_one(origin)

    assert predicted == pytest.approx(origin.expected + output, rel=1e-9)
    assert len(set(output.tolist())) == len([h for h in horizons if h < 24]) + (horizons[-1] >= 24)


def test_depends_on_the_features_and_what_was_expected_only() -> None:
    """Constant, clock, place and return of the origin say nothing to it; each feature does."""
    network, origin = PooledNetwork(HORIZONS, mild()), draw(HORIZONS)
    said = network.predict_one(origin).tolist()
    others = np.full(INPUTS, 7.0)
    others[1 : 1 + SIZE] = origin.inputs[1 : 1 + SIZE]

    assert network.predict_one(Origin(4, others, origin.expected, -0.3)).tolist() == said
    for feature in range(1, 1 + SIZE):
        moved = origin.inputs.copy()
        moved[feature] += 0.5
        again = network.predict_one(Origin(9, moved, origin.expected, 0.01))
        assert (again != said).all()


def test_is_bounded_where_it_was_never_taught() -> None:
    """A feature counts up to eight spreads, and the whole up to seven from what was expected."""
    prior, origin = mild(), draw(HORIZONS)
    network = PooledNetwork(HORIZONS, prior)
    said = []
    for spreads in (8.0, 9.0, 1e6):
        inputs = origin.inputs.copy()
        inputs[36] = prior.center[35] + spreads * float(prior.spread[35])
        said.append(network.predict_one(Origin(9, inputs, origin.expected, 0.0)))
    loud = PooledNetwork(HORIZONS, replace(prior, bias_3=np.full(5, 50.0)))

    assert said[1] == pytest.approx(said[0], rel=1e-6)
    assert (said[2] == said[1]).all()
    assert loud.predict_one(origin) == pytest.approx(origin.expected + 7)


def test_learns_nothing() -> None:
    """Hundreds of labels change no bit of what it says, and there is nothing to save."""
    network, origin = PooledNetwork(HORIZONS, draw_prior()), draw(HORIZONS)
    said = network.predict_one(origin).tolist()

    for position in range(300):
        network.learn_one(np.full(5, 3.0), position, np.ones(5))
        network.observe(draw(HORIZONS, position))

    assert network.predict_one(origin).tolist() == said
    assert network.memory() == (b"",)


def test_leaves_its_question_as_it_was() -> None:
    """Other experts are asked with the same origin: what was expected is not written over."""
    origin = draw(HORIZONS)
    inputs, expected = origin.inputs.copy(), origin.expected.copy()

    PooledNetwork(HORIZONS, draw_prior()).predict_one(origin)

    assert (origin.inputs == inputs).all()
    assert (origin.expected == expected).all()


def test_clone_says_the_same() -> None:
    """River's clone has the weights, which are parameters."""
    network, origin = PooledNetwork((1, 2, 3), draw_prior()), draw((1, 2, 3))

    assert (network.clone().predict_one(origin) == network.predict_one(origin)).all()
