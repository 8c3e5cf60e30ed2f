"""Snapshots in a real MLflow store, read back as others would: in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import catalog, state
from shared.candle import Candle, Series
from shared.store import Store
from shared.wire import decode_forecast
from tests.conftest import ROOT
from tests.integration.steps import FLEET
from tests.priors import draw_prior
from worker.publish import significant
from worker.teaching import Model
from worker.update import Updater
from worker.version import metrics_of

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("field")]

HOUR = 3_600_000
T0 = 1_600_000_000_000 // HOUR * HOUR
SERIES = Series.parse("test:BTC/USDT:USDT:1h")
NAME = "test.BTC-USDT_USDT.1h"
KEY = "0123456789abcdef" * 2
SIGNER = state.Signer(KEY.encode())
# No site module and no working folder: an installed checkout cannot be found by accident.
CLEAN = f"import sys; sys.path += {[sysconfig.get_path(name) for name in ('purelib', 'platlib')]}\n"
QUIET = "import os; os.environ['MLFLOW_DISABLE_TELEMETRY'] = 'true'; import mlflow\n"

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def walk(first: int, count: int) -> list[Candle]:
    """Hourly candles of a seeded random walk; the same for the same place."""
    rng = np.random.default_rng(7)
    closes = 100 * np.exp(np.cumsum(0.005 * rng.standard_t(4, first + count)))
    rows = zip(np.r_[100.0, closes[:-1]], closes, strict=True)
    candles = [
        Candle(T0 + i * HOUR, float(o), float(max(o, c)) * 1.001, float(min(o, c)), float(c), 9.0)
        for i, (o, c) in enumerate(rows)
    ]
    return candles[first:]


def learn(store: Store, candles: list[Candle], model: str = "default") -> None:
    """Append candles and learn them here, as a worker would."""
    store.append(SERIES, candles)
    store.link.redis.set(store.keys.fleet, FLEET)
    updater = Updater(store, Model(model, SIGNER, lambda _: 24, FLEET))
    while store.model(SERIES).waiting:
        updater.run()
    store.link.redis.delete(store.keys.fleet)  # whoever learned has ended


def live(store: Store) -> dict[str, Any]:
    """What the committed learner says now, and what was published."""
    record, (published,) = store.model(SERIES), store.forecasts([SERIES])
    assert record.state is not None
    assert record.fingerprint is not None
    assert published is not None
    outlook = state.load(record.state, SIGNER, record.fingerprint, SERIES).outlook()
    return {
        "candle_open_time": [record.cursor] * 24,
        "target_time": list(outlook.target_times),
        "quantiles": outlook.quantiles.tolist(),
        "median": outlook.median.tolist(),
        "volatility": outlook.volatility.tolist(),
        "prob_up": outlook.prob_up.tolist(),
        "published": [list(row) for row in decode_forecast(published).quantiles],
    }


def same(table: dict[str, list[Any]], said: dict[str, Any]) -> bool:
    """Whether a table of the pyfunc is, bit for bit, what was said live."""
    levels = [name for name in table if name.startswith("q")]
    quantiles = [list(row) for row in zip(*(table[name] for name in levels), strict=True)]
    rounded = significant(np.array(quantiles)).tolist()
    return said == {
        **{name: table[name] for name in said if name in table},
        "quantiles": quantiles,
        "published": rounded,
    }


def elsewhere(code: str, cwd: Path, **env: str) -> Any:
    """Run code outside the checkout and return the JSON of its last line."""
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", CLEAN + QUIET + code],
        cwd=cwd,
        env=os.environ | env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


READ = f"""
import json, pandas, pathlib, sys
mlflow.set_tracking_uri(os.environ["STORE"])
client = mlflow.MlflowClient()
versions = sorted(client.search_model_versions("name='{NAME}'"), key=lambda v: int(v.version))
model = mlflow.pyfunc.load_model("models:/{NAME}/1")
columns = ["open_time", "open", "high", "low", "close", "volume"]
candles = pandas.DataFrame(json.loads(os.environ["CANDLES"]), columns=columns)
def table(frame):
    return model.predict(frame).to_dict("list")
