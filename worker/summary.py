"""What a backtest found, in words for a terminal and a page."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

_SURE = 0.001


def lines(report: dict[str, Any]) -> Iterator[str]:
    """Yield lines for people: skill, comparison and coverage of each series by horizon.

    Parameters
    ----------
    report
        What `worker.backtest.run` returned.
    """
    for name, result in report.items():
        yield f"{name}: {result['candles']} candles, model {result['model']}"
        if "comparison" not in result:
            continue
        if caveat := seen_before(result["prior"]):
            yield f"  {caveat}"
        others = list(next(iter(result["comparison"].values()))["against"])
        yield f"  CRPS over that of {', '.join(others)} (p-value), and the 90 % band's coverage"
        for number, (horizon, one) in enumerate(result["comparison"].items()):
            cells = "  ".join(cell(one["against"][other]) for other in others)
            covered = result["coverage"]["90"][number]
            yield f"  {horizon:>5}  {cells}  {'-' if covered is None else f'{covered:.2%}'}"


def cell(difference: dict[str, float | None]) -> str:
    """Say how one forecaster compares with another: ratio, and p-value in brackets."""
    ratio, p_value = difference["ratio"], difference["p_value"]
    if ratio is None:
        return "-"
    if p_value is None:
        return f"{ratio:.4f} (-)"
    return f"{ratio:.4f} ({f'<{_SURE:g}' if p_value < _SURE else f'{p_value:.3f}'})"


def seen_before(prior: dict[str, Any] | None) -> str:
    """Say how many of the compared forecasts the prior may have learned from; nothing if none."""
    if prior is None or prior["compared_before"] == 0:
        return ""
    if prior["trained_until"] is None:
        return (
            f"BEWARE: the prior {prior['digest']} does not say which candles it was trained on; it "
            "may have seen these"
        )
    day = datetime.fromtimestamp(prior["trained_until"] / 1_000, UTC)
    return (
        f"BEWARE: {prior['compared_before']:,} of the {prior['compared']:,} forecasts compared are "
        f"of candles before {day:%Y-%m-%d %H:%M} UTC, which the prior {prior['digest']} may have "
        "been trained on: judge by later candles, or by --no-prior"
    )
