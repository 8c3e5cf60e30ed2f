"""Whether the default model passes the gate on sample candles: skill and coverage, or exit code 1.

    python -m benchmarks.gate [--candles N]

The candles are those of the simulated market, the same everywhere; each is scored before it is
learned, and what is asked is what the settings ask of a champion.
"""

import argparse
import sys

from config.settings import Settings
from models.gate import Bar, Showing
from models.learner import Learner
from producers.simulated import SimulatedMarket, first_open_time
from shared.candle import Timeframe

SAMPLES = (("BTC/USDT", "1m"), ("ETH/USDT", "5m"), ("SOL/USDT", "1h"))


def shown(symbol: str, timeframe: Timeframe, candles: int, model: str = "default") -> Showing:
    """Return what a model has to show after so many candles of a market."""
    learner = Learner(timeframe, 24, model)
    start = first_open_time(timeframe)
    learner.learn_many(SimulatedMarket(symbol).candles(timeframe, start, candles))
    return Showing.of(learner)


def main() -> None:
    """Print what each sample shows; exit with 1 where it falls short."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--candles", type=int, default=6_000)
    parser.add_argument("--model", default="default")
    options = parser.parse_args()
    fails = False
    for symbol, frame in SAMPLES:
        least, skill, coverage = Settings().gate(frame)
        showing = shown(symbol, Timeframe(frame), options.candles, options.model)
        short = showing.shortfalls(Bar(candles=least, skill=skill, coverage=coverage))
        fails |= bool(short)
        said = "; ".join(short) or "passed"
        print(
            f"{symbol} {frame}: CRPS skill {showing.said_skill}, "
            f"90 % band {showing.coverage:.1%}: {said}"
        )
    sys.exit(int(fails))


if __name__ == "__main__":
    main()
