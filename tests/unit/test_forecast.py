"""What an app asks of a forecast."""

import pytest

from shared.errors import InvalidValue
from shared.forecast import QUANTILE_LEVELS
from tests.unit.forecasts import HOUR, T0, forecast


def test_a_quantile_is_a_price_for_a_level_and_a_horizon() -> None:
    """The horizon counts candles ahead, from one on."""
    said = forecast()

    assert [said.quantile(0.975, horizon) for horizon in (1, 2)] == [104.0, 108.0]
    assert [said.quantile(level, 1) for level in QUANTILE_LEVELS] == list(said.quantiles[0])


@pytest.mark.parametrize(
    ("level", "horizon", "says"),
    [(0.2, 1, r"level=0\.2: use one of 0\.025, "), (0.5, 0, "use 1 to 2"), (0.5, 3, "use 1 to 2")],
)
def test_what_was_not_said_is_no_quantile(level: float, horizon: int, says: str) -> None:
    """It is not made up either."""
    with pytest.raises(InvalidValue, match=says):
        forecast().quantile(level, horizon)


def test_a_frame_has_a_row_for_each_horizon() -> None:
    """With the times as such."""
    frame = forecast().to_frame()

    assert list(frame.columns) == [
        *("target_time", "q0.025", "q0.05", "q0.1", "q0.25", "q0.5", "q0.75", "q0.9", "q0.95"),
        *("q0.975", "median", "volatility", "prob_up"),
    ]
    assert frame.index.tolist() == [1, 2]
    assert frame["q0.9"].tolist() == [102.0, 104.0]
    assert frame["target_time"].iloc[1].timestamp() * 1_000 == T0 + 3 * HOUR


def test_a_forecast_is_stale_once_the_next_one_is_due() -> None:
    """From its own time on, whoever reads it."""
    said = forecast()

    assert [said.is_stale(said.valid_until + ms) for ms in (0, 1)] == [False, True]
