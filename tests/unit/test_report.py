"""The page of a backtest."""

import re
from copy import deepcopy
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.hours import HOUR_MS, MONDAY_MS
from models.learner import Learner
from shared.candle import Candle, Timeframe
from worker import report, summary
from worker.trial import Trial

# Elements of HTML that have no end tag.
VOID = {"br", "hr", "img", "input", "link", "meta"}
NAMED = "test:BTC/USDT:1h"


class Page(HTMLParser):
    """A page as its elements: whatever is opened must be closed, in order.

    Attributes
    ----------
    elements
        Name, attributes and text (that of its children included) of each, in document order.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.inside: dict[int, list[int]] = {}
        self._open: list[int] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open an element."""
        self.inside[len(self.elements)] = list(self._open)
        self._open.append(len(self.elements))
        self.elements.append((tag, dict(attrs), []))
        assert len(dict(attrs)) == len(attrs)
        if tag in VOID:
            self._open.pop()

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open and close an element; only those of a picture may do so at once."""
        self.handle_starttag(tag, attrs)
        assert "svg" in {self.elements[at][0] for at in self._open}
        self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        """Close the element that was opened last."""
        assert self.elements[self._open.pop()][0] == tag

    def handle_data(self, data: str) -> None:
        """Add to the text of all open elements."""
        for at in self._open:
            self.elements[at][2].append(data)

    def find(self, *tags: str) -> list[tuple[dict[str, str | None], str]]:
        """Return attributes and text of the elements of these names."""
        return [(attrs, "".join(text)) for tag, attrs, text in self.elements if tag in tags]

    def texts(self, *tags: str) -> list[str]:
        """Return the texts of the elements of these names."""
        return [text for _, text in self.find(*tags)]

    def rows(self) -> list[list[str]]:
        """Return the cells of every row of every table."""
        rows: dict[int, list[str]] = {}
        for at, (tag, _, text) in enumerate(self.elements):
            if tag in ("td", "th"):
                rows.setdefault(self.inside[at][-1], []).append("".join(text))
        return list(rows.values())


def result(count: int, horizon: int = 3) -> dict[str, Any]:
    """Run the default model over a random walk, and report."""
    closes = 100 * np.exp(np.cumsum(np.random.default_rng(6).normal(0, 0.01, count + 1)))
    candles = [
        Candle(MONDAY_MS + hour * HOUR_MS, o, max(o, c), min(o, c), c, 1.0)
        for hour, (o, c) in enumerate(pairwise(closes.tolist()))
    ]
    trial = Trial(Learner(Timeframe("1h"), horizon))
    assert len(list(trial.run(candles))) == count
    return {"model": "default", **trial.report()}


@cache
def _usual() -> dict[str, Any]:
    return result(120)


def usual() -> dict[str, Any]:
    """Return the report of 120 candles that no prior has seen, for each test its own."""
    return deepcopy(_usual()) | {"prior": None}


def write(results: dict[str, Any], folder: Path) -> str:
    """Write a page and read it."""
    report.write(results, folder / "report.html")
    return (folder / "report.html").read_text()


def test_page_is_whole_and_its_headings_are_in_order(tmp_path: Path) -> None:
    """Every element is closed; the title comes first, then each series, and links lead there."""
    text = write({NAMED: usual(), "b": usual()}, tmp_path)

    page = Page(text)

    assert text.startswith("<!doctype html>")
    assert page.find("html")[0][0]["lang"] == "en"
    assert page.texts("title") == ["Backtest"]
    headings = [(tag, "".join(text)) for tag, _, text in page.elements if re.match(r"h\d", tag)]
    assert headings == [("h1", "Backtest"), ("h2", NAMED), ("h2", "b")]
    assert [attrs["href"] for attrs, _ in page.find("a")] == [
        f"#{attrs['id']}" for attrs, _ in page.find("h2")
    ]


def test_page_needs_nothing_else(tmp_path: Path) -> None:
    """It has no script and loads nothing: what it points at is in itself."""
    page = Page(write({NAMED: usual()}, tmp_path))
    ids = {attrs.get("id") for _, attrs, _ in page.elements}

    assert not page.find("script", "link", "img", "iframe", "object")
    for _, attrs, _ in page.elements:
        assert "src" not in attrs
        for name, value in attrs.items():
            if name in ("href", "xlink:href"):
                assert value is not None
                assert value.startswith("#")
                assert value[1:] in ids
            assert set(re.findall(r"url\(#([^)]*)\)", value or "")) <= ids


def test_every_picture_has_words(tmp_path: Path) -> None:
    """Three a series, each an image with a label and the same words under it."""
    page = Page(write({NAMED: usual()}, tmp_path))

    pictures, words = page.find("svg"), page.texts("figcaption")
    assert len(page.find("figure")) == len(pictures) == len(words) == 3
    for (attrs, _), said in zip(pictures, words, strict=True):
        assert attrs["role"] == "img"
        assert attrs["aria-label"] == said
        assert len(said) > 40
    for at, (tag, _, _) in enumerate(page.elements):
        if tag in ("svg", "figcaption"):
            assert page.elements[page.inside[at][-1]][0] == "figure"


def test_words_say_what_the_picture_shows(tmp_path: Path) -> None:
    """The last close and the forecast's end; the furthest share; the mean skill."""
    one = usual()
    one["fan"]["closes"][-1] = 123.25
    one["fan"]["quantiles"][-1] = [1.5, 111.25, 112.0, 118.0, 124.5, 130.0, 140.0, 151.75, 160.0]
    one["reliability"]["below"] = [list(one["reliability"]["levels"]) for _ in range(2)]
    one["reliability"]["below"][1][4] = 0.375
    one["skill_over_time"]["skill"] = [[0.02, None, 0.04], [None, None, -0.125]]
    one["skill_over_time"]["until"] = one["skill_over_time"]["until"][:3]

    fan, reliability, skill = Page(write({NAMED: one}, tmp_path)).texts("figcaption")

    assert fan.startswith(f"{NAMED}: the last 120 closes")
    for number in ("123.25", "124.5", "111.25 to 151.75", "next 3"):
        assert number in fan
    assert "12.5% away" in reliability
    assert "3 windows" in skill
    assert "1 ahead +3.0%, 3 ahead -12.5%" in skill


