"""A version of a series' model, as the registry tells of it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Self

from models.gate import Showing
from shared.candle import Series
from shared.errors import InvalidValue
from shared.model_record import Champion, ModelRecord

CHAMPION, CHALLENGER = "champion", "challenger"
_PASSED, _FAILED = "passed", "failed"
# MLflow refuses "/" and ":" in names; what stands for them cannot be in a symbol itself.
_TO_NAME = str.maketrans({"/": "-", "-": "~", ":": "_"})
# What a tag of MLflow may hold.
_LONGEST = 5_000


class Hole(InvalidValue):
    """The log no longer holds the candle at which a version ends, nor those right after it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate said of a version: ``reasons`` against it, and ``notes`` that are none."""

    showing: Showing
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    champion: Champion | None = None
    """The one there was."""
    met_since: int | None = None
    """Cursor (UTC ms) at which a model was first seen that does not continue it."""

    @property
    def passed(self) -> bool:
        """Whether it becomes the champion."""
        return not self.reasons

    @property
    def tags(self) -> dict[str, str]:
        """What is written beside the version."""
        shown = self.showing
        numbers = {"skill": shown.skill, "skill_error": shown.error, "coverage_90": shown.coverage}
        return {
            "verdict": _PASSED if self.passed else _FAILED,
            "reasons": "; ".join((*self.reasons, *self.notes))[:_LONGEST],
            "met_since": str(self.met_since or ""),
            **{name: repr(number) for name, number in numbers.items() if number is not None},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version.

    Attributes
    ----------
    number
        Of the registered model.
    created_at
        UTC milliseconds.
    aliases
        ``champion``, ``challenger`` or what somebody else has given it.
    sequence, cursor, since, revision, etag, fingerprint
        Of the committed model that it holds: see `shared.model_record.ModelRecord`.
    origin
        What it began with, where it was another series' champion: ``series@version``.
    lineage
        Tells a model from the one that it was put in place of.
    code_version
        Release of the code that wrote it.
    passed
        Whether the gate let it through; None where it was not asked.
    reasons
        What was said of it.
    skill, error, coverage
        What it had to show: see `models.gate.Showing`.
    met_since
        Where it did not continue its champion: the cursor (UTC ms) at which its lineage was first
        seen that did not.
    """

    number: int
    created_at: int
    aliases: tuple[str, ...]
    sequence: int
    cursor: int
    since: int | None
    revision: int
    etag: str
    fingerprint: str
    origin: str
    lineage: str
    code_version: str
    passed: bool | None
    reasons: str
    skill: float | None
    error: float | None
    coverage: float | None
    met_since: int | None

    @classmethod
    def of_tags(
        cls, number: int, created_at: int, aliases: tuple[str, ...], tags: Mapping[str, str]
    ) -> Self:
        """Read the tags of a version; what is missing or no number is unknown."""
        return cls(
            number=number,
            created_at=created_at,
            aliases=aliases,
            sequence=_number(tags, "sequence", int) or 0,
            cursor=_number(tags, "cursor", int) or 0,
            since=_number(tags, "since", int),
            revision=_number(tags, "revision", int) or 0,
            etag=tags.get("etag", ""),
            fingerprint=tags.get("fingerprint", ""),
            origin=tags.get("origin", ""),
            lineage=tags.get("lineage", ""),
            code_version=tags.get("code_version", ""),
            passed={_PASSED: True, _FAILED: False}.get(tags.get("verdict", "")),
            reasons=tags.get("reasons", ""),
            skill=_number(tags, "skill", float),
            error=_number(tags, "skill_error", float),
            coverage=_number(tags, "coverage_90", float),
            met_since=_number(tags, "met_since", int),
        )

    @property
    def is_champion(self) -> bool:
        """Whether it bears the alias."""
        return CHAMPION in self.aliases

    @property
    def champion(self) -> Champion:
        """What the store keeps of it while it is the champion."""
        return Champion(
            version=self.number,
            cursor=self.cursor,
            skill=self.skill,
            error=self.error,
        )


def model_name(series: Series) -> str:
    """Return the name of a series' registered model; no two series share one.

    ``exchange.symbol.timeframe``, in the symbol ``/`` as ``-``, ``:`` as ``_``, ``-`` as ``~``.

    >>> model_name(Series.parse("binance:BTC/USDT:1h"))
    'binance.BTC-USDT.1h'
    >>> model_name(Series.parse("okx:BTC/USD:BTC-260327:1d"))
    'okx.BTC-USD_BTC~260327.1d'
    """
    return f"{series.exchange}.{series.symbol.translate(_TO_NAME)}.{series.timeframe}"


def metrics_of(scores: Mapping[str, Any]) -> dict[str, float]:
    """Flatten a learner's scores to names for MLflow; what has no value yet is left out.

    ``crps_h6`` is the recent score 6 candles ahead, ``crps_total_h6`` that over all candles,
    ``crps`` the mean of the recent ones over the scored horizons; ``challenger_…`` are those of a
    challenger, ``contest_…`` say how it stands; ``drifts`` were found so far.

    >>> recent = {"1": {"recent": {"mape": 0.01}}, "6": {"recent": {"mape": 0.03, "mae": None}}}
    >>> metrics_of({"horizons": recent})
    {'mape_h1': 0.01, 'mape_h6': 0.03, 'mape': 0.02}
    """
    horizons = scores["horizons"]
    metrics = {
        f"{name}{'' if group == 'recent' else f'_{group}'}_h{horizon}": float(value)
        for horizon, groups in horizons.items()
        for group, values in groups.items()
        for name, value in values.items()
        if value is not None and math.isfinite(value)
    }
    for name in {name: None for groups in horizons.values() for name in groups["recent"]}:
        known = [
            metrics[key] for key in (f"{name}_h{horizon}" for horizon in horizons) if key in metrics
        ]
        if known:
            metrics[name] = sum(known) / len(known)
    if drift := scores.get("drift"):
        metrics["drifts"] = float(drift["count"])
    if other := scores.get("challenger"):
        metrics |= {f"challenger_{name}": value for name, value in metrics_of(other).items()}
        metrics |= {
            f"contest_{name}_h{horizon}": float(value)
            for horizon, values in other["contest"].items()
            for name, value in values.items()
            if value is not None
        }
    return metrics


def labels(series: Series) -> dict[str, str]:
    """Return the tags that say of which series something is."""
    return {
        "series": str(series),
        "exchange": series.exchange,
        "symbol": series.symbol,
        "timeframe": str(series.timeframe),
    }


def tags_of(record: ModelRecord) -> dict[str, str]:
    """Return the tags that say which committed model a version holds."""
    return {
        **labels(record.series),
        "fingerprint": record.fingerprint or "",
        "code_version": metadata.version("candlecast"),
        "sequence": str(record.sequence),
        "cursor": str(record.cursor),
        "since": str(record.since),
        "revision": str(record.revision),
        "etag": record.etag or "",
        "origin": record.origin or "",
        "lineage": record.lineage,
    }


def champion_of(version: int, record: ModelRecord, showing: Showing) -> Champion:
    """Return what the store is to keep of a version that has just become the champion."""
    return Champion(
        version=version,
        cursor=record.cursor or 0,
        skill=showing.skill,
        error=showing.error,
    )


def showing_of(champion: Champion) -> Showing:
    """Return what a champion had to show when it became one."""
    return Showing(
        candles=0, skill=champion.skill, error=champion.error, coverage=None, is_finite=True
    )


def _number(tags: Mapping[str, str], name: str, kind: type[Any]) -> Any:
    try:
        return kind(tags[name])
    except (KeyError, ValueError):
        return None