run = client.get_run(versions[0].run_id)
print(json.dumps({{
    "code": sys.modules["models"].__file__,
    "empty": table(pandas.DataFrame(columns=columns)),
    "after": table(candles),
    "again": table(candles.iloc[:0]),
    "whole_numbers": table(candles.astype({{"volume": int}})),
    "runs": sorted({{version.run_id for version in versions}}),
    "tags": versions[-1].tags,
    "steps": [point.step for point in client.get_metric_history(run.info.run_id, "crps_h6")],
    "metrics": run.data.metrics,
    "requirements": open(mlflow.pyfunc.get_model_dependencies("models:/{NAME}/1")).read(),
    "pickles": [str(path) for path in pathlib.Path(os.environ["FILES"]).rglob("*.pkl")],
}}))
"""


@pytest.mark.usefixtures("furnished")
@pytest.mark.at_length  # README's commands load a version in any case
def test_a_snapshot_forecasts_what_the_live_model_forecasts(
    store: Store, candlecast: Run, tmp_path: Path
) -> None:
    """Both versions share a run; the first, loaded elsewhere, goes on exactly as the live one."""
    learn(store, walk(0, 300))
    then = live(store)
    assert candlecast("snapshot").returncode == 0
    learn(store, walk(300, 3))
    now = live(store)
    assert candlecast("snapshot").returncode == 0
    record = store.model(SERIES)
    assert (record.snapshot_version, record.snapshot_revision) == (2, record.revision)

    data = tmp_path / "data"
    rows = [[c.open_time, c.open, c.high, c.low, c.close, c.volume] for c in walk(297, 6)]
    read = elsewhere(
        READ,
        tmp_path,
        STORE=f"sqlite:///{data}/mlflow.db",
        FILES=str(data),
        CANDLES=json.dumps(rows),
        CANDLECAST_STATE_KEY=KEY,
    )

    assert not Path(read["code"]).is_relative_to(ROOT)
    assert not Path(read["code"]).exists()  # it was unpacked for as long as the process lived
    assert same(read["empty"], then)
    assert same(read["after"], now)
    assert same(read["again"], then)
    assert same(read["whole_numbers"], now)
    assert len(read["runs"]) == 1
    assert read["steps"] == [300, 303]
    assert read["metrics"] == pytest.approx(metrics_of(record.scores))
    assert read["tags"]["symbol"] == "BTC/USDT:USDT"
    assert read["tags"]["cursor"] == str(record.cursor)
    assert "river==" in read["requirements"]
    assert read["pickles"] == []


FORECAST = f"""
import json, pandas, pathlib
mlflow.set_tracking_uri(os.environ["STORE"])
model = mlflow.pyfunc.load_model("models:/{NAME}/1")
said = model.predict(pandas.DataFrame(columns=["open_time"])).to_dict("list")
from models import constants
priors = [path.stem for path in pathlib.Path(constants.__file__).with_name("prior").iterdir()]
print(json.dumps({{"said": said, "code": constants.__file__, "priors": priors}}))
"""


@pytest.mark.usefixtures("furnished")
@pytest.mark.at_length
def test_a_prior_of_ones_own_travels_with_the_version(
    store: Store, candlecast: Run, tmp_path: Path
) -> None:
    """Loaded where the user's file is not, the model begins with its numbers all the same."""
    mine, digest = tmp_path / "mine.npz", draw_prior(95).digest
    draw_prior(95).save(mine)
    learn(store, walk(0, 30), catalog.with_prior("default", str(mine)))
    then = live(store)
    done = candlecast("snapshot", CANDLECAST_PRIOR=str(mine))
    assert done.returncode == 0, done.stderr
    mine.unlink()

    data = tmp_path / "data"
    read = elsewhere(
        FORECAST, tmp_path, STORE=f"sqlite:///{data}/mlflow.db", CANDLECAST_STATE_KEY=KEY
    )

    assert same(read["said"], then)
    assert not Path(read["code"]).is_relative_to(ROOT)
    assert not Path(read["code"]).exists()  # it was unpacked for as long as the process lived
    assert {"default", digest} <= set(read["priors"])


REFUSED = f"""
import json, sys, pathlib
mlflow.set_tracking_uri(os.environ["STORE"])
def error(key=None, data="nowhere"):
    os.environ["CANDLECAST_DATA_DIR"] = data
    os.environ.pop("CANDLECAST_STATE_KEY", None)
    if key:
        os.environ["CANDLECAST_STATE_KEY"] = key
    try:
        mlflow.pyfunc.load_model("models:/{NAME}/1")
    except Exception as error:
        return [type(error).__name__, str(error)]
    return None
said = {{"missing": error(), "wrong": error("f" * 32), "file": error(data=os.environ["DATA"])}}
for name in [name for name in sys.modules if name.partition(".")[0] in ("models", "shared")]:
    del sys.modules[name]
foreign = pathlib.Path(os.environ["DATA"]) / "foreign"
(foreign / "models").mkdir(parents=True)
(foreign / "models" / "__init__.py").write_text("mine = 1")
sys.path.insert(0, str(foreign))
import models
print(json.dumps(said | {{"foreign": error(data=os.environ["DATA"])}}))
"""


