"""The console: the files that `console/` was built into, served to anybody; they hold no data and no secret.

What the console shows comes from the API, which asks who is calling. An address of a screen, such as
`/incidents/5`, gives the console's page, which then shows that screen.
"""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI, Request
from starlette.datastructures import Headers
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from thap.kernel.errors import UnauthenticatedError
from thap.web.auth import sign_in

__all__ = ["DIST", "mount"]

DIST = Path(__file__).parent / "dist"
"""Made by `npm run build` in `console/`: `make setup` and the building of a wheel do it."""

_NO_SCREENS = ("api", "session", "assets", "reports", "a")
"""First parts of addresses that belong to no screen."""
_FOR_GOOD = "public, max-age=31536000, immutable"
_UNBUILT = "The console has not been built: run `make console`.\n"


class _Hashed(StaticFiles):
    """Files whose names change with what they hold."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        answer = await super().get_response(path, scope)
        if answer.status_code == 200:
            answer.headers["Cache-Control"] = _FOR_GOOD
        return answer


def _page() -> Response:
    if not (DIST / "index.html").is_file():
        return Response(_UNBUILT, 503, media_type="text/plain")
    return FileResponse(DIST / "index.html", headers={"Cache-Control": "no-cache"})


async def _index(request: Request) -> Response:
    """The console; with `?key=` it first starts a session and leads back without the key."""
    key = request.query_params.get("key")
    if key:
        try:
            return await sign_in(request, key, RedirectResponse("/", 303))
        except UnauthenticatedError:
            return RedirectResponse("/#refused", 303)
    return _page()


def _screen(path: str, accept: str) -> Response | None:
    """A file at the root, or the console for an address of a screen; None where it is neither, or a program asks."""
    address = path.lstrip("/")
    first = address.partition("/")[0]
    if first == address and "." in address:
        file = DIST / address
        return FileResponse(file, headers={"Cache-Control": "no-cache"}) if file.is_file() else None
    if first not in _NO_SCREENS and "text/html" in accept:
        return _page()
    return None


def mount(app: FastAPI) -> None:
    """Serve the console: at `/`, and at each address that nothing else answers and a browser wants a page for."""
    app.add_api_route("/", _index, methods=["GET", "HEAD"], include_in_schema=False)
    app.mount("/assets", _Hashed(directory=DIST / "assets", check_dir=False), name="assets")
    otherwise = app.router.default

    async def fallback(scope: Scope, receive: Receive, send: Send) -> None:
        answer = None
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD"):
            answer = _screen(scope["path"], Headers(scope=scope).get("accept", ""))
        await (answer or otherwise)(scope, receive, send)

    app.router.default = fallback
