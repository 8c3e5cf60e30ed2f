"""The models by name."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from models import catalog, constants, state
from models.forecaster import ScaleMixtureForecaster
from shared.candle import Timeframe
from shared.errors import InvalidValue
from tests.priors import draw_prior


def test_default_is_the_scale_mixture_of_its_timeframe() -> None:
    """The default model is made for the timeframe and the horizon asked for."""
    forecaster = catalog.model("default").create(Timeframe("15m"), 7)

    assert isinstance(forecaster, ScaleMixtureForecaster)
    assert (forecaster.timeframe_ms, forecaster.horizon) == (900_000, 7)
    assert catalog.model("default").version == 5


def test_unknown_model_names_those_there_are() -> None:
    """The error says what could be asked for."""
    with pytest.raises(InvalidValue, match="default, random-walk"):
        catalog.model("magic")


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A file of a user's own prior."""
    path = tmp_path / "mine.npz"
    draw_prior(90).save(path)
    return path


def test_a_model_is_named_by_its_prior(mine: Path) -> None:
    """Nothing for the shipped one, ``none`` for no prior, the digest for a file."""
    digest = draw_prior(90).digest

    named = [catalog.with_prior("default", prior) for prior in ("shipped", "none", str(mine))]

    assert named == ["default", "default@none", f"default@{digest}"]
    assert [catalog.prior_of(name) for name in named] == ["", "none", digest]
    assert constants.prior(digest) is not None


def test_a_model_begins_with_the_prior_of_its_name(mine: Path) -> None:
    """The shipped one by default, none or one's own where the name says so; all of a version."""
    shipped = constants.prior()
    assert shipped is not None
    wanted = {"default": shipped.digest, "default@none": ""}
    wanted[catalog.with_prior("default", str(mine))] = draw_prior(90).digest

    for name, digest in wanted.items():
        model = catalog.model(name)
        forecaster = model.create(Timeframe("15m"), 7)
        assert isinstance(forecaster, ScaleMixtureForecaster)
        assert (forecaster.timeframe_ms, forecaster.horizon) == (900_000, 7)
        assert (forecaster.prior.digest if forecaster.prior else "") == digest
        assert (model.constants, model.version) == (digest, 5)


def test_states_of_another_prior_are_not_continued(mine: Path) -> None:
    """Fingerprints differ between no prior, the shipped one and one of one's own."""
    names = ["default", "default@none", catalog.with_prior("default", str(mine))]

    assert len({state.fingerprint(name, 24) for name in names}) == 3


@pytest.fixture
def another_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Code that ships another prior."""
    draw_prior(91).save(tmp_path / "default.npz")
    monkeypatch.setattr(constants, "_FOLDER", tmp_path)
    state.fingerprint.cache_clear()
    yield
    state.fingerprint.cache_clear()


BEFORE = {name: state.fingerprint(name, 24) for name in ("default", "default@none", "random-walk")}


@pytest.mark.usefixtures("another_release")
def test_another_shipped_prior_makes_another_model_of_the_default() -> None:
    """States that began with the one before are not continued; those without any are."""
    now = {name: state.fingerprint(name, 24) for name in BEFORE}

    assert catalog.model("default").constants == draw_prior(91).digest
    assert [name for name in BEFORE if now[name] != BEFORE[name]] == ["default"]


@pytest.mark.parametrize("which", ["0123456789abcdef", "shipped.npz", "../prior/default"])
def test_an_unknown_prior_is_refused(which: str) -> None:
    """A digest that nothing here has is named, with the setting that would help."""
    with pytest.raises(InvalidValue, match=f"prior='{which}': set CANDLECAST_PRIOR"):
        catalog.model(f"default@{which}")


def test_a_file_that_holds_no_prior_is_refused(tmp_path: Path) -> None:
    """The model is not named after a file that it could not begin with."""
    with pytest.raises(InvalidValue, match=r"prior=.*missing"):
        catalog.with_prior("default", str(tmp_path / "missing.npz"))


def test_the_random_walk_takes_no_prior(mine: Path) -> None:
    """One that was asked for is refused, not ignored; the shipped one was not asked for."""
    assert catalog.with_prior("random-walk", "shipped") == "random-walk"
    assert catalog.model("random-walk").constants == ""
    with pytest.raises(InvalidValue, match="random-walk takes none"):
        catalog.with_prior("random-walk", str(mine))


@pytest.mark.parametrize("name", ["magic@none", "@none", ""])
def test_a_prior_makes_no_model_of_a_name(name: str) -> None:
    """What stands before the @ must be in the catalog."""
    with pytest.raises(InvalidValue, match="default, random-walk"):
        catalog.model(name)


@pytest.mark.parametrize("name", [*catalog.MODELS, "default@none"])
def test_every_model_forecasts_after_two_candles(name: str) -> None:
    """Whatever is in the catalog keeps the forecasters' interface."""
    forecaster = catalog.model(name).create(Timeframe("1h"), 3)
    for hour, close in enumerate((100.0, 101.0)):
        x = {"open_time": hour * 3_600_000, "open": close, "high": close, "low": close}
        forecaster.learn_one(close, {**x, "close": close, "volume": 1.0})

    assert len(forecaster.forecast(3)) == 3
    assert forecaster.forecast_quantiles(3, (0.1, 0.9)).shape == (3, 2)