@pytest.mark.usefixtures("furnished")
@pytest.mark.at_length
def test_a_version_that_cannot_forecast_says_why(
    store: Store, candlecast: Run, tmp_path: Path
) -> None:
    """No key, another one, or a process that has another `models`: loading says the remedy."""
    learn(store, walk(0, 30))
    assert candlecast("snapshot").returncode == 0
    data = tmp_path / "data"
    (data / "state.key").write_text(f"{KEY}\n")

    said = elsewhere(REFUSED, tmp_path, STORE=f"sqlite:///{data}/mlflow.db", DATA=str(data))

    assert said["missing"][0] == said["wrong"][0] == "StateError"
    assert "CANDLECAST_STATE_KEY" in said["missing"][1]
    assert said["file"] is None
    assert "'models' that is not the snapshot's" in said["foreign"][1]
    assert "process of its own" in said["foreign"][1]


OPEN = """
import json, sys
from shared.errors import RegistryError
from worker.registry import MlflowRegistry
try:
    registry = MlflowRegistry(sys.argv[1])
except RegistryError as error:
    print(json.dumps(str(error)))
else:
    print(json.dumps(registry._experiment))
"""


@pytest.mark.at_length
def test_two_at_once_make_one_store(tmp_path: Path) -> None:
    """MLflow's own creation of a store breaks when two processes begin at once; ours waits."""
    command = [sys.executable, "-c", OPEN, f"sqlite:///{tmp_path}/new/mlflow.db"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]

    experiments = {json.loads(process.communicate()[0]) for process in both}

    assert experiments == {"1"}


CREATE = """
import os, sys
from worker import sqlite_store
def dies(*_):
    os.kill(os.getpid(), 9)
sqlite_store.SqlAlchemyStore._initialize_store_state = dies
with sqlite_store.alone(sys.argv[1]):
    pass
"""


@pytest.mark.at_length
def test_a_store_whose_maker_was_killed_is_made_anew(tmp_path: Path) -> None:
    """What MLflow had done by then stays beside, and is gone when the store is there."""
    address = f"sqlite:///{tmp_path}/mlflow.db"
    killed = subprocess.run([sys.executable, "-c", CREATE, address], check=False)
    draft = tmp_path / "mlflow.db.new" / "mlflow.db"
    assert (killed.returncode, draft.exists()) == (-signal.SIGKILL, True)
    # As of a kill among the migrations: MLflow refuses to go on with it.
    draft.write_bytes(b"half of a database")

    opened = subprocess.run([sys.executable, "-c", OPEN, address], capture_output=True, check=True)

    assert json.loads(opened.stdout) == "1"
    assert {path.name for path in tmp_path.iterdir()} == {"mlflow.db", "mlflow.db.lock"}


def test_an_absent_mlflow_is_one_clear_error() -> None:
    """Whatever MLflow raises arrives as our own error: with the address, without the password."""
    ran = subprocess.run(
        [sys.executable, "-c", OPEN, "http://user:secret@127.0.0.1:9"],
        env={**os.environ, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"},
        capture_output=True,
        text=True,
        check=True,
    )

    error = json.loads(ran.stdout)
    assert error.startswith("MLflow at 127.0.0.1:9: ")
    assert "secret" not in error


@pytest.mark.usefixtures("furnished")
def test_a_worker_that_ends_leaves_no_folder_behind(
    store: Store,
    start: Callable[..., "subprocess.Popen[bytes]"],
    eventually: Callable[..., None],
    tmp_path: Path,
) -> None:
    """What it prepares versions in would else stay at every stop, for ever."""
    learn(store, walk(0, 30))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    supervisor = start("worker", "--queue", "housekeeping", TMPDIR=str(scratch))
    eventually(lambda: any(scratch.glob("candlecast-*")), "a snapshot is under way", seconds=60)

    supervisor.terminate()

    assert supervisor.wait(20) == 0
    assert list(scratch.glob("candlecast-*")) == []
