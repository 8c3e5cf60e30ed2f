"""Examples of the pages, run as they stand there."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Server

ROOT = Path(__file__).parents[2]


def shown(page: str, language: str, containing: str) -> str:
    """The one example of a page in this language that contains a text."""
    text = (ROOT / "docs" / page).read_text()
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (found,) = (str(block) for block in blocks if containing in block)
    return found


class Run:
    """Runs programs in a folder, with the settings of a server."""

    def __init__(self, folder: Path, server: "Server") -> None:
        self.folder = folder
        path = f"{Path(sys.executable).parent}:{server.env['PATH']}"
        self.env = server.env | {"PATH": path, "PYTHONPATH": str(ROOT)}

    def __call__(self, *command: str) -> str:
        """Run one to its end, which must be a good one; return what it prints."""
        done = subprocess.run(
            self.found(*command),
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def found(self, *command: str) -> list[str]:
        """The command, where it is installed."""
        if shutil.which(command[0], path=self.env["PATH"]) is None:
            pytest.skip(f"{command[0]} is not installed")
        return [*command]
