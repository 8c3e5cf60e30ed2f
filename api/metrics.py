"""Metrics for Prometheus: what Redis holds of all processes, read when somebody asks."""

import platform
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from operator import attrgetter
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeHistogramMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from api.readable import decoded
from shared.forecast import Forecast, Skill
from shared.model_record import ModelRecord
from shared.totals import LATENCIES_MS, LATENCY_SUM, Totals
from shared.view import View

MOST_SERIES = 1_000
"""Series with metrics of their own; all are in the counts."""
_AGES_S = (60, 120, 300, 900, 3_600, 2 * 3_600, 4 * 3_600, 86_400, 2 * 86_400)
_STATUSES = ("live", "warming_up", "fallback", "none")

# Name of each counter, what it counts, and its name among the totals: one with a colon is a label's
# value for each name there that begins so.
_COUNTERS = (
    ("candles_appended", "Candles that came to a log.", "appended"),
    ("candles_learned", "Candles learned, again where series were rebuilt.", "sequence"),
    ("candles_missing", "Candles that would fill the holes of the logs.", "missing"),
    ("holes", "How often a log went on after times without candles.", "holes"),
    ("dead_letters", "Candles set aside, by the reason.", "dead_letters:reason"),
    ("commits", "What was committed to models, restores and rebuilds among it.", "revision"),
    (
        "commit_conflicts",
        "Commits that were lost to another worker or to an operator.",
        "conflicts",
    ),
    ("forecasts", "Forecasts published, by their status.", "forecasts:status"),
    ("forecasts_withheld", "Forecasts that could not be published.", "withheld"),
    ("drifts", "Drifts of models that were found.", "drifts"),
    ("model_faults", "Candles at which a River model of a user's failed.", "faults"),
    ("rebuilds", "Series learned again from their first retained candle.", "rebuilds"),
    ("take_overs", "Series that went on from what another model had prepared.", "take_overs"),
    ("restores", "Versions put back by an operator.", "restores"),
    ("rollbacks", "Champions put back because the live model had failed.", "rollbacks"),
    ("snapshots", "Versions of models that came to MLflow.", "snapshots"),
    ("snapshot_rounds", "Rounds of snapshots that came to their end.", "rounds"),
    ("snapshot_rounds_failed", "Rounds of snapshots that MLflow failed.", "rounds_failed"),
)
_REFUSED = {"duplicate": "duplicates", "revised": "revised", "late": "refused"}

Row = tuple[ModelRecord, Forecast | None]
Pairs = Iterable[tuple[Sequence[str], float]]

# Gauges of all series: in how many something is so, or the sum of something.
_OF_ALL: tuple[tuple[str, str, Callable[[ModelRecord], float]], ...] = (
    ("series_paused", "Series that an operator has paused.", lambda one: one.paused),
    ("series_suspect", "Series a candle of which may kill.", lambda one: one.suspect is not None),
    (
        "series_below_champion",
        "Models that do worse than their champions did.",
        lambda one: one.below_since is not None,
    ),
    (
        "series_faulty",
        "River models of users that failed at the newest candle.",
        lambda one: bool(one.scores.get("fault")),
    ),
    ("candles_waiting", "Candles that wait to be learned.", lambda one: one.waiting),
    ("candles_lost", "Candles neither learned, buried nor waiting: zero.", lambda one: one.lost),
)


class Metrics(Collector):
    """Everything that `docs/monitoring.md` lists, of one installation.

    Any number of processes may serve it: each reads the same.
    """

    def __init__(self, view: View) -> None:
        self._view = view
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def render(self, accept: str) -> tuple[bytes, str]:
        """Return all metrics in the format that is accepted, and its content type.

        Raises
        ------
        StoreError
            When Redis fails.
        """
        encode, kind = choose_encoder(accept)
        return encode(self._registry), kind

    def collect(self) -> Iterator[Metric]:
        """Read what Redis holds, and yield each metric."""
        view = self._view
        totals, overview, rounds = view.totals.read(), view.overview(), view.rounds.read()
        names = view.series()
        spoilt = view.faults(names)
        names = [series for series in names if series not in spoilt]
        forecasts = (decoded(raw) for raw in view.forecasts(names))
        rows = list(zip(view.models(names), forecasts, strict=True))
        now_ms = view.link.now_ms()
        yield from _info(overview)
        yield from _counters(totals)
        yield _latency(totals)
        yield from _queues(overview, view.used_memory_share())
        yield from _snapshots([record for record, _ in rows], rounds, now_ms)
        yield from _all_series(rows, now_ms)
        yield _gauge("series_unreadable", "Series whose keys are of another type.", len(spoilt))
        yield _ages([said for _, said in rows if said], now_ms)
        yield from _each_series(rows[:MOST_SERIES], now_ms)
        yield from _producers(view.producers.read())


