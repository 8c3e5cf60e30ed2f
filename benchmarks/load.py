"""Append candles of many series at a steady rate until killed; other benchmarks start this.

python -m benchmarks.load URL --series N --rate PER_SECOND
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.stage import Market, Stage, ended, random_walk
from shared.store import Store

WARM = 200
_CANDLES = 20_000


def main() -> None:
    """Teach every series its first candles, then go on at the rate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--series", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    args = parser.parse_args()
    market = Market(Store.connect(args.url), args.series, random_walk(_CANDLES, seed=1), "LOAD")
    market.close(WARM)
    print("steady", flush=True)
    market.feed(args.rate)


@contextmanager
def load(made: Stage, series: int, rate: float) -> Iterator[None]:
    """Put the service under a steady load."""
    command = [sys.executable, "-m", "benchmarks.load", made.url]
    command += ["--series", str(series), "--rate", f"{rate:.3f}"]
    feeder = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    try:
        if not feeder.stdout or feeder.stdout.readline() != b"steady\n":
            raise SystemExit("the load could not be made")
        time.sleep(2.0)
        yield
        if feeder.poll() is not None:
            raise SystemExit("the load ended before the measurement")
    finally:
        feeder.terminate()
        ended(feeder)


if __name__ == "__main__":
    main()
