"""The local exchange as a process of its own."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.market.clock import Clock

ROOT = Path(__file__).parents[2]


@contextlib.contextmanager
def served(*args: str) -> Iterator[tuple[str, Clock]]:
    """Run ``python -m tests.market.server`` with these arguments; give its address and clock."""
    command = [sys.executable, "-m", "tests.market.server", *args]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            yield ready["url"], Clock(**ready["clock"])
        finally:
            process.kill()
