"""The models by name."""

import pytest

from models import catalog
from models.forecaster import ScaleMixtureForecaster
from shared.candle import Timeframe
from shared.errors import InvalidValue


def test_default_is_the_scale_mixture_of_its_timeframe() -> None:
    """The default model is made for the timeframe and the horizon asked for."""
    forecaster = catalog.model("default").create(Timeframe("15m"), 7)

    assert isinstance(forecaster, ScaleMixtureForecaster)
    assert (forecaster.timeframe_ms, forecaster.horizon) == (900_000, 7)
    assert catalog.model("default").version == 2


def test_unknown_model_names_those_there_are() -> None:
    """The error says what could be asked for."""
    with pytest.raises(InvalidValue, match="default, random-walk"):
        catalog.model("magic")


@pytest.mark.parametrize("name", catalog.MODELS)
def test_every_model_forecasts_after_two_candles(name: str) -> None:
    """Whatever is in the catalog keeps the forecasters' interface."""
    forecaster = catalog.model(name).create(Timeframe("1h"), 3)
    for hour, close in enumerate((100.0, 101.0)):
        x = {"open_time": hour * 3_600_000, "open": close, "high": close, "low": close}
        forecaster.learn_one(close, {**x, "close": close, "volume": 1.0})

    assert len(forecaster.forecast(3)) == 3
    assert forecaster.forecast_quantiles(3, (0.1, 0.9)).shape == (3, 2)
