"""Sizes a reader can hold: modules of 300 lines (tests, read one by one, 400), functions of 40."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
OURS = ("api", "benchmarks", "config", "models", "producers", "shared", "tests", "worker")
LONGEST_MODULE = 300
LONGEST_TEST_MODULE = 400
LONGEST_FUNCTION = 40


def modules() -> Iterator[Path]:
    """Yield every Python file of the project."""
    yield ROOT / "candlecast.py"
    for folder in OURS:
        yield from sorted((ROOT / folder).rglob("*.py"))


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function's body, without its docstring and a command's list of options."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_modules_are_short() -> None:
    """No module is longer than a reader can hold."""
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines()) for path in modules()
    }

    assert {
        path: lines
        for path, lines in lengths.items()
        if lines > (LONGEST_TEST_MODULE if path.startswith("tests/") else LONGEST_MODULE)
    } == {}


def test_functions_are_short() -> None:
    """No function is longer than a screen."""
    too_long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and body_lines(node) > LONGEST_FUNCTION
    ]

    assert too_long == []
