"""Series from file names."""

from pathlib import Path

import pytest

from producers.names import series_of
from shared.errors import InvalidValue


@pytest.mark.parametrize(
    ("name", "series"),
    [
        ("binance-BTCUSDT-1h.parquet", "binance:BTC/USDT:1h"),
        ("mt5-EURUSD-1h.csv", "mt5:EUR/USD:1h"),
        ("binance-ALGOBTC-1m.feather", "binance:ALGO/BTC:1m"),
        ("kraken-ETHUSD-1h.parquet", "kraken:ETH/USD:1h"),
        ("binance-BTCBUSD-1d.csv", "binance:BTC/BUSD:1d"),
        ("binance-BNBUSD-1d.csv", "binance:BNB/USD:1d"),
        ("binance-USDCUSDT-1d.csv", "binance:USDC/USDT:1d"),
        ("okx-BTC-USDT-5m.csv", "okx:BTC/USDT:5m"),
        ("bybit-BTC_USDT_USDT-1w.csv", "bybit:BTC/USDT:USDT:1w"),
        ("nasdaq-AAPL-1d.csv", "nasdaq:AAPL:1d"),
        ("Binance-btcusdt-1h.csv", "binance:BTC/USDT:1h"),
    ],
)
def test_series_from_file_name(name: str, series: str) -> None:
    """Known quote currencies are split off, so that a market has one name."""
    assert str(series_of(Path("/some/folder") / name)) == series


@pytest.mark.parametrize("name", ["candles.csv", "BTCUSDT-1h.csv", "x-BTCUSDT-60.csv", "x--1h.csv"])
def test_file_name_without_series_says_the_remedy(name: str) -> None:
    """A name that does not say the series is shown with the right form and ``--series``."""
    with pytest.raises(InvalidValue, match=r"exchange-SYMBOL-timeframe.*--series") as caught:
        series_of(Path(name))
    assert name in str(caught.value)
