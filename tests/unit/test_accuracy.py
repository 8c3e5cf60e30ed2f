"""The benchmark of accuracy: what it scores, with which constants, and how."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from producers.files import CandleFile, read_candles

pytest.importorskip("autograd", reason="the benchmark trains priors: it needs the extra pretrain")

from benchmarks import accuracy
from benchmarks.accuracy_tables import tables
from benchmarks.calibrated import worst_thousand
from models.constants import Prior
from shared.forecast import QUANTILE_LEVELS
from tests.priors import draw_prior
from worker import pooling
from worker.pooling import Pool

MARCH_MS = 1_709_251_200_000  # 2024
NAN = math.nan


def file(
    folder: Path, name: str, rows: int, *, begin: str = "2024-02-01", step: str = "1h"
) -> CandleFile:
    """Write a random walk under this name and read it."""
    closes = 100 * np.exp(np.cumsum(np.random.default_rng(len(name)).normal(0, 0.01, rows + 1)))
    opens, closes = closes[:-1], closes[1:]
    prices = {"open": opens, "high": np.maximum(opens, closes), "low": np.minimum(opens, closes)}
    times = pd.date_range(begin, periods=rows, freq=step, tz="UTC")
    path = folder / f"x-{name}.csv"
    pd.DataFrame({"open_time": times, **prices, "close": closes, "volume": 1.0}).to_csv(
        path, index=False
    )
    return read_candles(path)


@pytest.mark.parametrize(
    ("name", "rows", "begin", "step", "start", "is_later"),
    [
        ("BTCUSDT-1h", 4_000, "2023-10-01", "1h", 152 * 24, True),
        ("BTCUSDT-1h", 900, "2024-02-20", "1h", 300, True),
        ("BTCUSDT-1h", 900, "2022-02-20", "1h", 300, False),
        ("BTCUSDT-5m", 23_000, "2022-02-20", "5min", 3_000, False),
        ("BTCUSDT-1d", 1_200, "2022-01-01", "1D", 400, False),
        ("BTCUSDT-1d", 2_400, "2018-01-01", "1D", 667, False),
    ],
)
def test_where_scoring_starts(
    *, name: str, rows: int, begin: str, step: str, start: int, is_later: bool, tmp_path: Path
) -> None:
    """With the day, or with the last 20,000; after a warm-up of a third, or 2,000."""
    one = accuracy.case(file(tmp_path, name, rows, begin=begin, step=step), MARCH_MS)

    assert (one.start, one.is_later) == (start, is_later)


def test_earlier_candles_are_not_taken_for_unseen(tmp_path: Path) -> None:
    """Scored from a day on that the shipped prior has been trained beyond, none is later."""
    one = accuracy.case(file(tmp_path, "BTCUSDT-1h", 900), MARCH_MS - 1)

    assert not one.is_later


def test_scores_are_those_of_what_was_said_from_the_start_on(tmp_path: Path) -> None:
    """By hand, at each horizon; the last 24 candles are targets only, as the peers have it."""
    one = accuracy.case(file(tmp_path, "BTCUSDT-1h", 200, begin="2022-01-01"), MARCH_MS)
    logs, rng = np.log(one.file.numbers[:, 3]), np.random.default_rng(3)
    said = np.sort(rng.normal(0, 0.03, (200, 5, 9)))
    said[: one.start] = NAN

    scores = accuracy.score(one, said)

    for column, ahead in enumerate((1, 3, 6, 12, 24)):
        crps, interval, misses, moves, inside = [], [], [], [], []
        for origin in range(one.start, 200 - 24):
            y, q = float(logs[origin + ahead] - logs[origin]), said[origin, column].tolist()
            levels = zip(QUANTILE_LEVELS, q, strict=True)
            crps.append(2 * math.fsum((p - (y < x)) * (y - x) for p, x in levels) / 9)
            beyond = max(q[0] - y, 0) + max(y - q[8], 0)
            interval.append(q[8] - q[0] + 2 / 0.05 * beyond)
            misses.append(abs(y - q[4]))
            moves.append(abs(y))
            inside.append(q[1] <= y <= q[7])
        assert scores["crps"][column] == pytest.approx(np.mean(crps))
        assert scores["interval"][column] == pytest.approx(np.mean(interval))
        assert scores["mae"][column] == pytest.approx(np.mean(misses) / np.mean(moves))
        assert scores["coverage_90"][column] == pytest.approx(np.mean(inside))


def test_the_worst_thousand_is_found(tmp_path: Path) -> None:
    """Bands that hold all but one spell of 300 candles are off by 20 points there."""
    one = accuracy.case(file(tmp_path, "BTCUSDT-1h", 4_000, begin="2020-01-01"), MARCH_MS)
    said = np.tile(np.linspace(-9, 9, 9), (4_000, 5, 1))
    said[2_500:2_800] += 100

    worst = accuracy.score(one, said)["coverage_90_worst"]

    assert worst == pytest.approx([0.2] * 5)


def test_constants_never_saw_what_they_are_judged_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of no quote of the symbol, and of no candle past the day, is a prior for it trained."""
    pool = [
        file(tmp_path, name, 900, begin=begin)
        for name, begin in (
            ("BTCUSDT-1h", "2024-02-20"),
            ("BTCEUR-1h", "2022-01-01"),
            ("ETHBTC-1h", "2022-01-01"),
            ("ETHUSDT-1h", "2024-02-20"),
        )
    ]
    monkeypatch.setattr(accuracy, "WORK", tmp_path)
    trained: list[dict[str, int]] = []

    def train(pools: list[Pool], **_: object) -> Prior:
        trained.append({str(one.series): one.candles[-1].open_time for one in pools})
        return draw_prior(len(trained))

    monkeypatch.setattr(pooling, "train", train)
    cases = [accuracy.case(one, MARCH_MS) for one in pool]

    models = list(accuracy.priors(cases, pool, MARCH_MS))

    last = MARCH_MS - 3_600_000
    assert models == [
        "default",
        f"default@{draw_prior(1).digest}",
        f"default@{draw_prior(2).digest}",
        "default",
    ]
    assert trained[0] == {"x:ETH/USDT:1h": last}
    assert set(trained[1]) == {"x:BTC/USDT:1h", "x:BTC/EUR:1h"}
    assert trained[1]["x:BTC/USDT:1h"] == last
    again = list(accuracy.priors(cases, pool, MARCH_MS))
    assert (again, len(trained)) == (models, 2)


