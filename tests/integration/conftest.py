"""What tests of this folder share."""

import pickle
from pathlib import Path

import pytest

from tests.integration.spoilt import Charge


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
