"""Pictures of versions, drawn from what their models said."""

import html
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from shared.candle import Series
from shared.errors import InvalidValue, RegistryError
from shared.store import Store
from tests.integration.housekeeping import SIGNER, House
from tests.integration.steps import HOUR, SERIES, T0, walk
from worker.pictures import Gallery

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.usefixtures("field"),
    pytest.mark.filterwarnings("ignore"),  # MLflow and its libraries warn of themselves
]

WALK = walk(700)


@pytest.fixture
def house(store: Store, tmp_path: Path) -> House:
    """One with a version of 300 candles and one of 700."""
    house = House.at(store, tmp_path)
    for part in (WALK[:300], WALK[300:]):
        house.learn(part)
        house.snapshot()
    return house


def label(picture: str) -> str:
    """What a picture says in words."""
    (words,) = re.findall(r'<svg role="img" aria-label="([^"]+)"', picture)
    return html.unescape(words)


def gallery(house: House, every_s: float = 1.0, hall: Any = None) -> Gallery:
    """Who draws what the house keeps."""
    parts = house.store, hall or house.registry, house.judge(), SIGNER
    return Gallery(*parts, every_s=every_s)


def test_three_pictures_lie_beside_the_version(house: House) -> None:
    """Each says in words what it shows; the version forecasts as before."""
    where = gallery(house).draw(SERIES, 2)

    files = sorted(Path(where.removeprefix("file://")).iterdir())
    words = [label(path.read_text()) for path in files]
    assert [path.name for path in files] == ["fan.svg", "reliability.svg", "skill.svg"]
    assert words[0].startswith(f"{SERIES}: the last 200 closes")
    assert f"{WALK[-1].close:.6g}" in words[0]
    assert "the furthest point is" in words[1]
    assert "CRPS skill against the baseline" in words[2]
    house.restore(2)


def test_the_model_that_is_drawn_is_the_one_that_was_live(house: House) -> None:
    """Where older candles are gone, the pictures begin with a version that had learned them."""
    drawn: dict[str, str] = {}

    def attach(series: Series, version: int, files: Mapping[str, str]) -> str:
        drawn.update(files, where=f"{series} {version}")
        return ""

    versions, registry = house.registry.versions(SERIES), house.registry
    hall = Mock(versions=Mock(return_value=versions), state=registry.state, attach=attach)
    log = house.store.keys.candles(str(SERIES))
    house.store.link.redis.xtrim(log, minid=T0 + 299 * HOUR, approximate=False)
    said = house.said()["quantiles"][-1]

    gallery(house, hall=hall).draw(SERIES, 2)

    assert f"from {said[1]:.6g} to {said[7]:.6g}" in label(drawn["fan.svg"])
    house.store.link.redis.xtrim(log, minid=T0 + 500 * HOUR, approximate=False)
    with pytest.raises(InvalidValue, match="300 before the version are needed"):
        gallery(house, hall=hall).draw(SERIES, 2)


def test_champions_are_drawn_now_and_then(house: House) -> None:
    """It takes longer than a snapshot; and that it failed is nobody's harm."""
    for every_s, times in ((0.0, 0), (0.05, 2), (50.0, 1)):
        house.store.link.redis.delete(house.store.keys.drawn)
        drawn = []
        for _ in range(2):
            one = gallery(house, every_s)  # another process knows too when it was
            one.draw = Mock(side_effect=RegistryError("full"))  # type: ignore[method-assign]
            drawn.append(one.promoted({str(SERIES): 2}, budget_s=60))
            time.sleep(0.1)

        assert sum(drawn) == times


def test_only_a_few_are_drawn_a_round(house: House) -> None:
    """And none when the time is over."""
    champions = {f"test:{number}/USDT:1h": 1 for number in range(9)}
    one = gallery(house)
    one.draw = Mock()  # type: ignore[method-assign]

    assert one.promoted(champions, budget_s=-1) == 0
    assert one.promoted(champions, budget_s=60) == 3
    assert one.draw.call_count == 3