def _info(overview: Mapping[str, Any]) -> Iterator[Metric]:
    build = {"version": version("candlecast"), "python": platform.python_version()}
    yield InfoMetricFamily("candlecast_build", "The release that serves these metrics.", build)
    fleet = {"name": overview["fleet"] or ""}
    yield InfoMetricFamily("candlecast_fleet", "Which model learns; no name: nobody does.", fleet)
    heir = overview["heir"] or {"fleet": "", "ready": 0, "series": 0}
    name = {"name": heir["fleet"]}
    yield InfoMetricFamily("candlecast_heir", "Which model prepares to; no name: none.", name)
    yield _gauge("heir_series", "Series that it has to be ready for.", heir["series"])
    yield _gauge("heir_ready", "Series that it is ready for.", heir["ready"])


def _counters(totals: Mapping[str, int]) -> Iterator[Metric]:
    for name, text, place in _COUNTERS:
        field, _, label = place.partition(":")
        labels = [label] if label else None
        family = CounterMetricFamily(f"candlecast_{name}", text, labels=labels)
        for value, count in _counted(totals, field) if label else [((), totals.get(field, 0))]:
            family.add_metric(value, count)
        yield family
    text, labels = "Candles that came to no log, by the reason.", ["reason"]
    refused = CounterMetricFamily("candlecast_candles_refused", text, labels=labels)
    for reason, field in _REFUSED.items():
        refused.add_metric([reason], totals.get(field, 0))
    yield refused


def _counted(totals: Mapping[str, int], field: str) -> Iterator[tuple[list[str], int]]:
    for name, count in sorted(totals.items()):
        head, _, tail = name.partition(":")
        if tail and head == field:
            yield [tail], count


def _latency(totals: dict[str, int]) -> Metric:
    bounds = [*(f"{bound / 1_000:g}" for bound in LATENCIES_MS), "+Inf"]
    return HistogramMetricFamily(
        "candlecast_push_to_forecast_seconds",
        "From the append of a live candle to its forecast.",
        buckets=list(zip(bounds, map(float, Totals.latencies(totals)), strict=True)),
        sum_value=totals.get(LATENCY_SUM, 0) / 1_000,
    )


def _queues(overview: Mapping[str, Any], used: float) -> Iterator[Metric]:
    yield _gauge("pending_series", "Series with candles to be learned.", overview["pending"])
    oldest_s = overview["due_for_ms"] / 1_000
    yield _gauge("pending_oldest_seconds", "How long a series has been due, at most.", oldest_s)
    for name, key, text in (
        ("queue_jobs", "jobs", "Jobs that wait in a queue of RQ."),
        ("queue_failed_jobs", "failed_jobs", "Failed jobs that RQ keeps of a queue."),
        ("workers", "workers", "Worker processes that RQ knows of a queue."),
    ):
        counts = (([queue], count) for queue, count in overview[key].items())
        yield _gauges(name, text, ["queue"], counts)
    yield _gauge("dead_letters_kept", "Dead letters in the stream.", overview["dead_letters"])
    yield _gauge("suspended", "1 while `rq suspend` is in force.", overview["suspended"])
    text = "Share of Redis's maxmemory in use; 0 without such a limit."
    yield _gauge("redis_memory_ratio", text, used)


def _snapshots(
    records: Sequence[ModelRecord], rounds: Mapping[str, Any], now_ms: int
) -> Iterator[Metric]:
    moved = [one for one in records if one.revision > (one.snapshot_revision or 0) and one.sequence]
    ages = [now_ms - one.snapshot_at for one in moved if one.snapshot_at]
    text = "Age of the oldest newest version among the models that have moved since."
    yield _gauge("snapshot_oldest_seconds", text, max(ages, default=0) / 1_000)
    text = "Models that have moved and have no version yet."
    yield _gauge("snapshot_missing", text, sum(one.snapshot_version is None for one in moved))
    if rounds["ended_at"]:
        age_s = (now_ms - rounds["ended_at"]) / 1_000
        yield _gauge("snapshot_round_age_seconds", "Since the last round came to its end.", age_s)
    failing = bool(rounds["failing_since"])
    yield _gauge("snapshots_failing", "1 while MLflow fails the rounds of snapshots.", failing)


