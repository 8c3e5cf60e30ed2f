"""Learners of a kind that learn in step, and what they say."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from models.cohort import Cohort
from models.distribution import chance_of_rise, deviation
from models.drift import signals
from models.forecaster import ScaleMixtureForecaster
from models.memory import Array, column, each, rows, stacked
from models.moves import fields_of
from models.pending import Whole
from shared.candle import Candle
from shared.errors import InvalidValue
from shared.forecast import MEDIAN, QUANTILE_LEVELS, Drift, Skill, Status

if TYPE_CHECKING:
    from models.learner import Learner

Voice = Literal["model", "challenger", "baseline"]
_Arrived = tuple[Array, Array, float | Array, int | Whole]
_WARM = 100
_SCORED_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a learner says after its last candle, for H candles ahead and L levels.

    Attributes
    ----------
    target_times
        Close times (UTC ms) of the candles that are forecast, H of them.
    quantiles
        Prices, shape (H, L), non-decreasing along the levels of `shared.forecast`.
    median
        Prices, shape (H,).
    volatility
        Standard deviation of the log return from the last close, shape (H,).
    prob_up
        Probability of a close above the last one (plus half that of no change), shape (H,).
    status
        ``warming_up`` during the first candles, ``fallback`` while the model does not speak itself.
    skill
        Recent skill of the model (never of the fallback) at the scored horizons: of what it said,
        forecasts that are not finite left out.
    drift
        The newest change in how the model (never the fallback) errs; None before the first.
    voice
        Who says it: the model, its challenger or the baseline.
    """

    target_times: tuple[int, ...]
    quantiles: Array
    median: Array
    volatility: Array
    prob_up: Array
    status: Status
    skill: tuple[Skill, ...]
    drift: Drift | None
    voice: Voice


