"""Series from file names: ``binance-BTCUSDT-1h.parquet`` is ``binance:BTC/USDT:1h``.

Of the names that other sources give their files, those that say the exchange are read too.
"""

import re
from pathlib import Path

from shared.candle import Series, Timeframe
from shared.errors import InvalidValue

# In the order in which they are tried: few bases end in FD or PY, but many in B or T, so that USD
# comes before BUSD and TUSD.
_QUOTES = (
    *("USDT", "USDC", "FDUSD", "PYUSD", "RLUSD", "USDP", "USDD", "USDE", "USDS", "DAI", "EURC"),
    *("USD", "EUR", "GBP", "JPY", "CHF", "AUD", "CAD", "NZD", "SEK", "NOK", "SGD", "HKD"),
    *("TRY", "BRL", "KRW", "INR", "IDR", "MXN", "ZAR", "PLN", "UAH", "RUB", "ARS", "CNH"),
    *("CNY", "CZK", "DKK", "HUF", "ILS", "THB", "TWD", "VND", "PHP"),
    *("BUSD", "TUSD", "GUSD", "BTC", "XBT", "ETH", "BNB"),
)
# Coins that end like a quote: alone they are no pair.
_WRAPPED = {
    *("STETH", "WSTETH", "WETH", "RETH", "BETH", "CBETH", "WBETH", "WEETH"),
    *("WBTC", "CBBTC", "TBTC", "LBTC"),
}
# Bases that settle what the quotes leave open: BTCBUSD is BTC/BUSD, not BTCB/USD.
_BASES = _WRAPPED | {
    *("BTC", "XBT", "ETH", "BNB", "SOL", "XRP", "ADA", "DOGE", "DOT", "LTC", "BCH", "LINK"),
    *("TRX", "AVAX", "UNI", "ATOM", "XLM", "ETC", "EOS", "MATIC", "ALGO", "UST", "USDT", "USDC"),
    *("EUR", "GBP", "AUD", "NZD", "USD", "XAU", "XAG", "SHIB", "BNT", "DAI", "CHF", "CAD"),
    *("AAVE", "APE", "APT", "AXS", "CAKE", "CHZ", "COMP", "CRV", "DASH", "DYDX", "EGLD", "ENJ"),
    *("FIL", "FLOKI", "FTM", "FTT", "GALA", "GMT", "HBAR", "ICP", "INJ", "IOTA", "KSM", "LDO"),
    *("LUNA", "LUNC", "MANA", "MKR", "NEAR", "NEO", "PAXG", "PEPE", "POL", "QNT", "RUNE", "SAND"),
    *("SEI", "SNX", "STX", "SUI", "SUSHI", "THETA", "TON", "VET", "WAVES", "XMR", "XTZ", "YFI"),
    *("ZEC", "ZIL"),
}
# BTCUSDT-1h-2024-01.zip, BTCUSDT-1h-2024-01-31.zip
_BINANCE_VISION = re.compile(r"([A-Z0-9]+)-(\w+)-\d{4}-\d{2}(?:-\d{2})?")
# XBTUSDT_60.csv, with the minutes of a candle
_KRAKEN = re.compile(r"([A-Z0-9]+)_(\d+)")
_KRAKEN_TIMEFRAMES = dict(
    zip(
        ("1", "5", "15", "30", "60", "240", "720", "1440"),
        ("1m", "5m", "15m", "30m", "1h", "4h", "12h", "1d"),
        strict=True,
    )
)
_KRAKEN_CURRENCIES = {"XBT": "BTC", "XDG": "DOGE"}
# Bitstamp_BTCUSD_1h.csv, Gemini_BTCUSD_2020_1min.csv
_CRYPTO_DATA_DOWNLOAD = re.compile(r"([A-Za-z]+)_([A-Z0-9]+)(?:_\d{4})?_(\w+)")
_SPELLED_OUT = {"minute": "1m", "1min": "1m", "hour": "1h", "1hr": "1h", "day": "1d", "d": "1d"}
# binance/BTC_USDT-5m.feather, binance/futures/BTC_USDT_USDT-5m-futures.feather
_FREQTRADE = re.compile(r"([A-Z0-9]+(?:_[A-Z0-9]+){1,2})-(\w+)(?:-futures)?")
_FREQTRADE_EXCHANGES = {
    *("binance", "binanceus", "bingx", "bitfinex", "bitget", "bitmart", "bitstamp", "bitvavo"),
    *("bybit", "coinbase", "cryptocom", "deribit", "gate", "gateio", "htx", "huobi"),
    *("hyperliquid", "kraken", "krakenfutures", "kucoin", "lbank", "mexc", "myokx", "okx", "okex"),
    *("poloniex", "woo"),
}
_REMEDY = (
    "name it exchange-SYMBOL-timeframe.ext, such as binance-BTCUSDT-1h.parquet, or say "
    "--series exchange:BASE/QUOTE:timeframe"
)


