"""The page of settings is made from them: ``python -m tests.architecture.test_configuration``."""

import re

from config.settings import Settings
from tests.conftest import ROOT

PAGE = ROOT / "docs" / "configuration.md"
EXAMPLE = (ROOT / ".env.example").read_text()
_LINE = re.compile(r"((?:^# (?!CANDLECAST_).*\n)+)(?:# )?CANDLECAST_([A-Z_]+)=(.*)$", re.MULTILINE)
_TABLE = re.compile(r"(?<=\|---\|---\|---\|\n)(?:\|.*\n)*")


def rows() -> str:
    """The table as it has to be: each setting in its order, its default and what it means."""
    told = {name.lower(): (text, default) for text, name, default in _LINE.findall(EXAMPLE)}
    lines = []
    for name in Settings.model_fields:
        text, default = told[name]
        meaning = " ".join(line.removeprefix("# ") for line in text.splitlines())
        cells = (f"`CANDLECAST_{name.upper()}`", f"`{default}`" if default else "", meaning)
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n")
    return "".join(lines)


def test_the_page_is_that_of_the_settings() -> None:
    """No more and no less."""
    assert _TABLE.findall(PAGE.read_text()) == [rows()]


if __name__ == "__main__":
    PAGE.write_text(_TABLE.sub(lambda _: rows(), PAGE.read_text()))
