"""Examples in docstrings are true."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("api", "config", "models", "producers", "shared", "worker")
WITH_EXAMPLES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for folder in FOLDERS
    for path in sorted((ROOT / folder).rglob("*.py"))
    if ">>> " in path.read_text()
]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_hold(name: str) -> None:
    """Run the examples of one module."""
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

    result = doctest.testmod(importlib.import_module(name), optionflags=options)

    assert result.failed == 0
