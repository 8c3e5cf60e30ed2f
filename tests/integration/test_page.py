"""The page in a real browser: Debian's Chromium, driven by Playwright."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from api.access import new_token
from shared.alert import Alert
from shared.alerts import Alerts
from shared.candle import Candle, Series
from shared.forecast import Forecast
from shared.reader import ForecastReader
from shared.store import Store
from shared.wire import encode_forecast
from tests.conftest import ROOT, Server
from tests.integration.steps import SERIES
from tests.integration.test_api import DAY, NAME, WALK, learn, recent

CHROMIUM = shutil.which("chromium")
PICTURES = ROOT / "build" / "pictures"
# It shall ask nobody but the server of the test, and root has no sandbox.
QUIET = (
    *("--no-sandbox", "--disable-quic", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-first-run"),
)
SCREENS: dict[str, dict[str, Any]] = {
    "light": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
}
MORE = recent()

expect.set_options(timeout=30_000)  # other tests run beside
pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not CHROMIUM, reason="no chromium: `make test-system` installs it"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser without a screen."""
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)


class Site:
    """`candlecast api` as a process."""

    def __init__(
        self,
        start: Callable[..., "subprocess.Popen[bytes]"],
        eventually: Callable[..., None],
        logs: Path,
    ) -> None:
        self._start, self._eventually, self._logs = start, eventually, logs

    def begin(self, port: str = "0", **env: str) -> str:
        """Serve the page as users do, and return where."""
        log = self._logs / f"api-{len([*self._logs.glob('api-*.log')])}.log"
        self._process = self._start("api", "--port", port, **env)
        self._eventually(lambda: re.search(r"http://\S+:\d+", log.read_text()), "it serves")
        found = re.search(r"http://\S+:\d+", log.read_text())
        assert found
        return found[0]

    def end(self) -> None:
        """End it as an operator would."""
        self._process.terminate()
        self._process.wait(20)


@pytest.fixture
def site(
    start: Callable[..., "subprocess.Popen[bytes]"],
    eventually: Callable[..., None],
    tmp_path: Path,
) -> Site:
    """Where the page is served from."""
    return Site(start, eventually, tmp_path)


