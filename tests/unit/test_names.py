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
        ("x-BATUSD-1h.csv", "x:BAT/USD:1h"),
        ("x-GRTUSD-1h.csv", "x:GRT/USD:1h"),
        ("x-FETUSD-1h.csv", "x:FET/USD:1h"),
        ("x-ANTUSD-1h.csv", "x:ANT/USD:1h"),
        ("x-SNTUSD-1h.csv", "x:SNT/USD:1h"),
        ("x-ARBUSD-1h.csv", "x:ARB/USD:1h"),
        ("x-TRBUSD-1h.csv", "x:TRB/USD:1h"),
        ("x-USDTUSD-1h.csv", "x:USDT/USD:1h"),
        ("x-BTCTUSD-1h.csv", "x:BTC/TUSD:1h"),
        ("x-ETHTUSD-1h.csv", "x:ETH/TUSD:1h"),
        ("x-WIFFDUSD-1h.csv", "x:WIF/FDUSD:1h"),
        ("x-STETH-1h.csv", "x:STETH:1h"),
        ("x-STETHUSD-1h.csv", "x:STETH/USD:1h"),
        ("x-STETHETH-1h.csv", "x:STETH/ETH:1h"),
        ("x-FDUSD-1h.csv", "x:FDUSD:1h"),
        ("x-BTC-TUSD-1h.csv", "x:BTC/TUSD:1h"),
        ("x-BTC_USD_BTC-1h.csv", "x:BTC/USD:BTC:1h"),
    ],
)
def test_series_from_file_name(name: str, series: str) -> None:
    """Known quote currencies are split off, so that a market has one name."""
    assert str(series_of(Path("/some/folder") / name)) == series


@pytest.mark.parametrize(
    ("name", "series"),
    [
        ("BTCUSDT-1h-2024-01.csv", "binance:BTC/USDT:1h"),
        ("ETHBTC-1m-2024-01-31.zip", "binance:ETH/BTC:1m"),
        ("futures/um/monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2024-01.zip", "binance:BTC/USDT:USDT:1h"),
        ("spot/monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2024-01.zip", "binance:BTC/USDT:1h"),
        ("Bitstamp_BTCUSD_1h.csv", "bitstamp:BTC/USD:1h"),
        ("Binance_ETHUSDT_d.csv", "binance:ETH/USDT:1d"),
        ("gemini_BTCUSD_2020_1min.csv", "gemini:BTC/USD:1m"),
        ("Bitstamp_BTCUSD_2021_minute.csv", "bitstamp:BTC/USD:1m"),
        ("binance/BTC_USDT-5m.feather", "binance:BTC/USDT:5m"),
        ("okx/futures/BTC_USDT_USDT-1h-futures.feather", "okx:BTC/USDT:USDT:1h"),
    ],
)
def test_series_from_the_name_that_a_source_gives(name: str, series: str) -> None:
    """Names of Binance Vision, CryptoDataDownload and freqtrade say exchange, symbol and length."""
    assert str(series_of(Path("/some/folder") / name)) == series


@pytest.mark.parametrize(
    ("name", "series"),
    [
        ("XBTUSDT_60.csv", "kraken:BTC/USDT:1h"),
        ("ETHXBT_1.csv", "kraken:ETH/BTC:1m"),
        ("XDGUSD_1440.csv", "kraken:DOGE/USD:1d"),
    ],
)
def test_names_of_kraken_count_in_its_layout_alone(name: str, series: str) -> None:
    """They say no exchange, and give minutes and currencies in Kraken's own spelling."""
    assert str(series_of(Path(name), "kraken")) == series
    for exchange in (None, "binance"):
        with pytest.raises(InvalidValue, match="--series"):
            series_of(Path(name), exchange)


@pytest.mark.parametrize(
    "name",
    [
        *("candles.csv", "BTCUSDT-1h.csv", "x-BTCUSDT-60.csv", "x--1h.csv", "x--BTCUSDT-1h.csv"),
        *(
            "deribit-BTC-PERPETUAL-1h.csv",
            "binance-BTCUSDT_260327-1h.csv",
            "okx-BTC-USDT-SWAP-1h.csv",
        ),
        "okx-BTC-USDT-USDT-260327-1h.csv",
        *("BTCUSDT-1mo-2024-01.zip", "BTCUSD_PERP-1h-2024-01.zip", "BTCUSDT_240329-1h-2024-01.zip"),
        *("candles/BTC_USDT-5m.feather", "binance/BTC_USDT_USDT-8h-mark.feather"),
        *("ABCXYZ-1h-2024-01.zip", "Bitstamp_ABCXYZ_1h.csv", "Bitstamp_BTCUSD_tick.csv"),
    ],
)
def test_file_name_without_series_says_the_remedy(name: str) -> None:
    """A name that does not say the series is shown with the right form and ``--series``."""
    with pytest.raises(InvalidValue, match=r"exchange-SYMBOL-timeframe.*--series") as caught:
        series_of(Path(name))
    assert Path(name).name in str(caught.value)
