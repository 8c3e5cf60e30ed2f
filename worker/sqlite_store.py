"""MLflow's SQLite file: made whole, and opened by one process of ours at a time."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy.engine import make_url


@contextmanager
def alone(tracking_uri: str) -> Iterator[str | None]:
    """Be the only process of ours that opens an SQLite store; yield the place for files beside it.

    MLflow creates a new store's tables without a lock, so that of two at once one breaks, and it
    would put the files into the working folder.
    """
    if not tracking_uri.startswith("sqlite:///"):
        yield None
        return
    store = Path(make_url(tracking_uri).database or "").resolve()
    beside = store.with_name("mlartifacts").as_uri()
    store.parent.mkdir(parents=True, exist_ok=True)
    with store.with_name(f"{store.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not store.exists():
            _create(store, beside)
        yield beside


def _create(store: Path, artifacts: str) -> None:
    """Make a new store in a folder beside its place, and move it there when it is whole.

    MLflow's migrations are no transaction in SQLite: of a kill among them stays a file that it can
    neither open nor mend.
    """
    drafts = store.with_name(f"{store.name}.new")
    shutil.rmtree(drafts, ignore_errors=True)
    drafts.mkdir()
    draft = drafts / store.name
    made = SqlAlchemyStore(f"sqlite:///{quote(str(draft))}", artifacts)  # type: ignore[no-untyped-call]
    made.engine.dispose()
    draft.replace(store)
    drafts.rmdir()
