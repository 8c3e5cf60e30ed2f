"""Which recorded message holds which numbers where: read off the messages by hand, not off ccxt."""

from tests.market.payload import Misread, NoCandles, NoExchange, NotWatched, Read, Rule, Shape

_LETTERS = tuple("tohlcv")
_WORDS = ("open", "high", "low", "close", "volume")
_IN_ORDER = (0, 1, 2, 3, 4, 5)
_CLOSE_SECOND = (0, 1, 3, 4, 2, 5)
_BINANCE = Shape("data.k", _LETTERS)
_BINANCE_REST = Shape("", _IN_ORDER)
_KRAKEN = Shape("data", ("interval_begin", *_WORDS), "iso")
_KRAKEN_FUTURES = Shape("candles", ("time", *_WORDS))
_BITGET = Shape("data", _IN_ORDER)
_OKX_SPOT = Shape("data", _IN_ORDER)
_OKX_CONTRACTS = Shape("data", (0, 1, 2, 3, 4, 6))
_GATE = Shape("result", _LETTERS, "s")
_GATE_SPOT = "v is in the quote currency (a, in newer messages, is the base), ccxt takes v"
_KUCOIN = Shape("data.candles", _CLOSE_SECOND, "s")
_BYBIT = Shape("data", ("start", *_WORDS))
_DYDX = ("startedAt", "open", "high", "low", "close", "baseTokenVolume")
_PHEMEX = (0, 3, 4, 5, 6, 7)
_LIGHTER = Shape("c", _LETTERS)
_KLINE, _CANDLE = '"e":"kline"', '"channel":"candle1m"'
_PARSER, _FEED, _NAUTILUS = (
    "ws-candles-crypto-msg-parser",
    "ws-recordings-cryptofeed",
    "adapter-fixtures-nautilus",
)

