"""Judging: a model is held against the gate, and against the champion of its series."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import structlog

from models import state
from models.gate import Bar, Showing
from models.learner import Learner
from shared.candle import Candle, Series, Timeframe
from shared.errors import StateError
from shared.model_record import Champion, ModelRecord
from worker.version import Hole, Verdict, Version, showing_of

log = structlog.get_logger(__name__)

_PAGE = 1_000


class Candles(Protocol):
    """What judging needs of the store."""

    def retained(self, series: Series) -> tuple[int | None, int]:
        """Return the open time of the log's first candle and how many it holds."""

    def candles(
        self, series: Series, *, after: int | None = None, count: int | None = None
    ) -> list[Candle]:
        """Return retained candles, oldest first."""


class Versions(Protocol):
    """What judging needs of the registry."""

    def versions(self, series: Series) -> Sequence[Version]:
        """Return the versions of a series, the newest first."""

    def state(self, series: Series, version: int) -> bytes:
        """Return the signed state of a version."""


class Judge:
    """Says of models whether they are fit to be champions.

    Parameters
    ----------
    candles
        The store.
    versions
        The registry.
    signer
        Checks the states of champions.
    bar
        What is asked, by timeframe.
    """

    def __init__(
        self,
        candles: Candles,
        versions: Versions,
        signer: state.Signer,
        bar: Callable[[Timeframe], Bar],
    ) -> None:
        self._candles = candles
        self._versions = versions
        self._signer = signer
        self._bar = bar

    def verdict(self, record: ModelRecord, learner: Learner) -> Verdict:
        """Hold a committed model against the gate and the champion there is.

        The champion's skill is of other candles. So one that shows less than that is beaten fairly
        only by what the champion would show by now: it learns the candles since again.
        """
        showing = Showing.of(learner)
        reasons = showing.shortfalls(self._bar(record.series.timeframe))
        champion = None if reasons else self.champion(record)
        if champion is None or not showing.is_worse_than(showing_of(champion)):
            return Verdict(showing=showing, reasons=tuple(reasons))
        less = f"skill {showing.skill:.4f}, version {champion.version} had {champion.skill:.4f}"
        try:
            by_now = self.champion_by_now(record, champion)
        except (StateError, Hole) as error:
            return Verdict(showing=showing, notes=(f"{less}; not contested: {error}",))
        would = "none" if by_now.skill is None else f"{by_now.skill:.4f}"
        if showing.is_worse_than(by_now):
            return Verdict(showing=showing, reasons=(f"{less}, and would have {would} by now",))
        return Verdict(showing=showing, notes=(f"{less}, but would have {would} by now",))

    def champion(self, record: ModelRecord) -> Champion | None:
        """Return the champion of a series: as the store knows it, else as the registry does."""
        if record.champion or not record.snapshot_version:
            return record.champion
        found = (one for one in self._versions.versions(record.series) if one.is_champion)
        return next((one.champion for one in found), None)

    def champion_by_now(self, record: ModelRecord, champion: Champion) -> Showing:
        """Return what a champion would show had it learned what the live model has since.

        Raises
        ------
        StateError
            When it cannot be loaded.
        Hole
            When candles after it are no longer kept.
        """
        series = record.series
        first, _ = self._candles.retained(series)
        if first is None or first > champion.cursor:
            raise Hole(
                *("gap", f"candles after version {champion.version} are no longer kept"),
                f"`candlecast rollback {series} --accept-gap` puts it back all the same",
            )
        raw = self._versions.state(series, champion.version)
        learner = state.load(raw, self._signer, record.fingerprint or "", series)
        learner.learn_many(self._between(series, champion.cursor, record.cursor or 0))
        return Showing.of(learner)

    def _between(self, series: Series, after: int, upto: int) -> Iterable[Candle]:
        while page := self._candles.candles(series, after=after, count=_PAGE):
            for candle in page:
                if candle.open_time > upto:
                    return
                yield candle
            after = page[-1].open_time
