"""``candlecast pretrain``: constants from files of candles, and models that begin with them."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from models import catalog, state
from models.constants import Prior
from shared.store import Store
from tests.integration.steps import SERIES, candles
from tests.priors import draw_prior

Run = Callable[..., subprocess.CompletedProcess[str]]
NEEDS_EXTRA = "training needs the extra pretrain"


def table(rows: int, seed: int) -> pd.DataFrame:
    """Hourly candles of a random walk from the first of January 2024 on."""
    rng = np.random.default_rng(seed)
    closes = 100 * np.exp(np.cumsum(0.005 * rng.standard_t(4, rows)))
    opens = np.r_[100.0, closes[:-1]]
    prices = {"open": opens, "high": np.maximum(opens, closes), "low": np.minimum(opens, closes)}
    times = pd.date_range("2024-01-01", periods=rows, freq="h", tz="UTC")
    volumes = rng.gamma(2.0, 10.0, rows)
    return pd.DataFrame({"open_time": times, **prices, "close": closes, "volume": volumes})


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with a CSV and a Parquet file of 13 days each, and something else."""
    folder = tmp_path / "candles"
    folder.mkdir()
    table(312, 1).to_csv(folder / "x-BTCUSDT-1h.csv", index=False)
    table(312, 2).to_parquet(folder / "x-ETHUSDT-1h.parquet")
    (folder / "notes.txt").write_text("of no interest")
    return folder


def test_files_become_constants_that_models_begin_with(
    candlecast: Run, store: Store, files: Path, tmp_path: Path
) -> None:
    """The digest is told; named in CANDLECAST_PRIOR, workers learn with it from there on."""
    pytest.importorskip("autograd", reason=NEEDS_EXTRA)
    out = tmp_path / "prior.npz"

    done = candlecast("pretrain", str(files), "--out", str(out), "--processes", "2")

    assert done.returncode == 0, done.stderr
    prior = Prior.load(out)
    assert done.stdout == f"{out}: {prior.digest}, from 624 candles\n"
    assert prior.hour.any()
    checked = candlecast("config", "check", CANDLECAST_PRIOR=str(out))
    assert checked.returncode == 0, checked.stderr

    store.append(SERIES, candles(0, 3))
    assert candlecast("worker", "--burst", CANDLECAST_PRIOR=str(out)).returncode == 0

    name = catalog.with_prior("default", str(out))
    assert name == f"default@{prior.digest}"
    assert store.model(SERIES).fingerprint == state.fingerprint(name, 24)


def test_the_same_seed_and_days_give_the_same_constants(
    candlecast: Run, files: Path, tmp_path: Path
) -> None:
    """``--until`` is the first day left out: as if the files ended with the day before."""
    pytest.importorskip("autograd", reason=NEEDS_EXTRA)
    cut = tmp_path / "cut"
    cut.mkdir()
    table(312, 1)[:264].to_csv(cut / "x-BTCUSDT-1h.csv", index=False)
    table(312, 2)[:264].to_parquet(cut / "x-ETHUSDT-1h.parquet")

    def digest(*args: str) -> str:
        out = tmp_path / "out.npz"
        done = candlecast("pretrain", *args, "--out", str(out))
        assert done.returncode == 0, done.stderr
        return Prior.load(out).digest + done.stdout.partition(", ")[2]

    ended = digest(str(files), "--until", "2024-01-12")

    assert ended.endswith("from 528 candles\n")
    assert digest(str(cut), "--processes", "1") == ended
    assert digest(str(cut), "--seed", "2") != ended


@pytest.mark.parametrize("until", ["2023-12-31", "2024-01-02"])
def test_too_few_candles_are_one_clear_line(
    candlecast: Run, files: Path, tmp_path: Path, until: str
) -> None:
    """Where no candle is left, or none but those of the warm-up: exit code 2 and no file."""
    pytest.importorskip("autograd", reason=NEEDS_EXTRA)
    out = tmp_path / "prior.npz"

    done = candlecast("pretrain", str(files), "--out", str(out), "--until", until)

    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert done.stderr.startswith("candlecast: ")
    assert not out.exists()
    assert not list(out.parent.glob(".*.part"))


@pytest.mark.parametrize("command", [["config", "check"], ["worker", "--burst"]])
@pytest.mark.parametrize("fault", ["missing", "text", "cut short"])
def test_a_prior_that_is_none_is_one_clear_line(
    candlecast: Run, tmp_path: Path, command: list[str], fault: str
) -> None:
    """The file is named before any worker starts, with exit code 2 and no traceback."""
    path = tmp_path / "mine.npz"
    if fault == "text":
        path.write_text("no prior")
    if fault == "cut short":
        draw_prior().save(path)
        path.write_bytes(path.read_bytes()[:3_000])

    done = candlecast(*command, CANDLECAST_PRIOR=str(path))

    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert done.stderr.startswith(f"candlecast: prior='{path}': ")


def test_a_model_may_begin_without_any(candlecast: Run, store: Store) -> None:
    """``CANDLECAST_PRIOR=none`` is another model than the default, and needs no file."""
    store.append(SERIES, candles(0, 3))

    assert candlecast("worker", "--burst", CANDLECAST_PRIOR="none").returncode == 0

    fingerprint = store.model(SERIES).fingerprint
    assert fingerprint == state.fingerprint("default@none", 24)
    assert fingerprint != state.fingerprint("default", 24)


def test_pretraining_has_help_with_an_example(candlecast: Run) -> None:
    """`--help` shows how the command is used, also where its extra is missing."""
    done = candlecast("pretrain", "--help")

    assert done.returncode == 0
    assert "Example: candlecast pretrain" in done.stdout
