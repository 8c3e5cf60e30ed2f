"""What becomes a version, in which order, and what happens to those that fail."""

import dataclasses
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from models import state
from models.gate import Showing
from models.learner import Learner
from shared.candle import Candle, Series
from shared.errors import RegistryError, StoreUnavailable
from shared.model_record import Champion, ModelRecord
from worker.snapshot import Snapshots
from worker.version import Verdict, metrics_of, model_name

HOUR = 3_600_000
SIGNER = state.Signer(b"0123456789abcdef0123456789abcdef")
BTC, ETH, DAY = (Series.parse(f"test:{name}") for name in ("BTC/USDT:1h", "ETH/USDT:1h", "A/B:1d"))


def record(series: Series, **fields: Any) -> ModelRecord:
    """A model that has learned two candles and was never snapshot."""
    learner = Learner(series.timeframe, 2)
    for position, close in enumerate((101.0, 100.5)):
        learner.learn_one(Candle(position * series.timeframe.ms, 100.0, 102.0, 99.0, close, 5.0))
    values = dict.fromkeys(field.name for field in dataclasses.fields(ModelRecord))
    values |= {"series": series, "cursor": series.timeframe.ms, "sequence": 2, "revision": 2}
    values |= {"state": state.dump(learner, SIGNER, series), "scores": learner.scores()}
    values["behind"] = []
    return ModelRecord(**{**values, "fingerprint": state.fingerprint("default", 2), **fields})


class FakeRecords:
    """Committed models, held in a dictionary."""

    def __init__(self, *records: ModelRecord) -> None:
        self.held = {record.series: record for record in records}
        self.spoilt: dict[Series, str] = {}

    def series(self) -> list[Series]:
        """Every series held."""
        return list(self.held)

    def faults(self, names: Sequence[Series]) -> dict[Series, str]:
        """Say of those among them that are spoilt."""
        return {series: fault for series, fault in self.spoilt.items() if series in names}

    def models(self, names: Sequence[Series]) -> list[ModelRecord]:
        """The models as they are now."""
        return [self.held[name] for name in names]

    def model(self, series: Series) -> ModelRecord:
        """One model as it is now."""
        return self.held[series]

    def set_snapshot(
        self,
        series: Series,
        *,
        version: int,
        alias: str | None,
        revision: int,
        champion: Champion | None = None,
    ) -> None:
        """Note a version, as the store does."""
        self.held[series] = dataclasses.replace(
            self.held[series],
            snapshot_version=version,
            snapshot_alias=alias,
            snapshot_revision=revision,
            champion=champion,
        )


class FakeRegistry:
    """Versions, held in a list; refuses the series it is told to."""

    def __init__(self, *, refuses: Series | None = None) -> None:
        self.refuses = refuses
        self.written: list[tuple[Series, Mapping[str, float]]] = []
        self.verdicts: list[str] = []
        self.hoards: Series | None = None
        self.reachable = True
        self.kept: list[tuple[Series, int, int]] = []
        self.crowned: list[tuple[Series, int, bool]] = []

    def write(
        self, record: ModelRecord, metrics: Mapping[str, float], verdict: Mapping[str, str]
    ) -> int:
        """Number the versions in the order in which they come."""
        if record.series == self.refuses:
            raise RegistryError("disk is full")
        self.written.append((record.series, metrics))
        self.verdicts.append(verdict.get("verdict", "not asked"))
        return len(self.written)

    def crown(
        self,
        series: Series,
        version: int,
        *,
        champion: bool,
        before: str | None = None,  # noqa: ARG002
    ) -> None:
        """Take down who became what."""
        self.crowned.append((series, version, champion))

    def answers(self) -> bool:
        """Say whether it can be reached."""
        return self.reachable

    def prune(self, series: Series, upto: int) -> int:
        """Take down up to which version it was asked to delete."""
        self.kept.append((series, upto, len(self.written)))
        if series == self.hoards:
            raise RegistryError("locked")
        return 0

    def mark_retired(self, series: Series, version: int) -> bool:  # noqa: ARG002 -- none is
        """Know of nobody who retired."""
        return False


class FakeCourt:
    """Lets through what it is told to."""

    def __init__(self, *reasons: str) -> None:
        self.reasons = reasons

    def verdict(self, record: ModelRecord, learner: Learner) -> Verdict:  # noqa: ARG002
        """Say what it was told to."""
        return Verdict(showing=Showing.of(learner), reasons=self.reasons)


def snapshots(records: FakeRecords, registry: FakeRegistry, *reasons: str) -> Snapshots:
    """What makes versions, and is told what speaks against them."""
    return Snapshots(records, registry, SIGNER, FakeCourt(*reasons))


