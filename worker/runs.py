"""The long-lived MLflow run of each series: its metrics have the candles learned as their step."""

from typing import Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from shared.candle import Series
from shared.errors import StateError
from worker.mlflow_errors import ABSENT, EXISTS
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
        run = self._client.get_run(str(registered.tags[_RUN_TAG]))
        if run.info.lifecycle_stage != "active":
            return self.next(series, name, run.info.run_id)  # somebody has deleted it
        if RETIRED_TAG in registered.tags:
            self._client.delete_registered_model_tag(name, RETIRED_TAG)
        return str(registered.tags[_RUN_TAG])

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
        """Begin another run, and delete that before the last."""
        tags = self._client.get_registered_model(name).tags
        new = self._client.create_run(self._experiment, run_name=name, tags=labels(series))
        for tag, of in ((_LAST_RUN_TAG, run), (_RUN_TAG, new.info.run_id)):
            self._client.set_registered_model_tag(name, tag, of)
        if before := tags.get(_LAST_RUN_TAG):
            self._pruning.run(before)
        return str(new.info.run_id)
