"""Our scores beside those of the methods that users would pick instead, at the same origins.

    python -m benchmarks.accuracy [FOLDER] [--peers PEERS.PY] [--since DAY] [--markdown]

Every candle file of the folder goes through the live code path. Scored are the candles from DAY on;
of a file that has none, and of daily ones, the last 20,000 (daily: all from candle 667 on), with
constants that were trained without its symbol. Scores: CRPS on the log return to 1, 3, 6, 12, 24
candles ahead (twice the mean pinball loss over the nine levels), the 95 % interval score, coverage,
and the absolute error of the median against that of the last price.

The peers are the methods of a file like ``peers.py`` in the folder beside the candles; it is run in
this environment (``pip install 'candlecast[peers]'``). What takes minutes to compute is kept in the
work folder, by the digest of all that it was made from.
"""

import argparse
import hashlib
import importlib.util
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.accuracy_tables import tables
from benchmarks.calibrated import worst_thousand
from models import catalog, constants
from models.evaluation import coverage, inside, losses
from models.learner import Learner
from models.memory import Array
from models.scoring import BANDS
from models.skill import SCORED_HORIZONS
from producers.checks import NUMBERS
from producers.files import CandleFile, read_files
from producers.folders import candle_files
from shared.candle import Candle
from shared.forecast import QUANTILE_LEVELS
from worker import pooling
from worker.cores import forked

HORIZONS = SCORED_HORIZONS
LONGEST = HORIZONS[-1]
SHARED = Path(os.environ.get("CANDLECAST_SHARED", Path(__file__).parents[2] / "shared"))
WORK = Path(".candlecast/accuracy")
_DAILY_FROM, _LAST, _WARM = 667, 20_000, 2_000
_METHODS = {
    *("hist500", "ewma97", "garch-t", "garch-fhs", "gjr-t", "gjr-fhs", "har-fhs", "lgbm-fhs"),
    "lgbm-q",
}
# No method of the peers looks further back.
_PEERS_LOOK_BACK = 7_500


@dataclass(frozen=True, slots=True)
class Case:
    """A file, where scoring starts in it, and whether the shipped constants may have seen that."""

    file: CandleFile
    start: int
    is_later: bool

    @property
    def name(self) -> str:
        """The file's name without its kind."""
        return Path(self.file.path).stem

    @property
    def is_core(self) -> bool:
        """Whether it is a liquid market of hours or minutes that never closes."""
        timeframe = str(self.file.series.timeframe)
        return timeframe in ("5m", "15m", "1h") and self.file.series.exchange != "mt5"


