"""A River model of a user's own, named by its path, on the real parts."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from structlog.testing import capture_logs

from models import state
from models.learner import Learner
from shared.errors import InvalidValue
from shared.reader import ForecastReader
from shared.store import Store
from shared.wire import decode_forecast
from tests.conftest import ROOT, Server
from tests.integration.steps import FLEET, SERIES, hasty, walk
from tests.integration.test_snapshot import FORECAST, elsewhere
from tests.integration.test_snapshot import NAME as SNAPSHOT_NAME
from worker import backtest, proving, teaching
from worker.publish import significant
from worker.teaching import Model
from worker.update import Updater

pytestmark = pytest.mark.timeout(150)

NAME = str(SERIES)
WALK = walk(150)
EXAMPLES = ("snarimax", "holt-winters", "regression")
PAGE = (ROOT / "docs" / "models.md").read_text()
(IDEAS,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
IDEAS += """
unsaved = Momentum(share=lambda: 0)

class Slow(Momentum):
    def forecast(self, horizon, xs=None):
        import time
        time.sleep(0.004)
        return super().forecast(horizon, xs)

slow = Slow()

class Deadly(Momentum):
    def learn_one(self, y, x=None):
        import math, os, signal
        if y > 100 * math.log(700):
            os.kill(os.getpid(), signal.SIGKILL)
        super().learn_one(y=y, x=x)

deadly = Deadly()
"""
Run = Callable[..., Any]
Start = Callable[..., Any]


@pytest.fixture
def ideas(tmp_path: Path) -> dict[str, str]:
    """The module of the tutorial, and the environment in which it is found."""
    folder = tmp_path / "ideas"
    folder.mkdir()
    (folder / "my_ideas.py").write_text(IDEAS)
    return {"PYTHONPATH": str(folder), "CANDLECAST_STATE_MODULES": "my_ideas"}


def learn(store: Store, candlecast: Run, **env: str) -> None:
    """Let a worker learn what there is."""
    done = candlecast("worker", "--burst", **env)
    assert done.returncode == 0, done.stderr
    assert store.model(SERIES).waiting == 0


@pytest.mark.at_length  # the commands of the tutorial are run in any case
def test_a_model_is_live_under_its_name(
    store: Store, server: Server, candlecast: Run, ideas: dict[str, str]
) -> None:
    """It goes on from what was saved; its version brings its code, and says the same elsewhere."""
    ideas["CANDLECAST_MODEL"] = "my_ideas.momentum"
    for candles in (WALK[:100], WALK[100:]):
        store.append(SERIES, candles)
        learn(store, candlecast, **ideas)
    said = ForecastReader(server.url).latest(NAME)
    status = json.loads(candlecast("status", "--json", **ideas).stdout)
    done = candlecast("snapshot", timeout=120, **ideas)
    assert done.returncode == 0, done.stderr
    data = Path(server.env["CANDLECAST_DATA_DIR"])
    table = elsewhere(
        FORECAST.replace(SNAPSHOT_NAME, "test.BTC-USDT.1h"),
        data.parent,
        STORE=f"sqlite:///{data}/mlflow.db",
        CANDLECAST_STATE_KEY=server.env["CANDLECAST_STATE_KEY"],
        CANDLECAST_STATE_MODULES="my_ideas",
    )["said"]

    assert (said.model.name, said.sequence, said.status) == ("my_ideas.momentum", 150, "live")
    assert status["series"][0]["status"] == "live"
    quantiles = np.array([table[f"q{level}"] for level in said.quantile_levels]).T
    assert significant(quantiles).tolist() == [list(row) for row in said.quantiles]


@pytest.mark.parametrize("name", EXAMPLES)
def test_those_of_the_catalog_are_live(store: Store, server: Server, name: str) -> None:
    """Learned a few at a time, from saved states."""
    updater = Updater(store, Model(name, state.Signer(b"k" * 32), lambda _: 24, FLEET))
    for candles in (WALK[:110], WALK[110:111], WALK[111:]):
        store.append(SERIES, candles)
        store.tick(FLEET)
        updater.run()
    said = ForecastReader(server.url).latest(NAME)

    assert (said.model.name, said.sequence, said.status) == (name, 150, "live")
    assert said.skill[0].coverage_90 is not None


def test_what_cannot_be_saved_is_refused_at_the_start(
    candlecast: Run, ideas: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the reason; and so is what no state may name, or takes too long."""
    unsaved = candlecast("config", "check", CANDLECAST_MODEL="my_ideas.unsaved", **ideas)
    ideas |= {"CANDLECAST_MODEL": "my_ideas.momentum", "CANDLECAST_STATE_MODULES": ""}
    forbidden = candlecast("config", "check", **ideas)

    monkeypatch.setattr(proving, "_SLOWEST_S", 0.003)
    monkeypatch.syspath_prepend(ideas["PYTHONPATH"])
    signer = state.Signer(b"k" * 32, modules=["my_ideas"])

    with pytest.raises(InvalidValue, match=r"my_ideas.slow.*one takes more than 0.003 s"):
        proving.prove_own("my_ideas.slow", signer)
    assert (unsaved.returncode, forbidden.returncode) == (2, 2)
    assert "its state cannot be saved" in unsaved.stderr
    assert "my_ideas.Momentum is not allowed" in forbidden.stderr
    assert "CANDLECAST_STATE_MODULES" in forbidden.stderr


