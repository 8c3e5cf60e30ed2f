"""Everything embedded in one command: server, producer, workers, housekeeping, the pages."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from shared.errors import CandlecastError
from shared.store import Store
from worker import board
from worker.embedded import alone, redis_server

_STOP_S = 20.0
_SNAPSHOT_S = 60
_PLAIN_PERIOD_S = 10.0
_SNAPSHOT_PERIOD_S = 60
_BIN = Path(sys.executable).parent
# Has the kernel end a process whose parent was killed; of Debian's essential packages.
_WITH_US = ("setpriv", "--pdeathsig", "TERM", "--") if shutil.which("setpriv") else ()
SIMULATED = "simulated"
_SYMBOLS = ("BTC/USDT", "ETH/USDT")


class DemoFailed(CandlecastError):
    """The demo cannot run; says why and what to do."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the demo was asked for."""

    data: Path
    seconds: float | None
    mlflow_page: bool
    exchange: str | None
    """Whose candles; None for that of any public one that answers, else the simulated market."""
    symbols: Sequence[str]
    frames: Sequence[str]
    first_reachable: Callable[[], str | None]


class Crew:
    """The processes of the demo, each with a log file; all of them end with it."""

    def __init__(self, logs: Path, env: dict[str, str]) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        self.logs = logs
        self.env = env
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *command: str, **env: str) -> None:
        """Start a program of this environment's own."""
        with (self.logs / f"{name}.log").open("ab") as log:
            # A session of its own: Ctrl-C reaches the demo alone, which then ends all in order.
            self._running[name] = subprocess.Popen(
                [*_WITH_US, str(_BIN / command[0]), *command[1:]],
                env=self.env | env,
                # Not where a .env may lie.
                cwd=self.logs,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def check(self) -> None:
        """Raise `DemoFailed` where a process has ended by itself."""
        for name, process in self._running.items():
            if process.poll() is not None:
                log = self.logs / f"{name}.log"
                *_, last = ["", *log.read_text(errors="replace").splitlines()]
                raise DemoFailed(f"{name} ended: {last or process.returncode} (see {log})")

    def stop(self, *names: str) -> None:
        """End these, or all; what does not end in time is killed with all it started."""
        chosen = {
            name: self._running.pop(name)
            for name in list(self._running)
            if name in names or not names
        }
        for process in chosen.values():
            process.terminate()
        deadline = time.monotonic() + _STOP_S
        for process in chosen.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, deadline - time.monotonic()))
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def run(plan: Plan, console: Console) -> None:
    """Run until Ctrl-C, SIGTERM or the end of the time; leave no process behind.

    Raises
    ------
    DemoFailed
        When another demo uses the folder, or a process ends by itself.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    plan.data.mkdir(parents=True, exist_ok=True)
    with (
        alone(plan.data, f"another demo runs on {plan.data}: stop it, or name another by --data"),
        redis_server(plan.data / "redis", _password()) as url,
    ):
        # Settings of the user's own service are not the demo's.
        others = {name: text for name, text in os.environ.items() if not _is_setting(name)}
        env = others | {
            "CANDLECAST_REDIS_URL": url,
            "CANDLECAST_DATA_DIR": str(plan.data),
            "CANDLECAST_SNAPSHOT_PERIOD_S": str(_SNAPSHOT_PERIOD_S),
            "CANDLECAST_LOG_FORMAT": "json",
            "OPENBLAS_NUM_THREADS": "1",
        }
        crew = Crew(plan.data / "logs", env)
        store = Store.connect(url)
        console.print(f"data and logs   {plan.data}", soft_wrap=True)
        console.print(f"Redis           {store.link.address}, with its password in", end=" ")
        console.print(_keep_url(plan.data, url), soft_wrap=True)
        try:
            _start(crew, plan, console)
            _watch(crew, plan, store, console)
        except KeyboardInterrupt:
            console.print("stopping ...")
        finally:
            # A second Ctrl-C must not leave processes behind.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            _finish(crew, store, console)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _is_setting(name: str) -> bool:
    return name.startswith("CANDLECAST_")


def _password() -> str:
    return secrets.token_urlsafe(24)


def _keep_url(data: Path, url: str) -> Path:
    """Write the address with its password where only this user can read it."""
    path = data / "redis.url"
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(url)
    return path


def _start(crew: Crew, plan: Plan, console: Console) -> None:
    crew.start("worker", "candlecast", "worker", "--processes", "2")
    page = _free_port(8000)
    crew.start("api", "candlecast", "api", "--port", str(page))
    port = _free_port(9181)
    bind = ("--bind", "127.0.0.1", "--port", str(port), "--json", "--config", "worker.dashboard")
    url = crew.env["CANDLECAST_REDIS_URL"]
    crew.start("rq-dashboard", "rq-dashboard", *bind, RQ_DASHBOARD_REDIS_URL=url)
    console.print(f"rq-dashboard    http://127.0.0.1:{port}")
    exchange = plan.exchange or plan.first_reachable()
    markets = [*(plan.symbols or _SYMBOLS), *(f"--timeframe={frame}" for frame in plan.frames)]
    if exchange and exchange != SIMULATED:
        console.print(f"candles         live from {exchange}")
        crew.start("producer", "candlecast", "live", exchange, *markets, "--history", "2000")
    else:
        why = "" if exchange else "no public exchange answers: running "
        console.print(f"candles         {why}the simulated market")
        crew.start("producer", "candlecast", "simulate", *markets)
    _wait_for(f"http://127.0.0.1:{page}/health/live", crew)
    console.print(f"page            http://127.0.0.1:{page}")
    if plan.mlflow_page:
        _start_mlflow(crew, plan, console)
    crew.start("housekeeping", "candlecast", "worker", "--queue", "housekeeping")


def _start_mlflow(crew: Crew, plan: Plan, console: Console) -> None:
    """Serve MLflow's page, and wait for it: two makers of one new store would spoil it."""
    port = _free_port(5000)
    crew.start(
        "mlflow",
        *("mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{quote(str(plan.data))}/mlflow.db"),
        MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false",
        MLFLOW_DISABLE_TELEMETRY="true",
    )
    _wait_for(f"http://127.0.0.1:{port}/health", crew)
    console.print(f"MLflow          http://127.0.0.1:{port}")


