"""MLflow: each snapshot as a version of its series' registered model, loadable as a pyfunc.

Importing this takes seconds and some 200 MB; housekeeping does, once, and who retires a series.
"""

import json
import logging
import os
import re
import shutil
import tempfile
import time
import warnings
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

# Read while mlflow is imported: without it every process reports its use to a server of MLflow's.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# A server that is down must not hold up the rest: the defaults wait for minutes.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

import mlflow
import pandas as pd
from mlflow import MlflowClient, pyfunc
from mlflow.entities import LoggedModelOutput, Metric
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from mlflow.types.schema import AnyType
from requests import RequestException
from sqlalchemy.exc import SQLAlchemyError

from shared.candle import Series
from shared.errors import RegistryError
from shared.forecast import QUANTILE_LEVELS
from shared.model_record import ModelRecord
from worker.shipment import ship
from worker.snapshot import model_name
from worker.sqlite_store import alone

EXPERIMENT = "candlecast"
_MODEL_CODE = Path(__file__).with_name("snapshot_model.py")
_LIBRARIES = ("mlflow", "numpy", "pandas", "pydantic", "river")
_ABSENT, _EXISTS = "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"
_RUN_TAG, _RETIRED_TAG = "run_id", "retired"


class MlflowRegistry:
    """The registered models of one MLflow store or server.

    Each series has one registered model and one long-lived run (its id is a tag of the registered
    model) whose metrics have the candles learned as their step. Files and metrics come before the
    version itself, so that what is registered can be loaded; whatever breaks off in between leaves
    a logged model without a version, and the next round begins anew.

    Parameters
    ----------
    tracking_uri
        ``sqlite:////path/mlflow.db``, another database or ``http://server:5000``.
    artifacts
        Where the files of a new experiment go. None: beside the SQLite file, or where the server
        says.
    prior
        What the models begin with, as their name says it; a user's own travels with each version.

    Raises
    ------
    RegistryError
        When MLflow cannot be reached or refuses; also from every method.
    """

    def __init__(self, tracking_uri: str, *, artifacts: str | None = None, prior: str = "") -> None:
        _silence()
        self._address = tracking_uri.rpartition("@")[2]
        self._runs: dict[Series, str] = {}
        with self._translated(), alone(tracking_uri) as beside:
            # The registry resolves a version's source through the process's own address.
            mlflow.set_tracking_uri(tracking_uri)
            self._client = MlflowClient(tracking_uri, tracking_uri)
            self._experiment = self._find_experiment(artifacts or beside)
            temporary = tempfile.mkdtemp(prefix="candlecast-snapshot-")
            weakref.finalize(self, shutil.rmtree, temporary, ignore_errors=True)
            self._folder = Path(temporary) / "model"
            self._model = _lay_out(self._folder, prior)

    def write(self, record: ModelRecord, metrics: Mapping[str, float]) -> int:
        """Keep a committed model as a new version and return its number."""
        name, client = model_name(record.series), self._client
        with self._translated():
            # Taken out until it has served: what somebody deleted, or retired, is looked up again.
            known = self._runs.pop(record.series, None)
            run = (known if record.snapshot_version else None) or self._run(record.series, name)
            tags = _tags(record)
            logged = client.create_logged_model(
                self._experiment, name.replace(".", "-"), source_run_id=run, tags=tags
            )
            self._fill(record, logged.model_id, run)
            client.log_model_artifacts(logged.model_id, str(self._folder))
            self._log(run, logged.model_id, record.sequence, metrics)
            client.finalize_logged_model(logged.model_id, "READY")
            version = client.create_model_version(
                name,
                f"models:/{logged.model_id}",
                run_id=run,
                tags=tags,
                model_id=logged.model_id,
                await_creation_for=0,
            )
            # What MLflow's own registration leaves on the model: its page then links the version.
            link = json.dumps([{"name": name, "version": version.version}])
            client.set_logged_model_tags(logged.model_id, {"mlflow.modelVersions": link})
        self._runs[record.series] = run
        return int(version.version)

    def mark_retired(self, series: Series, version: int) -> bool:
        """Tag the registered model with the time, if it has this version; return whether it has."""
        name = model_name(series)
        wanted = f"name='{name}' and version_number={version}"
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with self._translated():
            if found := bool(self._client.search_model_versions(wanted)):
                self._client.set_registered_model_tag(name, _RETIRED_TAG, now)
        return found

    def _log(self, run: str, model_id: str, step: int, metrics: Mapping[str, float]) -> None:
        now = int(time.time() * 1_000)
        rows = [Metric(key, value, now, step, model_id) for key, value in metrics.items()]
        self._client.log_batch(run, metrics=rows)
        self._client.log_outputs(run, [LoggedModelOutput(model_id, step)])

    def _fill(self, record: ModelRecord, model_id: str, run: str) -> None:
        """Make the prepared folder that of one version."""
        about = {**_tags(record), "cursor": record.cursor, "sequence": record.sequence}
        artifacts = self._folder / "artifacts"
        (artifacts / "state").write_bytes(record.state or b"")
        (artifacts / "about").write_text(json.dumps(about, indent=1))
        self._model.run_id = run
        self._model.model_id = self._model.model_uuid = model_id
        self._model.artifact_path = f"models:/{model_id}"
        self._model.utc_time_created = str(datetime.now(UTC).replace(tzinfo=None))
        self._model.save(str(self._folder / "MLmodel"))

    def _run(self, series: Series, name: str) -> str:
        """Return the series' run; the registered model, whose name is unique, says which."""
        try:
            registered = self._client.get_registered_model(name)
        except MlflowException as error:
            if error.error_code != _ABSENT:
                raise
            registered = self._register(series, name)
        if _RUN_TAG not in registered.tags:
            raise RegistryError(
                f"registered model {name} at {self._address} has no tag {_RUN_TAG}: somebody "
                "else made it; rename or delete it"
            )
        if _RETIRED_TAG in registered.tags:
            self._client.delete_registered_model_tag(name, _RETIRED_TAG)
        return str(registered.tags[_RUN_TAG])

    def _register(self, series: Series, name: str) -> Any:
        run = self._client.create_run(self._experiment, run_name=name, tags=_labels(series))
        tags = {**_labels(series), _RUN_TAG: run.info.run_id}
        try:
            return self._client.create_registered_model(name, tags, f"Forecaster of {series}")
        except MlflowException as error:
            if error.error_code != _EXISTS:
                raise
            # Another process was faster, and its run counts.
            self._client.delete_run(run.info.run_id)
            return self._client.get_registered_model(name)

    def _find_experiment(self, artifacts: str | None) -> str:
        found = self._client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            return str(found.experiment_id)
        try:
            return str(self._client.create_experiment(EXPERIMENT, artifacts))
        except MlflowException as error:
            if error.error_code != _EXISTS:
                raise
            return self._find_experiment(artifacts)  # another process was faster

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (MlflowException, SQLAlchemyError, RequestException, OSError) as error:
            reason = re.sub(r"//[^/@\s]+@", "//", str(error).partition("\n")[0])
            raise RegistryError(f"MLflow at {self._address}: {reason}") from error


def _labels(series: Series) -> dict[str, str]:
    return {
        "series": str(series),
        "exchange": series.exchange,
        "symbol": series.symbol,
        "timeframe": str(series.timeframe),
    }


def _tags(record: ModelRecord) -> dict[str, str]:
    return {
        **_labels(record.series),
        "fingerprint": record.fingerprint or "",
        "code_version": metadata.version("candlecast"),
        "sequence": str(record.sequence),
        "cursor": str(record.cursor),
        "since": str(record.since),
        "revision": str(record.revision),
    }


def _silence() -> None:
    """Leave the reporting of failures to whoever catches `RegistryError`."""
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)


def _lay_out(folder: Path, prior: str) -> Model:
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
            code_paths=ship(folder.with_name("code"), prior),
            signature=_signature(),
            input_example=_example(),
            pip_requirements=[f"{name}=={metadata.version(name)}" for name in _LIBRARIES],
        )
    model = Model.load(str(folder))
    flavor = model.flavors[pyfunc.FLAVOR_NAME]
    # No path of this machine travels; loading looks beside the file that says so.
    flavor["model_code_path"] = _MODEL_CODE.name
    for artifact in flavor["artifacts"].values():
        artifact["uri"] = artifact["path"]
    return model


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