def test_a_backtest_takes_a_model_of_ones_own(
    candlecast: Run, ideas: dict[str, str], tmp_path: Path
) -> None:
    """The live code path over a file."""
    file = tmp_path / "test-BTCUSDT-1h.csv"
    rows = [[c.open_time, c.open, c.high, c.low, c.close, c.volume] for c in WALK]
    columns = ["open_time", "open", "high", "low", "close", "volume"]
    pd.DataFrame(rows, columns=columns).to_csv(file, index=False)
    ideas["CANDLECAST_MODEL"] = "my_ideas.regression"
    done = candlecast("backtest", str(file), "--series", NAME, "--out", str(tmp_path), **ideas)

    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "report.json").read_text())[NAME]["candles"] == len(WALK)


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_backtest_takes_those_of_the_catalog(tmp_path: Path, name: str) -> None:
    """And keeps every forecast."""
    report = backtest.run([backtest.Task(SERIES, WALK, name, 3)], tmp_path)
    kept = pd.read_parquet(tmp_path / "forecasts.parquet")

    assert report[NAME]["candles"] == len(WALK)
    assert kept["candle_open_time"].nunique() == len(WALK)


def test_from_challenger_to_speaker_and_back(
    store: Store, server: Server, candlecast: Run, start: Start, ideas: dict[str, str]
) -> None:
    """With workers as processes: in the shadow, contested, promoted by a setting, and put back.

    Nothing is learned again, and each says what it would have said alone.
    """
    reader = ForecastReader(server.url)
    pairs = [("default", "my_ideas.momentum"), ("my_ideas.momentum", "default")]
    said, candles = {}, iter((WALK[:80], WALK[80:90], WALK[90:100], WALK[100:]))
    for speaker, challenger in (("default", ""), *pairs, pairs[0]):
        ideas |= {"CANDLECAST_MODEL": speaker, "CANDLECAST_CHALLENGER": challenger}
        worker = start("worker", "--take-over", **ideas)
        store.append(SERIES, next(candles))
        eventually_learned(store)
        worker.terminate()
        assert worker.wait(30) == 0
        newest = reader.latest(NAME)
        assert newest.model.name == speaker
        said[newest.sequence] = newest
    status = json.loads(candlecast("status", "--json", **ideas).stdout)["series"][0]
    text = candlecast("status", **ideas).stdout

    assert (status["rebuilds"], status["learned"], status["fault"]) == (0, len(WALK), "")
    assert status["challenger"]["model"] == "my_ideas.momentum"
    contest = status["challenger"]["horizons"]["1"]
    assert contest["candles"] == len(WALK) - 100
    assert 0 < contest["ratio"] < 2
    assert "challenger my_ideas.momentum: CRPS skill" in text
    for sequence, name in ((80, "default"), (90, "default"), (100, "momentum"), (150, "default")):
        if name == "default":
            alone = Learner(SERIES.timeframe, 24)
            alone.learn_many(WALK[:sequence])
            quantiles = significant(alone.outlook().quantiles).tolist()
            assert quantiles == [list(row) for row in said[sequence].quantiles]


def begun(store: Store, model: str) -> Updater:
    """One whose claims are due again at once, and who has learned fifty candles."""
    parts = Model(model, state.Signer(b"k" * 32), lambda _: 3, FLEET)
    updater = Updater(hasty(store), parts)
    store.append(SERIES, WALK[:50])
    store.tick(FLEET)
    updater.run()
    return updater


def test_one_that_may_kill_rests_before_its_candle_is_buried(store: Store) -> None:
    """Once: where claims die all the same, it was the candle."""
    updater = begun(store, "holt-winters+default")
    for candle, deaths in ((WALK[50], 5), (WALK[51], 7)):
        store.append(SERIES, [candle])
        for _ in range(deaths):
            hasty(store).claim(FLEET)
        updater.run()
        record = store.model(SERIES)
        fault = record.scores["fault"]
        assert fault.startswith("HoltWinters rests for 16 candles: three claims of one candle")

    assert (record.sequence, record.dead_letters, record.rebuilds) == (51, 1, 0)
    (row,) = store.forecasts([SERIES])
    assert decode_forecast(row or b"").model.name == "default"


