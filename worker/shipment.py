"""The code and the constants that travel with each version in MLflow."""

import shutil
from pathlib import Path

import models
import shared
from models import constants

# What the models import; a snapshot that misses one fails to load, which a test would show.
_SHIPPED_SHARED = ("__init__", "candle", "errors", "forecast", "header")
# Training takes other libraries than forecasting.
_LEFT_OUT = ("__pycache__", "evaluation.py", "pretrain.py", "seasons.py", "solo.py", "twins.py")


def ship(folder: Path, prior: str) -> list[str]:
    """Gather what forecasts; every file is an upload for each version.

    Parameters
    ----------
    folder
        Where to put it.
    prior
        What the models begin with, as their name says it; a user's own travels with them.

    Returns
    -------
    The packages, as MLflow's ``code_paths``.
    """
    ours = folder / "models", folder / "shared"
    shutil.copytree(models.__path__[0], ours[0], ignore=shutil.ignore_patterns(*_LEFT_OUT))
    if prior not in ("", constants.NONE):
        # As it was read: the file may be another one by now.
        found = constants.prior(prior)
        if found:
            found.save(ours[0] / "prior" / f"{prior}.npz")
    ours[1].mkdir()
    for module in _SHIPPED_SHARED:
        shutil.copy(Path(shared.__path__[0]) / f"{module}.py", ours[1])
    return [str(path) for path in ours]
