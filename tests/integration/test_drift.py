"""A drift, from the worker that finds it to whoever looks."""

import subprocess
from collections.abc import Callable

import pytest
from playwright.sync_api import expect
from structlog.testing import capture_logs

from models import state
from shared.reader import ForecastReader
from shared.store import Store
from tests.conftest import Server
from tests.integration.steps import FLEET, SERIES, walk
from tests.integration.test_page import Site, Visitor, browser, site, visitor
from tests.unit.test_drift import standing_still
from worker.teaching import Model
from worker.update import Updater

__all__ = ["browser", "site", "visitor"]

NAME = str(SERIES)
WALK = walk(512)
STILL = standing_still(150, WALK)
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def updater(store: Store) -> Updater:
    """One that has learned a market that moves."""
    updater = Updater(store, Model("default", state.Signer(b"k" * 32), lambda _: 3, FLEET))
    store.tick(FLEET)
    store.append(SERIES, WALK[:500])
    store.append(SERIES, WALK[500:])
    learn_all(updater)
    return updater


def learn_all(updater: Updater) -> None:
    """Work until nothing waits, however long that takes here."""
    while updater.store.overview()["pending"]:
        updater.run()


def test_it_is_logged_once_and_said_with_the_forecast(
    store: Store, server: Server, updater: Updater
) -> None:
    """By the commit of the candle that shows it."""
    reader = ForecastReader(server.url)
    assert reader.latest(NAME).drift is None
    found = []
    with capture_logs() as logs:
        for candle in STILL:
            store.append(SERIES, [candle])
            new = updater.run().drifts
            drift = reader.latest(NAME).drift
            if new:
                found.append((drift, new))
                assert drift
                assert drift.found_at == candle.open_time

    assert found
    assert reader.latest(NAME).drift == found[-1][0]
    lines = [line for line in logs if line["event"] == "drift"]
    expected = [{"series": NAME, "new": new, **one.model_dump()} for one, new in found if one]
    assert sum(new for _, new in found) == expected[-1]["count"]
    assert [{name: line[name] for name in expected[0]} for line in lines] == expected
    assert {line["log_level"] for line in lines} == {"warning"}
    assert store.model(SERIES).scores["drift"].items() <= expected[-1].items()
    assert store.totals.read()["drifts"] == expected[-1]["count"]


@pytest.mark.usefixtures("updater")
def test_people_are_told(store: Store, updater: Updater, candlecast: Run) -> None:
    """By `candlecast status`."""
    assert "drift" not in candlecast("status").stdout
    store.append(SERIES, STILL)
    learn_all(updater)
    told = candlecast("status").stdout

    assert "  drifts 2; the newest since 2" in told


@pytest.mark.system
def test_the_page_shows_it(store: Store, updater: Updater, site: Site, visitor: Visitor) -> None:
    """As soon as it is found, and marked."""
    page = visitor.open(site.begin(), NAME)
    cell = page.get_by_role("row", name=NAME).get_by_role("cell").nth(8)
    expect(cell).to_have_text("none")
    store.append(SERIES, STILL[:80])
    learn_all(updater)

    expect(cell).to_contain_text("1, last since 2")
    expect(cell).to_have_attribute("data-alarm", "")
    store.append(SERIES, STILL[80:])
    learn_all(updater)
    expect(cell).not_to_have_attribute("data-alarm", "")
