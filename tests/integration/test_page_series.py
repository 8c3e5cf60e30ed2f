"""The page, where series are other than usual: closed, new, begun anew or gone."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from shared.candle import Candle
from shared.reader import ForecastReader
from shared.store import Store
from tests.conftest import Server
from tests.integration.steps import SERIES
from tests.integration.test_api import DAY, NAME, WALK, learn
from tests.integration.test_page import (
    MORE,
    Site,
    Visitor,
    browser,
    is_drawn,
    minute,
    publish,
    pytestmark,
    site,
    traces,
    visitor,
)

__all__ = ["browser", "pytestmark", "site", "visitor"]


def test_a_market_that_was_closed_is_drawn_where_its_candles_are(
    store: Store, server: Server, site: Site, visitor: Visitor, eventually: Callable[..., None]
) -> None:
    """Over a weekend the next candle opens 65 hours after the last has closed."""
    learn(store, SERIES, MORE)
    last = ForecastReader(server.url).latest(NAME)
    weekend = 65 * SERIES.timeframe.ms
    times = tuple(time + weekend for time in last.target_times)
    changed = {"target_times": times, "revision": 1_000, "valid_until": times[0] + 60_000}
    said = last.model_copy(update=changed)
    publish(store, said)
    page = visitor.open(site.begin(), NAME)
    eventually(lambda: is_drawn(page, said), "it is drawn")

    drawn = {name: [at[:16] for at in one["x"] if at] for name, one in traces(page).items()}
    assert drawn["forecast"][0] == minute(times[0] - SERIES.timeframe.ms)
    assert drawn["95 %"][0] == minute(MORE[-1].open_time)
    assert drawn["said"][-1] == minute(MORE[-1].open_time)


def test_a_series_without_a_forecast_says_so(store: Store, site: Site, visitor: Visitor) -> None:
    """And shows nothing of another."""
    learn(store, SERIES, MORE)
    store.append(DAY, [Candle(86_400_000, 1.0, 2.0, 1.0, 1.5, 3.0)])
    page = visitor.open(site.begin(), NAME)
    page.wait_for_selector("#steps td")
    page.locator("#series").get_by_role("link", name=str(DAY)).click()

    expect(page.locator("#summary")).to_contain_text("No forecast yet")
    expect(page.locator("#chosen-heading")).to_have_text("BTC/USDT, 1d, test")
    expect(page.locator("#details")).to_be_hidden()
    assert page.title() == "BTC/USDT 1d · Candlecast"
    assert traces(page) == {}


def test_a_series_that_begins_anew_shows_what_is_said_now(
    store: Store, server: Server, site: Site, visitor: Visitor, eventually: Callable[..., None]
) -> None:
    """Though its candles are older ones; once it is gone nothing of it stays."""
    learn(store, SERIES, MORE)
    page = visitor.open(site.begin(), NAME)
    page.wait_for_selector("#steps td")
    store.retire(SERIES, revision=store.model(SERIES).revision)
    learn(store, SERIES, WALK[:9])
    said = ForecastReader(server.url).latest(NAME)
    eventually(lambda: is_drawn(page, said), "what is said now is drawn")
    row = page.get_by_role("row", name=NAME)
    expect(row).to_contain_text(f"{said.last_close:.5f}")
    expect(page.locator("#summary")).to_contain_text(f"Close {said.last_close:.5f}")

    store.retire(SERIES, revision=store.model(SERIES).revision)
    expect(page.get_by_role("heading", name="No series yet")).to_be_visible()
    expect(page.locator("#details")).to_be_hidden()
    expect(page).to_have_title("Candlecast")
    store.append(SERIES, WALK[:1])
    expect(page.locator("#summary")).to_contain_text("No forecast yet")
    expect(page.locator("#details")).to_be_hidden()
    assert traces(page) == {}
    # A picture under way asked for what was gone.
    visitor.complaints = [one for one in visitor.complaints if "status of 404" not in one]


@pytest.mark.parametrize(
    ("kept", "asked", "shown"),
    [
        ((1_000, 60), (900, 50), "kept"),  # a late answer
        ((900, 50), (1_000, 60), "asked"),
        ((900, 60), (1_000, 50), "asked"),  # begun anew while the stream was away
        ((1_000, 50), (900, 60), "asked"),  # a clock has stepped back meanwhile
    ],
)
def test_of_what_was_sent_and_what_was_asked_for_the_newer_is_shown(
    site: Site, visitor: Visitor, kept: tuple[int, int], asked: tuple[int, int], shown: str
) -> None:
    """By when it was said and by its candle; where these differ, what was asked for."""
    page = visitor.open(site.begin())
    said = page.evaluate(
        """async ([kept, asked]) => {
            const { SeriesTable } = await import("/page/table.js");
            const make = ([issued_at, candle_close_time], last_close) => ({
                series: "a", status: "live", issued_at, candle_close_time, last_close, skill: [],
            });
            const place = document.createElement("table");
            place.append(document.createElement("thead"), document.createElement("tbody"));
            const table = new SeriesTable(place, () => {});
            table.replace([{ series: "a", status: null, skill: [] }]);
            table.take(make(kept, "kept"));
            table.replace([make(asked, "asked")]);
            return table.rows.get("a").last_close;
        }""",
        [kept, asked],
    )

    assert said == shown


def test_a_clock_that_steps_back_hides_no_forecast(
    store: Store, server: Server, site: Site, visitor: Visitor
) -> None:
    """What is of later candles is shown, whatever its time."""
    learn(store, SERIES, MORE)
    last = ForecastReader(server.url).latest(NAME)
    page = visitor.open(site.begin(), NAME)
    page.wait_for_selector("#steps td")
    step = SERIES.timeframe.ms
    for place, (ahead_ms, close) in enumerate(((600_000, 111.0), (1_000, 222.0))):
        moved = {
            "issued_at": last.issued_at + ahead_ms,
            "last_close": close,
            "revision": last.revision + place + 1,
            "candle_open_time": last.candle_open_time + place * step,
            "candle_close_time": last.candle_close_time + place * step,
            "target_times": tuple(time + place * step for time in last.target_times),
            "valid_until": last.valid_until + place * step,
        }
        publish(store, last.model_copy(update=moved))
        expect(page.locator("#summary")).to_contain_text(f"Close {close:.4f}")
    page.wait_for_timeout(17_000)  # all rows are asked for every 15 s
    expect(page.locator("#summary")).to_contain_text("Close 222.0000")
