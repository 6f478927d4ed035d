"""The web application: assembly, nothing else.

request ── door path? ── doors (raw ASGI, no middleware)
    └───── request id, headers, gzip, text that is none ── routes of web/api/*.py ── errors in one shape
"""

from __future__ import annotations

import importlib
import pkgutil
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from importlib.metadata import version
from typing import Any

import structlog
from fastapi import APIRouter, FastAPI
from starlette.datastructures import MutableHeaders
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import thap.web.api
from thap.domains.domain import domains
from thap.web import console, errors, signin
from thap.web.api.map import tile_origin
from thap.web.deps import Centre
from thap.web.live import Live
from thap.web.plain import PlainText
from thap.web.sse import Hub

__all__ = ["DOOR_PATHS", "create_app"]

AsgiApp = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]
]

DOOR_PATHS = ("/api/v1/observations", "/api/v1/positions", "/api/v1/trackers/")
"""Where records come in. Reading methods on the first two belong to the API."""

PAGES = ("thap.web.feeds", "thap.web.links", "thap.web.reports_page")
"""Modules with routes outside `/api`, for people who need no account."""

_RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": errors.ErrorAnswer, "description": "What was wrong, and what to do."},
    "503": {"model": errors.ErrorAnswer, "description": "A part of the centre is not up."},
}
_CSP = "Content-Security-Policy"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=(self)",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; "
    "style-src-attr 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' blob:; connect-src 'self'; "
    "frame-src blob:; font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
}


def _with_tiles(policy: str, origin: str) -> str:
    """The content security policy, with a tile server among those that are asked for data and pictures."""
    if not origin:
        return policy
    parts = [part.strip() for part in policy.split(";")]
    return "; ".join(f"{part} {origin}" if part.startswith(("connect-src", "img-src")) else part for part in parts)


class _Application(FastAPI):
    """FastAPI behind a fork: door paths go to the doors before any middleware sees them."""

    doors: AsgiApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.doors is not None and scope["type"] == "http" and _is_door(scope["path"], scope["method"]):
            await self.doors(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def _is_door(path: str, method: str) -> bool:
    return path.startswith(DOOR_PATHS[2]) or (path in DOOR_PATHS and method not in ("GET", "HEAD"))


class _Envelope:
    """Gives each request an id, bound to every log line it causes, and each answer its headers."""

    def __init__(self, app: ASGIApp, requests: Counter[tuple[str, int]], tiles: str = "") -> None:
        """`tiles` is the origin of a tile server that the console's map may ask."""
        self._app, self._requests = app, requests
        self._security = {**_SECURITY, _CSP: _with_tiles(_SECURITY[_CSP], tiles)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        number = _request_id(scope)
        scope["thap_request"] = number

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._requests[scope["method"] if scope["method"] in _METHODS else "other", message["status"]] += 1
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = number
                for name, value in self._security.items():
                    headers.setdefault(name, value)
                if scope["path"].startswith("/api/"):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        with structlog.contextvars.bound_contextvars(request=number):
            await self._app(scope, receive, send_with_headers)


def _request_id(scope: Scope) -> str:
    """The caller's own id where it is a modest one, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            text: str = value.decode("latin-1")
            if 0 < len(text) <= 64 and text.replace("-", "").replace("_", "").isalnum() and text.isascii():
                return text
    return secrets.token_hex(8)


def _routers() -> list[APIRouter]:
    """The `router` of every module in web/api, of the public pages, and those that domains name."""
    names = [f"thap.web.api.{module.name}:router" for module in pkgutil.iter_modules(thap.web.api.__path__)]
    names += [f"{name}:router" for name in PAGES]
    names += [domain.api for domain in domains().values() if domain.api]
    found = []
    for name in sorted(names):
        module, _, attribute = name.partition(":")
        router = getattr(importlib.import_module(module), attribute, None)
        if isinstance(router, APIRouter):
            found.append(router)
    return found


@cache
def _routes() -> tuple[BaseRoute, ...]:
    """All routes of the programming interface. They know no centre, so the applications of a process share them, and
    what FastAPI works out about a route at its first request is worked out once. Dependencies of theirs cannot be
    overridden, and the domains are those of the first call."""
    whole = APIRouter(responses=_RESPONSES)
    for router in (*_routers(), signin.router):
        whole.include_router(router)
    return tuple(whole.routes)


def create_app(centre: Centre, *, doors: AsgiApp | None = None) -> FastAPI:
    """The application of one gateway process.

    Args:
        centre: what routes work on; found again as `app.state.centre`.
        doors: an ASGI application for `DOOR_PATHS`; it authenticates and answers errors itself. None where
            this process keeps no doors.
    """
    live = centre.parts["live"] = Live(centre)
    requests: Counter[tuple[str, int]] = Counter()
    centre.parts["requests"] = requests
    hub = centre.parts["stream"] = Hub(centre, live)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(live.running())
            await stack.enter_async_context(hub.running())
            yield

    app = _Application(
        title="Tháp",
        version=version("thap"),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
        separate_input_output_schemas=False,
        description="The programming interface of an operations centre. Send `Authorization: Bearer TOKEN`; "
        "`thap tokens create` makes tokens. Times are whole microseconds since 1970 UTC unless a field "
        'says otherwise. Every error has the shape `{"error": {code, message, where, hint}}`.',
        responses=_RESPONSES,
    )
    app.doors = doors
    app.state.centre = centre
    app.add_middleware(PlainText)
    app.add_middleware(GZipMiddleware, minimum_size=4096, compresslevel=4)
    app.add_middleware(_Envelope, requests=requests, tiles=tile_origin(centre.settings))
    errors.install(app)
    app.router.routes.extend(_routes())
    console.mount(app)
    return app
