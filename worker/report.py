"""A backtest as one HTML page that needs nothing else: tables, pictures and their words."""

import html
import io
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from worker.summary import cell, seen_before
from worker.trial import BASELINE

MOST_PICTURES = 24
"""Series with pictures of their own; a page with more would be too heavy to open."""

# Okabe and Ito's colours, which all readers can tell apart; lines differ in their dashes too.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)), "-")
_BANDS = ((0, 8, "95 %", 0.15), (1, 7, "90 %", 0.2), (3, 5, "50 %", 0.35))
_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Backtest</title>
<meta name="viewport" content="width=device-width">"""
_STYLE = """
:root { color-scheme: light dark; --line: #8888; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 72rem; padding: 1rem; }
table { border-collapse: collapse; margin: 0 0 1.5rem; }
th, td { border-bottom: 1px solid var(--line); padding: .25rem .75rem; text-align: right; }
td { white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
caption { text-align: left; padding: .5rem 0; }
figure { margin: 0 0 1.5rem; }
figure svg { background: #fff; height: auto; max-width: 100%; }
.scroll { overflow-x: auto; }
"""


def write(report: dict[str, Any], path: Path) -> None:
    """Write the page of what `worker.backtest.run` returned."""
    parts = [
        f"{_HEAD}<style>{_STYLE}</style></head><body><h1>Backtest</h1>",
        _overview(report),
    ]
    for number, (series, result) in enumerate(report.items()):
        parts.append(f"<h2 id='s{number}'>{html.escape(series)}</h2>")
        if "comparison" not in result:
            parts.append("<p>There were no candles.</p>")
            continue
        if caveat := seen_before(result["prior"]):
            parts.append(f"<p>{html.escape(caveat)}</p>")
        parts.extend((_comparison(result), _coverage(result)))
        if number < MOST_PICTURES:
            parts.extend(_pictures(f"s{number}", series, result))
    if len(report) > MOST_PICTURES:
        parts.append(f"<p>Only the first {MOST_PICTURES} series have pictures.</p>")
    parts.append("</body></html>\n")
    part = path.with_name(f".{path.name}")
    part.write_text("\n".join(parts), encoding="utf-8")
    part.replace(path)


def _overview(report: dict[str, Any]) -> str:
    rows = []
    for number, (series, result) in enumerate(report.items()):
        ratios = [
            one["against"][BASELINE]["ratio"] for one in result.get("comparison", {}).values()
        ]
        known = [ratio for ratio in ratios if ratio is not None]
        covered = [share for share in result.get("coverage", {}).get("90", ()) if share is not None]
        rows.append(
            (
                f"<a href='#s{number}'>{html.escape(series)}</a>",
                f"{result['candles']:,}",
                f"{1 - sum(known) / len(known):+.2%}" if known else "-",
                f"{sum(covered) / len(covered):.1%}" if covered else "-",
            )
        )
    head = ("series", "candles", "CRPS skill against naive", "90 % band covered")
    caption = "Means over the scored horizons, of the origins that the comparisons below are of"
    return _table(caption, head, rows)


def _comparison(result: dict[str, Any]) -> str:
    """CRPS ratios with the p-values of Diebold and Mariano."""
    others = list(next(iter(result["comparison"].values()))["against"])
    rows = []
    for horizon, one in result["comparison"].items():
        cells = (html.escape(cell(one["against"][other])) for other in others)
        rows.append((horizon, f"{one['origins']:,}", *cells))
    caption = (
        "CRPS of what was said (by the model, or by the baseline while it fell back) over that of "
        f"the baseline and of each scale expert alone, from {_day(result['compared_from'])} on "
        "(below 1 is better); in brackets the two-sided p-value of Diebold and Mariano"
    )
    return _table(caption, ("ahead", "origins", *map(html.escape, others)), rows)


def _coverage(result: dict[str, Any]) -> str:
    bands = result["coverage"]
    rows = [
        (str(horizon), *(_percent(shares[number]) for shares in bands.values()))
        for number, horizon in enumerate(result["horizons"])
    ]
    caption = "How much of what happened lay inside each band"
    return _table(caption, ("ahead", *(f"{band} % band" for band in bands)), rows)


def _table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = "".join(f"<th scope='col'>{name}</th>" for name in head)
    body = "".join(
        f"<tr><th scope='row'>{row[0]}</th>{''.join(f'<td>{cell}</td>' for cell in row[1:])}</tr>"
        for row in rows
    )
    return (
        f"<div class='scroll'><table><caption>{caption}</caption><thead><tr>{cells}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _pictures(name: str, series: str, result: dict[str, Any]) -> Iterator[str]:
    """Yield the fan, the reliability diagram and the skill over time as figures with words."""
    for kind, (words, drawn) in pictures(series, result).items():
        picture = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{name}-{kind}-", drawn)
        picture = picture[picture.index("<svg") :]
        yield f"<figure>{picture}<figcaption>{html.escape(words)}</figcaption></figure>"


def pictures(series: str, result: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Draw what `worker.trial.Trial.report` has found.

    Returns
    -------
    Words and SVG of ``fan``, ``reliability`` and ``skill``.
    """
    fan, horizons = result["fan"], result["horizons"]
    last, ends = fan["closes"][-1], fan["quantiles"][-1]
    reliability, over_time = result["reliability"], result["skill_over_time"]
    words = {
        "fan": f"{series}: the last {len(fan['closes'])} closes, each with the 90 % band forecast "
        f"one candle before, and the forecast of the next {len(fan['quantiles'])}. The last close "
        f"is {last:.6g}; {len(fan['quantiles'])} candles ahead the median is {ends[4]:.6g} and the "
        f"90 % band reaches from {ends[1]:.6g} to {ends[7]:.6g}.",
        "reliability": "Reliability: the share of closes below each quantile (one on it counts "
        "half), against the share that it claims, and the difference of both in percentage points. "
        f"On the grey line they agree; {_furthest(reliability)}.",
        "skill": f"CRPS skill against the baseline in {len(over_time['until'])} windows of equal "
        "length; above 0 what was said is better. Means: "
        f"{_mean_skills(over_time, horizons)}.",
    }
    panels: dict[str, list[Callable[[Axes], None]]] = {
        "fan": [lambda axes: _draw_fan(axes, fan)],
        "reliability": [
            lambda axes: _draw_reliability(axes, reliability, horizons),
            lambda axes: _draw_gaps(axes, reliability, horizons),
        ],
        "skill": [lambda axes: _draw_skill(axes, over_time, horizons)],
    }
    return {kind: (told, _svg(told, panels[kind])) for kind, told in words.items()}


def _furthest(reliability: dict[str, Any]) -> str:
    gaps = [
        abs(below - level)
        for row in reliability["below"]
        for level, below in zip(reliability["levels"], row, strict=True)
        if below is not None
    ]
    return f"the furthest point is {max(gaps):.1%} away" if gaps else "no point is known yet"


def _mean_skills(over_time: dict[str, Any], horizons: Sequence[int]) -> str:
    means = []
    for horizon, row in zip(horizons, over_time["skill"], strict=True):
        known = [skill for skill in row if skill is not None]
        means.append(f"{horizon} ahead {f'{sum(known) / len(known):+.1%}' if known else '-'}")
    return ", ".join(means)


def _svg(words: str, draw: Sequence[Callable[[Axes], None]]) -> str:
    """Draw side by side."""
    with mpl.rc_context({"svg.hashsalt": "candlecast", "svg.fonttype": "none", "font.size": 10}):
        figure = Figure(figsize=(10, 4), layout="constrained")
        panels = figure.subplots(1, len(draw), squeeze=False)[0]
        for axes, drawing in zip(panels, draw, strict=True):
            drawing(axes)
            axes.spines[["top", "right"]].set_visible(False)
        drawn = io.StringIO()
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    told = f'<svg role="img" aria-label="{html.escape(words)}"'
    return drawn.getvalue().replace("<svg", told, 1)


def _draw_fan(axes: Axes, fan: dict[str, Any]) -> None:
    times = _times(fan["open_times"])
    bands = list(zip(*fan["one_ahead"], strict=True))
    axes.fill_between(
        _times(fan["one_ahead_times"]),
        bands[0],
        bands[2],
        color=_COLOURS[4],
        alpha=0.25,
        linewidth=0,
        label="90 % band, forecast one candle before",
    )
    axes.plot(times, fan["closes"], color="black", linewidth=1, label="close")
    ahead = _times(fan["ahead_times"])
    columns = list(zip(*fan["quantiles"], strict=True))
    for low, high, name, alpha in _BANDS:
        axes.fill_between(
            ahead,
            columns[low],
            columns[high],
            color=_COLOURS[1],
            alpha=alpha,
            linewidth=0,
            label=f"{name} band ahead",
        )
    axes.plot(ahead, columns[4], color=_COLOURS[1], linestyle="--", label="median ahead")
    axes.set_ylabel("price")
    _legend(axes, columns=4)


def _draw_reliability(axes: Axes, reliability: dict[str, Any], horizons: Sequence[int]) -> None:
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1)
    for number, row in enumerate(reliability["below"]):
        axes.plot(reliability["levels"], _numbers(row), **_line(number, horizons), markersize=3)
    axes.set(xlabel="probability claimed", ylabel="share below", aspect="equal")
    axes.legend(loc="upper left", fontsize=8)


def _draw_gaps(axes: Axes, reliability: dict[str, Any], horizons: Sequence[int]) -> None:
    levels = np.array(reliability["levels"])
    axes.axhline(0, color="grey", linewidth=1)
    for number, row in enumerate(reliability["below"]):
        gaps = 100 * (_numbers(row) - levels)
        axes.plot(levels, gaps, **_line(number, horizons), markersize=3)
    axes.set(xlabel="probability claimed", ylabel="share below less claimed, points")


def _draw_skill(axes: Axes, over_time: dict[str, Any], horizons: Sequence[int]) -> None:
    times = _times(over_time["until"])
    axes.axhline(0, color="grey", linewidth=1)
    for number, row in enumerate(over_time["skill"]):
        axes.plot(times, 100 * _numbers(row), **_line(number, horizons), markersize=2)
    axes.set_ylabel("CRPS skill, %")
    _legend(axes, columns=len(horizons))


def _legend(axes: Axes, columns: int) -> None:
    """Put the legend above the picture, where it hides nothing."""
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, fontsize=8, frameon=False)


def _line(number: int, horizons: Sequence[int]) -> dict[str, Any]:
    """Say how a horizon's line looks."""
    return {
        "color": _COLOURS[number % len(_COLOURS)],
        "linestyle": _DASHES[number % len(_DASHES)],
        "marker": "o",
        "label": f"{horizons[number]} ahead",
    }


def _numbers(values: Sequence[float | None]) -> NDArray[np.float64]:
    return np.array(values, dtype=np.float64)


def _times(times_ms: Sequence[int]) -> NDArray[Any]:
    return np.array(times_ms).astype("datetime64[ms]")


def _day(time_ms: int) -> str:
    return str(_times([time_ms])[0].astype("datetime64[D]"))


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