def test_words_do_not_tell_of_what_is_unknown(tmp_path: Path) -> None:
    """No share and no skill is known in the first candles: that is said, and not 0."""
    one = usual()
    one["reliability"]["below"] = [[None] * 9 for _ in range(2)]
    one["skill_over_time"]["skill"] = [[0.02, None, 0.04], [None, None, None]]
    one["skill_over_time"]["until"] = one["skill_over_time"]["until"][:3]

    _, reliability, skill = Page(write({NAMED: one}, tmp_path)).texts("figcaption")

    assert "no point is known yet" in reliability
    assert "1 ahead +3.0%, 3 ahead -." in skill


def test_tables_show_the_numbers_of_the_report(tmp_path: Path) -> None:
    """Mean skill and coverage in the overview; each ratio, p-value and band by horizon."""
    one = usual()
    one["candles"] = 12_345
    one["coverage"] = {
        "50": [0.51, 0.52],
        "80": [0.81, 0.82],
        "90": [0.91, 0.93],
        "95": [0.96, 0.97],
    }
    for ahead, (ratio, p_value) in {"1": (0.98, 0.0004), "3": (0.9554, 0.00149)}.items():
        one["comparison"][ahead]["origins"] = 4_321
        against = one["comparison"][ahead]["against"]
        against["baseline"] |= {"ratio": ratio, "p_value": p_value}
        against["SlowLevel(66)"] |= {"ratio": None, "p_value": None}

    page = Page(write({NAMED: one}, tmp_path))

    overview, rows = page.rows()[:2], page.rows()[2:]
    assert overview[1] == [NAMED, "12,345", "+3.23%", "92.0%"]
    assert rows[0][:3] == ["ahead", "origins", "baseline"]
    column = rows[0].index("SlowLevel(66)")
    for row, ahead, cell, bands in (
        (rows[1], "1", "0.9800 (<0.001)", ["51.0%", "81.0%", "91.0%", "96.0%"]),
        (rows[2], "3", "0.9554 (0.001)", ["52.0%", "82.0%", "93.0%", "97.0%"]),
    ):
        assert row[:3] == [ahead, "4,321", cell]
        assert row[column] == "-"
        assert [ahead, *bands] in rows[3:]
    assert rows[3] == ["ahead", "50 % band", "80 % band", "90 % band", "95 % band"]