class Learners:
    """Several learners of a kind, each of its own series: see `models.cohort.Cohort`.

    Forecasters that are not of the default kind learn one after the other; what is scored and
    said is worked out for all at once all the same.

    Parameters
    ----------
    members
        n of them; where there are several, their arrays lie in the rows of one: see
        `models.memory.stacked`.
    """

    def __init__(self, members: "Sequence[Learner]") -> None:
        self.members = members
        self._prequential = stacked([member.prequential for member in members])
        forecasters = [member.forecaster for member in members]
        stackable = [one for one in forecasters if isinstance(one, ScaleMixtureForecaster)]
        self._cohort = Cohort(stackable) if len(stackable) == len(members) else None
        shadows = [member.shadow for member in members if member.shadow]
        self._shadows = Learners(shadows) if shadows else None

    def learn(self, candles: Sequence[Candle]) -> None:
        """Score what was forecast for the next candle of each, then learn it.

        Raises whatever a model raises; the learners are of no use after that.
        """
        self.learn_many((candles,))

    def learn_many(self, rounds: Iterable[Sequence[Candle]]) -> None:
        """Do for each of some rounds of candles what `learn` does, with less work.

        What scores are summed up to is not asked for in between, so many are worked out at once.
        """
        groups = [self, self._shadows] if self._shadows else [self]
        arrived: list[list[_Arrived]] = []
        for candles in rounds:
            arrived.append([group.arrive(candles) for group in groups])
            if len(arrived) == _SCORED_AT_ONCE:
                self._score_all(groups, arrived)
                arrived.clear()
        if arrived:
            self._score_all(groups, arrived)

    def _score_all(
        self, groups: "Sequence[Learners]", arrived: Sequence[Sequence[_Arrived]]
    ) -> None:
        """Score what has arrived for those that speak, and for their challengers."""
        losses = [
            group.score(parts)
            for group, parts in zip(groups, zip(*arrived, strict=True), strict=True)
        ]
        if len(losses) > 1:
            both = zip(*losses, strict=True)
            for member, (own, other) in zip(self.members, both, strict=True):
                member.contest.take_in(own, other)

    def arrive(self, candles: Sequence[Candle]) -> _Arrived:
        """Learn the next candle of each; return what was forecast for them, closes and times."""
        members = self.members
        for member, candle in zip(members, candles, strict=True):
            member.hours.learn_one(candle.open_time)
        position = column([member.hours.position for member in members])
        closes = column([candle.close for candle in candles])
        times = column([candle.open_time for candle in candles])
        forecast, known = self._prequential.due(position, times)
        for member, candle in zip(members, candles, strict=True):
            member.prequential.take_in(candle.close)
            member.baseline.learn_one(candle.close)
        self._teach(candles)
        for member, candle in zip(members, candles, strict=True):
            member.close = candle.close
            member.sequence += 1
        self._forecast()
        self.keep(position, closes)
        return forecast, known, closes, times

    def score(self, arrived: Sequence[_Arrived]) -> Array:
        """Score, and watch for drift; return the CRPS, shape (n, candles, m)."""
        forecasts, known, closes, times = (np.array(parts) for parts in zip(*arrived, strict=True))
        closes = closes.reshape(*known.shape[:-1], 1)
        losses = self._prequential.score(forecasts, known, closes)
        watched = signals(forecasts, known, closes, losses)
        shape = len(arrived), len(self.members)
        watched = watched.reshape(*shape, -1).swapaxes(0, 1)
        columns = self.members, times.reshape(shape).T.tolist(), watched.tolist()
        for member, own_times, own in zip(*columns, strict=True):
            member.drift.learn_many(own_times, own)
        return losses.reshape(*shape, -1).swapaxes(0, 1)

    def outlooks(self) -> list[Outlook]:
        """Return what each says now; defined from the first candle on."""
        members = self.members
        if not all(member.sequence for member in members):
            raise InvalidValue("sequence", 0, "learn a candle before asking for an outlook")
        said, voices = zip(*self._spoken(), strict=True)
        quantiles = rows(said)
        returns = np.log(quantiles) - np.log(column([member.close for member in members], axes=2))
        arrays = (quantiles, deviation(returns), chance_of_rise(returns))
        columns = zip(
            *(members, voices, *(each(array, members) for array in arrays)),
            self._prequential.skills(),
            strict=True,
        )
        return [
            Outlook(
                target_times=tuple((member.hours.path + member.timeframe.ms).tolist()),
                quantiles=own,
                median=own[:, MEDIAN].copy(),
                volatility=volatility,
                prob_up=prob_up,
                status=_status(member, voice),
                skill=skill,
                drift=member.drift.found,
                voice=voice,
            )
            for member, voice, own, volatility, prob_up, skill in columns
        ]

    def _spoken(self) -> list[tuple[Array, Voice]]:
        """Return what is published of each, and who says it."""
        stand_ins = self._shadows.sound() if self._shadows else [None] * len(self.members)
        spoken: list[tuple[Array, Voice]] = []
        for member, own, other in zip(self.members, self.sound(), stand_ins, strict=True):
            if own is not None:
                spoken.append((own, "model"))
            elif other is not None:
                spoken.append((other, "challenger"))
            else:
                spoken.append((_baseline_of(member), "baseline"))
        return spoken

    def sound(self) -> list[Array | None]:
        """Return what each model says; None where that is nothing, or has been no use."""
        self._hear()
        worse = each(self._prequential.is_worse.tolist(), self.members)
        pairs = zip(self.members, worse, strict=True)
        return [None if fails else member.said for member, fails in pairs]

    def scores(self) -> list[dict[str, Any]]:
        """Return everything about the skill of each, ready for JSON."""
        self._hear()
        worse = each(self._prequential.is_worse.tolist(), self.members)
        columns = self.members, worse, self._prequential.all_scores()
        return [
            {
                "sequence": member.prequential.candles,
                "finite": member.said is not None or not member.sequence,
                **_faults(member),
                "rested_at": member.rested_at,
                "worse_than_baseline": is_worse,
                "drift": member.drift.newest,
                "horizons": scores,
                **self._challenge(member),
            }
            for member, is_worse, scores in zip(*columns, strict=True)
        ]

    def _challenge(self, member: "Learner") -> dict[str, Any]:
        """Return how a challenger does, where there is one."""
        if not member.shadow:
            return {}
        about = {"model": member.shadow.model, **member.shadow.scores()}
        return {"challenger": about | {"contest": member.contest.standing()}}

    def _teach(self, candles: Sequence[Candle]) -> None:
        fields = [fields_of(candle) for candle in candles]
        if self._cohort:
            self._cohort.learn([candle.close for candle in candles], fields)
            return
        for member, candle, x in zip(self.members, candles, fields, strict=True):
            member.forecaster.learn_one(candle.close, x)

    def _hear(self) -> None:
        """Ask for forecasts, unless they are those that were asked for last."""
        if any(member.sequence and member.said_after != member.sequence for member in self.members):
            self._forecast()

    def _forecast(self) -> None:
        """Ask the models for price quantiles (H, 9); those that are not finite are not heard."""
        if self._cohort:
            quantiles = self._cohort.forecast_quantiles(QUANTILE_LEVELS)
        else:
            quantiles = rows([_quantiles_of(member) for member in self.members])
        quantiles = quantiles.view()
        quantiles.flags.writeable = False  # they are handed out, and asked for again
        # One sum tells: it is finite only if all are (prices cannot cancel).
        sums = np.add.reduce(quantiles, (-2, -1)).tolist()
        parts = (each(part, self.members) for part in (quantiles, sums))
        for member, said, total in zip(self.members, *parts, strict=True):
            member.said = said if math.isfinite(total) else None
            member.said_after = member.sequence

    def keep(self, position: Whole, closes: float | Array) -> None:
        """Keep what was said, to be scored when the targets arrive."""
        heard = [member for member in self.members if member.said is not None]
        if len(heard) < len(self.members):
            for member in heard:
                member.alone.keep(member.hours.position, member.close)
            return
        self._prequential.put(
            position,
            rows([member.hours.path for member in heard]),
            closes,
            rows([member.said for member in heard]),
            column([member.baseline.volatility for member in heard]),
            column([member.prequential.least_variance(member.close) for member in heard]),
        )


def _faults(member: "Learner") -> dict[str, Any]:
    """Say what is wrong with a River model of a user's, and what was last, when and how often."""
    names = {"fault": "", "faults": 0, "last_fault": ""}
    names |= {"last_fault_at": None}
    return {name: getattr(member.forecaster, name, nothing) for name, nothing in names.items()}


def _baseline_of(member: "Learner") -> Array:
    return member.baseline.forecast_quantiles(member.horizon, QUANTILE_LEVELS)


def _quantiles_of(member: "Learner") -> Array:
    return member.forecaster.forecast_quantiles(member.horizon, QUANTILE_LEVELS)


def _status(member: "Learner", voice: Voice) -> Status:
    if voice != "model":
        return "fallback"
    return "live" if member.prequential.candles >= _WARM else "warming_up"
