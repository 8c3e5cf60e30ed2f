"""Priors of random numbers, such as no other series have taught."""

from typing import Any

import numpy as np

from models.constants import SHAPES, Prior
from models.memory import Array


def numbers(seed: int = 1) -> dict[str, Array]:
    """Draw the arrays of a prior by name; what must be positive is."""
    rng = np.random.default_rng(seed)
    drawn: dict[str, Array] = {name: rng.normal(0, 0.3, shape) for name, shape in SHAPES.items()}
    drawn["spread"] = rng.uniform(0.3, 2, SHAPES["spread"])
    drawn["sizes"] = np.cumsum(rng.uniform(0.4, 0.9, SHAPES["sizes"]), axis=1)
    return drawn


def draw_prior(seed: int = 1) -> Prior:
    """Return a prior of its own for each seed."""
    arrays: dict[str, Any] = {n: array.astype(np.float32) for n, array in numbers(seed).items()}
    return Prior(**arrays)
