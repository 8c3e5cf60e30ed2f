"""Scores of `benchmarks.accuracy` as the tables of docs/accuracy.md."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from models.catalog import prior_of
from models.constants import NONE


def tables(rows: Sequence[dict[str, Any]]) -> str:
    """Return a Markdown table for each kind of prior that the files were scored with."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: (not row["later"], str(row["file"]))):
        groups.setdefault(_heading(row), []).append(row)
    return "\n".join(line for group in groups.items() for line in _table(*group))


def _heading(row: dict[str, Any]) -> str:
    if prior_of(row["model"]) == NONE:
        return "Without shipped constants"
    if row["later"]:
        return "With the shipped prior, on candles that it has not seen"
    return "With constants that never saw the symbol"


def _table(heading: str, rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    kind, of = ("_ratio", " / best") if "crps_ratio" in rows[0] else ("", "")
    titles = (
        *("file", "origins", f"CRPS{of}", "mean", f"interval score{of}"),
        *("90 % band", "MAE, at most"),
    )
    yield f"\n### {heading}\n"
    yield _row(titles)
    yield "|---" * len(titles) + "|"
    for row in rows:
        yield _row(_cells(row, kind))
    cells = np.array([row[f"crps{kind}"] for row in rows])
    scores = np.array([row[f"interval{kind}"] for row in rows])
    yield (
        f"\nCRPS{of}: mean {cells.mean():.4f}, at most {cells.max():.4f}; "
        f"interval score{of}: mean {scores.mean():.4f}, at most {scores.max():.4f}."
    )


def _cells(row: dict[str, Any], kind: str) -> Iterator[str]:
    yield row["file"]
    yield f"{row['origins']:,}"
    yield _joined(row[f"crps{kind}"], 3)
    yield f"{np.mean(row[f'crps{kind}']):.4f}"
    yield _joined(row[f"interval{kind}"], 3)
    yield _joined([100 * share for share in row["coverage_90"]], 1)
    yield f"{max(row['mae']):.4f}"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _joined(values: Sequence[float], digits: int) -> str:
    return " / ".join(f"{value:.{digits}f}" for value in values)
