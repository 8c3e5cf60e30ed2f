"""Fixtures of the fault suite, and the table at its end."""

from collections.abc import Callable, Iterator
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from rich.table import Table

from shared.candle import Series
from tests.faults import sources as sources_
from tests.faults.outcome import TITLES, Outcome, Row, outcome_of
from tests.faults.sources import Source
from tests.faults.stage import Stage

_ROW = "fault"


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Source]:
    """The series of all scenarios."""
    return sources_.make(tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="session")
def fault_free(
    sources: list[Source], tmp_path_factory: pytest.TempPathFactory
) -> dict[Series, Outcome]:
    """What the series come to when nothing happens."""
    stage = Stage(tmp_path_factory.mktemp("fault-free"), sources)
    try:
        stage.start_workers(2)
        stage.feed()
        stage.drain()
        store = stage.store()
        found = {source.series: outcome_of(store, source.series) for source in sources}
    finally:
        stage.close()
    assert [o.sequence for o in found.values()] == [len(source.candles) for source in sources]
    return found


@pytest.fixture
def stages(tmp_path: Path) -> Iterator[Callable[[list[Source]], Stage]]:
    """Open a scenario on these sources; all of it ends with the test."""
    opened: list[Stage] = []

    def begin(on: list[Source]) -> Stage:
        opened.append(Stage(tmp_path, on))
        return opened[-1]

    yield begin
    for stage in opened:
        stage.close()


@pytest.fixture
def stage(stages: Callable[[list[Source]], Stage], sources: list[Source]) -> Stage:
    """A scenario on the series of all."""
    return stages(sources)


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> np.random.Generator:
    """Chance, the same again with ``-p "randomly_seed=..."`` as pytest shows it."""
    seed = request.config.getoption("randomly_seed", 0)
    return np.random.default_rng(seed if isinstance(seed, int) else 0)


@pytest.fixture
def table(request: pytest.FixtureRequest) -> Iterator[list[Row]]:
    """The rows of the table; each scenario adds its own."""
    rows: list[Row] = []
    yield rows
    # By the report of the test, for the process that prints need not be the one that tested.
    request.node.user_properties.extend((_ROW, astuple(row)) for row in rows)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table."""
    ends = (report for report in terminalreporter.stats.get("", ()) if report.when == "teardown")
    named = (named for end in ends for named in end.user_properties)
    rows = [Row(*values) for name, values in named if name == _ROW]
    if not rows:
        return
    shown = Table(box=None, pad_edge=False)
    for title in TITLES:
        shown.add_column(title, justify="left" if title == TITLES[0] else "right")
    for row in sorted(rows, key=lambda row: row.fault):
        shown.add_row(*row.texts(), style=None if row.faultless else "red")
    console = Console(file=terminalreporter._tw._file, width=120)
    terminalreporter.ensure_newline()
    console.print(f"Faults, {sources_.described()}", highlight=False, soft_wrap=True)
    console.print(shown)
