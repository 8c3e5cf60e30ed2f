"""Errors as problems: what was wrong and the remedy, by RFC 9457."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from api.answers import Problem
from shared.errors import CandlecastError, InvalidValue, StoreError
from shared.reader import UnknownSeries

log = structlog.get_logger(__name__)

_STATUS: dict[type[Exception], HTTPStatus] = {
    UnknownSeries: HTTPStatus.NOT_FOUND,
    InvalidValue: HTTPStatus.UNPROCESSABLE_ENTITY,
    StoreError: HTTPStatus.SERVICE_UNAVAILABLE,
    CandlecastError: HTTPStatus.INTERNAL_SERVER_ERROR,
}


def install(app: FastAPI) -> None:
    """Have an application answer all errors as problems."""
    for kind, status in _STATUS.items():
        app.add_exception_handler(kind, _handler(status))
    app.add_exception_handler(Exception, _handler(HTTPStatus.INTERNAL_SERVER_ERROR))
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


def answer(
    request: Request, status: int, detail: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Return the answer that tells of a problem."""
    problem = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        instance=request.scope["path"],
    )
    return JSONResponse(
        problem.model_dump(), status, dict(headers or {}), media_type="application/problem+json"
    )


def _handler(status: HTTPStatus) -> Callable[[Request, Exception], Response]:
    def handle(request: Request, error: Exception) -> Response:
        if status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return answer(request, status, str(error))
        # Where Redis is, and what it says, is for operators.
        log.warning("not_answered", path=request.scope["path"], error=str(error))
        return answer(request, status, "what is asked for cannot be read now: try again later")

    return handle


def _invalid(request: Request, error: Any) -> Response:
    faults = [f"{fault['loc'][-1]}: {fault['msg']}" for fault in error.errors()]
    return answer(request, HTTPStatus.UNPROCESSABLE_ENTITY, "; ".join(faults))


def _http(request: Request, error: Any) -> Response:
    return answer(request, error.status_code, error.detail, error.headers)
