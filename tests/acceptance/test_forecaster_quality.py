"""The promise on real candles: calibrated, and nowhere worse than the baseline.

The candles are not part of the project: CANDLECAST_SHARED names the folder that holds
``data/<series>.parquet`` (by default ``shared`` beside the project).
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.learner import Learner
from shared.candle import Candle, Timeframe

SHARED = Path(os.environ.get("CANDLECAST_SHARED", Path(__file__).parents[3] / "shared"))
# The files and how many of their candles are learned, from the start.
FILES = {
    "binance-BTCUSDT-1h": 24_000,
    "binance-XRPUSDT-1h": 12_000,
    "mt5-EURUSD-1h": 12_000,
}
FIRST_ORIGIN = 2000
SCORED = (1, 3, 6, 12, 24)


def candles(name: str, count: int) -> Iterator[Candle]:
    """Read the first ``count`` candles of a file, or skip the test where it is absent."""
    path = SHARED / "data" / f"{name}.parquet"
    if not path.exists():
        pytest.skip(f"no candles at {path}: set CANDLECAST_SHARED to the folder that holds data/")
    pandas = pytest.importorskip("pandas", reason="needs the extra 'files'")
    table = pandas.read_parquet(path)[:count]
    times = table["open_time"].astype("datetime64[ms, UTC]").astype("int64")
    columns = (table[column].tolist() for column in ("open", "high", "low", "close", "volume"))
    return map(Candle, times.tolist(), *columns)


@pytest.mark.at_length
@pytest.mark.parametrize("name", FILES)
def test_calibrated_and_no_worse_than_the_baseline(name: str) -> None:
    """From origin 2000 on: CRPS and QLIKE below the baseline's, bands that hold what they say."""
    learner = Learner(Timeframe("1h"), 24)
    for number, candle in enumerate(candles(name, FILES[name])):
        if number == FIRST_ORIGIN:
            learner.prequential.total[:] = 0
        learner.learn_one(candle)

    scores = learner.scores()["horizons"]

    ratios = {h: 1 - scores[str(h)]["total"]["crps_skill"] for h in SCORED}
    assert {h: ratio for h, ratio in ratios.items() if ratio > 1} == {}
    assert sum(ratios.values()) / len(SCORED) < 0.965
    for band, slack in ((50, 0.04), (90, 0.03), (95, 0.02)):
        coverage = {h: scores[str(h)]["total"][f"coverage_{band}"] for h in SCORED}
        assert coverage == pytest.approx(dict.fromkeys(SCORED, band / 100), abs=slack), band
    for total in (scores[str(h)]["total"] for h in SCORED):
        assert -20 < total["qlike"] < total["qlike_baseline"] < 0
    assert learner.outlook().status == "live"
