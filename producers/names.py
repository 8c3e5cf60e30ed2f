"""Series from file names: ``binance-BTCUSDT-1h.parquet`` is ``binance:BTC/USDT:1h``."""

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
_REMEDY = (
    "name it exchange-SYMBOL-timeframe.ext, such as binance-BTCUSDT-1h.parquet, or say "
    "--series exchange:BASE/QUOTE:timeframe"
)


def series_of(path: Path) -> Series:
    """Read the series from a file's name, ``exchange-SYMBOL-timeframe.ext``.

    A known quote currency at the symbol's end is split off, so that a market has one name
    whatever its file calls it; ``BTC-USDT`` and ``BTC_USDT`` are split where they say so
    (``BTC_USDT_USDT`` is the swap ``BTC/USDT:USDT``). A symbol in one piece without a known quote
    stays.

    Raises
    ------
    InvalidValue
        When the name has not these three parts or one of them is invalid; also when the symbol is
        in pieces of which the second one is no quote (``BTC-PERPETUAL``, ``BTCUSDT_260327``).

    Examples
    --------
    >>> str(series_of(Path("mt5-EURUSD-1h.parquet")))
    'mt5:EUR/USD:1h'
    >>> str(series_of(Path("binance-ALGOBTC-1m.csv")))
    'binance:ALGO/BTC:1m'
    """
    exchange, _, rest = path.stem.partition("-")
    symbol, _, timeframe = rest.rpartition("-")
    if not (exchange and symbol and timeframe):
        raise InvalidValue("file name", path.name, _REMEDY)
    try:
        return Series(exchange.lower(), unified(symbol.upper()), Timeframe(timeframe))
    except InvalidValue as error:
        raise InvalidValue("file name", path.name, f"{_REMEDY} ({error})") from error


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
