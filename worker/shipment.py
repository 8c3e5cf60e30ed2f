"""What travels with each version in MLflow: code, constants, requirements and signature."""

import shutil
import warnings
from importlib import metadata
from pathlib import Path

import pandas as pd
from mlflow import pyfunc
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from mlflow.types.schema import AnyType

import models
import shared
from models import catalog, constants
from shared.forecast import QUANTILE_LEVELS

_MODEL_CODE = Path(__file__).with_name("snapshot_model.py")
_LIBRARIES = ("mlflow", "numpy", "pandas", "pydantic", "river")

# What the models import; a snapshot that misses one fails to load, which a test would show.
_SHIPPED_SHARED = ("__init__", "candle", "errors", "forecast", "header")
# Training takes other libraries than forecasting.
_LEFT_OUT = ("__pycache__", "evaluation.py", "pretrain.py", "seasons.py", "solo.py", "twins.py")


def lay_out(folder: Path, model: str) -> Model:
    """Let MLflow lay a model's folder out once: versions differ in the state and in who they are.

    ``log_model`` would do it for each version, and read all of the run's metrics each time.
    """
    drafts = {name: folder.with_name(name) for name in ("state", "about")}
    for draft in drafts.values():
        draft.touch()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pyfunc.save_model(
            str(folder),
            python_model=str(_MODEL_CODE),
            artifacts={name: str(draft) for name, draft in drafts.items()},
            code_paths=[str(_ship(folder.with_name("candlecast"), model))],
            signature=_signature(),
            input_example=_example(),
            pip_requirements=[f"{name}=={metadata.version(name)}" for name in _LIBRARIES],
        )
    laid = Model.load(str(folder))
    flavor = laid.flavors[pyfunc.FLAVOR_NAME]
    # No path of this machine travels; loading looks beside the file that says so.
    flavor["model_code_path"] = _MODEL_CODE.name
    for artifact in flavor["artifacts"].values():
        artifact["uri"] = artifact["path"]
    return laid


def _example() -> pd.DataFrame:
    candle = {"open": 100.0, "high": 101.0, "low": 99.0, "close": 100.5, "volume": 12.5}
    times = (1_767_225_600_000, 1_767_229_200_000)
    return pd.DataFrame([{"open_time": time_ms, **candle} for time_ms in times])


def _signature() -> ModelSignature:
    """Candles in, the forecast table out.

    The candles' types are left to the model: MLflow would refuse whole-number prices, and a frame
    without rows.
    """
    anything = AnyType()  # type: ignore[no-untyped-call]
    candles = [ColSpec(anything, str(name), required=False) for name in _example()]
    longs = ("candle_open_time", "horizon", "target_time")
    doubles = (*(f"q{level}" for level in QUANTILE_LEVELS), "median", "volatility", "prob_up")
    table = [ColSpec(DataType.long, name) for name in longs]
    table += [ColSpec(DataType.double, name) for name in doubles]
    return ModelSignature(inputs=Schema([*candles]), outputs=Schema([*table]))


def _all_but_code(folder: str, names: list[str]) -> set[str]:
    """Leave out of a user's package what is no module: data, secrets, other people's folders."""
    kept = {
        name
        for name in names
        if (name.endswith(".py") or Path(folder, name).is_dir())
        and not name.startswith((".", "__py"))
    }
    return {*names} - kept


def _ship(folder: Path, model: str) -> Path:
    """Gather what forecasts, in one file: each file is an upload for each version.

    Parameters
    ----------
    folder
        Where to put it.
    model
        Name in the catalog; a prior or code of a user's own travels with it.

    Returns
    -------
    An archive of the packages.
    """
    ours = folder / "models", folder / "shared"
    # Without their times: archives know none before 1980, as some images set them.
    left_out, copy = shutil.ignore_patterns(*_LEFT_OUT), shutil.copyfile
    shutil.copytree(models.__path__[0], ours[0], ignore=left_out, copy_function=copy)
    for own in catalog.sources(model):
        if own.is_dir():
            shutil.copytree(own, folder / own.name, ignore=_all_but_code, copy_function=copy)
        else:
            shutil.copyfile(own, folder / own.name)
    for prior in {catalog.prior_of(role) for role in catalog.roles(model)} - {"", constants.NONE}:
        # As it was read: the file may be another one by now.
        found = constants.prior(prior)
        if found:
            found.save(ours[0] / "prior" / f"{prior}.npz")
    ours[1].mkdir()
    for module in _SHIPPED_SHARED:
        shutil.copyfile(Path(shared.__path__[0]) / f"{module}.py", ours[1] / f"{module}.py")
    return Path(shutil.make_archive(str(folder), "zip", folder))
