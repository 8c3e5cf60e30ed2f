"""What a snapshot takes of a series: files, metrics, registration, gate and alias.

    python -m benchmarks.snapshots [--series N] [--repeat N] [--server] [--json]

Into an SQLite file; with --server into an `mlflow server` on this machine as well. All series have
learned a candle since their last snapshot. Two versions of each are kept, so that old ones are
deleted as in service. MLflow's import, the making of its store and the first version of each
series are not counted; pictures are counted apart.
"""

import tempfile
import time
from pathlib import Path

from benchmarks.mlflow_server import served
from benchmarks.report import Report, options
from benchmarks.stage import Market, Stage, random_walk, stage
from models.gate import Bar
from models.state import Signer
from worker.judge import Judge
from worker.pictures import Gallery
from worker.registry import MlflowRegistry
from worker.snapshot import Snapshots

_WARM = 400
_BAR = Bar(candles=100, skill=-1.0, coverage=(0.0, 1.0))


def main() -> None:
    """Measure and print."""
    parser = options(__doc__, repeat=10)
    parser.add_argument("--series", type=int, default=30)
    parser.add_argument("--server", action="store_true", help="measure an MLflow server too")
    args = parser.parse_args()
    report = Report("Snapshots", series=args.series, workers=args.workers)
    with stage(args.workers) as made, tempfile.TemporaryDirectory() as folder:
        places = {"SQLite": f"sqlite:///{folder}/mlflow.db"}
        measure(report, made, places, args.series, args.repeat)
        if args.server:
            with served(Path(folder)) as url:
                measure(report, made, {"server": url}, args.series, args.repeat)
    report.show(as_json=args.as_json)


def measure(report: Report, made: Stage, places: dict[str, str], series: int, repeat: int) -> None:
    """Take so many rounds of snapshots in each place."""
    signer = Signer(made.env["CANDLECAST_STATE_KEY"].encode())
    for name, uri in places.items():
        market = Market(made.store, series, random_walk(_WARM + repeat + 1, seed=1), f"{name[0]}N")
        market.close(_WARM)
        registry = MlflowRegistry(uri)
        judge = Judge(made.store, registry, signer, lambda _: _BAR)
        snapshots = Snapshots(made.store, registry, signer, judge, keep=2)
        took = []
        for _ in range(repeat + 1):
            began = time.perf_counter()
            done = snapshots.take(budget_s=600)
            took.append((time.perf_counter() - began) * 1_000 / series)
            if done.failed or len(done.written) < series:
                raise SystemExit(f"snapshots failed: {done.failed}")
            market.close()
        del took[0]  # it has made the runs and registered models too
        report.add(f"{name}: a snapshot", "ms a series", took)
        gallery = Gallery(made.store, registry, judge, signer, every_s=1)
        drawn = []
        for one in market.names[:5]:
            began = time.perf_counter()
            gallery.draw(one, repeat + 1)
            drawn.append((time.perf_counter() - began) * 1_000)
        report.add(f"{name}: three pictures of a version", "ms", drawn)


if __name__ == "__main__":
    main()
