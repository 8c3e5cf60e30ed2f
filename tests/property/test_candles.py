"""Candles, series and their bytes: nothing invalid can be made, nothing is lost on the way."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from producers import checks
from shared.candle import Candle, Series, Timeframe
from shared.errors import InvalidValue
from shared.wire import decimal, decode_candle, encode_candle

NAMES = (
    *("1m", "3m", "5m", "10m", "15m", "30m", "1h", "2h", "3h", "4h", "6h", "8h", "12h"),
    *("1d", "3d", "1w"),
)
FIELDS = ("open", "high", "low", "close", "volume")
numbers = st.floats(allow_nan=True, allow_infinity=True)
prices = st.floats(min_value=1e-12, max_value=1e12)
times = st.integers(min_value=0, max_value=4_102_444_800_000)
timeframes = st.sampled_from(NAMES).map(Timeframe)


@st.composite
def candles(draw: st.DrawFn) -> Candle:
    """Any valid candle."""
    low, *inside, high = sorted(draw(st.lists(prices, min_size=4, max_size=4)))
    open_, close = draw(st.permutations(inside))
    volume = draw(st.floats(min_value=0, max_value=1e18))
    return Candle(draw(times), open_, high, low, close, volume)


def is_candle(values: dict[str, float]) -> bool:
    """The rules in the words of the design."""
    return (
        all(math.isfinite(value) for value in values.values())
        and all(values[name] > 0 for name in FIELDS[:4])
        and values["volume"] >= 0
        and values["low"] <= values["open"] <= values["high"]
        and values["low"] <= values["close"] <= values["high"]
    )


@given(st.tuples(numbers, numbers, numbers, numbers, numbers))
@example((1.0, 1.0, 1.0, 1.0, 0.0))
@example((0.0, 0.0, 0.0, 0.0, 0.0))
@example((1.0, math.inf, 1.0, 1.0, 1.0))
@example((1.0, 2.0, 1.5, 2.0, 1.0))
def test_a_candle_is_made_exactly_of_valid_numbers(values: tuple[float, ...]) -> None:
    """Whatever the numbers, they are a candle or an error that names a field and its value."""
    named = dict(zip(FIELDS, values, strict=True))
    if is_candle(named):
        candle = Candle(0, **named)
        assert [getattr(candle, name) for name in FIELDS] == list(values)
        return

    with pytest.raises(InvalidValue) as caught:
        Candle(0, **named)
    field = caught.value.field
    assert field in FIELDS
    assert str(caught.value).startswith(f"{field}={named[field]!r}: must be")


@given(candles(), st.sampled_from(FIELDS), st.sampled_from([math.nan, math.inf, -math.inf, -1.0]))
def test_one_bad_number_is_blamed_on_its_own_field(candle: Candle, name: str, value: float) -> None:
    """Of a candle with one impossible number, that one is named."""
    named: dict[str, Any] = {field: getattr(candle, field) for field in FIELDS} | {name: value}

    with pytest.raises(InvalidValue) as caught:
        Candle(candle.open_time, **named)
    assert caught.value.field == name


@given(st.lists(st.tuples(numbers, numbers, numbers, numbers, numbers), min_size=1, max_size=20))
@example([(2.0, 3.0, 1.0, 2.0, 0.0), (1.0, 1.0, 1.0, 1.0, -1.0)])
def test_columns_and_candles_are_judged_alike(rows: list[tuple[float, ...]]) -> None:
    """The rules on whole columns find just the rows that no `Candle` can be made of."""
    minute = Timeframe("1m")
    open_times = np.arange(len(rows)) * minute.ms
    found = checks.faults(open_times, np.array(rows), minute, len(rows) * minute.ms, [])

    expected = [not is_candle(dict(zip(FIELDS, row, strict=True))) for row in rows]
    assert checks.union(found, len(rows)).tolist() == expected


@given(timeframes, times)
def test_every_time_lies_in_one_candle(timeframe: Timeframe, time_ms: int) -> None:
    """The grid has no holes and no overlaps, and only its own times may open a candle."""
    open_time = timeframe.floor(time_ms)

    assert open_time <= time_ms < open_time + timeframe.ms
    assert timeframe.floor(open_time + timeframe.ms) == open_time + timeframe.ms
    timeframe.check_open_time(open_time)
    if open_time != time_ms:
        with pytest.raises(InvalidValue, match="open_time"):
            timeframe.check_open_time(time_ms)


@given(timeframes, times, st.integers(min_value=-5, max_value=5))
def test_a_candle_is_closed_from_its_close_on(
    timeframe: Timeframe, time_ms: int, late_ms: int
) -> None:
    """The last open millisecond is refused, the close itself is not."""
    open_time = timeframe.floor(time_ms)
    now_ms = open_time + timeframe.ms + late_ms
    if late_ms >= 0:
        timeframe.check_closed(open_time, now_ms)
        return

    with pytest.raises(InvalidValue, match="open_time"):
        timeframe.check_closed(open_time, now_ms)


@given(
    st.from_regex(r"[a-z0-9][a-z0-9_-]{0,31}", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9._/:-]{1,64}", fullmatch=True),
    timeframes,
)
def test_a_series_reads_back_from_its_key(exchange: str, symbol: str, timeframe: Timeframe) -> None:
    """Any series is what its text says, also where the symbol holds colons."""
    assume(":" not in exchange)
    series = Series(exchange, symbol, timeframe)

    assert Series.parse(str(series)) == series
    assert hash(Series.parse(str(series))) == hash(series)


@given(st.text(max_size=40))
@example("binance:BTC/USDT:1h")
@example("binance:BTC/USDT")
@example("a::1h")
@example("BINANCE:BTC/USDT:1h")
@example("binance:BTC/USDT:1h\n")
@example("binance:BTC USDT:1h")
def test_any_text_is_a_series_or_a_clear_error(text: str) -> None:
    """Text from outside is either exactly a series' key or an error with a remedy."""
    fault = None
    try:
        assert str(Series.parse(text)) == text
    except InvalidValue as error:
        fault = error

    if fault is not None:
        assert fault.field in {"series", "exchange", "symbol", "timeframe"}
        assert fault.remedy
        assert "\n" not in str(fault)


@given(candles())
@example(Candle(0, 5e-324, 1e308, 5e-324, 0.1 + 0.2, 0.0))
def test_a_candle_survives_the_wire_to_the_last_bit(candle: Candle) -> None:
    """What is appended is what is learned, and equal candles have equal bytes."""
    open_time, *values = encode_candle(candle)
    flat = [part.encode() for pair in zip("ohlcv", values, strict=True) for part in pair]

    back = decode_candle(f"{open_time}-0".encode(), flat)

    assert back == candle
    assert encode_candle(back) == encode_candle(candle)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_each_number_has_one_exact_spelling(value: float) -> None:
    """A number reads back exactly, and nothing shorter or longer is written for it."""
    text = decimal(value)

    assert float(text) == value
    assert decimal(float(text)) == text
    assert not text.endswith(".0")
