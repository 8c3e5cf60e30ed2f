"""From the push of a candle to its forecast: with an idle service, and at half of what it can do.

    python -m benchmarks.latency [--candles N] [--series N] [--repeat N] [--workers N] [--json]

One series gets a candle at random times. The time runs from before the append until a subscriber of
the series' channel has the forecast; it can be read from its key by then. For half load another
process appends candles of other series all the while, at half the rate at which the service learned
them when all closed at once.
"""

import time
from collections.abc import Sequence

import numpy as np

from benchmarks.load import load
from benchmarks.report import Report, options
from benchmarks.stage import Market, random_walk, stage
from shared.candle import Candle, Series
from shared.store import Store

WARM = 200
WATCHED = Series.parse("bench:WATCHED/USDT:1h")
SHARES = (0.5, 0.9, 0.99)
_PAUSE_S = (0.02, 0.08)
_LONGEST_S = 10.0


def main() -> None:
    """Measure and print."""
    parser = options(__doc__, repeat=3)
    parser.add_argument("--candles", type=int, default=300, help="of each repetition")
    parser.add_argument("--series", type=int, default=500, help="that make the load")
    args = parser.parse_args()
    report = Report("Push to forecast", **{n: getattr(args, n) for n in ("candles", "workers")})
    idle, busy, rates = measure(args.workers, args.candles, args.series, args.repeat)
    report.add("half load", "updates/s", rates)
    for name, found in (("idle", idle), ("half load", busy)):
        for share in SHARES:
            values = np.quantile(found, share, axis=1).tolist()
            report.add(f"{name}: p{share * 100:.0f}", "ms", values)
    report.show(as_json=args.as_json)


def measure(
    workers: int, candles: int, series: int, repeat: int
) -> tuple[list[list[float]], list[list[float]], list[float]]:
    """Return the milliseconds of both, repetition by repetition, and the rates of half load."""
    idle, busy, rates = [], [], []
    for number in range(repeat):
        walk = random_walk(WARM + 2 * candles, seed=number)
        with stage(workers) as made:
            market = Market(made.store, series, walk)
            market.close(WARM)
            rates.append(series / market.close() / 2)
            made.store.append(WATCHED, walk[:WARM])
            time.sleep(2.0)
            idle.append(latencies(made.store, walk[WARM:][:candles]))
            with load(made, series, rates[-1]):
                busy.append(latencies(made.store, walk[WARM + candles :]))
    return idle, busy, rates


def latencies(store: Store, candles: Sequence[Candle]) -> list[float]:
    """Append candle by candle; return the milliseconds until each one's forecast has arrived."""
    chance = np.random.default_rng(3)
    found = []
    with store.link.redis.pubsub(ignore_subscribe_messages=True) as heard:
        heard.subscribe(store.keys.forecast_channel(str(WATCHED)))
        heard.get_message(timeout=_LONGEST_S)
        for candle in candles:
            time.sleep(chance.uniform(*_PAUSE_S))
            began = time.perf_counter()
            store.append(WATCHED, [candle])
            if heard.get_message(timeout=_LONGEST_S) is None:
                raise SystemExit(f"no forecast within {_LONGEST_S} s")
            found.append((time.perf_counter() - began) * 1_000)
    return found


if __name__ == "__main__":
    main()
