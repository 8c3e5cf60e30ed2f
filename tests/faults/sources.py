"""The candles that every scenario pushes: real ones where they are at hand, else simulated."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from producers.files import read_candles
from producers.simulated import SimulatedMarket
from shared.candle import Candle, Series, Timeframe
from shared.wire import CANDLE_FIELDS, encode_candle

LONG = os.environ.get("FAULTS") == "long"
SHARED = Path(os.environ.get("CANDLECAST_SHARED", Path(__file__).parents[3] / "shared"))
COUNT = 6_000 if LONG else 800
_FROM_MS = 1_704_067_200_000
_REAL = (
    *("binance-BTCUSDT-1m", "binance-BTCUSDT-1h", "binance-ETHUSDT-1h"),
    *("binance-XRPUSDT-1h", "binance-BNBUSDT-1h"),
    "mt5-EURUSD-1h",  # closed at night and at weekends
)
_SIMULATED = ("BTCUSDT-1h", "ETHUSDT-15m", "SOLUSDT-5m", "EURUSD-1m")
# A hole of the market: the producer has to get past it whatever happens to it there.
_HOLE = slice(COUNT // 3, COUNT // 3 + 40)

Log = list[tuple[bytes, list[bytes]]]


@dataclass(frozen=True)
class Source:
    """One series' file, and what its candle log shall hold in the end."""

    path: Path
    series: Series
    candles: tuple[Candle, ...]

    @property
    def log(self) -> Log:
        """The entries as Redis returns them."""
        encoded = (tuple(text.encode() for text in encode_candle(c)) for c in self.candles)
        names = [name.encode() for name in CANDLE_FIELDS]
        return [
            (time + b"-0", [part for pair in zip(names, numbers, strict=True) for part in pair])
            for time, *numbers in encoded
        ]


def write(folder: Path, name: str, candles: Sequence[Candle]) -> Source:
    """Write candles to a file that `candlecast replay` takes."""
    path = folder / f"{name}.parquet"
    frame = pd.DataFrame([{name: getattr(c, name) for name in Candle.__slots__} for c in candles])
    frame.to_parquet(path)
    return Source(path, read_candles(path).series, tuple(candles))


def _real() -> list[Path]:
    """Return the files of real candles that this run is to use, if any."""
    paths = [SHARED / "data" / f"{name}.parquet" for name in _REAL]
    return paths if LONG and all(path.exists() for path in paths) else []


def described() -> str:
    """Say what this run is made on."""
    kind, names = ("real", list(_REAL)) if _real() else ("simulated", list(_SIMULATED))
    form = "long" if LONG else "short"
    return f"{form} form, {len(names)} series of {COUNT:,} {kind} candles: {', '.join(names)}"


def make(folder: Path) -> list[Source]:
    """Write the series of this run, one of them with a hole."""
    if real := _real():
        files = map(read_candles, real)
        return [write(folder, Path(file.path).stem, file.candles(0, COUNT)) for file in files]
    found = []
    for name in _SIMULATED:
        symbol, _, frame = name.partition("-")
        candles = SimulatedMarket(symbol).candles(Timeframe(frame), _FROM_MS, COUNT)
        if name == _SIMULATED[-1]:
            del candles[_HOLE]
        found.append(write(folder, f"simulated-{name}", candles))
    return found
