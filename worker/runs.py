"""The long-lived MLflow run of each series: its metrics have the candles learned as their step."""

import contextlib
from typing import Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from shared.candle import Series
from shared.errors import CandlecastError, StateError
from worker.mlflow_errors import ABSENT, EXISTS, translated
from worker.pruning import Pruning
from worker.version import labels

RETIRED_TAG = "retired"
_RUN_TAG, _LAST_RUN_TAG = "run_id", "last_run_id"


class Runs:
    """Finds the run of a series, by a tag of its registered model, whose name is unique.

    Parameters
    ----------
    client, address
        Of MLflow; the address for people.
    experiment
        Where runs are made.
    pruning
        Deletes old ones.
    """

    def __init__(
        self, client: MlflowClient, address: str, experiment: str, pruning: Pruning
    ) -> None:
        self._client = client
        self._address = address
        self._experiment = experiment
        self._pruning = pruning

    def find(self, series: Series, name: str) -> str:
        """Return the run of a series, made where there is none."""
        try:
            registered = self._client.get_registered_model(name)
        except MlflowException as error:
            if error.error_code != ABSENT:
                raise
            registered = self._register(series, name)
        if _RUN_TAG not in registered.tags:
            raise StateError(
                f"registered model {name} at {self._address} has no tag {_RUN_TAG}: somebody "
                "else made it; rename or delete it"
            )
        run = str(registered.tags[_RUN_TAG])
        return run if self._is_active(run) else self.next(series, name, run)

    def revive(self, name: str) -> None:
        """Note that a series is not retired any more."""
        if RETIRED_TAG in self._client.get_registered_model(name).tags:
            self._client.delete_registered_model_tag(name, RETIRED_TAG)

    def _register(self, series: Series, name: str) -> Any:
        run = self._client.create_run(self._experiment, run_name=name, tags=labels(series))
        tags = {**labels(series), _RUN_TAG: run.info.run_id}
        try:
            return self._client.create_registered_model(name, tags, f"Forecaster of {series}")
        except MlflowException as error:
            if error.error_code != EXISTS:
                raise
            # Another process was faster, and its run counts.
            self._client.delete_run(run.info.run_id)
            return self._client.get_registered_model(name)

    def next(self, series: Series, name: str, run: str) -> str:
        """Begin another run, and delete that before the last.

        Whatever breaks off in between, a run is named by a tag until it is deleted.
        """
        before = self._client.get_registered_model(name).tags.get(_LAST_RUN_TAG)
        if before and before != run:
            self._pruning.run(before)
        self._client.set_registered_model_tag(name, _LAST_RUN_TAG, run)
        new = self._client.create_run(self._experiment, run_name=name, tags=labels(series))
        try:
            self._client.set_registered_model_tag(name, _RUN_TAG, new.info.run_id)
        except Exception:
            with contextlib.suppress(CandlecastError), translated(self._address):
                self._pruning.run(new.info.run_id)
            raise
        return str(new.info.run_id)

    def _is_active(self, run: str) -> bool:
        """Whether nobody has deleted a run, or has had MLflow collect it since."""
        try:
            return bool(self._client.get_run(run).info.lifecycle_stage == "active")
        except MlflowException as error:
            if error.error_code != ABSENT:
                raise
            return False
