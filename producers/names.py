"""Series from file names: ``binance-BTCUSDT-1h.parquet`` is ``binance:BTC/USDT:1h``."""

import re
from pathlib import Path

from shared.candle import Series, Timeframe
from shared.errors import InvalidValue

_QUOTES = (
    *("USDT", "USDC", "BUSD", "TUSD", "FDUSD", "PYUSD", "USDP", "USDD", "USDE", "DAI"),
    *("USD", "EUR", "GBP", "JPY", "CHF", "AUD", "CAD", "NZD", "SEK", "NOK", "SGD", "HKD"),
    *("TRY", "BRL", "KRW", "INR", "IDR", "MXN", "ZAR", "PLN", "UAH", "RUB", "ARS", "CNH"),
    *("BTC", "XBT", "ETH", "BNB"),
)
# Bases that settle what the quotes alone leave open: BNBUSD is BNB/USD, not BN/BUSD.
_BASES = {
    *("BTC", "XBT", "ETH", "BNB", "SOL", "XRP", "ADA", "DOGE", "DOT", "LTC", "BCH", "LINK"),
    *("TRX", "AVAX", "UNI", "ATOM", "XLM", "ETC", "EOS", "MATIC", "ALGO", "UST", "USDT", "USDC"),
    *("EUR", "GBP", "AUD", "NZD", "USD", "XAU", "XAG", "SHIB", "BNT", "DAI", "CHF", "CAD"),
}


def series_of(path: Path) -> Series:
    """Read the series from a file's name, ``exchange-SYMBOL-timeframe.ext``.

    A known quote currency at the symbol's end is split off, so that a market has one name
    whatever its file calls it; ``BTC-USDT`` and ``BTC_USDT`` are split where they say so
    (``BTC_USDT_USDT`` is the swap ``BTC/USDT:USDT``). A symbol without a known quote stays.

    Raises
    ------
    InvalidValue
        When the name has not these three parts or one of them is invalid.

    Examples
    --------
    >>> str(series_of(Path("mt5-EURUSD-1h.parquet")))
    'mt5:EUR/USD:1h'
    >>> str(series_of(Path("binance-ALGOBTC-1m.csv")))
    'binance:ALGO/BTC:1m'
    """
    exchange, _, rest = path.stem.partition("-")
    symbol, _, timeframe = rest.rpartition("-")
    remedy = (
        "name it exchange-SYMBOL-timeframe.ext, such as binance-BTCUSDT-1h.parquet, or say "
        "--series exchange:BASE/QUOTE:timeframe"
    )
    if not (exchange and symbol and timeframe):
        raise InvalidValue("file name", path.name, remedy)
    try:
        return Series(exchange.lower(), unified(symbol.upper()), Timeframe(timeframe))
    except InvalidValue as error:
        raise InvalidValue("file name", path.name, f"{remedy} ({error})") from error


def unified(symbol: str) -> str:
    """Return a symbol in ccxt's spelling.

    >>> unified("BTCUSDT"), unified("BNBUSD"), unified("BTC_USDT_USDT"), unified("AAPL")
    ('BTC/USDT', 'BNB/USD', 'BTC/USDT:USDT', 'AAPL')
    """
    match [part for part in re.split("[-_]", symbol) if part]:
        case [base, quote]:
            return f"{base}/{quote}"
        case [base, quote, settle]:
            return f"{base}/{quote}:{settle}"
    splits = [
        (symbol.removesuffix(quote), quote)
        for quote in sorted(_QUOTES, key=len, reverse=True)
        if symbol.endswith(quote) and symbol != quote
    ]
    if not splits:
        return symbol
    base, quote = next((split for split in splits if split[0] in _BASES), splits[0])
    return f"{base}/{quote}"
