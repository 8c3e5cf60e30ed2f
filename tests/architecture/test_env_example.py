"""`.env.example` and `Settings` tell the same."""

import re
import shutil
from itertools import pairwise
from pathlib import Path

import pytest

from config.settings import Settings

EXAMPLE = Path(__file__).parents[2] / ".env.example"
SETTING = re.compile(r"^(?:# )?CANDLECAST_(?P<name>[A-Z_]+)=(?P<value>.*)$", re.MULTILINE)


def test_example_names_every_setting_and_no_other() -> None:
    """Each field of Settings has its line, in the same order."""
    names = [match["name"].lower() for match in SETTING.finditer(EXAMPLE.read_text())]

    assert names == list(Settings.model_fields)


def test_example_shows_the_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A copy of the example changes nothing."""
    monkeypatch.chdir(tmp_path)
    defaults = Settings()
    shutil.copy(EXAMPLE, tmp_path / ".env")

    assert Settings() == defaults


def test_example_explains_every_setting() -> None:
    """One line of explanation stands above each setting."""
    lines = EXAMPLE.read_text().splitlines()
    unexplained = [
        line
        for above, line in pairwise(lines)
        if SETTING.match(line) and (not above.startswith("# ") or SETTING.match(above))
    ]

    assert unexplained == []
