"""A learner as signed, versioned bytes."""

import io
import json
import pickle
from typing import Any

import numpy as np
import pytest
from river import linear_model, preprocessing

from models import state
from models.hours import HOUR_MS
from models.learner import Learner
from models.unpickler import Unpickler
from shared.candle import Candle, Series, Timeframe
from shared.errors import StateError
from shared.header import LENGTH, MAGIC, key_of

KEY, OTHER = b"k" * 32, b"o" * 32
SIGNER = state.Signer(KEY)
FINGERPRINT = state.fingerprint("default", 6)
SERIES = Series.parse("test:BTC/USDT:1h")


def candles(count: int) -> list[Candle]:
    """Draw hourly candles of a random walk; the 150th has a wick that is tempered."""
    closes = 100 * np.exp(np.cumsum(np.random.default_rng(2).normal(0, 0.01, count + 1)))
    return [
        Candle(hour * HOUR_MS, o, max(o, c), min(o, c) * (0.1 if hour == 149 else 1), c, 1.0)
        for hour, (o, c) in enumerate(zip(closes[:-1].tolist(), closes[1:].tolist(), strict=True))
    ]


def taught(count: int, horizon: int = 6) -> Learner:
    """Learn candles."""
    learner = Learner(Timeframe("1h"), horizon)
    for candle in candles(count):
        learner.learn_one(candle)
    return learner


def stairs(count: int) -> list[Candle]:
    """Hourly candles of a market with opening hours whose price mostly stands still."""
    chance = np.random.default_rng(3)
    closes = (50 + np.cumsum(chance.choice((-1, 0, 0, 0, 0, 1), count))).tolist()
    return [
        Candle(hour * HOUR_MS, close, close, close, close, 1.0)
        for hour, close in enumerate(closes)
        if 8 <= hour % 24 < 16
    ]


def signed(body: object, **header: Any) -> bytes:
    """Sign something as if it were a state."""
    facts = {"format": state.FORMAT, "fingerprint": FINGERPRINT, "series": str(SERIES)}
    facts["key"] = SIGNER.key_id
    head = json.dumps(facts | header).encode()
    content = LENGTH.pack(len(head)) + head + pickle.dumps(body)
    return MAGIC + SIGNER.sign(content) + content


@pytest.mark.parametrize("horizon", [1, 6, 24, 64])
def test_saved_learner_goes_on_bit_for_bit(horizon: int) -> None:
    """Saved and loaded in mid-stream, it says the same as one that was never saved."""
    print_, stream = state.fingerprint("default", horizon), candles(300)
    whole, saved = Learner(Timeframe("1h"), horizon), Learner(Timeframe("1h"), horizon)
    for number, candle in enumerate(stream):
        whole.learn_one(candle)
        saved.learn_one(candle)
        if number % 37 == 0:
            saved = state.load(state.dump(saved, SIGNER, SERIES), SIGNER, print_, SERIES)

    one, two = whole.outlook(), saved.outlook()
    assert (one.quantiles == two.quantiles).all()
    assert (one.volatility == two.volatility).all()
    assert whole.scores() == saved.scores()
    assert pickle.dumps(whole) == pickle.dumps(saved)


@pytest.mark.parametrize("model", ["default", "default@none", "random-walk"])
@pytest.mark.parametrize("learned", [0, 1, 250])
def test_a_used_learner_takes_up_another_series_state(model: str, learned: int) -> None:
    """Nothing of the market that it learned before is left: it goes on to the same bits."""
    series, print_ = Series.parse("test:STAIRS/USD:1h"), state.fingerprint(model, 24)
    used, whole = (Learner(Timeframe("1h"), 24, model) for _ in range(2))
    for candle in stairs(24 * 7 * 5):
        used.learn_one(candle)
    assert used.hours.is_session
    # As many candles as the other has learned: what was said after them is not said again.
    used.sequence = learned
    if learned:
        used.outlook()
    stream = candles(300)
    for candle in stream[:learned]:
        whole.learn_one(candle)

    raw = state.dump(whole, SIGNER, series)

    again = state.load(raw, SIGNER, print_, series, used)

    assert again is used
    assert _attributes(again) == _attributes(state.load(raw, SIGNER, print_, series))
    if learned:
        assert whole.outlook().quantiles.tobytes() == used.outlook().quantiles.tobytes()
    for candle in stream[learned:]:
        whole.learn_one(candle)
        used.learn_one(candle)
        one, two = whole.outlook(), used.outlook()
        assert one.target_times == two.target_times
        assert one.quantiles.tobytes() == two.quantiles.tobytes()
    assert whole.scores() == used.scores()
    assert state.dump(whole, SIGNER, series) == state.dump(used, SIGNER, series)


