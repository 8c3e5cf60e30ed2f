"""MLflow: each snapshot as a version of its series' registered model, loadable as a pyfunc.

Importing this takes seconds and some 200 MB; housekeeping does, once, and who retires a series.
"""

import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

# Read while mlflow is imported: without it every process reports its use to a server of MLflow's.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# A server that is down must not hold up the rest: the defaults wait for minutes.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

import mlflow
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from shared.candle import Series
from shared.errors import RegistryError, StateError
from shared.model_record import ModelRecord
from worker.logged_models import LoggedModels
from worker.mlflow_errors import ABSENT, EXISTS, NONE_SUCH, silence, translated
from worker.pruning import Pruning, newest_of
from worker.runs import RETIRED_TAG, Runs
from worker.sqlite_store import alone
from worker.version import CHALLENGER, CHAMPION, Version, model_name, tags_of

# MLflow looks for these at every request, each time along the whole path: 2 of its 12 ms.
for _absent in ("dbruntime", "pyspark"):
    if find_spec(_absent) is None:
        sys.modules[_absent] = None  # type: ignore[assignment]

EXPERIMENT = "candlecast"
# More often than its client tries a call.
_TWINS = 8


class _Newest(NamedTuple):
    """The newest version of a series: 0 where there is none."""

    number: int
    etag: str
    run: str