class Visitor:
    """Opens the page, and hears what the browser complains of."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self.contexts: list[BrowserContext] = []
        self.complaints: list[str] = []

    def open(self, address: str, series: str = "", screen: str = "light") -> Page:
        """Return the page as somebody sees it who has never been there."""
        context = self._browser.new_context(**SCREENS[screen])
        self.contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: self.complaints.append(f"{said.type}: {said.text}"))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(f"{address}/#{series}")
        return page


@pytest.fixture
def visitor(browser: Browser) -> Iterator[Visitor]:
    """Somebody with a browser; what it complains of fails the test."""
    visitor = Visitor(browser)
    yield visitor
    for context in visitor.contexts:
        context.close()
    assert visitor.complaints == []


def traces(page: Page) -> dict[str, Any]:
    """What the chart draws, by the names of its traces."""
    data = page.evaluate("document.getElementById('chart').data ?? []")
    return {one["name"]: one for one in data}


def is_drawn(page: Page, forecast: Forecast) -> bool:
    """Whether the chart shows the fan of this forecast."""
    drawn = traces(page)
    if "forecast" not in drawn or drawn["forecast"]["y"] != [*forecast.median]:
        return False
    for name, low, high in (("95 %", 0.025, 0.975), ("80 %", 0.1, 0.9), ("50 %", 0.25, 0.75)):
        below, above = (
            [forecast.quantile(level, step + 1) for step in range(forecast.horizons)]
            for level in (low, high)
        )
        last = forecast.last_close
        assert drawn[name]["y"] == [last, *below, *reversed(above), last]
    return True


def minute(time_ms: int) -> str:
    """As the chart spells it."""
    return f"{datetime.fromtimestamp(time_ms / 1_000, UTC):%Y-%m-%dT%H:%M}"


@pytest.mark.parametrize("screen", SCREENS)
def test_it_shows_the_fan_and_renews_itself(
    store: Store,
    server: Server,
    site: Site,
    visitor: Visitor,
    eventually: Callable[..., None],
    screen: str,
) -> None:
    """Candles, fan and what was said before; the next candle is drawn when it is learned."""
    learn(store, SERIES, MORE[:-1])
    reader = ForecastReader(server.url)
    page = visitor.open(site.begin(), NAME, screen)
    eventually(lambda: is_drawn(page, reader.latest(NAME)), "the fan is drawn")
    first = traces(page)
    learn(store, SERIES, MORE[-1:])
    eventually(lambda: is_drawn(page, reader.latest(NAME)), "the new fan is drawn")

    assert first["candle"]["close"] == [one.close for one in MORE[:-1]]
    assert traces(page)["candle"]["close"] == [one.close for one in MORE]
    said = reader.history(NAME)
    assert traces(page)["said"]["y"] == [*(one.median[0] for one in said[:-1]), None]
    expect(page.locator("#summary")).to_contain_text(f"{MORE[-1].close:,.0f}"[:4])
    expect(page.locator("#connection")).to_have_text("● live")
    row = page.get_by_role("row", name=NAME)
    expect(row).to_contain_text("fresh")
    expect(row).to_contain_text("none")
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"page-{screen}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def publish(store: Store, forecast: Forecast) -> None:
    """Say it as a worker would."""
    text = encode_forecast(forecast)
    store.link.redis.set(store.keys.forecast(forecast.series), text)
    store.link.redis.xadd(store.keys.forecasts(forecast.series), {"forecast": text})


def test_a_forecast_that_is_valid_still_gives_way_to_the_next(
    store: Store,
    server: Server,
    site: Site,
    visitor: Visitor,
    eventually: Callable[..., None],
) -> None:
    """The browser keeps answers until then, and the page shows the newest all the same."""
    learn(store, SERIES, MORE)
    said = ForecastReader(server.url).latest(NAME)
    until = {"valid_until": store.link.now_ms() + 3_600_000}
    first = said.model_copy(update=until | {"revision": 1_000, "issued_at": until["valid_until"]})
    publish(store, first)
    page = visitor.open(site.begin(), NAME)
    eventually(lambda: is_drawn(page, first), "the first is drawn")
    medians = {"median": tuple(1.01 * one for one in first.median)}
    then = first.model_copy(update=medians | {"revision": 1_001})
    publish(store, then)

    eventually(lambda: is_drawn(page, then), "the next one is drawn", seconds=10)


def test_the_timeframes_are_those_of_the_market_that_is_shown(
    store: Store, site: Site, visitor: Visitor
) -> None:
    """Whichever was shown before."""
    days = [Candle(i * 86_400_000, 1.0, 2.0, 1.0, 1.5, 3.0) for i in range(1, 4)]
    for name in ("BTC", "ETH"):
        learn(store, Series.parse(f"test:{name}/USDT:1h"), WALK[:3])
        learn(store, Series.parse(f"test:{name}/USDT:1d"), days)
    page = visitor.open(site.begin(), "test:BTC/USDT:1h")
    frames = page.locator("#frames a")
    for name, frame in (("BTC", "1h"), ("ETH", "1h"), ("ETH", "1d")):
        page.locator("#series").get_by_role("link", name=f"test:{name}/USDT:{frame}").click()
        expect(page.locator("#chosen-heading")).to_have_text(f"{name}/USDT, {frame}, test")
        hrefs = [f"#test%3A{name}%2FUSDT%3A{one}" for one in ("1d", "1h")]
        for place, href in enumerate(hrefs):
            expect(frames.nth(place)).to_have_attribute("href", href)
        expect(page.locator("#frames [aria-current]")).to_have_text(frame)
    page.locator(".skip").focus()
    page.keyboard.press("Enter")

    expect(page.locator("#series")).to_be_focused()
    expect(page.locator("#chosen-heading")).to_have_text("ETH/USDT, 1d, test")


@pytest.mark.parametrize("screen", SCREENS)
def test_everybody_can_use_it(store: Store, site: Site, visitor: Visitor, screen: str) -> None:
    """No violation of WCAG 2.2 A and AA that axe can find."""
    learn(store, SERIES, MORE)
    page = visitor.open(site.begin(), NAME, screen)
    page.wait_for_selector("#steps td")
    rules = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]}}

    found = Axe().run(page, options=rules)

    faults = [f"{one['id']}: {one['nodes'][0]['html']}" for one in found.response["violations"]]
    assert faults == []
    assert found.response["passes"]


def test_a_phone_is_wide_enough(store: Store, site: Site, visitor: Visitor) -> None:
    """Also for a header that counts alerts, or says that the connection is lost."""
    learn(store, SERIES, WALK)
    fields: dict[str, Any] = {"kind": "stale", "series": NAME, "state": "raised", "at": 1}
    for number in range(37):
        Alerts(store.link).tell(Alert(rule=f"rule {number}", text="late", **fields))
    page = visitor.open(site.begin(), NAME, "phone")
    expect(page.locator("#raised-link")).to_have_text("▲ 37 alerts")
    expect(page.locator("#raised li").last).to_have_text("and 17 more")
    expect(page.locator("#unjudged")).to_be_visible()
    widths = [page.evaluate("document.documentElement.scrollWidth - innerWidth")]
    site.end()
    expect(page.locator("#connection")).to_contain_text("connection lost")
    widths.append(page.evaluate("document.documentElement.scrollWidth - innerWidth"))
    visitor.complaints = [one for one in visitor.complaints if "ERR_" not in one]

    assert widths == [0, 0]


def test_a_keyboard_is_enough(
    store: Store,
    site: Site,
    visitor: Visitor,
    server: Server,
    eventually: Callable[..., None],
) -> None:
    """To choose a series, to sort, and to move in the chart."""
    learn(store, SERIES, MORE)
    learn(store, DAY, [Candle(i * 86_400_000, 1.0, 2.0, 1.0, 1.5, 3.0) for i in range(1, 30)])
    page = visitor.open(site.begin())
    page.wait_for_selector("#steps td")
    expect(page.locator("#chosen-heading")).to_have_text("BTC/USDT, 1d, test")
    shown = "document.getElementById('chart').layout.xaxis.range"

    page.get_by_role("button", name="Close").focus()
    for direction in ("ascending", "descending"):
        page.keyboard.press("Enter")
        heading = page.locator("#series").get_by_role("columnheader", name="Close")
        expect(heading).to_have_attribute("aria-sort", direction)
    expect(page.locator("#series tbody tr").first).to_contain_text(NAME)
    page.get_by_role("link", name=NAME).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#chosen-heading")).to_have_text("BTC/USDT, 1h, test")
    expect(page.get_by_role("link", name=NAME)).to_be_focused()
    eventually(lambda: is_drawn(page, ForecastReader(server.url).latest(NAME)), "it is drawn")
    newest = page.evaluate(shown)
    page.locator("#chart").focus()
    page.keyboard.press("+")
    nearer = page.evaluate(shown)
    page.keyboard.press("ArrowLeft")
    earlier = page.evaluate(shown)
    page.keyboard.press("End")

    assert newest[0] < nearer[0] < minute(MORE[-1].open_time) < nearer[1] < newest[1]
    assert earlier[0] < nearer[0]
    assert page.evaluate(shown) == newest


def test_a_token_is_asked_for(store: Store, site: Site, visitor: Visitor) -> None:
    """And kept for the tab alone; a wrong one is asked for again."""
    learn(store, SERIES, MORE)
    token, digest = new_token()
    page = visitor.open(site.begin(CANDLECAST_API_TOKENS=digest), NAME)
    field = page.get_by_role("textbox", name="Token")
    field.fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("This token is wrong.")
    field.fill(token)
    page.keyboard.press("Enter")
    page.wait_for_selector("#steps td")

    assert token not in json.dumps(page.context.storage_state())
    visitor.complaints = [one for one in visitor.complaints if "status of 401" not in one]


def test_an_end_of_the_server_is_told_and_outlived(
    store: Store,
    site: Site,
    visitor: Visitor,
    eventually: Callable[..., None],
    server: Server,
) -> None:
    """Nobody takes an old picture for a live one."""
    learn(store, SERIES, MORE[:-1])
    address = site.begin()
    page = visitor.open(address, NAME)
    page.wait_for_selector("#steps td")
    expect(page.locator("#connection")).to_have_text("● live")
    site.end()
    expect(page.locator("#connection")).to_contain_text("connection lost")
    learn(store, SERIES, MORE[-1:])
    site.begin(address.rpartition(":")[2])

    expect(page.locator("#connection")).to_have_text("● live", timeout=30_000)
    eventually(lambda: is_drawn(page, ForecastReader(server.url).latest(NAME)), "it goes on")
    visitor.complaints = [one for one in visitor.complaints if "ERR_" not in one]


def test_what_is_stale_says_so(store: Store, site: Site, visitor: Visitor) -> None:
    """In the table and above the chart."""
    learn(store, SERIES, WALK)
    page = visitor.open(site.begin())

    expect(page.get_by_role("row", name=NAME)).to_contain_text("STALE for ")
    expect(page.get_by_role("status").nth(1)).to_contain_text("This forecast is STALE")


def test_where_there_is_nothing_it_says_how_to_begin(site: Site, visitor: Visitor) -> None:
    """Whoever opens it first sees no broken page."""
    page = visitor.open(site.begin())

    expect(page.get_by_role("heading", name="No series yet")).to_be_visible()
