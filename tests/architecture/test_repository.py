"""What is in the repository works on every machine: no private paths, no dead links."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HIDDEN_BUT_OURS = {".ci", ".github", ".dockerignore", ".env.example", ".gitignore"}
NOT_OURS = {"__pycache__", "build", "candlecast.egg-info"}
# Each written so that this file is not its own finding.
MACHINE = re.compile(r"(?<![\w.])/(?:work|root|home)/")
REGISTRY = re.compile(r"[p]ypi\.org|[p]ythonhosted|--(?:extra-)?[i]ndex-url")
UNSAFE = re.compile(r"^[\s$-]*(?:\S*/)?rq worker\b(?!.* -w worker\.candle_worker\.CandleWorker)")
LINK = re.compile(r"\]\((?!\w+:|#)(?P<path>[^)#\s]+)")


def ours(folder: Path = ROOT) -> Iterator[Path]:
    """Yield the project's files: all but hidden ones that are not ours, and builds."""
    for path in sorted(folder.iterdir()):
        if path.name in NOT_OURS or (path.name[0] == "." and path.name not in HIDDEN_BUT_OURS):
            continue
        if path.is_dir():
            yield from ours(path)
        else:
            yield path


def findings(pattern: re.Pattern[str]) -> list[str]:
    """Return the places, as file:line, where a text file of ours matches."""
    found = []
    for path in ours():
        try:
            lines = path.read_text().splitlines()
        except UnicodeDecodeError:
            continue
        found += [f"{path}:{n}" for n, line in enumerate(lines, 1) if pattern.search(line)]
    return found


def test_no_path_of_one_machine() -> None:
    """No file names a folder that exists on one machine only."""
    assert findings(MACHINE) == []


def test_no_registry_named() -> None:
    """Packages come from wherever the user's pip is set to look."""
    assert findings(REGISTRY) == []


def test_rqs_own_worker_is_shown_with_our_class_only() -> None:
    """Without it whoever may write to Redis runs what he likes on the machine of a reader."""
    assert UNSAFE.search("$ rq worker candles -S json")
    assert not UNSAFE.search("rq worker candles -w worker.candle_worker.CandleWorker")
    assert findings(UNSAFE) == []


@pytest.mark.parametrize("page", [p for p in ours() if p.suffix == ".md"], ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every link of a page to a file of the repository finds it."""
    targets = [match["path"] for match in LINK.finditer(page.read_text())]

    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_every_page_is_two_clicks_from_the_readme() -> None:
    """README leads to the pages, or to a page that leads there."""

    def linked(page: Path) -> set[Path]:
        return {
            (page.parent / match["path"]).resolve() for match in LINK.finditer(page.read_text())
        }

    first = linked(ROOT / "README.md")
    second = {there for page in first if page.suffix == ".md" for there in linked(page)}

    assert set((ROOT / "docs").glob("*.md")) <= first | second


def test_packages_say_their_job() -> None:
    """Each ``__init__`` says its folder's job, defines nothing and imports nothing of ours."""
    trees = {path: ast.parse(path.read_text()) for path in ours() if path.name == "__init__.py"}

    assert trees
    assert [path for path, tree in trees.items() if ast.get_docstring(tree) is None] == []
    assert [
        path
        for path, tree in trees.items()
        if any(
            isinstance(node, ast.ImportFrom | ast.FunctionDef | ast.ClassDef) for node in tree.body
        )
    ] == []


def test_tests_are_no_packages() -> None:
    """A package under tests/ would be imported in place of the folder it is named after."""
    assert list((ROOT / "tests").rglob("__init__.py")) == []
