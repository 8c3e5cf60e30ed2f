"""Every command of README, as it stands there, in a folder like a clone."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from producers.simulated import SimulatedMarket
from shared.candle import Candle, Timeframe
from shared.reader import ForecastReader
from tests.market.clock import Clock
from tests.market.server import Server, options

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS: list[tuple[str, str]] = re.findall(
    r"^```(sh|python)\n(.*?)^```", README, re.MULTILINE | re.DOTALL
)
SERIES = "simulated:BTC/USDT:1m"
HOUR = 3_600_000


def block(text: str) -> str:
    """The one block that holds this."""
    (found,) = [body for _, body in BLOCKS if text in body]
    return found


class Clone:
    """A folder with `.venv`, and a shell in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / ".venv").symlink_to(Path(sys.prefix))
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.env = os.environ | {"PATH": path, "MLFLOW_TRACKING_URI": ""}

    def run(self, *command: str, **env: str) -> str:
        """Run something to a good end; return what it has written."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.env | env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def shell(self, body: str, **env: str) -> str:
        """Run commands in a shell; what they left in the background ends with them."""
        return self.run(
            "bash", "-euc", f"trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT\n{body}", **env
        )


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """The demo as `make demo` runs it, with its simulated market."""
    clone = Clone(tmp_path_factory.mktemp("clone"))
    with (clone.folder / "demo.log").open("wb") as log:
        process = subprocess.Popen(
            ["candlecast", "demo", "--simulated"],
            cwd=clone.folder,
            env=clone.env,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    yield clone
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(60)
    print((clone.folder / "demo.log").read_text()[-2_000:])


def wait_for(condition: Callable[[], Any], seconds: float = 90.0) -> Any:
    """Wait until something is true, and return it."""
    end = time.monotonic() + seconds
    while True:
        try:
            if found := condition():
                return found
        except Exception:
            if time.monotonic() > end:
                raise
        assert time.monotonic() < end
        time.sleep(0.5)


def test_every_block_is_tried() -> None:
    """The first is what CI itself runs: `make test` and, in `test_demo.py`, the demo."""
    tried = [
        "make demo",
        "SMEMBERS",
        "load_model",
        "CANDLECAST_STATE_KEY=$(",
        "candlecast backtest",
    ]

    assert [body for kind, body in BLOCKS if kind == "sh"] == [block(text) for text in tried]
    assert [kind for kind, _ in BLOCKS].count("python") == 1
    made = (ROOT / "Makefile").read_text()
    assert all(f"\n{word.split()[1]}: " in made for word in block("make demo").splitlines())


def test_a_forecast_is_read(demo: Clone) -> None:
    """By Python, and by hand."""
    url = wait_for((demo.folder / ".candlecast/demo/redis.url").read_text)
    reader = wait_for(lambda: ForecastReader(url))
    wait_for(lambda: not reader.latest(SERIES).is_stale(reader.now_ms()))
    said = demo.run(sys.executable, "-c", block("ForecastReader"))
    by_hand = block("SMEMBERS").splitlines()
    names = demo.shell(by_hand[0])
    forecast = json.loads(demo.shell(by_hand[1]))
    heard = demo.shell(f"timeout 90 {by_hand[2]} | grep --max-count 1 quantiles")

    assert re.search(rf"{SERIES}: next close \d+.*, 90 % between", said)
    assert "stale: False" in said
    assert SERIES in names.split()
    assert forecast["series"] == json.loads(heard)["series"] == SERIES
    assert len(by_hand) == 3


def test_a_model_is_loaded_from_mlflow(demo: Clone) -> None:
    """It prints the table of its forecasts."""
    said = wait_for(lambda: demo.shell(block("load_model")), 150)

    assert "candle_open_time" in said
    assert "[30 rows" in said


def test_it_runs_on_a_redis_of_ones_own(server: Any, tmp_path: Path) -> None:
    """Two candle workers, one for the house, a producer of an exchange; then its state is shown."""
    clone = Clone(tmp_path)
    own = "redis://default:password@127.0.0.1:6379/0"
    body = block("STATE_KEY=$(")
    assert own in body
    now_ms = time.time_ns() // 1_000_000
    with Server(Clock(now_ms - 60_000, 1.0), [], symbols=("BTC/USD", "ETH/USD")) as exchange:
        told = json.dumps({"kraken": options("kraken", exchange.url)})
        commands = body.replace(own, server.url).replace(
            "candlecast status",
            "until candlecast status --json | grep -q '\"learned\": [1-9]'; do sleep 1; done\n"
            "candlecast status",
        )
        said = clone.shell(commands, CANDLECAST_EXCHANGES=told, CANDLECAST_MLFLOW_TRACKING_URI="")

    assert "learning: default-" in said
    for symbol in ("BTC", "ETH"):
        for timeframe in ("1m", "1h"):
            assert f"kraken:{symbol}/USD:{timeframe}" in said


def test_candles_of_ones_own_are_tried(tmp_path: Path) -> None:
    """A folder of files comes to forecasts, scores and a page."""
    clone = Clone(tmp_path)
    (tmp_path / "candles").mkdir()
    first = 1_700_000_000_000 // HOUR * HOUR
    rows = SimulatedMarket("BTC/USDT").candles(Timeframe("1h"), first, 400)
    frame = pd.DataFrame([{name: getattr(row, name) for name in Candle.__slots__} for row in rows])
    frame.to_parquet(tmp_path / "candles" / "binance-BTCUSDT-1h.parquet")
    clone.shell(block("candlecast backtest"))

    assert {path.name for path in (tmp_path / "results").iterdir()} >= {
        *("forecasts.parquet", "report.json", "report.html")
    }