def _attributes(learner: Learner) -> list[tuple[str, str, bytes]]:
    """All that can be read in a learner and its parts, but for lists of them and of names."""
    lists = {"all_parts", "part_names", "members", "plain", "read_plain", "_holders"}
    return [
        (type(part).__name__, name, pickle.dumps(value))
        for part in learner.all_parts
        for name, value in sorted(vars(part).items())
        if name not in {*lists, "alone"}
    ]


@pytest.mark.parametrize(
    "other",
    [
        Learner(Timeframe("1d"), 6),
        Learner(Timeframe("1h"), 7),
        Learner(Timeframe("1h"), 6, "random-walk"),
    ],
)
def test_a_learner_of_another_kind_takes_up_nothing(other: Learner) -> None:
    """Where timeframe, horizon or model differ a new one is made."""
    again = state.load(state.dump(taught(3), SIGNER, SERIES), SIGNER, FINGERPRINT, SERIES, other)

    assert again is not other
    assert again.parameters == taught(3).parameters
    assert other.sequence == 0


def test_state_is_small() -> None:
    """24 horizons fit in 48 kilobytes, and any number of candles does not change that."""
    size = len(state.dump(taught(100, 24), SIGNER, SERIES))

    assert size < 48 * 1024
    assert abs(len(state.dump(taught(1500, 24), SIGNER, SERIES)) - size) < 200


def test_changed_bytes_are_refused() -> None:
    """One flipped bit anywhere behind the magic is noticed."""
    raw = bytearray(state.dump(taught(3), SIGNER, SERIES))
    raw[-9] ^= 1

    with pytest.raises(StateError, match="does not match its signature"):
        state.load(bytes(raw), SIGNER, FINGERPRINT, SERIES)


def test_a_state_cut_short_anywhere_is_refused() -> None:
    """Not one of its beginnings is taken for a state."""
    raw = state.dump(taught(3), SIGNER, SERIES)
    for size in [*range(300), *range(300, len(raw), 997), len(raw) - 1]:
        with pytest.raises(StateError, match=r"cut short|not a saved state"):
            state.load(raw[:size], SIGNER, FINGERPRINT, SERIES)


@pytest.mark.parametrize("raw", [b"", b"nonsense" * 9, b"CCST" + bytes(40), b"CCST"])
def test_other_bytes_are_refused(raw: bytes) -> None:
    """What was never a state is said not to be one."""
    with pytest.raises(StateError):
        state.load(raw, SIGNER, FINGERPRINT, SERIES)


@pytest.mark.parametrize(
    "header", [b"[]", b"5", b'{"key": 5}', b"\xff", b"[" * 60_000, b'{"key": ' * 7_000]
)
def test_an_unsigned_header_of_another_shape_is_refused(header: bytes) -> None:
    """Bytes that nobody vouches for are refused, whatever they do to the one who reads them."""
    content = LENGTH.pack(len(header)) + header

    with pytest.raises(StateError, match="header"):
        state.load(b"CCST" + bytes(32) + content, SIGNER, FINGERPRINT, SERIES)