def test_a_moved_model_becomes_a_version_once() -> None:
    """The version and the revision it holds are noted, so that the next round has nothing to do."""
    records, registry = FakeRecords(record(BTC)), FakeRegistry()

    first = snapshots(records, registry).take(budget_s=60)
    second = snapshots(records, registry).take(budget_s=60)

    assert first.written == {str(BTC): 1}
    assert second.written == {}
    assert registry.written == [(BTC, metrics_of(record(BTC).scores))]
    noted = records.held[BTC]
    assert (noted.snapshot_version, noted.snapshot_revision) == (1, 2)


@pytest.mark.parametrize(
    ("reasons", "alias", "champions"),
    [((), "champion", [1, 2]), (("too young",), "challenger", [None, None])],
)
def test_what_passes_becomes_the_champion(
    reasons: tuple[str, ...], alias: str, champions: list[int | None]
) -> None:
    """What does not is kept all the same, and the champion there is stays."""
    records, registry = FakeRecords(record(BTC)), FakeRegistry()
    found = []
    for revision in (2, 3):
        records.held[BTC] = dataclasses.replace(records.held[BTC], revision=revision)
        snapshots(records, registry, *reasons).take(budget_s=60)
        champion = records.held[BTC].champion
        found.append(champion and champion.version)

    assert records.held[BTC].snapshot_alias == alias
    assert found == champions
    assert registry.crowned == [(BTC, 1, not reasons), (BTC, 2, not reasons)]
    assert set(registry.verdicts) == {"failed" if reasons else "passed"}


@pytest.mark.parametrize("hoards", [None, BTC])
def test_old_versions_go_a_few_at_a_time(hoards: Series | None) -> None:
    """To delete them is no part of the snapshot: it may fail, and is done again."""
    records, registry = FakeRecords(record(BTC)), FakeRegistry()
    registry.hoards = hoards
    for revision in range(2, 23):
        records.held[BTC] = dataclasses.replace(records.held[BTC], revision=revision)
        report = snapshots(records, registry).take(budget_s=60)
        assert not report.failed

    assert registry.kept == [(BTC, 5, 15), (BTC, 10, 20)]


def test_nothing_learned_is_no_version() -> None:
    """The empty state of a series that is learned again is not kept."""
    registry = FakeRegistry()

    report = snapshots(FakeRecords(record(BTC, sequence=0, cursor=None)), registry).take(
        budget_s=60
    )

    assert (report.written, report.failed, registry.written) == ({}, {}, [])


def test_oldest_snapshot_first() -> None:
    """Never snapshot comes first, then the longest market time: one day before three hours."""
    registry = FakeRegistry()
    records = FakeRecords(
        record(ETH, revision=13, snapshot_revision=10),
        record(DAY, revision=5, snapshot_revision=4),
        record(BTC),
    )

    snapshots(records, registry).take(budget_s=60)

    assert [series for series, _ in registry.written] == [BTC, DAY, ETH]


def test_a_series_whose_keys_are_spoilt_does_not_hold_up_the_rest() -> None:
    """It is not read at all, since that would fail for its whole page, and is reported."""

    class Spoilt(FakeRecords):
        def models(self, names: Sequence[Series]) -> list[ModelRecord]:
            assert BTC not in names
            return super().models(names)

    records, registry = Spoilt(record(BTC), record(ETH)), FakeRegistry()
    records.spoilt[BTC] = "the key is a string, not a hash"

    report = snapshots(records, registry).take(budget_s=60)

    assert report.written == {str(ETH): 1}
    assert report.failed == {str(BTC): "the key is a string, not a hash"}


@pytest.mark.parametrize(("count", "tried"), [(1, 1), (2, 2), (7, 3)])
def test_a_registry_that_fails_them_all_ends_the_round(count: int, tried: int) -> None:
    """Each would wait for its time-outs: the rest is for the next round."""
    names = [Series.parse(f"test:{number}/USDT:1h") for number in range(count)]

    class Down(FakeRegistry):
        def write(self, *_: Any) -> int:
            raise RegistryError("connection refused")

    registry = Down()
    registry.reachable = False
    report = snapshots(FakeRecords(*map(record, names)), registry).take(budget_s=60)

    assert (len(report.failed), report.left) == (tried, count - tried)
    assert report.gave_up == "connection refused"


@pytest.mark.parametrize("last_s", [3.0, 11.0])
def test_one_with_trouble_of_its_own_hides_no_registry_that_is_down(last_s: float) -> None:
    """Nor does a budget that ends before three have failed."""
    names = [Series.parse(f"test:{number}/USDT:1h") for number in range(3)]
    spoilt = record(names[1], state=b"garbage")
    seconds = iter([0.0, 1.0, 2.0, last_s])

    class Down(FakeRegistry):
        def write(self, *_: Any) -> int:
            raise RegistryError("timed out")

    registry = Down()
    registry.reachable = False
    records = FakeRecords(record(names[0]), spoilt, record(names[2]))
    report = snapshots(records, registry).take(budget_s=10, clock=lambda: next(seconds))

    assert report.gave_up == "timed out"
    assert len(report.failed) + report.left == 3


