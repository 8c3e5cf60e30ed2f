"""Old versions, runs, files and rows go for good: the store stops growing."""

import sqlite3
from pathlib import Path

import pytest

from shared.store import Store
from tests.integration.housekeeping import EASY, HARD, House
from tests.integration.steps import SERIES, walk

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.usefixtures("field"),
    pytest.mark.filterwarnings("ignore"),  # MLflow and its libraries warn of themselves
]

WALK = walk(160)


def size(folder: Path) -> tuple[int, int, int]:
    """Rows, bytes of the database, and files and folders beside it."""
    with sqlite3.connect(folder / "mlflow.db") as base:
        tables = base.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        counts = [base.execute(f"SELECT count(*) FROM {name}").fetchone() for (name,) in tables]  # noqa: S608
    beside = sum(1 for _ in (folder / "mlartifacts").rglob("*"))
    return sum(rows for (rows,) in counts), (folder / "mlflow.db").stat().st_size, beside


@pytest.mark.at_length
def test_the_store_levels_off(store: Store, tmp_path: Path) -> None:
    """More snapshots need no more room; the champion and the newest versions stay."""
    house = House.at(store, tmp_path, run_snapshots=5)
    house.learn(WALK[:110])
    house.snapshot(EASY, keep=3)
    sizes = []
    for upto in range(111, 145):
        house.learn(WALK[upto - 1 : upto])
        house.snapshot(HARD, keep=3)
        if upto % 5 == 4:
            sizes.append(size(tmp_path))

    found = house.registry.versions(SERIES)
    *_, before, last = sizes
    assert [one.number for one in found] == [35, 34, 33, 1]
    assert found[-1].aliases == ("champion",)
    # Pages of the file are split now and then; five snapshots that stayed would add a fifth to it.
    most = (before[0], before[1] * 1.02, before[2])
    assert [now <= then for now, then in zip(last, most, strict=True)] == [True] * 3, sizes
    house.restore(1)
    house.restore(35)
