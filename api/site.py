"""The page: its files, and the chart library as its package ships it."""

from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import PlainTextResponse, RedirectResponse
from starlette.middleware.gzip import GZipMiddleware
from starlette.staticfiles import StaticFiles

PATH = "/page/"
_HEADERS = {
    "cache-control": "no-cache",  # it may be kept, and is asked for again: an update comes whole
    # Plotly sets styles of its own; nothing is loaded from anywhere else.
    "content-security-policy": (
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class _Files(StaticFiles):
    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers.update(_HEADERS)
        return response


def install(app: FastAPI) -> None:
    """Have an application serve the page; it holds no data, what it shows it asks for."""

    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def root() -> RedirectResponse:
        return RedirectResponse(PATH.lstrip("/"))  # also behind a proxy's path

    @app.get(f"{PATH}plotly-licence.txt", include_in_schema=False)
    def licence() -> PlainTextResponse:
        return PlainTextResponse(distribution("plotly").read_text("licenses/LICENSE.txt") or "")

    files = _Files(
        directory=Path(__file__).with_name("page"),
        packages=[("plotly", "package_data")],
        html=True,
    )
    app.mount(PATH, GZipMiddleware(files, compresslevel=6))
