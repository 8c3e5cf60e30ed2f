"""An MLflow store that is there already: its migrations take longer than most tests."""

import contextlib
import fcntl
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

_MAKE = """
import sys, warnings
warnings.simplefilter("ignore")
from worker.registry import MlflowRegistry
MlflowRegistry(sys.argv[1])
"""


class _Blank:
    """Where the empty store of the session is, for all of its processes."""

    folder: Path


@pytest.fixture(scope="session", autouse=True)
def _session_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    base = tmp_path_factory.getbasetemp()
    _Blank.folder = (base.parent if base.name.startswith("popen-") else base) / "mlflow-blank"


def furnish(folder: Path) -> None:
    """Put an empty store into a folder, as the first round of snapshots would make one."""
    blank = _blank()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.copy(blank / "mlflow.db", folder)
    _at_home(folder / "mlflow.db", blank, folder)


def _blank() -> Path:
    folder = _Blank.folder
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "mlflow.db").exists():
            draft = folder / "draft"
            # In a process of its own: not every test process needs MLflow.
            command = [sys.executable, "-c", _MAKE, f"sqlite:///{draft}/mlflow.db"]
            subprocess.run(command, check=True)
            _at_home(draft / "mlflow.db", draft, folder)
            (draft / "mlflow.db").rename(folder / "mlflow.db")
    return folder


def _at_home(store: Path, before: Path, folder: Path) -> None:
    """Have a store keep its files in another folder than before."""
    with contextlib.closing(sqlite3.connect(store)) as base, base:
        base.execute(
            "UPDATE experiments SET artifact_location = replace(artifact_location, ?, ?)",
            (str(before), str(folder)),
        )


@pytest.fixture
def furnished(tmp_path: Path) -> None:
    """The data folder of the commands that a test runs has a store."""
    furnish(tmp_path / "data")
