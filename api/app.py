"""The HTTP interface: read-only, JSON, with an OpenAPI description of itself."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Header, Query, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.types import ASGIApp, Receive, Scope, Send

from api import problems, site
from api.access import Access
from api.answers import (
    AlertsRow,
    CandleRow,
    Health,
    ModelRow,
    Outlook,
    Overlay,
    Problem,
    Said,
    SeriesRow,
)
from api.hub import Hub
from api.queries import Queries, said
from shared.candle import MARKET_PATTERN, SERIES_PATTERN, Series
from shared.forecast import Forecast
from shared.reader import AsyncForecastReader

# Described, and checked where names are read, with a remedy.
_SERIES = {"pattern": f"^{SERIES_PATTERN}$"}
_MARKET = {"pattern": f"^{MARKET_PATTERN}$"}
Name = Annotated[
    str,
    Query(
        json_schema_extra=_SERIES,
        description="exchange:symbol:timeframe, in ccxt's spelling",
        openapi_examples={"hours": {"value": "binance:BTC/USDT:1h"}},
    ),
]
Names = Annotated[
    list[str],
    Query(
        alias="series",
        min_length=1,
        max_length=100,
        description="exchange:symbol:timeframe, in ccxt's spelling; several times for several",
        openapi_examples={"hours": {"value": ["binance:BTC/USDT:1h"]}},
    ),
]
# So many questions to Redis at once: more than its client has connections would fail.
_ASKING = 32
_LATEST = 10**15  # milliseconds, thirty thousand years on
Since = Annotated[int, Query(ge=0, le=_LATEST, description="UTC milliseconds")]
Limit = Annotated[int, Query(ge=1, le=1_000, description="the newest so many")]
Horizon = Annotated[int, Query(ge=1, le=64, description="candles ahead")]
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": HTTPStatus(status).phrase,
        "content": {"application/problem+json": {"schema": Problem.model_json_schema()}},
    }
    for status in (401, 404, 421, 422, 429, 503)
}


def create(
    queries: Queries,
    reader: Callable[[], AsyncForecastReader],
    access: Access,
    origins: Sequence[str] = (),
) -> FastAPI:
    """Return the application.

    Parameters
    ----------
    queries
        Where its answers come from.
    reader
        Makes the one that follows forecasts, where the application runs.
    access
        Who may ask, and how often.
    origins
        Whose pages may ask from a browser (CORS).
    """

    @asynccontextmanager
    async def living(app: FastAPI) -> AsyncIterator[None]:
        app.state.reader = reader()
        app.state.asking = asyncio.Semaphore(_ASKING)
        async with Hub(app.state.reader) as app.state.hub:
            yield

    app = FastAPI(
        lifespan=living,
        title="Candlecast",
        version="1",
        description="Calibrated forecasts of closed market candles. Times are UTC milliseconds.",
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
    )
    app.include_router(_health(queries))
    app.include_router(_metrics(queries))
    app.include_router(_forecasts(queries))
    app.include_router(_series(queries))
    app.include_router(_stream(queries))

    app.add_middleware(Admission, access=access)
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=[*origins],
            allow_methods=["GET"],
            allow_headers=["*"],
            expose_headers=["ETag", "Retry-After"],
        )
    problems.install(app)
    site.install(app)
    return app


def _health(queries: Queries) -> APIRouter:
    routes = APIRouter(prefix="/health", tags=["health"])

    @routes.get("/live")
    async def live() -> Health:  # answers while all threads wait for Redis
        """Say that this process answers."""
        return Health()

    @routes.get("/ready", responses={503: _PROBLEMS[503]})
    def ready() -> Health:
        """Say that Redis answers it."""
        queries.ping()
        return Health()

    return routes


def _metrics(queries: Queries) -> APIRouter:
    routes = APIRouter()

    @routes.get("/metrics", include_in_schema=False)
    def metrics(accept: Annotated[str, Header()] = "") -> Response:
        content, kind = queries.metrics(accept)
        return Response(content, media_type=kind)

    return routes


def _forecasts(queries: Queries) -> APIRouter:
    routes = APIRouter(prefix="/v1", tags=["forecasts"], responses=_PROBLEMS)

    @routes.get(
        "/forecast",
        response_model=Said,
        responses={304: {"description": "the one that you have"}},
    )
    async def forecast(request: Request, series: Name) -> Response:
        """Return the newest forecast of a series; it may be kept until it is stale."""
        state, name = request.app.state, str(Series.parse(series))
        async with state.asking:
            newest = await state.reader.latest(name)
        return _cacheable(request, said(newest))

    @routes.get("/forecasts")
    def forecasts(series: Name, since: Since = 0, limit: Limit = 100) -> list[Forecast]:
        """Return what was said of a series since a time, by revision."""
        return queries.history(series, since)[-limit:]

    @routes.get("/outlook")
    def outlook(
        market: Annotated[
            str,
            Query(
                description="exchange:symbol",
                json_schema_extra=_MARKET,
                openapi_examples={"market": {"value": "binance:BTC/USDT"}},
            ),
        ],
    ) -> Outlook:
        """Return up to 24 hours and 7 days of a market by one call."""
        return queries.outlook(market)

    return routes


def _series(queries: Queries) -> APIRouter:
    routes = APIRouter(prefix="/v1", tags=["series"], responses=_PROBLEMS)

    @routes.get("/series")
    def series() -> list[SeriesRow]:
        """Return how each series stands."""
        return queries.rows()

    @routes.get("/candles")
    def candles(series: Name, limit: Limit = 500) -> list[CandleRow]:
        """Return the newest closed candles of a series, oldest first."""
        return [CandleRow(**asdict(candle)) for candle in queries.candles(series, limit)]

    @routes.get("/overlay")
    def overlay(series: Name, horizon: Horizon = 1) -> Overlay:
        """Return forecasts so many candles ahead, beside what then happened."""
        return queries.overlay(series, horizon)

    @routes.get("/alerts")
    def alerts(limit: Limit = 100) -> AlertsRow:
        """Return what `candlecast notify` has told: what is raised now, and what came last."""
        return queries.alerts(limit)

    @routes.get("/skill")
    def skill(series: Name) -> dict[str, Any]:
        """Return the scores of a series' model and of the naive forecast, recent and in total."""
        return queries.skill(series)

    @routes.get("/model")
    def model(series: Name) -> ModelRow:
        """Return the model behind a series, and its versions in MLflow."""
        return queries.model(series)

    return routes


