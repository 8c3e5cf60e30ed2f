"""`candlecast.py`, which import-linter cannot hold: it joins the commands and nothing knows it."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("api", "config", "models", "producers", "shared", "worker")


def imported(path: Path) -> Iterator[str]:
    """Yield the dotted names a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_nothing_imports_the_root() -> None:
    """The root knows the folders; no folder knows the root."""
    importers = [
        path
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
        if any(name.split(".")[0] == "candlecast" for name in imported(path))
    ]

    assert importers == []
