"""How the cost of an update and the memory of a series grow with the number of series.

    python -m benchmarks.scale [--series N ...] [--repeat N] [--workers N] [--json]

For each size a server of its own: every series learns its first candles, then all close a candle at
once, as often as there are repetitions.
"""

import time
from statistics import median

from benchmarks.report import Report, options
from benchmarks.stage import Market, random_walk, stage

WARM = 20
REST_S = 2.0
# With fewer series the queue's own time shows, and one worker has them all.
FLAT_FROM = 1_000


def main() -> None:
    """Measure and print."""
    parser = options(__doc__, repeat=3)
    sizes = [10, 100, 1_000, 5_000, 20_000]
    parser.add_argument("--series", type=int, nargs="+", default=sizes)
    args = parser.parse_args()
    report = Report("Growing", series=args.series, workers=args.workers, warm=WARM)
    costs = {size: add_size(report, size, args.workers, args.repeat) for size in args.series}
    flat = {size: cost for size, cost in costs.items() if size >= FLAT_FROM}
    if len(flat) > 1:
        name = f"dearest of {min(flat):,} to {max(flat):,} series, of the cheapest"
        report.add(name, "times", max(flat.values()) / min(flat.values()))
    report.show(as_json=args.as_json)


def add_size(report: Report, size: int, workers: int, repeat: int) -> float:
    """Measure one size; return the median cost of an update."""
    with stage(workers) as made:
        redis = made.store.link.redis
        empty = redis.info("memory")["used_memory"]
        market = Market(made.store, size, random_walk(WARM + repeat + 1, seed=1))
        market.close(WARM)
        market.longest_queue = 0
        seconds, sent, filed = [], [], []
        for _ in range(repeat):
            time.sleep(REST_S)
            before = redis.info()
            seconds.append(market.close())
            after = redis.info()
            sent.append(after["total_net_input_bytes"] - before["total_net_input_bytes"])
            if after["aof_rewrites"] == before["aof_rewrites"]:
                filed.append(after["aof_current_size"] - before["aof_current_size"])
        emptied = market.close(emptied=2)
        held = redis.info("memory")["used_memory"] - empty
        resident = made.resident_mb()
    name = f"{size:,} series"
    report.add(f"{name}: all of them", "ms", [s * 1e3 for s in seconds])
    report.add(f"{name}: an update", "µs", [s / size * 1e6 for s in seconds])
    report.add(f"{name}: sent to Redis", "KB an update", [b / size / 1e3 for b in sent])
    if filed:
        report.add(f"{name}: written to the file", "KB an update", [b / size / 1e3 for b in filed])
    report.add(f"{name}: memory in Redis", "KB a series", held / size / 1e3)
    report.add(f"{name}: largest worker", "MB", resident)
    report.add(
        f"{name}: RQ's longest queue, also when it was emptied", "jobs", market.longest_queue
    )
    report.add(f"{name}: all of them, the queue emptied twice", "ms", emptied * 1e3)
    return median(seconds) / size


if __name__ == "__main__":
    main()
