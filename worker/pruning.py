"""Deletion of versions and runs for good: what MLflow deletes, it only hides."""

import contextlib
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.db.db_types import DATABASE_ENGINES
from mlflow.store.entities import PagedList
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import TextClause, text

from worker.mlflow_errors import ABSENT

_SOURCE = "models:/"
_PAGE = 100
# So that a series with thousands does not hold up the others.
_AT_ONCE = 20
# What MLflow keeps of what it has deleted, and has no call for.
_REST_OF_VERSION = [
    text("DELETE FROM model_version_tags WHERE name = :name AND version = :version"),
    text("DELETE FROM model_versions WHERE name = :name AND version = :version"),
]
_REST_OF_MODEL = [text("DELETE FROM inputs WHERE destination_id = :model")]


class Pruning:
    """Deletes versions and runs with their files and rows.

    Rows go where the store is a database that this process has opened itself. Behind a server they
    are hidden: those of models and runs go with the ``mlflow gc`` of whoever runs it. Files go at
    once.

    Parameters
    ----------
    client, tracking_uri
        Of the registry.
    """

    def __init__(self, client: MlflowClient, tracking_uri: str) -> None:
        self._client = client
        self._rows: SqlAlchemyStore | None = None
        if tracking_uri.partition(":")[0].partition("+")[0] in DATABASE_ENGINES:
            self._rows = SqlAlchemyStore(tracking_uri, "")  # type: ignore[no-untyped-call]

    def versions(self, name: str, upto: int) -> int:
        """Delete the oldest versions of a registered model, a few of them; say how many went.

        What breaks off in between is found again: the version itself goes last.
        """
        old = list(islice(self._unwanted(name, upto), _AT_ONCE))
        for version in old:
            if (version.source or "").startswith(_SOURCE):
                self.model(str(version.source).removeprefix(_SOURCE))
            self._client.delete_model_version(name, str(version.version))
            self._clear(_REST_OF_VERSION, name=name, version=version.version)
        return len(old)

    def _unwanted(self, name: str, upto: int) -> Iterator[ModelVersion]:
        """Yield the oldest versions, but for those with an alias and those that were copied."""
        named = {int(of) for of in self._client.get_registered_model(name).aliases.values()}
        token: str | None = None
        while True:
            page = _page(self._client, name, _PAGE, "ASC", token)
            for one in page:
                if int(one.version) > upto:
                    return
                if int(one.version) not in named and not self._is_copied(name, one):
                    yield one
            token = page.token
            if not token:
                return

    def _is_copied(self, name: str, version: ModelVersion) -> bool:
        """Whether another version names this one, or its logged model, as where it comes from."""
        places = (f"models:/{name}/{version.version}", version.source)
        search = self._client.search_model_versions
        return any(
            (other.name, other.version) != (name, version.version)
            for place in places
            for other in search(f"source_path='{place}'")
        )

    def run(self, run_id: str) -> None:
        """Delete a run with its metrics and files."""
        with _gone_is_fine():
            _delete_files(self._client.get_run(run_id).info.artifact_uri)
            self._client.delete_run(run_id)
        if self._rows:
            with _gone_is_fine():
                self._rows._hard_delete_run(run_id)  # type: ignore[no-untyped-call]  # noqa: SLF001

    def model(self, model_id: str) -> None:
        """Delete a logged model with its files."""
        with _gone_is_fine():
            _delete_files(self._client.get_logged_model(model_id).artifact_location)
            self._client.delete_logged_model(model_id)
        if self._rows:
            with _gone_is_fine():
                self._rows._hard_delete_logged_model(model_id)  # type: ignore[no-untyped-call]  # noqa: SLF001
        self._clear(_REST_OF_MODEL, model=model_id)

    def _clear(self, statements: Sequence[TextClause], **values: Any) -> None:
        if self._rows:
            with self._rows.engine.begin() as connection:
                for statement in statements:
                    connection.execute(statement, values)


def newest_of(client: MlflowClient, name: str, most: int | None = None) -> list[ModelVersion]:
    """Return the versions of a registered model, the newest first: all of them, or a page."""
    if most is not None:
        return [*_page(client, name, most, "DESC")]
    found: list[ModelVersion] = []
    token: str | None = None
    while True:
        page = _page(client, name, _PAGE, "DESC", token)
        found += page
        token = page.token
        if not token:
            return found


def _page(
    client: MlflowClient, name: str, most: int, order: str, token: str | None = None
) -> PagedList[ModelVersion]:
    return client.search_model_versions(
        f"name='{name}'", most, [f"version_number {order}"], page_token=token
    )


def _delete_files(location: str) -> None:
    """Delete what lies in one place, with the folder that MLflow has made around it."""
    files = get_artifact_repository(location.removesuffix("/artifacts"))
    files.delete_artifacts()  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def _gone_is_fine() -> Iterator[None]:
    try:
        yield
    except MlflowException as error:
        if error.error_code != ABSENT:
            raise