def _all_series(rows: Sequence[Row], now_ms: int) -> Iterator[Metric]:
    counts = Counter(said.status if said else "none" for _, said in rows)
    by_status = (([status], counts[status]) for status in _STATUSES)
    yield _gauges("series", "Series, by the status of their forecast.", ["status"], by_status)
    stale = sum(said is not None and said.is_stale(now_ms) for _, said in rows)
    text = "Series whose forecast should have been followed by another."
    yield _gauge("series_stale", text, stale)
    for name, text, value_of in _OF_ALL:
        yield _gauge(name, text, sum(value_of(record) for record, _ in rows))
    hidden = max(0, len(rows) - MOST_SERIES)
    yield _gauge("series_not_shown", "Series without metrics of their own.", hidden)


def _ages(forecasts: Sequence[Forecast], now_ms: int) -> Metric:
    ages = [max(0, now_ms - said.issued_at) / 1_000 for said in forecasts]
    within = ((f"{bound:g}", float(sum(age <= bound for age in ages))) for bound in _AGES_S)
    return GaugeHistogramMetricFamily(
        "candlecast_forecast_age_seconds",
        "Ages of the newest forecasts.",
        buckets=[*within, ("+Inf", float(len(ages)))],
        gsum_value=sum(ages),
    )


def _each_series(rows: Sequence[Row], now_ms: int) -> Iterator[Metric]:
    labels = ["series"]
    records = [([str(record.series)], record) for record, _ in rows]
    said = [([one.series], one) for _, one in rows if one]
    ages = ((name, (now_ms - one.issued_at) / 1_000) for name, one in said)
    yield _gauges("series_forecast_age_seconds", "Age of the newest forecast.", labels, ages)
    stale = ((name, one.is_stale(now_ms)) for name, one in said)
    yield _gauges("series_forecast_stale", "1 where it is stale.", labels, stale)
    learned = ((name, one.sequence) for name, one in records)
    yield _gauges("series_candles_learned", "Candles that the model knows.", labels, learned)
    waiting = ((name, one.waiting) for name, one in records)
    yield _gauges("series_candles_waiting", "Candles to be learned.", labels, waiting)
    drifts = ((name, one.drift.count if one.drift else 0) for name, one in said)
    yield _gauges("series_drifts", "Drifts of the model so far.", labels, drifts)
    aged = ((name, (now_ms - one.snapshot_at) / 1_000) for name, one in records if one.snapshot_at)
    yield _gauges("series_snapshot_age_seconds", "Age of the newest version.", labels, aged)
    text = "Recent CRPS skill over the naive forecast."
    yield _scored("series_skill_ratio", text, said, attrgetter("crps"))
    text = "Recent share of closes inside the 90 % band."
    yield _scored("series_coverage_90_ratio", text, said, attrgetter("coverage_90"))


def _scored(
    name: str,
    text: str,
    said: Iterable[tuple[list[str], Forecast]],
    score_of: Callable[[Skill], float | None],
) -> Metric:
    scores = (
        ([*series, str(skill.horizon)], score)
        for series, one in said
        for skill in one.skill
        if (score := score_of(skill)) is not None
    )
    return _gauges(name, text, ["series", "horizon"], scores)


def _producers(told: Mapping[str, Mapping[str, Any]]) -> Iterator[Metric]:
    text = "Since a live producer has said how it is doing."
    silent = (([name], one["silent_ms"] / 1_000) for name, one in told.items())
    yield _gauges("producer_silent_seconds", text, ["producer"], silent)
    text = "Series of an exchange that a producer cannot get at present."
    failing = (
        ([name, exchange], float(how.get("failing") or 0))
        for name, one in told.items()
        for exchange, how in one["exchanges"].items()
    )
    yield _gauges("producer_failing_series", text, ["producer", "exchange"], failing)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"candlecast_{name}", text, float(value))


def _gauges(name: str, text: str, labels: Sequence[str], pairs: Pairs) -> Metric:
    family = GaugeMetricFamily(f"candlecast_{name}", text, labels=labels)
    for values, number in pairs:
        family.add_metric(values, float(number))
    return family
