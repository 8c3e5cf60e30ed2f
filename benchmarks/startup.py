"""How soon a worker works, what it weighs, and how soon the command line answers.

    python -m benchmarks.startup [--repeat N] [--json]

A candle is due when the supervisor with one worker is started; the time runs until the worker is
registered with RQ, and until that candle's forecast is there.
"""

import subprocess
import time

from benchmarks.report import Report, options
from benchmarks.stage import COMMAND, Market, random_walk, stage


def main() -> None:
    """Measure and print."""
    parser = options(__doc__, repeat=7)
    args = parser.parse_args()
    report = Report("Starting")
    ready, first, resident, answers = [], [], [], []
    for number in range(args.repeat):
        with stage(0) as made:
            Market(made.store, 1, random_walk(300, seed=number)).append(300)
            began = time.perf_counter()
            made.start(1)
            while not made.living():
                time.sleep(0.005)
            ready.append(time.perf_counter() - began)
            while made.store.link.redis.zcard(made.store.keys.pending):
                time.sleep(0.005)
            first.append(time.perf_counter() - began)
            time.sleep(1.0)
            resident.append(made.resident_mb())
        began = time.perf_counter()
        subprocess.run([COMMAND, "--help"], check=True, capture_output=True)
        answers.append(time.perf_counter() - began)
    report.add("worker registered", "s", ready)
    report.add("300 candles learned, forecast published", "s", first)
    report.add("worker, resident", "MB", resident)
    report.add("candlecast --help", "s", answers)
    report.show(as_json=args.as_json)


if __name__ == "__main__":
    main()
