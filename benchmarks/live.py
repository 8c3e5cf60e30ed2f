"""N series that close a candle in the same instant: the service, one RQ job per candle, no service.

    python -m benchmarks.live [--series N ...] [--workers N] [--repeat N] [--stages] [--json]

In each repetition all three have their turn on the same machine with the same learner and candles,
so that the ratios hold when the machine's speed does not. The service's time runs from the first
append to the last forecast that can be read; the appends are made by one process that shares the
machine's cores. RQ's workers run their jobs without a fork, which is the faster way for them, and
forking with the model imported before, as RQ's documentation advises; --forking measures RQ's
default too, which imports it in each fork. With --stages one updater in this process tells where
the processor's time of an update goes.
"""

import time

from benchmarks import rivals
from benchmarks.report import Report, options
from benchmarks.stage import Market, random_walk, stage
from benchmarks.stages import add_stages

WARM = 200
JOBS = 300
REST_S = 1.5


def main() -> None:
    """Measure and print."""
    parser = options(__doc__, repeat=5)
    parser.add_argument("--series", type=int, nargs="+", default=[500, 2_000])
    parser.add_argument("--forking", action="store_true", help="measure RQ's default too")
    parser.add_argument("--stages", action="store_true", help="what each step takes")
    args = parser.parse_args()
    report = Report(
        "Series closing a candle at once", series=args.series, workers=args.workers, warm=WARM
    )
    measure(report, args.series, args.workers, args.repeat, forking=args.forking)
    if args.stages:
        add_stages(report, args.series[0], args.repeat)
    report.show(as_json=args.as_json)


def measure(report: Report, sizes: list[int], workers: int, repeat: int, *, forking: bool) -> None:
    """Let all have their turn, repetition by repetition."""
    candles = random_walk(WARM + repeat, seed=1)
    ways = rivals.WAYS if forking else rivals.WAYS[:2]
    service: dict[int, list[float]] = {size: [] for size in sizes}
    jobs: dict[str, list[float]] = {way: [] for way in ways}
    bare: list[float] = []
    in_step: list[float] = []
    with stage(workers) as made:
        markets = {size: Market(made.store, size, candles, f"N{size}N") for size in sizes}
        for market in markets.values():
            market.close(WARM)
        for _ in range(repeat):
            for size, market in markets.items():
                time.sleep(REST_S)
                service[size].append(market.close())
            names = markets[sizes[0]].names[:JOBS]
            bare.append(rivals.bare_loop(names, candles[: WARM + 1]))
            in_step.append(rivals.bare_steps(names, candles[: WARM + 1]))
            for way in ways:
                rate = rivals.job_per_candle(workers, way, names, candles[: WARM + 1])
                jobs[way].append(rate)
    for size, seconds in service.items():
        report.add(f"{size:,} series: last forecast", "ms", [s * 1_000 for s in seconds])
        report.add(f"{size:,} series", "updates/s", [size / s for s in seconds])
    rates = [max(sizes) / s for s in service[max(sizes)]]
    for way in ways:
        report.add(f"one RQ job per candle, {way}", "updates/s", jobs[way])
        times = [ours / theirs for ours, theirs in zip(rates, jobs[way], strict=True)]
        report.add(f"service of one RQ job per candle, {way}", "times", times)
    report.add("bare loop, one process", "updates/s", bare)
    report.add("bare loop, in step", "updates/s", in_step)
    report.add("service of bare loop", "times", [a / b for a, b in zip(rates, bare, strict=True)])


if __name__ == "__main__":
    main()
