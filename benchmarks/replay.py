"""A deep backlog through Redis, beside the same learner in a loop without anything around it.

    python -m benchmarks.replay [FILE] [--candles N] [--workers N] [--repeat N] [--bytewax]
                                [--json]

FILE is a Parquet file named exchange-SYMBOL-timeframe.parquet; without one, a simulated random walk
of hourly candles is used. The time runs from the first append to the last commit. One worker on one
series is what the bare loop is compared with; then so many workers on as many series.

With --bytewax (pip install 'candlecast[peers]') that stream engine has its turns too: with the same
learner and with six small River regressions, in memory and with a snapshot each second.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from benchmarks.report import Report, options
from benchmarks.rivals import HORIZON
from benchmarks.stage import Tape, random_walk, stage
from models.learner import Learner
from producers.push import Push
from shared.candle import Candle, Series
from shared.store import APPEND_LIMIT, Store


def main() -> None:
    """Measure and print."""
    parser = options(__doc__, repeat=3)
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--candles", type=int, default=20_000)
    parser.add_argument("--bytewax", action="store_true", help="measure this stream engine too")
    args = parser.parse_args()
    candles = read(args.file, args.candles)
    report = Report("Backlog through Redis", candles=len(candles), workers=args.workers)
    bare, alone, together = [], [], []
    ways = bytewax_ways() if args.bytewax else {}
    others: dict[str, list[float]] = {way: [] for way in ways}
    with stage(1) as made:
        for number in range(args.repeat):
            bare.append(bare_loop(candles))
            alone.append(replay(made.store, candles, [f"A{number}"]))
            for way, run in ways.items():
                others[way].append(run(candles))
    with stage(args.workers) as made:
        for number in range(args.repeat):
            names = [f"T{number}N{i}" for i in range(args.workers)]
            together.append(replay(made.store, candles, names))
    report.add("bare loop, one process", "candles/s", bare)
    report.add("one series, one worker", "candles/s", alone)
    report.add("of the bare loop", "times", [a / b for a, b in zip(alone, bare, strict=True)])
    report.add(f"{args.workers} series, {args.workers} workers", "candles/s", together)
    for way, rates in others.items():
        report.add(way, "candles/s", rates)
        times = [ours / theirs for ours, theirs in zip(alone, rates, strict=True)]
        report.add("one series, one worker, of that", "times", times)
    report.show(as_json=args.as_json)


def read(file: Path | None, count: int) -> list[Candle]:
    """Return the file's first candles, or simulated ones."""
    if file is None:
        return random_walk(count)
    from producers.files import read_candles  # noqa: PLC0415 -- pandas only where needed

    return list(read_candles(file))[:count]


def bytewax_ways() -> dict[str, Callable[[Sequence[Candle]], float]]:
    """Return what is measured of Bytewax: candles a second of candles."""
    try:
        from benchmarks import dataflow  # noqa: PLC0415 -- an extra
    except ImportError as error:
        raise SystemExit(
            f"{error}: pip install 'candlecast[peers]', on Python 3.11 or 3.12"
        ) from error

    models: dict[str, Callable[[], dataflow.Model]] = {
        "the same learner": dataflow.our_learner,
        "six regressions": dataflow.Regressions,
    }
    kinds = {"in memory": False, "a snapshot each second": True}
    return {
        f"Bytewax, {model}, {kind}": partial(dataflow.rate, make, durable=durable)
        for model, make in models.items()
        for kind, durable in kinds.items()
    }


def bare_loop(candles: Sequence[Candle]) -> float:
    """Candles a second of the learner alone: learn, score, forecast as often as a claim ends."""
    learner = Learner(Series.parse("bench:BARE/USDT:1h").timeframe, HORIZON)
    began = time.perf_counter()
    for start in range(0, len(candles), APPEND_LIMIT):
        learner.learn_many(candles[start : start + APPEND_LIMIT])
        learner.outlook()
    return len(candles) / (time.perf_counter() - began)


def replay(store: Store, candles: Sequence[Candle], names: Sequence[str]) -> float:
    """Candles a second from the first append to the last commit, all series together."""
    series = [Series.parse(f"bench:{name}/USDT:1h") for name in names]
    began = time.perf_counter()
    Push(store, [Tape(each, candles) for each in series]).run()
    while store.link.redis.zcard(store.keys.pending):
        time.sleep(0.005)
    took = time.perf_counter() - began
    if any(record.sequence != len(candles) for record in store.models(series)):
        raise SystemExit("not all candles have been learned")
    return len(series) * len(candles) / took


if __name__ == "__main__":
    main()
