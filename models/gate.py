"""The gate: what a model must show to become the champion of its series."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from models.learner import Learner
from models.skill import DECAY

_STANDARD_ERRORS = 2.0


@dataclass(frozen=True, slots=True)
class Bar:
    """The least that is asked of a champion.

    Attributes
    ----------
    candles
        Candles learned.
    skill
        CRPS skill over the baseline, the mean of the scored horizons: 0 is as good as it.
    coverage
        Lowest and highest share of outcomes that lie in the 90 % band, the mean of the horizons.
    """

    candles: int
    skill: float
    coverage: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Showing:
    """What a model has to show: recent scores, the mean of the scored horizons.

    Attributes
    ----------
    candles
        Candles learned.
    skill, error
        CRPS skill over the baseline, and its standard error; None before anything is scored.
    coverage
        Share of outcomes in the 90 % band.
    is_finite
        Whether what it says now is finite.
    """

    candles: int
    skill: float | None
    error: float | None
    coverage: float | None
    is_finite: bool

    @classmethod
    def of(cls, learner: Learner) -> Self:
        """Return what a learner has to show now."""
        scored = learner.prequential.skill_and_error()
        return cls.of_scores(learner.scores(), scored and scored[1])

    @classmethod
    def of_scores(cls, scores: Mapping[str, Any], error: float | None = None) -> Self:
        """Return what published `Learner.scores` show; the standard error is not among them.

        What nobody of ours wrote shows nothing, and is taken to be finite.
        """
        horizons = scores.get("horizons")
        groups = horizons.values() if isinstance(horizons, Mapping) else ()
        recent = [group.get("recent") for group in groups if isinstance(group, Mapping)]
        known = [group for group in recent if isinstance(group, Mapping)]
        sequence = scores.get("sequence")
        return cls(
            candles=sequence if isinstance(sequence, int) else 0,
            skill=_mean(known, "crps_skill"),
            error=error,
            coverage=_mean(known, "coverage_90"),
            is_finite=scores.get("finite") is not False,
        )

    @property
    def said_skill(self) -> str:
        """The skill in words."""
        return _short(self.skill)

    def shortfalls(self, bar: Bar) -> list[str]:
        """Say of each thing that is asked and not shown how far it is off."""
        least, most = bar.coverage
        said = [
            ("what it says is not finite", not self.is_finite),
            (f"{self.candles} candles learned, {bar.candles} asked", self.candles < bar.candles),
            ("nothing scored yet", self.skill is None),
            (
                f"skill {_short(self.skill)}, {_short(bar.skill)} asked",
                _below(self.skill, bar.skill),
            ),
            (
                f"coverage of the 90 % band {_short(self.coverage)}, {least} to {most} asked",
                self.coverage is not None and not least <= self.coverage <= most,
            ),
        ]
        return [reason for reason, holds in said if holds]

    def is_worse_than(
        self, other: "Showing", margin: float | None = None, apart: int | None = None
    ) -> bool:
        """Whether the skill is below another's by more than a margin: noise, unless it is given.

        Noise is two standard errors of the surer of both skills, which look back on the same
        candles. Where the models have been ``apart`` only for the last so many, the rest is the
        same to the bit and adds none. What is not finite is worse than anything that is.
        """
        if other.skill is None or not other.is_finite:
            return False
        if self.skill is None or not self.is_finite:
            return True
        if margin is None:
            errors = [error for error in (self.error, other.error) if error is not None]
            margin = _STANDARD_ERRORS * min(errors, default=0.0)
            margin *= 1.0 if apart is None else math.sqrt(1 - DECAY**apart)
        return self.skill < other.skill - margin


def _mean(groups: list[Mapping[str, Any]], name: str) -> float | None:
    values = [group.get(name) for group in groups]
    known = [value for value in values if isinstance(value, float | int)]
    mean = float(np.mean(known)) if known else math.nan
    return mean if math.isfinite(mean) else None


def _below(value: float | None, least: float) -> bool:
    return value is not None and value < least


def _short(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"