def _stream(queries: Queries) -> APIRouter:
    routes = APIRouter(prefix="/v1", tags=["forecasts"], responses=_PROBLEMS)

    def known(series: Names) -> list[str]:
        """Return the names of series that exist; checked before anything is sent."""
        return [str(queries.known(name)) for name in series]

    @routes.get("/stream", response_class=EventSourceResponse)
    async def stream(
        request: Request,
        names: Annotated[list[str], Depends(known)],
        last_event_id: Annotated[int | None, Header(ge=0, le=_LATEST)] = None,
    ) -> AsyncIterator[ServerSentEvent]:
        """Send the newest forecast of each series and then each new one, as they are made.

        After a break a browser sends the id of the last one by itself, and gets what it has missed.
        """
        hub: Hub = request.app.state.hub
        async for event in hub.follow(names, last_event_id):
            told_at = str(event.forecast.issued_at)
            yield ServerSentEvent(raw_data=event.text, event="forecast", id=told_at)

    return routes


def _cacheable(request: Request, said: Said) -> Response:
    """Let it be kept until it is stale; say so where whoever asks has it already."""
    etag = f'"{said.revision}-{said.issued_at}-{int(said.stale)}"'
    fresh_s = max(0, said.valid_until // 1_000 - int(time.time()))
    headers = {"etag": etag, "cache-control": f"private, max-age={fresh_s}"}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(said.model_dump_json(), headers=headers, media_type="application/json")


class Admission:
    """Lets requests in, or answers why not.

    Parameters
    ----------
    app
        What they are let in to.
    access
        Who may ask, and how often.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        refusal = self._refusal(Request(scope)) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, request: Request) -> Response | None:
        """Return why a request is not answered, if it is not; health is for all, at any rate."""
        path = request.scope["path"]
        if path.startswith("/health/"):
            return None
        if not self._access.expects(request.headers.get("host", "")):
            detail = "without tokens it answers at localhost alone: set CANDLECAST_API_TOKENS"
            return problems.answer(request, 421, detail)
        is_page = path in {"/", "/openapi.json"} or path.startswith(site.PATH)
        if not is_page and not self._access.admits(request.headers.get("authorization", "")):
            detail = "send `Authorization: Bearer` with a token of CANDLECAST_API_TOKENS"
            return problems.answer(request, 401, detail, {"www-authenticate": "Bearer"})
        client = request.client.host if request.client else ""
        if wait_s := self._access.wait_s(client):
            detail = f"this address asks too often: try again in {wait_s:.0f} s"
            return problems.answer(request, 429, detail, {"retry-after": f"{wait_s:.0f}"})
        return None