def test_nothing_unsigned_is_unpickled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The signature comes first: without it the pickle in a state is not even opened."""
    for reader in ("Plain", "Unpickler"):
        monkeypatch.setattr(state, reader, pytest.fail)
    raw = state.dump(taught(3), state.Signer(OTHER), SERIES)
    forged = raw.replace(state.Signer(OTHER).key_id.encode(), SIGNER.key_id.encode())

    for unsigned in (raw, forged, raw[:4] + bytes(32) + raw[36:]):
        with pytest.raises(StateError):
            state.load(unsigned, SIGNER, FINGERPRINT, SERIES)


def test_unknown_key_is_refused_and_named() -> None:
    """The error says which key signed, and what to set."""
    raw = state.dump(taught(3), state.Signer(OTHER), SERIES)

    with pytest.raises(StateError, match=r"81b4\w+|CANDLECAST_STATE_KEY_PREVIOUS"):
        state.load(raw, SIGNER, FINGERPRINT, SERIES)


def test_key_rotates_without_loss() -> None:
    """With the old key as the previous one its states are read, and signed anew by the new."""
    raw = state.dump(taught(3), SIGNER, SERIES)
    rotated = state.Signer(OTHER, previous=KEY)

    again = state.dump(state.load(raw, rotated, FINGERPRINT, SERIES), rotated, SERIES)

    assert state.load(again, state.Signer(OTHER), FINGERPRINT, SERIES).sequence == 3


def test_key_id_is_public_and_short() -> None:
    """A key is named by the first 8 hex digits of its SHA-256."""
    assert state.Signer(b"abc").key_id == "ba7816bf"


def test_empty_key_is_refused() -> None:
    """Nothing is signed with nothing."""
    with pytest.raises(StateError, match="CANDLECAST_STATE_KEY"):
        state.Signer(b"")


def test_other_fingerprint_is_refused() -> None:
    """A state of another horizon or model is not continued."""
    with pytest.raises(StateError, match=FINGERPRINT):
        state.load(state.dump(taught(3, 7), SIGNER, SERIES), SIGNER, FINGERPRINT, SERIES)


def test_state_of_another_series_is_refused() -> None:
    """Signed and of the same model, but put into another series' record by whoever."""
    with pytest.raises(StateError, match="ETH/USDT:1h, wanted test:BTC"):
        state.load(
            signed(taught(3).__getstate__(), series="test:ETH/USDT:1h"), SIGNER, FINGERPRINT, SERIES
        )


def test_other_format_is_refused() -> None:
    """A state of a format to come is not guessed at."""
    with pytest.raises(StateError, match="format 99"):
        state.load(signed(taught(1).__getstate__(), format=99), SIGNER, FINGERPRINT, SERIES)


def test_fingerprint_tells_models_and_horizons_apart() -> None:
    """16 hex digits, the same each time, different for each model and horizon."""
    prints = {state.fingerprint(m, h) for m in ("default", "random-walk") for h in (6, 7)}

    assert len(prints) == 4
    assert all(len(one) == 16 and int(one, 16) >= 0 for one in prints)
    assert FINGERPRINT in prints


def test_signed_bytes_of_another_layout_are_refused() -> None:
    """What a version to come may sign with the same key is refused like any other stranger."""
    for content in (b"", b"\0", b"\0\x08nonsense", b"\0\2[]"):
        with pytest.raises(StateError):
            state.load(b"CCST" + SIGNER.sign(content) + content, SIGNER, FINGERPRINT, SERIES)


@pytest.mark.parametrize(
    ("raised", "seen"),
    [(RuntimeError, StateError), (AssertionError, StateError)]
    + [(error, error) for error in (MemoryError, OSError)],
)
def test_a_class_that_cannot_take_its_state_up_is_told_from_a_machine_that_cannot(
    monkeypatch: pytest.MonkeyPatch, raised: type[Exception], seen: type[Exception]
) -> None:
    """A state of classes that changed is refused; want of memory must not cost what it holds."""
    raw = state.dump(taught(3), SIGNER, SERIES)

    def fail(*_: object) -> None:
        raise raised

    monkeypatch.setattr(Learner, "recall", fail)

    with pytest.raises(seen):
        state.load(raw, SIGNER, FINGERPRINT, SERIES)


def test_rivers_estimators_may_be_part_of_a_model() -> None:
    """A pipeline of River's is read back, its weights included."""
    model = preprocessing.StandardScaler() | linear_model.LinearRegression()
    for number in range(20):
        model.learn_one({"a": number}, 2.0 * number)

    copy = Unpickler(io.BytesIO(pickle.dumps(model))).load()

    assert copy.predict_one({"a": 30}) == model.predict_one({"a": 30}) > 0


def test_the_key_of_a_state_is_read_without_it() -> None:
    """From its beginning alone, however long the series' name is; of other bytes there is none."""
    series = Series.parse(f"{'e' * 32}:{'S' * 60}/USD:15m")
    raw = state.dump(taught(3), SIGNER, series)

    assert key_of(raw[:1_024]) == key_of(raw) == SIGNER.key_id
    strange = [b"", raw[:4], raw[:60], b"x" + raw[1:], signed(1, key=5), signed(1, key="\x1b[2J")]
    assert [key_of(bytes_) for bytes_ in strange] == [None] * len(strange)
