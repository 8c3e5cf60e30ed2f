"""Judging: a model is held against the gate, and against the champion of its series."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Protocol

import numpy as np

from models import state
from models.gate import Bar, Showing
from models.learner import Learner
from shared.candle import Candle, Series, Timeframe
from shared.dead_letters import DeadLetters
from shared.errors import DecodeError, InvalidValue, StateError, StoreError
from shared.model_record import Champion, ModelRecord
from worker.recall import loaded
from worker.version import Hole, Verdict, Version

_PAGE = 1_000
# Of the same candles, on another kind of processor the last bits may differ.
_SAME = 1e-6
# A model that does not continue its champion is met over this share of the candles asked.
_MET_OVER = 0.4
# What workers have stepped over; dead letters of other kinds never were in the log.
_BURIED = {"undecodable", "model raised", "kills workers"}


class Candles(Protocol):
    """What judging needs of the store."""

    @property
    def dead_letters(self) -> DeadLetters:
        """What workers have stepped over."""

    def retained(self, series: Series) -> tuple[int | None, int]:
        """Return the open time of the log's first candle and how many it holds."""

    def candles(
        self, series: Series, *, after: int | None = None, count: int | None = None
    ) -> list[Candle]:
        """Return retained candles, oldest first."""


class Versions(Protocol):
    """What judging needs of the registry."""

    def champion(self, series: Series) -> Version | None:
        """Return the version that bears the alias."""

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

        Skills of other candles cannot be compared. So the champion learns the candles since again:
        a model that has come to the same is its continuation and takes its place. Any other has to
        show over many candles, from when it is first seen, that it is not worse.
        """
        showing, bar = Showing.of(learner), self._bar(record.series.timeframe)
        verdict = Verdict(showing, tuple(showing.shortfalls(bar)))
        known = self._versions.champion(record.series)
        if known is None:
            return verdict
        champion = known.champion
        verdict = replace(verdict, champion=champion)
        try:
            rival = self.by_now(record, champion)
        except Hole as hole:
            return replace(verdict, notes=(f"not contested: {hole.value}",))
        except (DecodeError, InvalidValue, StateError) as error:
            return replace(verdict, notes=(f"not contested: {error}",))
        if _is_same(learner, rival):
            return verdict
        since, least = self._met_since(record), int(_MET_OVER * bar.candles)
        met = sum(1 for _ in self.learned(record, since))
        # Those that have learned the same candles were one until then.
        parted = learner.sequence != rival.sequence or known.origin != (record.origin or "")
        its, name = Showing.of(rival), f"version {champion.version}"
        reasons = list(verdict.reasons)
        if met < least:
            reasons.append(
                f"no continuation of {name}: to be met over {least} candles, {met} so far"
            )
        elif showing.is_worse_than(its, apart=None if parted else met):
            reasons.append(f"skill {showing.said_skill}, {name} would have {its.said_skill} by now")
        return replace(verdict, reasons=tuple(reasons), met_since=since)

    def _met_since(self, record: ModelRecord) -> int:
        """Return the cursor at which a model was first seen that continues no champion: or now."""
        cursor = record.cursor or 0
        newest = next(iter(self._versions.versions(record.series)), None)
        if newest is None or newest.is_champion or newest.lineage != record.lineage:
            return cursor
        return min(newest.met_since or cursor, cursor)

    def by_now(self, record: ModelRecord, champion: Champion) -> Learner:
        """Return a champion that has learned what the live model has since.

        Raises
        ------
        StateError
            When it cannot be loaded, cannot learn them, or must not: they may be what kills.
        Hole
            When candles after it are no longer kept.
        DecodeError
            When one of them cannot be read.
        """
        series = record.series
        if _has_rested(record, champion.cursor):
            # What made it rest may kill whoever learns it again.
            raise StateError(f"a River model has rested since version {champion.version}")
        first, _ = self._candles.retained(series)
        if first is None or first > champion.cursor:
            raise Hole(
                *("gap", f"candles after version {champion.version} are no longer kept"),
                f"`candlecast rollback {series} --accept-gap` puts it back all the same",
            )
        learner = self._taught(record, champion, self.learned(record, champion.cursor))
        if learner.sequence != record.sequence and record.dead_letters:
            # What was buried once may have been learned since, by a model that had been put back.
            whole = self._taught(record, champion, self._all(record, champion.cursor))
            learner = whole if whole.sequence == record.sequence else learner
        return learner

    def _taught(
        self, record: ModelRecord, champion: Champion, candles: Iterator[Candle]
    ) -> Learner:
        raw = self._versions.state(record.series, champion.version)
        learner = loaded(raw, self._signer, None, record.series)
        try:
            learner.learn_many(candles)
        except (DecodeError, MemoryError, OSError, StoreError):
            raise
        except Exception as error:  # whatever a model makes of a candle
            raise StateError(
                f"version {champion.version} cannot learn the candles after it: {error}"
            ) from error
        return learner

    def learned(self, record: ModelRecord, after: int | None) -> Iterator[Candle]:
        """Yield the retained candles after one up to the cursor, but for those that are buried.

        Raises
        ------
        DecodeError
            When one of them cannot be read.
        """
        buried = self._buried(record.series) if record.dead_letters else set()
        return (one for one in self._all(record, after) if one.open_time not in buried)

    def _all(self, record: ModelRecord, after: int | None) -> Iterator[Candle]:
        upto = record.cursor or 0
        while page := self._candles.candles(record.series, after=after, count=_PAGE):
            yield from takewhile(lambda candle: candle.open_time <= upto, page)
            after = page[-1].open_time
            if after > upto:
                return

    def _buried(self, series: Series) -> set[int]:
        letters = self._candles.dead_letters.newest(str(series))
        times = (letter.candle.partition(" ")[0] for letter in letters if letter.reason in _BURIED)
        return {int(time) for time in times if time.isdecimal()}


def _has_rested(record: ModelRecord, since: int) -> bool:
    """Whether the model, or its challenger, was told to rest after a candle."""
    return int(record.scores.get("rested_at") or 0) >= since


def _is_same(one: Learner, other: Learner) -> bool:
    """Whether two learners have come to the same: what they say, and what they have shown."""
    if one.sequence != other.sequence:
        return False
    mine, its = (
        (learner.outlook().quantiles, learner.prequential.total) for learner in (one, other)
    )
    return all(np.allclose(a, b, rtol=_SAME, atol=0) for a, b in zip(mine, its, strict=True))
