"""The HTTP interface on a real Redis."""

import hashlib
import re
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from fastapi.testclient import TestClient

from api.access import Access, new_token
from api.app import create
from api.queries import Queries
from models import state
from shared.alert import Alert
from shared.alerts import Alerts
from shared.candle import Candle, Series
from shared.errors import InvalidValue
from shared.reader import AsyncForecastReader, ForecastReader
from shared.store import Store
from shared.view import View
from tests.conftest import Server
from tests.integration.steps import FLEET, SERIES, walk
from worker.embedded import redis_server
from worker.teaching import Model
from worker.update import Updater

DAY = Series.parse("test:BTC/USDT:1d")
NAME = str(SERIES)
HORIZON = 30
WALK = walk(40)


def learn(store: Store, series: Series, candles: list[Candle]) -> None:
    """Learn candles one commit after the other, as they come live."""
    updater = Updater(store, Model("default", state.Signer(b"k" * 32), lambda _: HORIZON, FLEET))
    for candle in candles:
        store.append(series, [candle])
        store.tick(FLEET)
        updater.run()


def recent() -> list[Candle]:
    """The same candles, the last of which has just closed."""
    step = SERIES.timeframe.ms
    last = SERIES.timeframe.floor(time.time_ns() // 1_000_000) - step
    first = last - (len(WALK) - 1) * step
    return [
        Candle(first + i * step, c.open, c.high, c.low, c.close, c.volume)
        for i, c in enumerate(WALK)
    ]


def asking(server: Server, access: Access | None = None, **options: Any) -> TestClient:
    """A client of the interface."""
    queries = Queries(View.connect(server.url), ForecastReader(server.url))
    reader = partial(AsyncForecastReader, server.url)
    app = create(queries, reader, access or Access("127.0.0.1"), **options)
    return TestClient(app, "http://localhost:8000", raise_server_exceptions=False)


@pytest.fixture
def client(server: Server) -> Iterator[TestClient]:
    """A client that needs no token."""
    with asking(server) as client:
        yield client


def test_series_and_their_state(client: TestClient, store: Store) -> None:
    """What one would choose from."""
    learn(store, SERIES, recent())
    store.append(DAY, [Candle(1_699_920_000_000, 1.0, 2.0, 1.0, 2.0, 3.0)])

    days, hours = client.get("/v1/series").json()

    assert (hours["series"], hours["learned"], hours["stale"]) == (NAME, 40, False)
    assert (hours["exchange"], hours["symbol"], hours["timeframe"]) == ("test", "BTC/USDT", "1h")
    assert {one["horizon"] for one in hours["skill"]} >= {1, 3, 6}
    assert (days["status"], days["stale"], days["waiting"]) == (None, None, 1)


def test_the_newest_forecast_is_the_published_one(client: TestClient, store: Store) -> None:
    """With whether it is stale; and it is not sent twice."""
    learn(store, SERIES, recent())
    first = client.get("/v1/forecast", params={"series": NAME})
    etag = first.headers["etag"]
    again = client.get("/v1/forecast", params={"series": NAME}, headers={"if-none-match": etag})

    said = first.json()
    published = ForecastReader(_url(store)).latest(NAME)
    assert said.pop("stale") is False
    assert type(published).model_validate(said) == published
    kept_s = int(re.fullmatch(r"private, max-age=(\d+)", first.headers["cache-control"])[1])  # type: ignore[index]
    assert abs(published.valid_until / 1_000 - time.time() - kept_s) < 30
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)


def _url(store: Store) -> str:
    kwargs = store.link.redis.get_connection_kwargs()
    return f"redis://default:{kwargs['password']}@{kwargs['host']}:{kwargs['port']}/{kwargs['db']}"


def test_a_stale_forecast_says_so_and_is_not_kept(client: TestClient, store: Store) -> None:
    """Nobody shall read it from a cache."""
    learn(store, SERIES, WALK[:3])

    answer = client.get("/v1/forecast", params={"series": NAME})

    assert answer.json()["stale"] is True
    assert answer.headers["cache-control"] == "private, max-age=0"


def test_history_and_candles(client: TestClient, store: Store) -> None:
    """The newest of each, oldest first."""
    learn(store, SERIES, WALK[:6])

    said = client.get("/v1/forecasts", params={"series": NAME, "limit": 4}).json()
    candles = client.get("/v1/candles", params={"series": NAME, "limit": 3}).json()
    since = client.get(
        "/v1/forecasts", params={"series": NAME, "since": said[-1]["issued_at"] + 60_000}
    ).json()

    assert [one["revision"] for one in said] == [3, 4, 5, 6]
    assert [Candle(**one) for one in candles] == WALK[3:6]
    assert since == []


def test_a_candle_that_cannot_be_read_is_left_out(client: TestClient, store: Store) -> None:
    """It was buried; what came before and behind is shown."""
    learn(store, SERIES, WALK[:5])
    redis = store.link.redis
    bad = {"o": "1", "h": "2", "l": "1", "c": "nonsense", "v": "1"}
    redis.xadd(store.keys.candles(NAME), bad, id=f"{WALK[5].open_time}-0")
    learn(store, SERIES, WALK[6:9])
    times = [one["open_time"] for one in client.get(f"/v1/candles?series={NAME}").json()]

    assert times == [one.open_time for one in (*WALK[:5], *WALK[6:9])]
    assert client.get(f"/v1/overlay?series={NAME}").json()["steps"]