def _wait_for(url: str, crew: Crew) -> None:
    deadline = time.monotonic() + _STOP_S
    while not _answers(url) and time.monotonic() < deadline:
        crew.check()
        time.sleep(0.2)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1):  # noqa: S310 -- our own address
            return True
    except OSError:
        return False


def _free_port(wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise DemoFailed("no free port on the loopback address")


def _watch(crew: Crew, plan: Plan, store: Store, console: Console) -> None:
    until = time.monotonic() + plan.seconds if plan.seconds is not None else float("inf")
    if console.is_terminal:
        with Live(console=console, refresh_per_second=2) as live:
            while time.monotonic() < until:
                crew.check()
                live.update(Group(board.table(board.rows(store)), *map(Text, board.failing(store))))
                time.sleep(min(1.0, max(0.0, until - time.monotonic())))
        return
    while time.monotonic() < until:
        crew.check()
        _print_lines(store, console)
        time.sleep(min(_PLAIN_PERIOD_S, max(0.0, until - time.monotonic())))


def _print_lines(store: Store, console: Console) -> None:
    for line in (*board.failing(store), *(row.line() for row in board.rows(store))):
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def _finish(crew: Crew, store: Store, console: Console) -> None:
    """End the producer, keep the last state of the models, then end the rest."""
    try:
        crew.stop("producer")
        console.print(f"taking the last snapshot (at most {_SNAPSHOT_S} s) ...")
        console.print(_snapshot(crew.env).strip(), soft_wrap=True)
        # Whatever ended the demo is what is to be told, not that Redis is gone too.
        with contextlib.suppress(CandlecastError):
            _print_lines(store, console)
    finally:
        crew.stop()
    console.print("stopped; a second start carries on from the data folder")


def _snapshot(env: dict[str, str]) -> str:
    try:
        done = subprocess.run(
            [*_WITH_US, str(_BIN / "candlecast"), "snapshot"],
            env=env | {"CANDLECAST_LOG_LEVEL": "error"},
            cwd=env["CANDLECAST_DATA_DIR"],
            capture_output=True,
            text=True,
            timeout=_SNAPSHOT_S,
            start_new_session=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "the last snapshot took too long and was given up; the next start takes it again"
    return done.stdout + done.stderr