def series_of(path: Path, exchange: str | None = None) -> Series:
    """Read the series from a file's name, ``exchange-SYMBOL-timeframe.ext``.

    A known quote currency at the symbol's end is split off, so that a market has one name
    whatever its file calls it; ``BTC-USDT`` and ``BTC_USDT`` are split where they say so
    (``BTC_USDT_USDT`` is the swap ``BTC/USDT:USDT``). A symbol in one piece without a known quote
    stays.

    Parameters
    ----------
    path
        The file; of freqtrade's the folder says the exchange, and of Binance Vision's a folder
        ``futures/um`` that it is a perpetual swap.
    exchange
        The exchange that alone writes files like this: Kraken's names do not say theirs.

    Raises
    ------
    InvalidValue
        When the name has not these parts or one of them is invalid; also when the symbol is in
        pieces of which the second one is no quote (``BTC-PERPETUAL``, ``BTCUSDT_260327``).

    Examples
    --------
    >>> str(series_of(Path("mt5-EURUSD-1h.parquet")))
    'mt5:EUR/USD:1h'
    >>> str(series_of(Path("BTCUSDT-1h-2024-01.zip")))
    'binance:BTC/USDT:1h'
    >>> str(series_of(Path("Bitstamp_BTCUSD_1h.csv")))
    'bitstamp:BTC/USD:1h'
    """
    try:
        if series := _named_by_source(path, exchange):
            return series
        owner, _, rest = path.stem.partition("-")
        symbol, _, timeframe = rest.rpartition("-")
        if owner and symbol and timeframe:
            return Series(owner.lower(), unified(symbol.upper()), Timeframe(timeframe))
    except InvalidValue as error:
        raise InvalidValue("file name", path.name, f"{_REMEDY} ({error})") from error
    raise InvalidValue("file name", path.name, _REMEDY)


def _named_by_source(path: Path, exchange: str | None) -> Series | None:
    """Read a name that a source other than ours has given, where it leaves nothing open."""
    folders = path.absolute().parts[:-1]
    if match := _BINANCE_VISION.fullmatch(path.stem):
        symbol = _pair(match[1])
        if {"futures", "um"} <= set(folders):
            symbol = f"{symbol}:{symbol.partition('/')[2]}"
        return Series("binance", symbol, Timeframe(match[2]))
    if exchange == "kraken" and (match := _KRAKEN.fullmatch(path.stem)):
        currencies = _pair(match[1]).split("/")
        symbol = "/".join(_KRAKEN_CURRENCIES.get(name, name) for name in currencies)
        return Series("kraken", symbol, Timeframe(_KRAKEN_TIMEFRAMES.get(match[2], match[2])))
    if match := _CRYPTO_DATA_DOWNLOAD.fullmatch(path.stem):
        timeframe = _SPELLED_OUT.get(match[3], match[3])
        return Series(match[1].lower(), _pair(match[2]), Timeframe(timeframe))
    if match := _FREQTRADE.fullmatch(path.stem):
        owner = folders[-2] if folders[-1] == "futures" else folders[-1]
        if owner in _FREQTRADE_EXCHANGES:
            return Series(owner, unified(match[1]), Timeframe(match[2]))
    return None


def _pair(symbol: str) -> str:
    """Return a symbol that must end in a known quote, as all those of the source do."""
    pair = unified(symbol)
    if "/" not in pair:
        raise InvalidValue("symbol", symbol, "it does not end in a known quote currency")
    return pair


def unified(symbol: str) -> str:
    """Return a symbol in ccxt's spelling.

    Raises
    ------
    InvalidValue
        When the symbol is in pieces that are no base, quote and currency of settlement.

    >>> unified("BTCUSDT"), unified("BNBUSD"), unified("BTC_USDT_USDT"), unified("AAPL")
    ('BTC/USDT', 'BNB/USD', 'BTC/USDT:USDT', 'AAPL')
    """
    match re.split("[-_]", symbol):
        case [str()]:
            return _split(symbol)
        case [base, quote] if base and quote in _QUOTES:
            return f"{base}/{quote}"
        case [base, quote, settle] if base and quote in _QUOTES and settle in {base, *_QUOTES}:
            return f"{base}/{quote}:{settle}"
    raise InvalidValue("symbol", symbol, "it does not end in a known quote currency")


def _split(symbol: str) -> str:
    if symbol in _WRAPPED or symbol in _QUOTES:
        return symbol
    splits = [(symbol.removesuffix(quote), quote) for quote in _QUOTES if symbol.endswith(quote)]
    known = next((split for split in splits if split[0] in _BASES), None)
    return "/".join(known or splits[0]) if splits else symbol
