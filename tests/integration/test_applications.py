"""The ways to read forecasts, as the page about applications shows them."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import jsonschema
import pytest

from models import state
from shared.candle import Series
from shared.forecast import Forecast
from shared.store import Store
from tests.conftest import Server
from tests.integration.examples import ROOT, Run, shown
from tests.integration.steps import FLEET, walk
from worker.teaching import Model
from worker.update import Updater

PAGE = "application.md"
BTC, ETH = (Series.parse(f"mine:{symbol}/USDT:1h") for symbol in ("BTC", "ETH"))
SCHEMA = ROOT / "docs" / "forecast.schema.json"
WALK = walk(60)
# The release that the page was tried with.
NODE_REDIS = "redis@5.12.1"
Wait = Callable[..., None]
Follow = Callable[..., Path]


class Teacher:
    """Learns candles of two series, as a worker would."""

    def __init__(self, store: Store) -> None:
        self._store, self._at = store, 0
        self._updater = Updater(
            store, Model("default", state.Signer(b"k" * 32), lambda _: 3, FLEET)
        )

    def learn(self, count: int) -> None:
        """Go on with so many candles, one at a time."""
        for candle in WALK[self._at : self._at + count]:
            for series in (BTC, ETH):
                self._store.append(series, [candle])
            self._store.tick(FLEET)
            self._updater.run()
        self._at += count


@pytest.fixture
def teacher(store: Store) -> Teacher:
    """Two series that have been forecast."""
    teacher = Teacher(store)
    teacher.learn(3)
    return teacher


@pytest.fixture
def run(server: Server, tmp_path: Path) -> Run:
    """Run a program."""
    return Run(tmp_path, server)


@pytest.fixture
def follow(run: Run) -> Iterator[Follow]:
    """Start a program that goes on; return the file of what it prints."""
    running: list[subprocess.Popen[bytes]] = []

    def start(*command: str) -> Path:
        out = run.folder / "said"
        env = run.env | {"PYTHONUNBUFFERED": "1"}
        with out.open("wb") as log:
            program = run.found(*command)
            running.append(
                subprocess.Popen(program, cwd=run.folder, env=env, stdout=log, stderr=log)
            )
        return out

    yield start
    for process in running:
        process.kill()
        process.wait()


def lines(out: Path) -> list[str]:
    """What it has printed by now."""
    return out.read_text().splitlines()


def told(out: Path, teacher: Teacher, eventually: Wait, series: int = 1) -> list[str]:
    """What is printed of the newest of so many series, and of two candles more of each."""
    eventually(lambda: len(lines(out)) >= series, "the newest")
    teacher.learn(2)
    eventually(lambda: len(lines(out)) >= 3 * series, "all that is said since")
    return lines(out)


def test_python(follow: Follow, teacher: Teacher, eventually: Wait) -> None:
    """Ten lines that show what comes, with the state in which it is."""
    example = shown(PAGE, "python", " ForecastReader(")

    said = told(follow(sys.executable, "-c", example), teacher, eventually, series=2)

    pattern = r"mine:(BTC|ETH)/USDT:1h STALE [\d.]+ \[[\d.]+, [\d.]+\] (None|[01][\d.]*)"
    assert all(re.fullmatch(pattern, line) for line in said)
    assert len(said) == 6
    assert len(example.strip().splitlines()) <= 10


def test_python_awaited(follow: Follow, teacher: Teacher, eventually: Wait) -> None:
    """The same where everything is awaited."""
    out = follow(sys.executable, "-c", shown(PAGE, "python", "AsyncForecastReader("))
    said = told(out, teacher, eventually)

    assert all(line.startswith("mine:BTC/USDT:1h ") for line in said)
    assert len(said) == 3


@pytest.mark.usefixtures("teacher")
def test_redis_cli(run: Run) -> None:
    """The newest one, and the last three."""
    run.found("redis-cli")
    newest, *history = run("sh", "-euc", shown(PAGE, "sh", "redis-cli")).splitlines()

    said = [json.loads(line) for line in history if line.startswith("{")]
    assert [one["revision"] for one in said] == [3, 2, 1]
    assert json.loads(newest) == said[0]


@pytest.mark.system
def test_node_js(follow: Follow, run: Run, teacher: Teacher, eventually: Wait) -> None:
    """With the package that most take, which npm gives."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    run("npm", "install", "--no-audit", "--no-fund", NODE_REDIS)
    (run.folder / "follow.mjs").write_text(shown(PAGE, "js", "xRead"))

    out = follow("node", "follow.mjs")
    said = told(out, teacher, eventually)

    pattern = r"mine:BTC/USDT:1h STALE [\d.]+ [\d.]+ [\d.]+"
    assert all(re.fullmatch(pattern, line) for line in said)
    assert len(said) == 3


def test_the_schema_is_that_of_the_type() -> None:
    """``python -m tests.integration.test_applications`` writes it anew."""
    assert json.loads(SCHEMA.read_text()) == Forecast.model_json_schema(mode="serialization")


def test_what_workers_publish_is_by_the_schema(store: Store, teacher: Teacher) -> None:
    """Before anything was scored, and after; and it tells when something is not."""
    schema = json.loads(SCHEMA.read_text())
    teacher.learn(50)
    raw = store.link.redis.xrange(store.keys.forecasts(str(BTC)))
    published = [json.loads(fields[b"forecast"]) for _, fields in raw]

    for one in published:
        jsonschema.validate(one, schema)
    assert published[0]["skill"][0]["crps"] is None
    assert published[-1]["skill"][0]["crps"] is not None
    assert set(published[0]) == set(schema["properties"])
    for wrong in ({"median": [-1.0]}, {"status": "fine"}, {"revision": 0}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(published[0] | wrong, schema)


def test_a_field_that_is_new_disturbs_no_reader(store: Store, teacher: Teacher) -> None:
    """Workers are upgraded before the apps that read them."""
    teacher.learn(1)
    raw = json.loads(store.link.redis.get(store.keys.forecast(str(BTC))))

    newer = json.dumps(raw | {"mood": "calm", "model": raw["model"] | {"age": 3}})

    assert Forecast.model_validate_json(newer) == Forecast.model_validate(raw)


if __name__ == "__main__":
    text = json.dumps(Forecast.model_json_schema(mode="serialization"), indent=2)
    SCHEMA.write_text(f"{text}\n")
