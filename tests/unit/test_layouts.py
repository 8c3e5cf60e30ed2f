"""Files as their sources write them: each layout is recognised, and nothing else for one."""

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from producers.files import BadRow, read_candles
from producers.tables import BadFile
from shared.candle import Candle, Series
from shared.errors import InvalidValue

SHARED = Path(os.environ.get("CANDLECAST_SHARED", Path(__file__).parents[3] / "shared"))
HOUR = 3_600_000
T0 = 1_704_067_200_000  # 2024-01-01
SERIES = Series.parse("x:BTC/USD:1h")
CANDLES = [Candle(T0 + i * HOUR, 10.0 + i, 12.5 + i, 9.0 + i, 11.0 + i, 0.5 + i) for i in range(4)]
Row = Callable[[Candle], str]


def prices(candle: Candle) -> str:
    """Open, high, low and close as text."""
    return f"{candle.open},{candle.high},{candle.low},{candle.close}"


def moment(candle: Candle) -> str:
    """The open time as text."""
    return str(pd.Timestamp(candle.open_time, unit="ms"))


def binance(factor: int) -> Row:
    """A row of Binance Vision, with times of a thousandth of a millisecond or of milliseconds."""
    return lambda c: (
        f"{c.open_time * factor},{prices(c)},{c.volume},{(c.open_time + HOUR) * factor - 1},"
        "84979.35300000,373,278.25,64583.7990,0"
    )


BINANCE_HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,"
    "taker_buy_quote_volume,ignore\n"
)
OLDER = "Created on 12-30-2020,https://www.CryptoDataDownload.com\n"
BANNER = "https://www.CryptoDataDownload.com\n"
CSV: dict[str, tuple[str, Row, bool]] = {
    "Binance Vision with a header": (BINANCE_HEADER, binance(1), False),
    "Binance Vision": ("", binance(1), False),
    "Binance Vision since 2025": ("", binance(1_000), False),
    "Kraken": ("", lambda c: f"{c.open_time // 1_000},{prices(c)},{c.volume},550", False),
    "CryptoDataDownload": (
        f"{BANNER}unix,date,symbol,open,high,low,close,Volume BTC,Volume USD\n",
        lambda c: f"{c.open_time // 1_000},{moment(c)},BTC/USD,{prices(c)},{c.volume},7e6",
        True,
    ),
    "CryptoDataDownload of Binance": (
        f"{BANNER}Unix,Date,Symbol,Open,High,Low,Close,Volume USDT,Volume BTC,tradecount\n",
        lambda c: f"{c.open_time},{moment(c)},BTCUSDT,{prices(c)},7e6,{c.volume},99",
        True,
    ),
    "older CryptoDataDownload": (
        f"{OLDER}Unix Timestamp,Date,Symbol,Open,High,Low,Close,Volume\n",
        lambda c: f"{c.open_time},{moment(c)},BTCUSD,{prices(c)},{c.volume}",
        True,
    ),
    "CryptoDataDownload from old to new": (
        "unix,date,symbol,open,high,low,close,volume\n",
        lambda c: f"{c.open_time},{moment(c)},BTCUSD,{prices(c)},{c.volume}",
        False,
    ),
    "MetaTrader 5": (
        "time,open,high,low,close,tick_volume,spread,real_volume\n",
        lambda c: f"{c.open_time // 1_000},{prices(c)},{c.volume},18,0",
        False,
    ),
    "Polygon": (
        "datetime,symbol,open,high,low,close,volume,vwap,transactions\n",
        lambda c: f"{moment(c)},PEP,{prices(c)},{c.volume},10.5,7",
        False,
    ),
}


def write(path: Path, layout: str, candles: list[Candle] = CANDLES) -> Path:
    """Write candles as a source would."""
    head, row, newest_first = CSV[layout]
    lines = [row(candle) for candle in candles]
    path.write_text(head + "\n".join(lines[::-1] if newest_first else lines) + "\n")
    return path


@pytest.mark.parametrize("layout", CSV)
def test_a_csv_file_of_a_source_gives_its_candles(layout: str, tmp_path: Path) -> None:
    """Times of any unit, the base volume, oldest first, whatever the order of the source."""
    assert list(read_candles(write(tmp_path / "a.csv", layout), SERIES)) == CANDLES


@pytest.mark.parametrize("kind", ["feather", "parquet", "json"])
def test_the_kinds_of_freqtrade_give_their_candles(kind: str, tmp_path: Path) -> None:
    """Its data frames say ``date``, its JSON has rows without names."""
    path = tmp_path / f"a.{kind}"
    rows = [[c.open_time, c.open, c.high, c.low, c.close, c.volume] for c in CANDLES]
    if kind == "json":
        path.write_text(json.dumps(rows))
    else:
        frame = pd.DataFrame(rows, columns=["date", "open", "high", "low", "close", "volume"])
        frame["date"] = pd.to_datetime(frame["date"], unit="ms", utc=True)
        getattr(frame, f"to_{kind}")(path)

    assert list(read_candles(path, SERIES)) == CANDLES


