"""The built-in page at `/`: static files, no build step, no request to anywhere else.

The files hold no data and no secret, so they are served to anybody; what they show comes from the API,
which asks who is calling.
"""

from __future__ import annotations

from importlib.resources import files

from fastapi import FastAPI, Request
from pydantic import BaseModel, Field
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from thap.kernel.errors import UnauthenticatedError
from thap.web.auth import sign_in

__all__ = ["mount"]

_HERE = str(files(__name__))


async def _index(request: Request) -> Response:
    """The page; with `?key=` it first starts a session and leads back without the key."""
    key = request.query_params.get("key")
    if key:
        try:
            return await sign_in(request, key, RedirectResponse("/", 303))
        except UnauthenticatedError:
            return RedirectResponse("/#refused", 303)
    return FileResponse(f"{_HERE}/static/index.html", headers={"Cache-Control": "no-cache"})


class SignIn(BaseModel):
    """A token's secret, from the page's form."""

    key: str = Field(max_length=200)


async def _session(request: Request, body: SignIn) -> Response:
    """Start a session; the page's own script calls this."""
    return await sign_in(request, body.key, Response(status_code=204))


class _Files(StaticFiles):
    """Files that a browser asks about again each time, so that an upgrade is seen at once."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        answer = await super().get_response(path, scope)
        answer.headers["Cache-Control"] = "no-cache"
        return answer


def mount(app: FastAPI) -> None:
    """Serve the page at `/` and its files under `/page/`."""
    app.add_api_route("/", _index, methods=["GET", "HEAD"], include_in_schema=False)
    app.add_api_route("/session", _session, methods=["POST"], include_in_schema=False)
    app.mount("/page/messages", _Files(directory=f"{_HERE}/messages"), name="messages")
    app.mount("/page", _Files(directory=f"{_HERE}/static"), name="page")
