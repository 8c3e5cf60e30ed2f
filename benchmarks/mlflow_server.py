"""An MLflow server of one's own, as benchmarks and tests need it."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import requests
from requests import RequestException


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Run an MLflow server until the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{folder}/server.db", "--workers", "1"]
    command += ["--artifacts-destination", str(folder / "files")]
    # As docker-compose.yml has it: ten processes less, for jobs that nobody gives it.
    env = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "mlflow-server.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=env)
    try:
        _await(f"http://127.0.0.1:{port}/health")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(20)


def _await(url: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        with suppress(RequestException):
            if requests.get(url, timeout=1).ok:
                return
        if time.monotonic() > deadline:
            raise SystemExit("the MLflow server does not answer")
        time.sleep(0.2)