def test_a_rest_is_written_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever takes the series up goes on with it; what happened is logged and counted."""
    model = Model("holt-winters+default", state.Signer(b"k" * 32), lambda _: 3, FLEET)
    updater = Updater(store, model)
    updater.worker = "one"
    store.append(SERIES, WALK[:50])
    store.tick(FLEET)
    updater.run()
    monkeypatch.setattr(teaching, "_SLOW_S", -1.0)
    with capture_logs() as logs:
        for candle in WALK[50:53]:
            store.append(SERIES, [candle])
            updater.run()
    record = store.model(SERIES)
    (line,) = [line for line in logs if line["event"] == "model failed"]

    says = "HoltWinters rests for 16 candles: a candle took it 0.0 s"
    assert record.scores["fault"] == says
    assert record.saved == WALK[51].open_time
    assert (line["series"], line["last"]) == (NAME, [says])
    assert store.totals.read()["faults"] == record.scores["faults"]


def test_where_both_may_kill_each_rests_before_a_candle_is_buried(store: Store) -> None:
    """The challenger first; where that rests already, the one that speaks."""
    updater = begun(store, "holt-winters+snarimax")
    faults = []
    for candle in WALK[50:52]:
        store.append(SERIES, [candle])
        for _ in range(5):
            hasty(store).claim(FLEET)
        updater.run()
        scores = store.model(SERIES).scores
        faults.append([scores["fault"][:17], scores["challenger"]["fault"][:14]])

    assert faults == [["", "SNARIMAX rests"], ["HoltWinters rests", "SNARIMAX rests"]]
    record = store.model(SERIES)
    assert (record.sequence, record.dead_letters) == (52, 0)
    assert record.scores["rested_at"] == WALK[50].open_time
    assert store.totals.read()["faults"] >= 2


@pytest.mark.at_length
def test_one_that_kills_its_workers_rests(
    store: Store, server: Server, candlecast: Run, start: Start, ideas: dict[str, str]
) -> None:
    """The candle is learned all the same, by the model that stands in; so are those after it."""
    high = replace(WALK[60], high=777.0, close=777.0)
    ideas["CANDLECAST_MODEL"] = "my_ideas.deadly"
    store.append(SERIES, [*WALK[:60], high, *WALK[61:80]])
    start("worker", **ideas)
    eventually_learned(store)
    said, record = ForecastReader(server.url).latest(NAME), store.model(SERIES)
    status = json.loads(candlecast("status", "--json", **ideas).stdout)["series"][0]

    assert (record.sequence, record.dead_letters, record.rebuilds) == (80, 0, 0)
    assert (said.status, said.model.name, said.sequence) == ("fallback", "default", 80)
    assert status["fault"].startswith("Deadly rests for 16 candles: three claims of one candle")


def eventually_learned(store: Store) -> None:
    """Wait until all is learned."""
    deadline = time.monotonic() + 40
    while store.model(SERIES).waiting or store.model(SERIES).sequence == 0:
        assert time.monotonic() < deadline, "not learned in time"
        time.sleep(0.05)


def test_the_commands_of_the_tutorial_run(server: Server, store: Store, tmp_path: Path) -> None:
    """As they are written, from a folder with the module and a file of candles."""
    _, _, tutorial = PAGE.partition("## A model of your own")
    blocks = re.findall(r"```sh\n(.*?)```", tutorial, re.DOTALL)
    commands = "".join(blocks).replace("candlecast worker", "candlecast worker --burst")
    (tmp_path / "my_ideas.py").write_text(IDEAS)
    rows = [[c.open_time, c.open, c.high, c.low, c.close, c.volume] for c in WALK]
    columns = ["open_time", "open", "high", "low", "close", "volume"]
    table = pd.DataFrame(rows, columns=columns)
    table.to_parquet(tmp_path / "candles.parquet")
    store.append(SERIES, WALK)
    done = subprocess.run(
        ["sh", "-eux", "-c", commands],
        cwd=tmp_path,
        env=server.env | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "momentum" / "report.json").exists()
    assert "challenger default: CRPS skill" in done.stdout
    record = store.model(SERIES)
    assert (record.sequence, record.rebuilds) == (len(WALK), 0)
    assert record.scores["challenger"]["model"] == "default"
