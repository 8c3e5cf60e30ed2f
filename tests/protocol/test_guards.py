"""Each guard of the rules taken out: what then breaks, and how soon."""

import os
import re
from pathlib import Path

import pytest

from tests.protocol.configurations import COSTS, GUARDS, without
from tests.protocol.table import PAGE, replaced

pytestmark = pytest.mark.timeout(180)
SWITCH = re.compile(r"\"([^\"]+)\" (?:not )?in (?:self\.config\.)?rules\.off")


def test_every_switch_of_the_model_is_tried() -> None:
    """No guard is left out of the table, none in it is misspelt."""
    sources = [path.read_text() for path in Path(__file__).parent.glob("*.py")]
    switches = {match for source in sources for match in SWITCH.findall(source)}

    assert switches == set(GUARDS) | set(COSTS)


@pytest.mark.at_length
def test_the_page_shows_what_the_search_finds() -> None:
    """The tables of ``docs/guarantees.md``: what breaks without each guard, and what does not."""
    made = replaced(PAGE.read_text())
    if os.environ.get("PROTOCOL_WRITE") == "1":
        PAGE.write_text(made)

    # Each search once: they are what these tests cost.
    for guard in GUARDS:
        breach = without(guard).breach
        print(f"without: {guard}\n{breach}")  # the shortest way to break an invariant
        assert breach is not None
    # Of these the page says that they only save time.
    assert [without(guard).breach for guard in COSTS] == [None] * len(COSTS)
    assert PAGE.read_text() == made, (
        "PROTOCOL_WRITE=1 make faults ARGS=tests/protocol writes the page"
    )