def test_header_cells_say_what_they_head(tmp_path: Path) -> None:
    """Those above head columns, the first of each row heads it; each table has a caption."""
    page = Page(write({NAMED: usual()}, tmp_path))

    tables = [at for at, (tag, _, _) in enumerate(page.elements) if tag == "table"]
    assert len(tables) == len(page.find("caption")) == 3
    for at, (tag, attrs, _) in enumerate(page.elements):
        if tag == "th":
            is_above = "thead" in {page.elements[outer][0] for outer in page.inside[at]}
            assert attrs["scope"] == ("col" if is_above else "row")
    assert [len(row) for row in page.rows()[2:]] == [2 + 5] * (1 + 2) + [1 + 4] * (1 + 2)


def test_what_the_prior_may_have_seen_is_said_before_the_tables(tmp_path: Path) -> None:
    """In the words of the terminal, under the heading of the series."""
    seen = {"digest": "6ae5", "trained_until": 0, "compared": 80, "compared_before": 12}

    page = Page(write({NAMED: usual(), "b": usual() | {"prior": seen}}, tmp_path))

    assert page.texts("p") == [summary.seen_before(seen)]
    order = [tag for tag, _, _ in page.elements if tag in ("h2", "p", "table")]
    assert order[-5:] == ["table", "h2", "p", "table", "table"]


def test_names_are_text(tmp_path: Path) -> None:
    """Markup in a name is shown, in headings, tables and labels, and does nothing."""
    name, one = "<b>x</b> & \"y\" 'z'", usual()
    for compared in one["comparison"].values():
        compared["against"]["<i>"] = compared["against"].pop("SlowLevel(66)")

    page = Page(write({name: one}, tmp_path))

    assert not page.find("b", "i")
    assert page.texts("h2") == page.texts("a") == [name]
    assert (page.find("svg")[0][0]["aria-label"] or "").startswith(f"{name}: the last")
    assert "<i>" in page.texts("th")


def test_the_same_report_is_the_same_page(tmp_path: Path) -> None:
    """To the byte: neither the time nor chance is in it."""
    assert write({NAMED: usual()}, tmp_path) == write({NAMED: usual()}, tmp_path)


def test_only_the_first_series_have_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page of more series than that says so; all of them have tables."""
    assert report.MOST_PICTURES == 24
    monkeypatch.setattr(report, "MOST_PICTURES", 2)
    two, three = (
        Page(write({str(n): usual() for n in range(count)}, tmp_path)) for count in (2, 3)
    )

    assert two.texts("p") == []
    assert three.texts("p") == ["Only the first 2 series have pictures."]
    assert len(two.find("figure")) == len(three.find("figure")) == 2 * 3
    assert len(three.find("table")) == 1 + 2 * 3


def test_a_series_without_candles_says_so(tmp_path: Path) -> None:
    """It is in the overview with dashes, and has neither table nor picture."""
    page = Page(write({NAMED: result(0)}, tmp_path))

    assert page.texts("p") == ["There were no candles."]
    assert page.rows()[1] == [NAMED, "0", "-", "-"]
    assert len(page.find("table")) == 1
    assert not page.find("svg")


@pytest.mark.filterwarnings("default:Mean of empty slice")
@pytest.mark.parametrize("count", [1, 6])
def test_what_is_unknown_is_a_dash(count: int, tmp_path: Path) -> None:
    """Also of a series that is shorter than its horizon, down to a single candle."""
    page = Page(write({NAMED: result(count, 24)}, tmp_path))

    assert len(page.find("svg")) == 3
    assert [row[-4:] for row in page.rows()[2:]][-1] == ["-"] * 4
    assert "nan" not in " ".join(page.texts("table", "figcaption"))
