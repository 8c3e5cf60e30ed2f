"""Logged models: what MLflow holds of each version, files and metrics, and what broke off."""

import contextlib
import json
import shutil
import tempfile
import time
import weakref
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelOutput, Metric, RunTag
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from shared.errors import CandlecastError
from shared.model_record import ModelRecord
from worker.mlflow_errors import translated
from worker.pruning import Pruning
from worker.shipment import lay_out
from worker.version import tags_of

# Of the newest version, on the run too.
_RUN_TAGS = {"fingerprint", "code_version"}
_VERSIONS_TAG = "mlflow.modelVersions"
# No round takes so long: what has no version by then will never have one.
_BROKEN_OFF_MS = 86_400_000
_PROBE = "candlecast-probe"


class LoggedModels:
    """Writes logged models, and deletes those that never became a version.

    Parameters
    ----------
    client, experiment
        Of MLflow, and where models are logged.
    pruning
        Deletes them.
    model
        Name in the catalog; a prior or code of a user's own travels with each version.
    """

    def __init__(self, client: MlflowClient, experiment: str, pruning: Pruning, model: str) -> None:
        self._client = client
        self._experiment = experiment
        self._pruning = pruning
        temporary = tempfile.mkdtemp(prefix="candlecast-snapshot-")
        weakref.finalize(self, shutil.rmtree, temporary, ignore_errors=True)
        self._folder = Path(temporary) / "model"
        self._model = lay_out(self._folder, model)

    def write(
        self,
        name: str,
        record: ModelRecord,
        run: str,
        tags: Mapping[str, str],
        metrics: Mapping[str, float],
    ) -> str:
        """Log a committed model with its files and metrics; return its id.

        What breaks off leaves nothing behind, if MLflow lets it be deleted.
        """
        logged = self._client.create_logged_model(
            self._experiment, _logged_name(name), source_run_id=run, tags={**tags}
        )
        model_id = str(logged.model_id)
        try:
            self._fill(record, model_id, run)
            self._client.log_model_artifacts(model_id, str(self._folder))
            self._log(run, model_id, record, metrics)
            self._client.finalize_logged_model(model_id, "READY")
        except Exception:
            with contextlib.suppress(CandlecastError), translated(""):
                self._pruning.model(model_id)
            raise
        return model_id

    def link(self, model_id: str, name: str, version: str) -> None:
        """Name the version that a logged model has become, as MLflow's own registration does."""
        link = json.dumps([{"name": name, "version": version}])
        self._client.set_logged_model_tags(model_id, {_VERSIONS_TAG: link})

    def sweep(self, name: str) -> None:
        """Delete what a killed process has left of a series: logged models without a version."""
        for one in self._old(name):
            if _VERSIONS_TAG in one.tags:
                continue
            source = f"models:/{one.model_id}"
            # The call that names it may be what has broken off.
            versions = self._client.search_model_versions(f"source_path='{source}'", max_results=1)
            for version in versions:
                self.link(str(one.model_id), version.name, str(version.version))
            if not versions:
                self._pruning.model(str(one.model_id))

    def _old(self, name: str) -> list[LoggedModel]:
        """Return the logged models of a series that no round can still be at."""
        before = int(time.time() * 1_000) - _BROKEN_OFF_MS
        wanted = f"name = '{_logged_name(name)}' AND creation_timestamp < {before}"
        found: list[LoggedModel] = []
        token: str | None = None
        while True:
            page = self._client.search_logged_models([self._experiment], wanted, page_token=token)
            found += page
            token = page.token
            if not token:
                return found

    def probe(self) -> None:
        """Write to MLflow's database and put as many files beside it as a version has; fail or not.

        To read would not do: what is full answers.
        """
        self._client.set_experiment_tag(self._experiment, _PROBE, str(int(time.time())))
        place = self._client.get_experiment(self._experiment).artifact_location
        files = get_artifact_repository(place)
        files.log_artifacts(str(self._folder), _PROBE)  # type: ignore[no-untyped-call]
        # A place that keeps all it is given takes it all the same.
        with contextlib.suppress(CandlecastError), translated(""):
            files.delete_artifacts(_PROBE)  # type: ignore[no-untyped-call]

    def _fill(self, record: ModelRecord, model_id: str, run: str) -> None:
        """Make the prepared folder that of one version."""
        about = {**tags_of(record), "cursor": record.cursor, "sequence": record.sequence}
        artifacts = self._folder / "artifacts"
        (artifacts / "state").write_bytes(record.state or b"")
        (artifacts / "about").write_text(json.dumps(about, indent=1))
        self._model.run_id = run
        self._model.model_id = self._model.model_uuid = model_id
        self._model.artifact_path = f"models:/{model_id}"
        self._model.utc_time_created = str(datetime.now(UTC).replace(tzinfo=None))
        self._model.save(str(self._folder / "MLmodel"))

    def _log(
        self, run: str, model_id: str, record: ModelRecord, values: Mapping[str, float]
    ) -> None:
        now, step = int(time.time() * 1_000), record.sequence
        # The model's own page has the means; each horizon's are in the run, a tenth of the rows.
        metrics = [
            Metric(name, value, now, step, None if "_h" in name else model_id)
            for name, value in values.items()
        ]
        tags = [RunTag(name, of) for name, of in tags_of(record).items() if name in _RUN_TAGS]
        self._client.log_batch(run, metrics=metrics, tags=tags)
        self._client.log_outputs(run, [LoggedModelOutput(model_id, step)])


def _logged_name(name: str) -> str:
    """Return MLflow's name of the logged models of a registered model: it refuses dots."""
    return name.replace(".", "-")
