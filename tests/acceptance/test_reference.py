"""The default forecaster beside the measured reference of its recipe, which is not part of this.

CANDLECAST_SHARED names the folder that holds ``forecaster/`` and ``data/`` (by default ``shared``
beside the project).
"""

import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.constants import Prior
from models.forecaster import ScaleMixtureForecaster
from models.hours import HOUR_MS
from models.memory import Array
from models.scoring import crps
from shared.forecast import QUANTILE_LEVELS

SHARED = Path(os.environ.get("CANDLECAST_SHARED", Path(__file__).parents[3] / "shared"))
REFERENCE = SHARED / "forecaster"
SCORED = np.array((1, 3, 6, 12, 24))
# A series, the length of its candles in hours, and which of them: some with holes between.
CASES = (("binance-BTCUSDT-15m", 1 / 4, 0), ("binance-ETHUSDT-1h", 1, 30_000))
COUNT, SETTLED = 2_600, 600


def rows(name: str, start: int) -> list[tuple[float, ...]]:
    """Open time (UTC ms), open, high, low, close and volume of some candles."""
    path = SHARED / "data" / f"{name}.parquet"
    if not path.exists() or not REFERENCE.exists():
        pytest.skip(f"no reference at {SHARED}: set CANDLECAST_SHARED to the folder that holds it")
    pandas = pytest.importorskip("pandas", reason="needs the extra 'files'")
    table = pandas.read_parquet(path)[start : start + COUNT]
    times = table["open_time"].astype("datetime64[ms, UTC]").astype("int64").tolist()
    columns = (table[column].tolist() for column in ("open", "high", "low", "close", "volume"))
    return list(zip(times, *columns, strict=True))


def its_prior() -> Prior:
    """The constants of the reference under our names."""
    with np.load(REFERENCE / "weights.npz") as w, np.load(REFERENCE / "calendar.npz") as c:
        named = {"center": "mu", "spread": "sd", "skip": "Ws"}
        layers = {f"weights_{n}": f"W{n}" for n in (1, 2, 3)} | {
            f"bias_{n}": f"b{n}" for n in (1, 2, 3)
        }
        tables = {"hour": "A", "weekday": "B", "week": "C", "part": "F", "day": "BD"}
        return Prior(
            sizes=np.exp(w["sh"]),
            **{ours: w[theirs] for ours, theirs in (named | layers).items()},
            **{ours: c[theirs] for ours, theirs in tables.items()},
        )


def its_forecaster(hours: float) -> Any:
    """The reference itself."""
    spec = importlib.util.spec_from_file_location("reference", REFERENCE / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with np.load(REFERENCE / "weights.npz") as w, np.load(REFERENCE / "calendar.npz") as c:
        net = module.Net(w, module.KNOTS)
        return module.Forecaster(net, dict(c), round(3_600 * hours))


@pytest.mark.parametrize(("name", "hours", "start"), CASES)
def test_agrees_with_the_reference(name: str, hours: float, start: int) -> None:
    """The same features, nearly the same quantiles, the same CRPS.

    Not quite the same quantiles: the first candles are forecast otherwise, which takes the tracked
    quantiles some hundreds of candles to forget, and holes are counted by time.
    """
    candles = rows(name, start)
    theirs = its_forecaster(hours)
    ours = ScaleMixtureForecaster(round(hours * HOUR_MS), doubt=0, wick=1e12, prior=its_prior())
    said = np.empty((2, len(candles), len(SCORED), 9))
    for number, (time, *prices) in enumerate(candles):
        x = dict(zip(("open", "high", "low", "close", "volume"), prices, strict=True))
        ours.learn_one(x["close"], {"open_time": int(time), **x})
        quantiles = np.log(ours.forecast_quantiles(24, QUANTILE_LEVELS) / x["close"])
        said[0, number] = quantiles[SCORED - 1]
        said[1, number] = theirs.step(int(time) // 1_000, *prices)[SCORED - 1]
        if number % 100 == 0:
            inputs = ours.experts[1].inputs[ours.hours.position % 24]  # type: ignore[attr-defined]
            assert inputs[:38] == pytest.approx(theirs.XK[number % theirs.R][:38], abs=1e-6)

    width = said[1, ..., -1:] - said[1, ..., :1]
    apart = (abs(said[0] - said[1]) / width)[SETTLED:]
    assert np.median(apart) < 0.003
    assert apart.max() < 0.08
    losses = [loss(np.log([row[4] for row in candles]), one) for one in said]
    assert losses[0] / losses[1] == pytest.approx(np.ones(len(SCORED)), abs=0.0015)


def loss(logs: Array, quantiles: Array) -> Array:
    """Mean CRPS of the settled origins by horizon."""
    origins = np.arange(SETTLED, len(logs) - 24)
    moved = np.stack([logs[origins + h] - logs[origins] for h in SCORED], axis=1)
    mean: Array = crps(moved[..., None], quantiles[origins]).mean(0)
    return mean
