"""Everything that may happen in small worlds, searched whole: the invariants hold."""

import os

import pytest

from tests.protocol.configurations import CONFIGURATIONS, LARGER, LIMITS, limit
from tests.protocol.search import search

pytestmark = pytest.mark.timeout(180)
LONG = os.environ.get("PROTOCOL_FULL") == "1"


@pytest.mark.parametrize("name", [*CONFIGURATIONS, *(LARGER if LONG else ())])
def test_the_rules_hold(name: str) -> None:
    """No step breaks an invariant, and the end can be reached from everywhere."""
    result = search((CONFIGURATIONS | LARGER)[name])

    print(f"{name}: {result.states} states, {result.depth} deep, {result.seconds:.1f} s")
    assert result.breach is None, str(result.breach)
    assert result.states > 1_000


@pytest.mark.parametrize("name", LIMITS)
def test_where_the_promise_ends(name: str) -> None:
    """What the page calls a limit is one, by the trace that it shows."""
    breach = limit(name).breach

    assert breach is not None
    assert breach.invariant == LIMITS[name][1]
