"""What tests of this folder share."""

import pickle
from pathlib import Path

import pytest

from shared.store import Store
from tests.integration.spoilt import Charge
from tests.integration.steps import FLEET


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """A file that would be there if a planted pickle had run."""
    return tmp_path / "ran"


@pytest.fixture
def charge(marker: Path) -> bytes:
    """A pickle that is live: here it has run once."""
    charge = pickle.dumps(Charge(marker))
    pickle.loads(charge)
    marker.unlink()
    return charge


@pytest.fixture
def field(store: Store) -> None:
    """Give the field to the fleet of the steps, as a worker's tick would."""
    store.link.redis.set(store.keys.fleet, FLEET, px=60_000)