def test_series_with_troubles_of_their_own_do_not_end_the_round() -> None:
    """However many they are: the registry is asked whether it is there."""
    names = [Series.parse(f"test:{number}/USDT:1h") for number in range(9)]

    class Picky(FakeRegistry):
        def write(self, *_: Any) -> int:
            raise RegistryError("somebody has deleted its run")

    report = snapshots(FakeRecords(*map(record, names)), Picky()).take(budget_s=60)

    assert (len(report.failed), report.left, report.gave_up) == (9, 0, "")


def test_a_failing_series_does_not_hold_up_the_rest() -> None:
    """What MLflow refuses is reported with its reason and tried again by the next round."""
    records = FakeRecords(record(BTC), record(ETH))

    report = snapshots(records, FakeRegistry(refuses=BTC)).take(budget_s=60)
    again = snapshots(records, FakeRegistry()).take(budget_s=60)

    assert report.written == {str(ETH): 1}
    assert report.failed == {str(BTC): "disk is full"}
    assert again.written == {str(BTC): 1}


@pytest.mark.parametrize("damage", [{"state": b"garbage"}, {"state": None}, {"fingerprint": "f00"}])
def test_a_state_that_no_worker_could_load_is_not_kept(damage: dict[str, Any]) -> None:
    """Unsigned bytes, no bytes or another model's never reach MLflow."""
    registry = FakeRegistry()

    report = snapshots(FakeRecords(record(BTC, **damage)), registry).take(budget_s=60)

    assert list(report.failed) == [str(BTC)]
    assert registry.written == []


def test_the_budget_ends_a_round_and_the_next_goes_on() -> None:
    """What did not fit is counted, and is first in the next round."""
    records = FakeRecords(record(BTC), record(ETH), record(DAY))
    seconds = iter([0.0, 1.0, 11.0])

    report = snapshots(records, FakeRegistry()).take(budget_s=10, clock=lambda: next(seconds))
    rest = snapshots(records, FakeRegistry()).take(budget_s=60)

    assert (len(report.written), report.left) == (1, 2)
    assert not report.written.keys() & rest.written.keys()
    assert len(rest.written) == 2


def test_a_round_that_was_faster_is_left_alone() -> None:
    """Between the list and its turn another round wrote the series: no second version."""

    class Overtaken(FakeRecords):
        def models(self, names: Sequence[Series]) -> list[ModelRecord]:
            """Answer, and be overtaken at once."""
            before = super().models(names)
            self.set_snapshot(BTC, version=7, alias=None, revision=2)
            return before

    registry = FakeRegistry()

    report = snapshots(Overtaken(record(BTC)), registry).take(budget_s=60)

    assert (report.written, registry.written) == ({}, [])


def test_a_round_that_lost_its_right_leaves_the_rest() -> None:
    """What it has not begun is the other round's."""
    rights = iter([True, False])
    registry = FakeRegistry()

    report = snapshots(FakeRecords(record(BTC), record(ETH)), registry).take(
        budget_s=60, renew=lambda: next(rights)
    )

    assert (len(report.written), report.left) == (1, 1)


def test_a_lost_redis_ends_the_round() -> None:
    """Without Redis there is no model to read, so that is nobody's failure."""

    class Gone(FakeRecords):
        def set_snapshot(self, series: Series, **noted: Any) -> None:
            raise StoreUnavailable(f"{series} {noted}: connection refused")

    with pytest.raises(StoreUnavailable):
        snapshots(Gone(record(BTC)), FakeRegistry()).take(budget_s=60)


def test_names_do_not_collide() -> None:
    """Symbols that differ only in their separators have models of their own."""
    symbols = ("BTC/USDT", "BTC-USDT", "BTC:USDT", "BTC.USDT", "BTC/USDT:USDT", "BTC-USDT-USDT")
    names = [model_name(Series.parse(f"test:{symbol}:1h")) for symbol in symbols]

    assert len(set(names)) == len(symbols)
    assert not any(sign in name for name in names for sign in "/:")


def test_metrics_are_what_the_learner_scored() -> None:
    """Recent, total and overall; one of two horizons has its target, so the mean is of that one."""
    metrics = metrics_of(record(BTC).scores)

    assert metrics["crps_h1"] == metrics["crps_total_h1"] == metrics["crps"] > 0
    assert metrics["candles_h2"] == 0
    assert "mae_h2" not in metrics
    for name in ("mae", "mape", "direction_accuracy", "crps_skill", "coverage_90"):
        assert f"{name}_h1" in metrics


def test_orchestration_needs_no_mlflow() -> None:
    """MLflow takes seconds to import: only who writes versions pays for it."""
    code = "import sys, worker.snapshot; sys.exit('mlflow' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
