"""Metrics for Prometheus, of a real Redis."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from fastapi.testclient import TestClient
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from api import metrics
from api.access import Access, new_token
from shared.candle import Series
from shared.records import DeadLetter
from shared.store import Store
from tests.conftest import ROOT, Server
from tests.integration.steps import FLEET, SERIES, hasty, learned, walk
from tests.integration.test_api import asking, client, learn, recent

__all__ = ["client"]

Sampled = Callable[..., float | None]
OTHER = Series.parse("test:ETH/USDT:1h")
WALK = walk(60)


@pytest.fixture
def sampled(client: TestClient) -> Sampled:
    """Asks for one sample by its name and labels; None where there is none."""

    def sample(name: str, **labels: str) -> float | None:
        answer = client.get("/metrics")
        assert answer.status_code == 200
        for family in text_string_to_metric_families(answer.text):
            for one in family.samples:
                if (one.name, one.labels) == (f"candlecast_{name}", labels):
                    return float(one.value)
        return None

    return sample


def test_what_the_scripts_count_is_there(store: Store, sampled: Sampled) -> None:
    """Of all series together; what is retired stays counted."""
    learn(store, SERIES, WALK)
    store.append(SERIES, WALK[58:])
    store.append(SERIES, [replace(WALK[59], volume=1.5)])
    store.append(OTHER, WALK[:5])
    store.dead_letters.put(OTHER, DeadLetter(candle="x", reason="invalid", error="none"))
    store.retire(SERIES, revision=store.model(SERIES).revision)

    assert sampled("candles_appended_total") == 65
    assert sampled("candles_learned_total") == 60
    assert sampled("commits_total") == 60
    assert sampled("candles_refused_total", reason="duplicate") == 2
    assert sampled("candles_refused_total", reason="revised") == 1
    assert sampled("candles_refused_total", reason="late") == 0
    assert sampled("dead_letters_total", reason="revised") == 1
    assert sampled("dead_letters_total", reason="invalid") == 1
    assert sampled("forecasts_total", status="warming_up") == 60
    assert sampled("forecasts_total", status="live") is None
    assert sampled("series", status="none") == 1
    assert sampled("candles_waiting") == 5
    assert sampled("series_candles_waiting", series=str(OTHER)) == 5
    assert sampled("series_candles_waiting", series=str(SERIES)) is None


def test_latency_is_a_histogram(store: Store, sampled: Sampled) -> None:
    """Of live candles alone: what came in a backlog has none."""
    learn(store, SERIES, WALK[:10])
    learn(store, OTHER, [])
    store.append(OTHER, WALK[:9])
    learn(store, SERIES, WALK[10:12])

    assert sampled("push_to_forecast_seconds_count") == 12
    assert sampled("push_to_forecast_seconds_bucket", le="+Inf") == 12
    assert sampled("push_to_forecast_seconds_bucket", le="60") == 12
    seconds = sampled("push_to_forecast_seconds_sum")
    assert seconds is not None
    assert 0 <= seconds < 12
    assert sampled("forecasts_total", status="warming_up") == 13


def test_how_each_series_stands(store: Store, sampled: Sampled) -> None:
    """Its age, skill and coverage, as in its forecast."""
    candles = recent()
    learn(store, SERIES, candles)
    (raw,) = store.forecasts([SERIES])
    said = json.loads(raw or b"")
    first = {"series": str(SERIES), "horizon": "1"}

    assert sampled("series_skill_ratio", **first) == said["skill"][0]["crps"]
    assert sampled("series_coverage_90_ratio", **first) == said["skill"][0]["coverage_90"]
    age = sampled("series_forecast_age_seconds", series=str(SERIES))
    assert age is not None
    assert 0 <= age < 60
    assert sampled("series_forecast_stale", series=str(SERIES)) == 0
    assert sampled("forecast_age_seconds_bucket", le="60") == 1
    assert sampled("series", status="warming_up") == 1
    assert sampled("series_stale") == 0
    learn(store, OTHER, WALK[:3])
    assert sampled("series_stale") == 1
    assert sampled("series_forecast_stale", series=str(OTHER)) == 1


def test_a_stuck_queue_shows(store: Store, sampled: Sampled) -> None:
    """How many series wait, since when, and which job waits for a worker."""
    store.append(SERIES, WALK[:5])
    due = store.link.now_ms() - 90_000
    store.link.redis.zadd(store.keys.pending, {str(SERIES): due})
    store.link.redis.zadd(store.keys.rq_failed("candles"), {"job": 1})
    store.link.redis.sadd(store.keys.rq_workers("housekeeping"), "one", "two")

    assert sampled("pending_series") == 1
    oldest = sampled("pending_oldest_seconds")
    assert oldest is not None
    assert 90 <= oldest < 100
    assert sampled("queue_jobs", queue="candles") == 1
    assert sampled("queue_failed_jobs", queue="candles") == 1
    assert sampled("workers", queue="housekeeping") == 2
    assert sampled("workers", queue="candles") == 0


def test_a_commit_that_is_lost_is_a_conflict(store: Store, sampled: Sampled) -> None:
    """And counts for nothing else."""
    store.tick(FLEET)
    store.append(SERIES, WALK[:2])
    (claim,) = hasty(store).claim(FLEET).claims
    (again,) = hasty(store).claim(FLEET).claims
    store.commit([learned(claim, 1)])
    store.commit([learned(again, 1)])

    assert sampled("commit_conflicts_total") == 1
    assert sampled("candles_learned_total") == 1


def test_snapshots_that_fail_show(store: Store, sampled: Sampled) -> None:
    """Until a round goes well."""
    assert sampled("snapshots_failing") == 0
    store.rounds.failed("MLflow is away")
    store.rounds.failed("MLflow is away")
    assert sampled("snapshots_failing") == 1
    assert sampled("snapshot_rounds_failed_total") == 2
    store.rounds.went_well()
    assert sampled("snapshots_failing") == 0
    assert sampled("snapshot_rounds_total") == 1
    age = sampled("snapshot_round_age_seconds")
    assert age is not None
    assert 0 <= age < 10


def test_how_many_series_have_metrics_of_their_own_is_bounded(
    store: Store, sampled: Sampled, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them are in the counts, and it is said how many are left out."""
    monkeypatch.setattr(metrics, "MOST_SERIES", 1)
    for series in (SERIES, OTHER):
        store.append(series, WALK[:2])

    assert sampled("series_not_shown") == 1
    assert sampled("series", status="none") == 2
    assert sampled("series_candles_waiting", series=str(SERIES)) == 2
    assert sampled("series_candles_waiting", series=str(OTHER)) is None