def test_an_archive_stands_for_the_one_csv_in_it(tmp_path: Path) -> None:
    """With two it is not known which; a damaged one is a file that cannot be read."""
    path, inside = tmp_path / "BTCUSDT-1h-2024-01.zip", write(tmp_path / "a.csv", "Binance Vision")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(inside, "BTCUSDT-1h-2024-01.csv")
        archive.writestr("BTCUSDT-1h-2024-01.csv.CHECKSUM", "0")
    whole = path.read_bytes()

    file = read_candles(path)

    assert (str(file.series), list(file)) == ("binance:BTC/USDT:1h", CANDLES)
    with zipfile.ZipFile(path, "a") as archive:
        archive.write(inside, "b.csv")
    with pytest.raises(BadFile, match=r"holds 2 \.csv files"):
        read_candles(path)
    for damaged in (whole[:100], whole[:70] + b"\0" * 20 + whole[90:]):
        path.write_bytes(damaged)
        with pytest.raises(BadFile, match="cannot be read as zip"):
            read_candles(path)


def test_a_row_of_a_file_turned_round_is_named_as_the_file_has_it(tmp_path: Path) -> None:
    """The newest candle stands in row 1, and a bad time does not hide the order."""
    path = write(tmp_path / "a.csv", "CryptoDataDownload")
    path.write_text(path.read_text().replace("1704078000,", "soon,"))  # the newest candle
    bad: list[BadRow] = []

    file = read_candles(path, SERIES, bad.append)

    assert list(file) == CANDLES[:3]
    assert [(row.row, row.column) for row in bad] == [(1, "open_time")]


REFUSED = {
    "no known open time": (
        "when,open,high,low,close,volume\n",
        "'when', 'open'.*known.*MetaTrader",
    ),
    "lacks the volume": ("time,open,high,low,close,volume\n", "column tick_volume: .*MetaTrader 5"),
    "two times one column": ("date,open,high,low,close,volume,Volume\n", "column volume: .*once"),
    "eight columns": ("1704067200,10,12,9,11,10.5,0.5,550\n", "begins '1704067200,10.*Kraken"),
    "milliseconds like Kraken": ("1704067200000,10,12,9,11,0.5,550\n", "begins '1704067200000"),
    "twelve columns in seconds": ("1704067200,1,1,1,1,1,1704070799,1,1,1,1,0\n", "begins"),
    "two volumes, of which none is the base's": (
        "unix,symbol,open,high,low,close,Volume BTC,Volume USD\n1704067200,ETHEUR,1,1,1,1,1,1",
        "column volume: must be there once",
    ),
}


@pytest.mark.parametrize(("text", "says"), REFUSED.values(), ids=REFUSED)
def test_a_csv_file_of_no_known_layout_says_what_was_found_and_what_is_known(
    text: str, says: str, tmp_path: Path
) -> None:
    """Nothing is guessed: one line names the file, its columns or first line, and the layouts."""
    path = tmp_path / "a.csv"
    path.write_text(text)

    with pytest.raises(BadFile, match=says) as caught:
        read_candles(path, SERIES)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"data": []}', "of no known layout: must be a list of"),
        ("[[1704067200000, 1, 1, 1, 1]]", "cannot be read as json: 6 columns"),
        ("[[1704067200000, 1,", "cannot be read as json"),
        ("[]", "has no rows"),
    ],
)
def test_a_json_file_of_another_form_is_refused(text: str, says: str, tmp_path: Path) -> None:
    """Only a list of rows of six is freqtrade's."""
    path = tmp_path / "a.json"
    path.write_text(text)

    with pytest.raises(BadFile, match=says):
        read_candles(path, SERIES)


def test_a_file_of_several_markets_is_refused(tmp_path: Path) -> None:
    """Their rows in turn would look like candles of one market."""
    path = write(tmp_path / "a.csv", "Polygon")
    path.write_text(path.read_text().replace("02:00:00,PEP", "02:00:00,KO"))

    with pytest.raises(BadFile, match=r"column symbol: 2 markets .*'PEP', 'KO'"):
        read_candles(path, SERIES, lambda _: None)


def test_only_files_of_kraken_are_named_like_kraken(tmp_path: Path) -> None:
    """``XBTUSDT_60.csv`` says no exchange: a file of another layout needs ``--series``."""
    path = write(tmp_path / "XBTUSDT_60.csv", "Kraken")
    assert str(read_candles(path).series) == "kraken:BTC/USDT:1h"

    write(path, "Binance Vision with a header")
    with pytest.raises(InvalidValue, match="--series"):
        read_candles(path)


RECORDED = {
    "binance-vision-um-1m.csv": ("1m", 1_499),
    "cryptodatadownload-bitstamp-1h.csv": ("1h", 1_498),
    "cryptodatadownload-gemini-1h.csv": ("1h", 1_498),
    "freqtrade-btcusdt-5m.json": ("5m", 1_500),
    "freqtrade.feather": ("1m", None),
    "kraken-ohlcvt-60.csv": ("1h", 1_499),
    "mt5-export-h1.csv": ("1h", 1_499),
    "polygon-5m.csv": ("5m", 1_499),
}


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_files_are_read_whole(name: str) -> None:
    """Heads of real files: every row is a candle, and the order rises."""
    path = SHARED / "payloads" / "file-formats" / name
    if not path.is_file():
        pytest.skip(f"no {path}: set CANDLECAST_SHARED to the folder that holds payloads/")
    timeframe, rows = RECORDED[name]

    file = read_candles(path, Series.parse(f"x:BTC/USD:{timeframe}"))

    assert file.bad_rows == 0
    assert len(file) == (rows or len(pd.read_feather(path)))
    assert (file.times[1:] > file.times[:-1]).all()
