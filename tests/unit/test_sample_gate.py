"""The gate on sample candles, by which a change of the model is judged."""

import pytest

from benchmarks import gate
from config.settings import Settings
from models.gate import Bar
from shared.candle import Timeframe


@pytest.mark.parametrize(("model", "passes"), [("default", True), ("random-walk", False)])
def test_who_passes(model: str, passes: bool) -> None:  # noqa: FBT001
    """The default model does; what is no better than naive does not."""
    candles, skill, coverage = Settings().gate("1h")
    showing = gate.shown("SOL/USDT", Timeframe("1h"), 1_500, model)
    short = showing.shortfalls(Bar(candles=candles, skill=skill, coverage=coverage))

    assert (not short) is passes


def test_a_model_that_falls_short_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And says in what."""
    monkeypatch.setattr("sys.argv", ["gate", "--candles", "300"])
    with pytest.raises(SystemExit, match="1"):
        gate.main()

    assert "300 candles learned, 500 asked" in capsys.readouterr().out