def test_what_somebody_else_wrote_stops_nothing(store: Store, sampled: Sampled) -> None:
    """A total that is no number starts again; totals of another type tell nothing."""
    redis, totals = store.link.redis, store.keys.totals
    redis.hset(totals, "appended", "many")
    store.append(SERIES, WALK[:2])
    assert sampled("candles_appended_total") == 2
    redis.set(f"{totals}-spare", 1)
    redis.rename(f"{totals}-spare", totals)
    learn(store, SERIES, WALK[2:4])
    assert sampled("candles_appended_total") == 0
    assert store.model(SERIES).sequence == 4


def test_it_wants_a_token_where_the_others_do(server: Server) -> None:
    """Names of series are nobody's business."""
    token, digest = new_token()
    with asking(server, Access("127.0.0.1", (digest,))) as guarded:
        assert guarded.get("/metrics").status_code == 401
        told = guarded.get("/metrics", headers={"authorization": f"Bearer {token}"})
        assert "candlecast_build_info" in told.text


def test_prometheus_may_choose_the_format(client: TestClient, store: Store) -> None:
    """OpenMetrics, where that is accepted."""
    learn(store, SERIES, WALK[:3])
    answer = client.get("/metrics", headers={"accept": "application/openmetrics-text"})

    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    families = openmetrics(answer.text)  # type: ignore[no-untyped-call]
    names = {family.name for family in families}
    assert {"candlecast_forecast_age_seconds", "candlecast_build"} <= names


def test_the_page_lists_every_metric(client: TestClient, store: Store) -> None:
    """And no other."""
    store.rounds.went_well()
    page = (ROOT / "docs" / "monitoring.md").read_text()
    listed = {line.split("`")[1] for line in page.splitlines() if line.startswith("| `candlecast_")}
    served = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in text_string_to_metric_families(client.get("/metrics").text)
    }

    assert listed == {name for name in served if not name.endswith(("_gcount", "_gsum"))}
