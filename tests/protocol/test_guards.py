"""Each guard of the rules taken out: what then breaks, and how soon."""

import os
import re
from pathlib import Path

import pytest

from tests.protocol.configurations import COSTS, GUARDS, without
from tests.protocol.table import PAGE, replaced

pytestmark = pytest.mark.timeout(180)
SWITCH = re.compile(r"\"([^\"]+)\" (?:not )?in (?:self\.config\.)?rules\.off")


@pytest.mark.parametrize("guard", GUARDS)
def test_a_guard_taken_out_breaks_an_invariant(guard: str) -> None:
    """The shortest way to break it is printed."""
    breach = without(guard).breach

    print(f"without: {guard}\n{breach}")
    assert breach is not None


@pytest.mark.parametrize("guard", COSTS)
def test_a_guard_that_only_saves_time_breaks_nothing(guard: str) -> None:
    """The page calls these a matter of cost: no search says otherwise."""
    assert without(guard).breach is None


def test_every_switch_of_the_model_is_tried() -> None:
    """No guard is left out of the table, none in it is misspelt."""
    sources = [path.read_text() for path in Path(__file__).parent.glob("*.py")]
    switches = {match for source in sources for match in SWITCH.findall(source)}

    assert switches == set(GUARDS) | set(COSTS)


def test_the_page_shows_what_the_search_finds() -> None:
    """The tables of ``docs/guarantees.md`` are those that these tests make."""
    made = replaced(PAGE.read_text())
    if os.environ.get("PROTOCOL_WRITE") == "1":
        PAGE.write_text(made)

    assert PAGE.read_text() == made, (
        "PROTOCOL_WRITE=1 make test ARGS=tests/protocol writes the page"
    )