def case(file: CandleFile, since_ms: int) -> Case:
    """Say from which candle on a file is scored."""
    shipped = constants.prior()
    assert shipped and shipped.trained_until  # noqa: S101, PT018 -- it says so of itself
    warm = min(_WARM, len(file) // 3)
    if str(file.series.timeframe) == "1d":
        return Case(file, min(_DAILY_FROM, len(file) // 3), is_later=False)
    start = int(np.searchsorted(file.times, since_ms))
    if start + LONGEST < len(file):
        return Case(file, max(start, warm), is_later=since_ms >= shipped.trained_until)
    return Case(file, max(len(file) - _LAST, warm), is_later=False)


def say(case: Case, model: str) -> Array:
    """Return the quantiles of the log return that a model says at every origin: (n, 5, 9)."""
    learner = Learner(case.file.series.timeframe, LONGEST, model)
    rows = np.array(HORIZONS) - 1
    said = np.empty((len(case.file), len(HORIZONS), len(QUANTILE_LEVELS)))
    for number, candle in enumerate(case.file):
        learner.learn_one(candle)
        if number >= case.start:
            said[number] = np.log(learner.outlook().quantiles[rows] / candle.close)
    return said


def score(case: Case, said: Array) -> dict[str, list[Any]]:
    """Score what was said from the start on, by horizon, counted in candles as the peers do."""
    logs = np.log(case.file.numbers[:, 3])
    origins = np.arange(case.start, len(logs) - LONGEST)
    moved = np.stack([logs[origins + h] - logs[origins] for h in HORIZONS], axis=1)
    said = said[origins]
    low, high = said[..., 0], said[..., -1]
    outside = np.maximum(low - moved, 0) + np.maximum(moved - high, 0)
    marks = inside(moved, said)
    return {
        "crps": losses(moved, said).mean(0).tolist(),
        "interval": (high - low + 40 * outside).mean(0).tolist(),
        "mae": (abs(moved - said[..., 4]).mean(0) / abs(moved).mean(0)).tolist(),
        **{f"coverage_{band}": shares for band, shares in coverage(marks).items()},
        "coverage_90_worst": worst_thousand(marks[..., BANDS.index(90)]).tolist(),
    }


def ours(case: Case, model: str) -> dict[str, list[Any]]:
    """Run one file and score it."""
    return score(case, say(case, model))


def peers_of(case: Case, path: Path) -> dict[str, Any]:
    """Return the peers' scores at the same origins, from the work folder if they are there."""
    content = Path(case.file.path).read_bytes() + path.read_bytes() + str(case.start).encode()
    kept = WORK / f"peers-{hashlib.sha256(content).hexdigest()[:16]}.json"
    if not kept.exists():
        spec = importlib.util.spec_from_file_location("peers", path)
        if spec is None or spec.loader is None:
            raise SystemExit(f"{path} is no Python file")
        peers = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(peers)
        begin = max(0, case.start - _PEERS_LOOK_BACK)
        with tempfile.TemporaryDirectory() as folder:
            part = Path(folder) / "part.parquet"
            frame = pd.DataFrame(case.file.numbers[begin:], columns=NUMBERS)
            frame.insert(
                0, "open_time", pd.to_datetime(case.file.times[begin:], unit="ms", utc=True)
            )
            frame.to_parquet(part)
            found = peers.main(str(part), start=case.start - begin)
        if missing := _METHODS - set(found["scores"]):
            raise SystemExit(f"{case.name}: {', '.join(sorted(missing))} failed; see above")
        draft = kept.with_suffix(".part")
        draft.write_text(json.dumps(found["scores"]))
        draft.replace(kept)
    return dict(json.loads(kept.read_text()))


def priors(cases: Sequence[Case], pool: Sequence[CandleFile], until_ms: int) -> Iterator[str]:
    """Yield the model of each case: with the shipped prior, or one that never saw its symbol."""
    for one in cases:
        symbol = one.file.series.symbol.partition("/")[0]
        if one.is_later:
            yield "default"
            continue
        others = [
            pooling.Pool(file.series, [c for c in file if c.open_time < until_ms])
            for file in pool
            if symbol not in file.series.symbol
        ]
        kept = WORK / f"prior-{made_from(others)}.npz"
        if not kept.exists():
            pooling.train(others, seed=1, processes=os.cpu_count() or 1).save(kept)
        yield catalog.with_prior("default", str(kept))


def made_from(pools: Sequence[pooling.Pool]) -> str:
    """Return a digest of the candles and of the code that a prior is made from."""
    digest = hashlib.sha256(pooling.recipe().encode())
    for pool in pools:
        digest.update(f"{pool.series} {hash_of(pool.candles)}".encode())
    return digest.hexdigest()[:16]


def hash_of(candles: Sequence[Candle]) -> str:
    """Return a digest of candles."""
    numbers = [(c.open_time, c.open, c.high, c.low, c.close, c.volume) for c in candles]
    return hashlib.sha256(np.array(numbers).tobytes()).hexdigest()


def ratios(own: dict[str, list[float]], peers: dict[str, Any], key: str) -> list[float]:
    """Our scores over the best peer's, by horizon."""
    name = {"crps": "crps", "interval": "wis95"}[key]
    best = [
        min(found[str(h)][name] for found in peers.values() if str(h) in found) for h in HORIZONS
    ]
    return [value / least for value, least in zip(own[key], best, strict=True)]


def measure(
    cases: Sequence[Case], models: Sequence[str], peers: Path | None, processes: int
) -> list[dict[str, Any]]:
    """Run and score every case, ours and the peers'."""
    rows: list[dict[str, Any]] = []
    with forked(processes) as pool:
        scored = pool.map(ours, cases, models)
        others = pool.map(peers_of, cases, [peers] * len(cases)) if peers else None
        for one, model, own in zip(cases, models, scored, strict=True):
            row: dict[str, Any] = {"file": one.name, "core": one.is_core, "model": model, **own}
            row |= {"later": one.is_later, "origins": len(one.file) - LONGEST - one.start}
            if others:
                found = next(others)
                row["crps_ratio"] = ratios(own, found, "crps")
                row["interval_ratio"] = ratios(own, found, "interval")
            rows.append(row)
            print(line(row), flush=True)
    return rows


def line(row: dict[str, Any]) -> str:
    """Return one file's scores as text."""
    kind = "_ratio" if "crps_ratio" in row else ""
    crps, interval, mae = (
        " ".join(f"{value:.4f}" for value in row[key])
        for key in (f"crps{kind}", f"interval{kind}", "mae")
    )
    covered = " ".join(f"{value:5.1%}" for value in row["coverage_90"])
    return f"{row['file']:<22}  {crps}  {interval}  {covered}  {mae}"


def summary(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the figures that are promised, for the core and for the rest."""
    for is_core, name in ((True, "core"), (False, "other files")):
        chosen = [row for row in rows if row["core"] is is_core]
        if not chosen:
            continue
        parts = [f"{name}: {len(chosen)} files"]
        for key in ("crps_ratio", "interval_ratio"):
            cells = [value for row in chosen for value in row.get(key, ())]
            if cells:
                parts.append(f"{key} {np.mean(cells):.4f}, most {max(cells):.4f}")
        for band in (50, 80, 90, 95):
            gaps = np.array([row[f"coverage_{band}"] for row in chosen]) - band / 100
            overall, worst = abs(gaps.mean(0)).max(), abs(gaps).max()
            parts.append(f"{band} % band {overall:.2%} off at most, in one file {worst:.2%}")
        worst = max(value for row in chosen for value in row["coverage_90_worst"])
        parts.append(f"90 % band in any 1,000 candles {worst:.1%}")
        parts.append(f"MAE {max(value for row in chosen for value in row['mae']):.4f} at most")
        yield "; ".join(parts)


def main() -> None:
    """Print a line for each file, and what is promised."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", default=SHARED / "data")
    parser.add_argument("--peers", type=Path, default=SHARED / "peers" / "peers.py")
    parser.add_argument("--no-peers", action="store_true", help="score ours alone")
    parser.add_argument("--no-prior", action="store_true", help="begin without shipped constants")
    parser.add_argument("--since", default="2024-03-01", help="scored from this day on (UTC)")
    parser.add_argument("--only", default="", help="files whose name holds this")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--markdown", action="store_true", help="print docs/accuracy.md's tables too"
    )
    parser.add_argument("--json", type=Path, help="write the scores to this file too")
    options = parser.parse_args()
    since = int(datetime.fromisoformat(options.since).replace(tzinfo=UTC).timestamp() * 1_000)
    WORK.mkdir(parents=True, exist_ok=True)
    pool = files_of(options.folder)
    cases = [case(file, since) for file in pool if options.only in Path(file.path).stem]
    if not cases:
        raise SystemExit(f"no candle file in {options.folder} whose name holds {options.only!r}")
    if not options.no_peers and not options.peers.exists():
        raise SystemExit(
            f"--peers {options.peers}: there is no such file (--no-peers does without)"
        )
    if options.no_prior:
        models = [catalog.with_prior("default", "none")] * len(cases)
    else:
        models = list(priors(cases, pool, since))
    peers = None if options.no_peers else options.peers
    of = "" if options.no_peers else " / best peer"
    print(
        f"{'file':<22}  ahead {HORIZONS}: CRPS{of}, 95 % interval score{of}, "
        "90 % band covered, MAE / naive"
    )
    rows = measure(cases, models, peers, options.processes)
    for text in summary(rows):
        print(text)
    if options.markdown:
        print(tables(rows))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


def files_of(folder: Path) -> list[CandleFile]:
    """Return the files that hold one series by their name; say which do not."""
    return read_files(candle_files([folder], lambda error: print(f"left out: {error}")))


if __name__ == "__main__":
    main()