def test_the_tables_of_the_page() -> None:
    """A row for each file with its origins, apart by what the constants may have seen."""
    own = {key: [0.98, 0.99, 1.0, 0.97, 0.96] for key in ("crps_ratio", "interval_ratio", "mae")}
    row = {"origins": 7_320, "coverage_90": [0.9, 0.89, 0.9, 0.9, 0.912], **own}
    files = (("x-A-1d", False, "@12ab"), ("x-B-1h", True, ""), ("x-C-1h", True, "@none"))
    rows = [
        {"file": name, "later": later, "model": f"default{prior}", **row}
        for name, later, prior in files
    ]

    text = tables(rows)

    scores = "0.980 / 0.990 / 1.000 / 0.970 / 0.960"
    cells = f"| 7,320 | {scores} | 0.9800 | {scores} "
    ends = "| 90.0 / 89.0 / 90.0 / 90.0 / 91.2 | 1.0000 |"
    lines = [line for line in text.splitlines() if line.startswith(("### ", "| x-"))]
    assert lines == [
        "### With the shipped prior, on candles that it has not seen",
        f"| x-B-1h {cells}{ends}",
        "### Without shipped constants",
        f"| x-C-1h {cells}{ends}",
        "### With constants that never saw the symbol",
        f"| x-A-1d {cells}{ends}",
    ]
    assert text.count("CRPS / best: mean 0.9800, at most 1.0000") == 3


def test_the_worst_thousand_in_a_row() -> None:
    """Of all windows, whichever way it is off; nothing is known of fewer origins."""
    inside = np.tile((np.arange(3_000) % 10 != 0)[:, None], (1, 2)).astype(float)
    assert worst_thousand(inside).tolist() == pytest.approx([0, 0])
    inside[1_500:1_700, 0], inside[400:900, 1] = 0, 1

    assert worst_thousand(inside).tolist() == pytest.approx([0.18, 0.05])
    assert worst_thousand(inside[:999]).tolist() == [0, 0]