@pytest.mark.parametrize("horizon", [1, 3])
def test_an_overlay_lays_what_was_said_over_what_came(
    client: TestClient, store: Store, horizon: int
) -> None:
    """By time; what has not come yet is null."""
    learn(store, SERIES, WALK)
    closes = {one.open_time + SERIES.timeframe.ms: one.close for one in WALK}

    laid = client.get("/v1/overlay", params={"series": NAME, "horizon": horizon}).json()

    history = {one.candle_open_time: one for one in ForecastReader(_url(store)).history(NAME)}
    assert [step["candle_open_time"] for step in laid["steps"]] == [one.open_time for one in WALK]
    known = [step for step in laid["steps"] if step["close"] is not None]
    assert len(known) == len(WALK) - horizon
    for step in known:
        said = history[step["candle_open_time"]]
        assert step["target_time"] == said.target_times[horizon - 1]
        assert step["close"] == closes[step["target_time"]]
        assert step["median"] == said.median[horizon - 1]
        low, high = said.quantile(0.05, horizon), said.quantile(0.95, horizon)
        assert step["inside_90"] is (low <= step["close"] <= high)
    assert laid["coverage_90"] == sum(one["inside_90"] for one in known) / len(known)


def test_hours_and_days_of_a_market_by_one_call(client: TestClient, store: Store) -> None:
    """No more steps than people look at; what there is none of is null."""
    learn(store, SERIES, WALK[:3])
    hours = client.get("/v1/outlook", params={"market": "test:BTC/USDT"}).json()
    day = 24 * SERIES.timeframe.ms
    first = WALK[0].open_time // day * day
    learn(store, DAY, [Candle(first + i * day, 1.0, 2.0, 1.0, 2.0, 3.0) for i in range(3)])
    both = client.get("/v1/outlook", params={"market": "test:BTC/USDT"}).json()

    assert (len(hours["hours"]["median"]), hours["days"]) == (24, None)
    assert [len(both["days"][name]) for name in ("median", "quantiles", "target_times")] == [7] * 3
    assert client.get("/v1/outlook", params={"market": "test:NO/NE"}).status_code == 404


def test_alerts(client: TestClient, store: Store) -> None:
    """What is raised, and what was told."""
    rule = {"rule": "late", "kind": "stale", "series": NAME, "text": "late"}
    for became, at in (("raised", 1), ("cleared", 2), ("raised", 3)):
        Alerts(store.link).tell(Alert(**rule, state=became, at=at))  # type: ignore[arg-type]

    told = client.get("/v1/alerts", params={"limit": 2}).json()

    assert [(one["state"], one["at"], one["schema"]) for one in told["newest"]] == [
        ("raised", 3, 1),
        ("cleared", 2, 1),
    ]
    assert [one["at"] for one in told["raised"]] == [3]


def test_skill_and_model(client: TestClient, store: Store) -> None:
    """All of the scores, and which model has them."""
    learn(store, SERIES, WALK[:20])
    record = store.model(SERIES)

    skill = client.get("/v1/skill", params={"series": NAME}).json()
    model = client.get("/v1/model", params={"series": NAME}).json()

    assert skill == record.scores
    assert (model["learned"], model["revision"], model["snapshot"]) == (20, record.revision, None)


@pytest.mark.parametrize(
    ("path", "params", "status", "says"),
    [
        ("/v1/forecast", {"series": "test:ETH/USDT:1h"}, 404, f"series that exist: {NAME}"),
        ("/v1/candles", {"series": "test:ETH/USDT:1h"}, 404, f"series that exist: {NAME}"),
        ("/v1/forecast", {"series": "nonsense"}, 422, "nonsense"),
        ("/v1/forecast", {}, 422, "series: Field required"),
        ("/v1/overlay", {"series": NAME, "horizon": 65}, 422, "horizon: "),
        ("/v1/candles", {"series": NAME, "limit": 0}, 422, "limit: "),
        ("/v1/forecasts", {"series": NAME, "since": 2**63}, 422, "since: "),
        ("/v2/forecast", {}, 404, "Not Found"),
    ],
)
def test_what_is_wrong_is_a_problem(
    client: TestClient, store: Store, path: str, params: dict[str, Any], status: int, says: str
) -> None:
    """With the field, the value and the remedy."""
    learn(store, SERIES, WALK[:1])

    answer = client.get(path, params=params)

    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, problem["status"], problem["instance"]) == (status, status, path)
    assert says in problem["detail"]