# The first pattern that fits rules; where a file holds several kinds, each has a rule.
RULES: dict[str, Rule | tuple[Rule, ...]] = {
    f"{_PARSER}/binance.jsonl *": Read(
        exchange="binance",
        shape=_BINANCE,
        rows=5,
        first=(1653818760000, 29038.46, 29038.47, 29038.46, 29038.47, 0.20926),
    ),
    f"{_PARSER}/bitfinex.jsonl *": Read(
        exchange="bitfinex",
        shape=Shape("1", _CLOSE_SECOND),
        rows=8,
        first=(1654074480000, 31636, 31636, 31636, 31636, 0.0001),
    ),
    f"{_PARSER}/bitget.jsonl inverse_swap": Misread(
        "bitget", Shape("data.candle", _IN_ORDER), "the stream before the first version"
    ),
    f"{_PARSER}/bitget.jsonl *": Read(
        exchange="bitget",
        shape=_BITGET,
        rows=9,
        first=(1654017060000, 32173.42, 32173.42, 32154.98, 32154.98, 6.7112),
    ),
    f"{_PARSER}/bitmex.jsonl *": NoExchange("bitmex"),
    f"{_PARSER}/bybit.jsonl *": Misread(
        "bybit", Shape("data", _BYBIT.columns, "s"), "the stream before v5, in seconds"
    ),
    f"{_PARSER}/deribit.jsonl *": Read(
        exchange="deribit",
        shape=Shape("params.data", ("tick", *_WORDS)),
        rows=3,
        first=(1677628800000, 23215, 23215, 23215, 23215, 0.00172302),
    ),
    f"{_PARSER}/gate.jsonl spot": Misread(
        "gate", Shape("result", (*"tohlc", "a"), "s"), _GATE_SPOT
    ),
    f"{_PARSER}/gate.jsonl *": Read(
        exchange="gate",
        shape=_GATE,
        rows=5,
        first=(1662690600000, 19405.1, 19405.1, 19405.1, 19405.1, 80),
    ),
    f"{_PARSER}/huobi.jsonl *": Read(
        exchange="htx",
        shape=Shape("tick", ("id", "open", "high", "low", "close", "amount"), "s"),
        rows=4,
        first=(1654081320000, 31545.71, 31545.72, 31545.71, 31545.72, 0.015443758717188892),
    ),
    f"{_PARSER}/kraken.jsonl *": Misread(
        "kraken", Shape("1", (1, 2, 3, 4, 5, 7), "s"), "the first version, by the candle's end"
    ),
    f"{_PARSER}/kucoin.jsonl spot": Read(
        exchange="kucoin",
        shape=_KUCOIN,
        rows=1,
        first=(1653523200000, 29543.6, 32406.7, 28014.1, 31613.8, 93044.50911291),
    ),
    f"{_PARSER}/kucoin.jsonl *": Misread(
        "kucoin", Shape("data", ("time", *_WORDS)), "contracts before their candles were lists"
    ),
    f"{_PARSER}/mexc.jsonl spot": Misread(
        "mexc", Shape("data", tuple("tohlcq"), "s"), "spot before protobuf: v is the quote's"
    ),
    f"{_PARSER}/mexc.jsonl spot_sample_2": Misread(
        "mexc", Shape("1.data", tuple("tohlcv"), "s"), "spot before protobuf, older still"
    ),
    f"{_PARSER}/mexc.jsonl *": Read(
        exchange="mexc",
        shape=Shape("data", tuple("tohlcq"), "s"),
        rows=2,
        first=(1654083720000, 31439.5, 31439.5, 31439, 31439.5, 2539),
    ),
    f"{_PARSER}/okx.jsonl spot": Read(
        exchange="okx",
        shape=_OKX_SPOT,
        rows=1,
        first=(1654154580000, 29930.7, 29936.3, 29930.7, 29936.3, 0.0111536),
        markets={"BTC-USDT": "spot"},
    ),
    f"{_PARSER}/okx.jsonl *": Read(
        exchange="okx",
        shape=_OKX_CONTRACTS,
        rows=5,
        first=(1654154580000, 29901.6, 29921.2, 29901.6, 29921.2, 0.554),
        markets={
            "BTC-USD-220624": "future",
            "BTC-USDT-220624": "future",
            "BTC-USD-SWAP": "swap",
            "BTC-USDT-SWAP": "swap",
        },
    ),
    f"{_PARSER}/okx_v3.jsonl *": Misread(
        "okx", Shape("data.0.candle", _IN_ORDER, "iso"), "the third version; ccxt speaks the fifth"
    ),
    f"{_PARSER}/zb.jsonl *": NoExchange("zb"),
    f"{_PARSER}/zbg.jsonl *": NoExchange("zbg"),
    "ws-coinbase-advanced/candles.jsonl *": NotWatched("coinbase"),
    "ws-kraken-v2/ohlc.jsonl sent": NoCandles("what a client sends"),
    "ws-kraken-v2/ohlc.jsonl error reply": NoCandles("a refusal"),
    "ws-kraken-v2/ohlc.jsonl *": Read(
        exchange="kraken",
        shape=_KRAKEN,
        rows=3 + 1,
        first=(1789062000000, 77363.9, 77363.9, 77324.6, 77326.4, 0.03288232),
    ),
    f"{_FEED}/BINANCE.*.candles.txt": Read(
        exchange="binance",
        shape=_BINANCE,
        rows=2,
        first=(1633998480000, 0.3527, 0.3528, 0.3522, 0.3528, 25877),
        holds=_KLINE,
    ),
    f"{_FEED}/BINANCE_US.*.candles.txt": Read(
        exchange="binanceus",
        shape=_BINANCE,
        rows=5,
        first=(1633998240000, 13.7212, 13.8048, 13.7212, 13.8048, 183.49),
        holds=_KLINE,
    ),
    f"{_FEED}/BINANCE_DELIVERY.*.candles.txt": Read(
        exchange="binancecoinm",
        shape=_BINANCE,
        rows=33,
        first=(1626916380000, 1992.7, 1993.71, 1992.17, 1992.17, 1893),
        holds=_KLINE,
    ),
    f"{_FEED}/BINANCE_FUTURES.*.txt": Read(
        exchange="binanceusdm",
        shape=_BINANCE,
        rows=134,  # the same 67 in both files
        first=(1626992700000, 1.01, 1.011, 1.01, 1.011, 3917),
        holds=_KLINE,
    ),
    f"{_FEED}/BINANCE_TR.*.candles.txt": NoExchange("trbinance"),
    f"{_FEED}/BITGET.ws.1.*.candles.txt": Read(
        exchange="bitget",
        shape=_BITGET,
        rows=35,
        first=(1649290020000, 0.00562, 0.005623, 0.005613, 0.005613, 8587.44),
        holds='"action":"update","arg":{"instType":"sp",' + _CANDLE,
    ),
    f"{_FEED}/BITGET.ws.2.*.candles.txt": Read(
        exchange="bitget",
        shape=_BITGET,
        rows=25,
        first=(1649290020000, 113.47, 113.47, 113.33, 113.37, 16.68),
        holds='"action":"update","arg":{"instType":"mc",' + _CANDLE,
    ),
    f"{_FEED}/DELTA.*.candles.txt": NotWatched("delta"),
    f"{_FEED}/GATEIO.*.candles.txt": NoCandles(f"candles without a volume for us: {_GATE_SPOT}"),
    f"{_FEED}/GATEIO_FUTURES.*.candles.txt": Read(
        exchange="gate",
        shape=_GATE,
        rows=1,
        first=(1684930140000, 0.1701, 0.1701, 0.1701, 0.1701, 0),
        holds='"channel":"futures.candlesticks","event":"update"',
    ),
    f"{_FEED}/HITBTC.*.candles.txt": Misread(
        "hitbtc",
        Shape("params.data", ("timestamp", "open", "max", "min", "close", "volume"), "iso"),
        "the second version; ccxt speaks the third",
        holds="Candles",
    ),
    f"{_FEED}/KUCOIN.*.candles.txt": (
        Read(
            exchange="kucoin",
            shape=_KUCOIN,
            rows=1,
            first=(1619378280000, 1.117e-07, 1.126e-07, 1.117e-07, 1.126e-07, 3799.1984),
            holds='"trade.candles.update"',
        ),
        Misread("kucoin", _KUCOIN, "passed over: a candle that begins", holds="trade.candles.add"),
    ),
    f"{_FEED}/PHEMEX.*.candles.txt": (
        Read(
            exchange="phemex",
            shape=Shape("kline", _PHEMEX, "s", (4, 0)),
            rows=17,
            first=(1625342220000, 32991.5, 32991.5, 32991.5, 32991.5, 133),
            holds='"symbol":"[A-Z]',
            scales={"priceScale": 4},
        ),
        Read(
            exchange="phemex",
            shape=Shape("kline", _PHEMEX, "s", (8, 8)),
            rows=24,
            first=(1625342220000, 0.67613, 0.67613, 0.67562, 0.67562, 2005),
            holds='"symbol":"s',
            scales={"priceScale": 8, "valueScale": 8},
        ),
    ),
    f"{_FEED}/*.trades.txt": NoCandles("trades"),
    f"{_NAUTILUS}/architect_ax__*": NoExchange("architect"),
    f"{_NAUTILUS}/binance__futures__*": Read(
        exchange="binanceusdm",
        shape=Shape("k", _LETTERS),
        rows=2,
        first=(1638747660000, 0.001, 0.0025, 0.001, 0.002, 1000),
    ),
    f"{_NAUTILUS}/*binance__*": Read(
        exchange="binance",
        shape=_BINANCE_REST,
        rows=1 + 5 + 10,
        first=(1499040000000, 0.0163479, 0.8, 0.015758, 0.015771, 148976.11427815),
        rest=True,
    ),
    f"{_NAUTILUS}/bybit__http_get_klines_linear.json": Read(
        exchange="bybit",
        shape=Shape("result.list", _IN_ORDER),
        rows=1,
        first=(1709891679000, 27450, 27460, 27440, 27455, 123.45),
        rest=True,
    ),
    f"{_NAUTILUS}/bybit__ws_kline.json": Read(
        exchange="bybit",
        shape=_BYBIT,
        rows=1,
        first=(1672324800000, 16649.5, 16677, 16608, 16677, 2.081),
    ),
    f"{_NAUTILUS}/coinbase__http_candles.json": Read(
        exchange="coinbase",
        shape=Shape("candles", ("start", *_WORDS), "s"),
        rows=2,
        first=(1712192400000, 66312.4, 66331.99, 66055.14, 66181.6, 355.82896243),
        rest=True,
    ),
    f"{_NAUTILUS}/coinbase__ws_candles.json": NotWatched("coinbase"),
    f"{_NAUTILUS}/derive__*": Misread(
        "derive",
        Shape(
            "",
            (
                "timestamp_bucket",
                *("open_price", "high_price", "low_price", "close_price", "volume_contracts"),
            ),
            "s",
        ),
        "ccxt takes the time of the last trade for the candle's open time",
        rest=True,
    ),
    f"{_NAUTILUS}/dydx__http_get_candles.json": Read(
        exchange="dydx",
        shape=Shape("result.candles", _DYDX, "iso"),
        rows=3,
        first=(1765210260000, 89934, 89970, 89911, 89941, 3.2767),
        rest=True,
    ),
    f"{_NAUTILUS}/dydx__ws_candles_subscribed.json": Read(
        exchange="dydx",
        shape=Shape("contents.candles", _DYDX, "iso"),
        rows=1,
        first=(1704067200000, 43100, 43500, 43000, 43400, 12.345),
    ),
    f"{_NAUTILUS}/dydx__ws_candles_update.json": Read(
        exchange="dydx",
        shape=Shape("contents", _DYDX, "iso"),
        rows=1,
        first=(1704067260000, 43400, 43600, 43350, 43550, 8.765),
    ),
    f"{_NAUTILUS}/kraken__http_futures_*": Read(
        exchange="krakenfutures",
        shape=_KRAKEN_FUTURES,
        rows=9,
        first=(
            *(1731715200000, 91126.5834675817, 91396.1831146774),
            *(90937.3053195142, 91098.7132316333, 0),
        ),
        rest=True,
    ),
    f"{_NAUTILUS}/kraken__http_ohlc.json": Read(
        exchange="kraken",
        shape=Shape("result.XBTUSDT", (0, 1, 2, 3, 4, 6), "s"),
        rows=721,
        first=(1762777020000, 106038.2, 106038.2, 106038.2, 106038.2, 0),
        rest=True,
    ),
    f"{_NAUTILUS}/kraken__ws_ohlc_update.json": Read(
        exchange="kraken",
        shape=_KRAKEN,
        rows=1,
        first=(1696436700000, 106038.2, 106044.3, 106038.1, 106040.1, 30927.68066226),
    ),
    f"{_NAUTILUS}/lighter__http_candles.json": Read(
        exchange="lighter",
        shape=_LIGHTER,
        rows=2,
        first=(1700000000000, 2361.11, 2362.22, 2360, 2361.31, 1.2345),
        rest=True,
    ),
    f"{_NAUTILUS}/lighter__http_candles_null.json": Read(
        exchange="lighter", shape=_LIGHTER, rows=0, first=None, rest=True
    ),
    f"{_NAUTILUS}/lighter__ws_*": NotWatched("lighter"),
    f"{_NAUTILUS}/okx__http_get_candlesticks.json": Read(
        exchange="okx",
        shape=_OKX_SPOT,
        rows=2,
        first=(1625097600000, 33528.6, 33870, 33528.6, 33783.9, 778.838),
        rest=True,
        markets={"BTC-USDT": "spot"},
    ),
    f"{_NAUTILUS}/okx__http_get_candlesticks_full.json": Read(
        exchange="okx",
        shape=_OKX_CONTRACTS,
        rows=2,
        first=(1747094040000, 102806.1, 102820.4, 102806.1, 102820.4, 10.4037),
        rest=True,
        markets={"BTC-USDT-SWAP": "swap"},
    ),
    f"{_NAUTILUS}/okx__ws_candle.json": Read(
        exchange="okx",
        shape=_OKX_SPOT,
        rows=1,
        first=(1597026383085, 8533.02, 8553.74, 8527.17, 8548.26, 45247),
        markets={"BTC-USDT": "spot"},
    ),
    "rest-binance-klines/*": Read(
        exchange="binance",
        shape=_BINANCE_REST,
        rows=4_569,
        first=(1776643200000, 73801.8, 74187.79, 73724.31, 74044.28, 305.06868),
        rest=True,
    ),
    "rest-bitfinex-candles/*": Read(
        exchange="bitfinex",
        shape=Shape("", _CLOSE_SECOND),
        rows=1_265,
        first=(1561507200000, 11737, 11749, 11726, 11730, 9.09341771),
        rest=True,
    ),
    "file-formats/*": NoCandles("files, which the tests of files read"),
    "README.md": NoCandles("the folder's own description"),
}