class MlflowRegistry:
    """The registered models of one MLflow store or server.

    Each series has one registered model and one long-lived run (its id is a tag of the registered
    model) whose metrics have the candles learned as their step. Files and metrics come before the
    version itself, so that what is registered can be loaded.

    Parameters
    ----------
    tracking_uri
        ``sqlite:////path/mlflow.db``, another database or ``http://server:5000``.
    artifacts
        Where the files of a new experiment go. None: beside the SQLite file, or where the server
        says.
    model
        Name in the catalog; a prior or code of a user's own travels with each version.
    run_snapshots
        Snapshots whose metrics one run holds; then a series begins another, and the one before the
        last is deleted.

    Raises
    ------
    RegistryError
        When MLflow cannot be reached or refuses; also from every method.
    """

    def __init__(
        self,
        tracking_uri: str,
        *,
        artifacts: str | None = None,
        model: str = "default",
        run_snapshots: int = 1_000,
    ) -> None:
        silence()
        self._address = tracking_uri.rpartition("@")[2]
        self._newest: dict[Series, _Newest] = {}
        self._run_snapshots = run_snapshots
        with self._translated(), alone(tracking_uri) as beside:
            # The registry resolves a version's source through the process's own address.
            mlflow.set_tracking_uri(tracking_uri)
            self._client = MlflowClient(tracking_uri, tracking_uri)
            self._experiment = self._find_experiment(artifacts or beside)
            self._pruning = Pruning(self._client, tracking_uri)
            self._logged = LoggedModels(self._client, self._experiment, self._pruning, model)
            self._series_runs = Runs(self._client, self._address, self._experiment, self._pruning)

    def write(
        self, record: ModelRecord, metrics: Mapping[str, float], verdict: Mapping[str, str]
    ) -> int:
        """Keep a committed model as a new version, tagged with its verdict; return its number.

        One whose answer was lost is not written twice.
        """
        name, client = model_name(record.series), self._client
        with self._translated():
            # Taken out until it has served: what somebody deleted, or retired, is looked up again.
            newest = self._newest.pop(record.series, None)
            if newest is None or not record.snapshot_version:
                newest = self._look_up(record.series, name)
            if record.etag and newest.etag == record.etag:
                for tag, said in verdict.items():
                    client.set_model_version_tag(name, str(newest.number), tag, said)
                self._drop_twins(name, newest.number)
            else:
                newest = self._write(name, record, newest, verdict, metrics)
        self._newest[record.series] = newest
        return newest.number

    def _look_up(self, series: Series, name: str) -> _Newest:
        run = self._series_runs.find(series, name)
        self._series_runs.revive(name)
        for found in newest_of(self._client, name, most=1):
            return _Newest(int(found.version), found.tags.get("etag", ""), run)
        return _Newest(0, "", run)

    def _write(
        self,
        name: str,
        record: ModelRecord,
        before: _Newest,
        verdict: Mapping[str, str],
        metrics: Mapping[str, float],
    ) -> _Newest:
        run, tags = before.run, {**tags_of(record), **verdict}
        model_id = self._logged.write(name, record, run, tags, metrics)
        version = self._client.create_model_version(
            name,
            f"models:/{model_id}",
            run_id=run,
            tags=tags,
            model_id=model_id,
            await_creation_for=0,
        )
        self._logged.link(model_id, name, version.version)
        number = int(version.version)
        if number != before.number + 1:
            self._drop_twins(name, number)
        if number % self._run_snapshots == 0:
            run = self._series_runs.next(record.series, name, run)
        return _Newest(number, record.etag or "", run)

    def _drop_twins(self, name: str, number: int) -> None:
        """Delete versions right before one that are the same: of a call whose answer was lost.

        MLflow's client makes such a call again by itself. The files are the same, and stay.
        """
        newest, *others = newest_of(self._client, name, most=_TWINS)
        for other in others:
            if int(newest.version) == number and other.source == newest.source:
                self._client.delete_model_version(name, str(other.version))

    def crown(
        self, series: Series, version: int, *, champion: bool, before: str | None = None
    ) -> None:
        """Give a version the alias ``champion``, or ``challenger`` where it is not to be one.

        ``before`` is the alias of the version before it: a challenger that it follows is none more.
        """
        name, alias = model_name(series), CHAMPION if champion else CHALLENGER
        with self._translated():
            self._client.set_registered_model_alias(name, alias, str(version))
            if champion and before == CHALLENGER:
                self._client.delete_registered_model_alias(name, CHALLENGER)

    def champion(self, series: Series) -> Version | None:
        """Return the version that bears the alias ``champion``, if one does."""
        with self._translated():
            try:
                found = self._client.get_model_version_by_alias(model_name(series), CHAMPION)
            except MlflowException as error:
                if error.error_code not in NONE_SUCH:
                    raise
                return None
        return _version(found, (CHAMPION,))

    def versions(self, series: Series) -> list[Version]:
        """Return the versions of a series, the newest first; none where it was never written."""
        name = model_name(series)
        with self._translated():
            try:
                aliases = self._client.get_registered_model(name).aliases
            except MlflowException as error:
                if error.error_code != ABSENT:
                    raise
                return []
            found = newest_of(self._client, name)
        return [
            _version(one, sorted(alias for alias, of in aliases.items() if of == one.version))
            for one in found
        ]

    def state(self, series: Series, version: int) -> bytes:
        """Return the signed state that a version holds; nobody has checked it yet.

        Raises
        ------
        StateError
            When there is none: somebody has deleted the version or its files.
        """
        uri = f"models:/{model_name(series)}/{version}"
        gone = StateError(f"version {version} of {series} or its files have been deleted")
        with self._translated(gone), tempfile.TemporaryDirectory() as folder:
            files = get_artifact_repository(uri)
            path = files.download_artifacts("artifacts/state", folder)  # type: ignore[no-untyped-call]
            return Path(path).read_bytes()

    def attach(self, series: Series, version: int, files: Mapping[str, str]) -> str:
        """Put pictures of a version into the series' run, where they outlive it; say where."""
        place = f"pictures/version-{version}"
        with self._translated(), tempfile.TemporaryDirectory() as folder:
            # Its own run may be gone by now, and the version a champion still.
            run = self._series_runs.find(series, model_name(series))
            for name, content in files.items():
                (Path(folder) / name).write_text(content)
            self._client.log_artifacts(run, folder, place)
            return f"{self._client.get_run(run).info.artifact_uri}/{place}"

    def answers(self) -> bool:
        """Whether MLflow takes anything at all."""
        try:
            with self._translated():
                self._logged.probe()
        except RegistryError:
            return False
        return True

    def prune(self, series: Series, upto: int) -> int:
        """Delete the oldest versions up to a number; say how many went.

        Those with an alias stay, and those that somebody has copied into another registered model:
        a copy has no files of its own.
        """
        name = model_name(series)
        with self._translated():
            gone = self._pruning.versions(name, upto)
            self._logged.sweep(name)
        return gone

    def mark_retired(self, series: Series, version: int) -> bool:
        """Tag the registered model with the time, if it has this version; return whether it has."""
        name = model_name(series)
        wanted = f"name='{name}' and version_number={version}"
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with self._translated():
            if found := bool(self._client.search_model_versions(wanted)):
                self._client.set_registered_model_tag(name, RETIRED_TAG, now)
        return found

    def _find_experiment(self, artifacts: str | None) -> str:
        found = self._client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            return str(found.experiment_id)
        try:
            return str(self._client.create_experiment(EXPERIMENT, artifacts))
        except MlflowException as error:
            if error.error_code != EXISTS:
                raise
            return self._find_experiment(artifacts)  # another process was faster

    def _translated(self, gone: StateError | None = None) -> AbstractContextManager[None]:
        return translated(self._address, gone)


def _version(found: ModelVersion, aliases: Sequence[str]) -> Version:
    number, created = int(found.version), int(found.creation_timestamp)
    return Version.of_tags(number, created, tuple(aliases), found.tags)