def test_what_nobody_foresaw_is_a_problem_too(
    client: TestClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Apps read one kind of error."""

    def broken(*_: object) -> None:
        raise AttributeError("of somebody's library")

    monkeypatch.setattr(View, "newest", broken)
    learn(store, SERIES, WALK[:2])
    answer = client.get("/v1/candles", params={"series": NAME})

    assert (answer.status_code, answer.json()["status"]) == (500, 500)
    assert answer.headers["content-type"] == "application/problem+json"
    assert "somebody" not in answer.text


def test_nothing_can_be_written(client: TestClient) -> None:
    """Whatever one sends."""
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert client.request(method, "/v1/series").status_code == 405


def test_a_redis_that_is_away_is_503(tmp_path: Path) -> None:
    """The process lives, and is not ready; nothing of the address is told."""
    with redis_server(tmp_path / "redis", "secret") as url:
        queries = Queries(View.connect(url), ForecastReader(url))
        app = create(queries, partial(AsyncForecastReader, url), Access("127.0.0.1"))
        learn(Store.connect(url), SERIES, WALK[:1])
    with TestClient(app, "http://localhost", raise_server_exceptions=False) as client:
        assert client.get("/health/live").status_code == 200
        for path in ("/health/ready", "/v1/series", f"/v1/forecast?series={NAME}"):
            answer = client.get(path)
            assert (answer.status_code, answer.json()["title"]) == (503, "Service Unavailable")
            assert "secret" not in answer.text


def test_a_token_lets_in(server: Server) -> None:
    """Health is for everybody; all else wants it, at loopback too once there is one."""
    token, digest = new_token()
    assert digest == hashlib.sha256(token.encode()).hexdigest()
    with asking(server, Access("0.0.0.0", ["f" * 64, digest.upper()])) as client:  # noqa: S104
        given = [f"Bearer {token}", f"bearer {token}", "", "Bearer ", f"Basic {token}", "Bearer x"]
        statuses = [
            client.get("/v1/series", headers={"authorization": one}).status_code for one in given
        ]
        refused = client.get("/v1/series")

        assert statuses == [200, 200, 401, 401, 401, 401]
        assert refused.headers["www-authenticate"] == "Bearer"
        assert "CANDLECAST_API_TOKENS" in refused.json()["detail"]
        assert client.get("/health/live").status_code == 200
        assert client.get("/openapi.json").status_code == 200
        assert client.get("/health/live", headers={"host": "api.example"}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "192.168.1.7", "[::1", ""])
def test_a_name_that_leads_to_loopback_reads_nothing(client: TestClient, host: str) -> None:
    """A page of that name would read through a browser of this machine."""
    refused = client.get("/v1/series", headers={"host": host})
    own = ("localhost", "LOCALHOST:80", "127.0.0.1:8000", "[::1]:8000")

    assert (refused.status_code, refused.json()["title"]) == (421, "Misdirected Request")
    assert {client.get("/v1/series", headers={"host": one}).status_code for one in own} == {200}


def test_no_host_makes_a_path_a_public_one(server: Server) -> None:
    """What is asked for is the path of the request, whatever its headers say."""
    with asking(server, Access("127.0.0.1", ["f" * 64])) as client:
        for host in ("x/health/?", "x/health/live", "health/"):
            assert client.get("/v1/series", headers={"host": host}).status_code in {400, 401}


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "example.org"])  # noqa: S104
def test_nobody_is_let_in_from_elsewhere_without_a_token(host: str) -> None:
    """It does not even begin."""
    with pytest.raises(InvalidValue, match="CANDLECAST_API_TOKENS"):
        Access(host)
    for own in ("127.0.0.1", "::1", "localhost"):
        assert Access(own).is_open


def test_who_asks_too_often_waits(server: Server) -> None:
    """As long as the answer says."""
    with asking(server, Access("127.0.0.1", per_minute=3)) as client:
        statuses = [client.get("/v1/series").status_code for _ in range(4)]
        refused = client.get("/v1/series")

        assert statuses == [200, 200, 200, 429]
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert client.get("/health/live").status_code == 200


def test_pages_of_some_origins_may_ask(server: Server) -> None:
    """A browser asks first whether it may."""
    with asking(server, origins=["https://app.example"]) as client:
        ask = {"access-control-request-method": "GET"}
        mine = client.options("/v1/series", headers={"origin": "https://app.example"} | ask)
        other = client.options("/v1/series", headers={"origin": "https://evil.example"} | ask)

        assert mine.headers["access-control-allow-origin"] == "https://app.example"
        assert "access-control-allow-origin" not in other.headers


def test_it_describes_itself(client: TestClient, store: Store) -> None:
    """By OpenAPI, with examples; and what it answers is by that description."""
    learn(store, SERIES, WALK[:5])
    described = client.get("/openapi.json").json()

    for path in described["paths"].keys() - {"/v1/stream"}:
        asked = client.get(path, params={"series": NAME, "market": "test:BTC/USDT"})
        content = described["paths"][path]["get"]["responses"]["200"]["content"]
        schema = content["application/json"]["schema"]
        assert asked.status_code == 200, path
        jsonschema.validate(asked.json(), schema | {"components": described["components"]})
    (name,) = described["paths"]["/v1/forecast"]["get"]["parameters"]
    assert name["examples"]["hours"]["value"] == "binance:BTC/USDT:1h"
