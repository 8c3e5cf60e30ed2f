"""A long run under a steady load: nothing may grow, nothing may become slower.

    python -m benchmarks.soak [--minutes N] [--series N] [--rate N] [--workers N] [--check] [--json]

Every few seconds the workers' memory and open files, Redis's memory and keys and the latency of one
more series are noted. Shown are the medians of the first and of the last third of the run, and how
the one stands to the other; with --check the exit code is 1 where memory, files or keys have grown
beyond what is noise. Logs are kept short, so that they are full before the first third ends.
"""

import time
from statistics import median

from benchmarks.latency import WARM, WATCHED, latencies
from benchmarks.load import load
from benchmarks.report import Report, options
from benchmarks.stage import Stage, random_walk, stage

RETENTION = 250
_AT_ONCE = 20
_UNITS = {
    "worker, resident": "MB",
    "files open in a worker": "files",
    "memory in Redis": "MB",
    "keys of RQ": "keys",
    "push to forecast, median": "ms",
    "push to forecast, longest": "ms",
}
_MOST = {
    "worker, resident": 1.1,
    "files open in a worker": 1.0,
    "memory in Redis": 1.25,
    "keys of RQ": 1.5,
}
"""How many times the first third's the last may be; of times a busy machine says nothing."""


def main() -> None:
    """Run, and print the thirds side by side."""
    parser = options(__doc__, repeat=1)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--series", type=int, default=200)
    parser.add_argument("--rate", type=float, default=300.0, help="candles a second")
    parser.add_argument("--check", action="store_true", help="fail where something has grown")
    args = parser.parse_args()
    report = Report(
        "Long run", minutes=args.minutes, series=args.series, rate=args.rate, workers=args.workers
    )
    samples = run(args.workers, args.minutes, args.series, args.rate)
    third = len(samples) // 3
    if not third:
        raise SystemExit("too short: three samples are needed")
    grown = {}
    for what, unit in _UNITS.items():
        early = [sample[what] for sample in samples[:third]]
        late = [sample[what] for sample in samples[-third:]]
        report.add(f"{what}, first third", unit, early)
        report.add(f"{what}, last third", unit, late)
        grown[what] = median(late) / median(early)
        report.add(f"{what}, last of first", "times", grown[what])
    report.show(as_json=args.as_json)
    faults = [
        f"{what} {grown[what]:.2f} times" for what, most in _MOST.items() if grown[what] > most
    ]
    if args.check and faults:
        raise SystemExit(f"grown: {', '.join(faults)}")


def run(workers: int, minutes: float, series: int, rate: float) -> list[dict[str, float]]:
    """Return what was noted, sample by sample."""
    samples = []
    walk = random_walk(100_000, seed=9)
    position = WARM
    with stage(workers, CANDLECAST_RETENTION=str(RETENTION)) as made:
        made.store.append(WATCHED, walk[:WARM])
        with load(made, series, rate):
            end = time.monotonic() + minutes * 60
            while time.monotonic() < end:
                found = latencies(made.store, walk[position : position + _AT_ONCE])
                position += _AT_ONCE
                samples.append(sample(made, found))
                time.sleep(2.0)
    return samples


def sample(made: Stage, latency_ms: list[float]) -> dict[str, float]:
    """Note everything once."""
    redis = made.store.link.redis
    return {
        "worker, resident": made.resident_mb(),
        "files open in a worker": max(len(list(p.glob("fd/*"))) for p in made.processes()),
        "memory in Redis": redis.info("memory")["used_memory"] / 1e6,
        "keys of RQ": sum(1 for _ in redis.scan_iter("rq:*", count=1_000)),
        "push to forecast, median": median(latency_ms),
        "push to forecast, longest": max(latency_ms),
    }


if __name__ == "__main__":
    main()
