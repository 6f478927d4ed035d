"""/api/v1/movers/live: a WebSocket that keeps one map's movers current; see `thap.web.movers` for the frames.

The map sends, as JSON, `{"bbox": [west, south, east, north]}` at first and whenever its view changes, with `kinds` and
`domains` where only some are wanted. It is sent a frame at once, then at most one a second, of what changed in view.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Annotated

import msgspec
import structlog
from fastapi import APIRouter
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket, WebSocketDisconnect

from thap.kernel.errors import DeniedError, InputError, ThapError, UnauthenticatedError
from thap.web.answers import JsonAnswer
from thap.web.auth import authenticate, check_own_page
from thap.web.deps import Caller, Centre
from thap.web.directory import Filter
from thap.web.live import Live, stop_tasks
from thap.web.movers import View
from thap.web.sight import Sight, sight_of

__all__ = ["router"]

router = APIRouter()
_log = structlog.get_logger(__name__)
_EVERY_S = 1.0
_LEAST_S = 0.1
"""Between two frames, however often the view changes."""
_PROVE_S = 10.0
_MOST_OPEN = 1000
_MOST_OF_ONE = 8
"""Maps of one person, or of one token."""
_OVER, _WRONG, _BUSY = 4401, 4400, 4503
"""Codes with which the centre closes: the credential has ended; a message was wrong; too many are open."""

Name = Annotated[str, msgspec.Meta(max_length=64)]
Box = tuple[float, float, float, float]


class _Wanted(msgspec.Struct, forbid_unknown_fields=True):
    bbox: Box
    kinds: Annotated[tuple[Name, ...], msgspec.Meta(max_length=50)] = ()
    domains: Annotated[tuple[Name, ...], msgspec.Meta(max_length=50)] = ()


_decode = msgspec.json.Decoder(_Wanted).decode


@router.websocket("/api/v1/movers/live")
async def movers_live(socket: WebSocket) -> None:
    """Movers in view, as binary frames."""
    centre: Centre = socket.app.state.centre
    request = _as_request(socket)
    try:
        caller, sight = await _prove(centre, request)
    except ThapError as error:
        # The very words the API would say; a browser only hears that it was refused.
        told = {"error": {"code": error.code, "message": error.message, "where": error.where, "hint": error.hint}}
        status = 401 if isinstance(error, UnauthenticatedError) else 403
        await socket.send_denial_response(JsonAnswer(told, status))
        return
    await socket.accept()
    open_now: dict[WebSocket, str] = centre.parts.setdefault("mover_sockets", {})
    if len(open_now) >= _MOST_OPEN:
        await socket.close(_BUSY, f"{_MOST_OPEN} maps are open already")
        return
    if sum(who == caller.identity for who in open_now.values()) >= _MOST_OF_ONE:
        await socket.close(_BUSY, f"{_MOST_OF_ONE} maps of yours are open already: close one")
        return
    open_now[socket] = caller.identity
    try:
        await _Feed(centre, socket, request, sight).run()
    except InputError as error:
        await _close(socket, _WRONG, str(error))
    except (UnauthenticatedError, DeniedError) as error:
        await _close(socket, _OVER, str(error))
    except WebSocketDisconnect:
        pass
    finally:
        open_now.pop(socket, None)


async def _close(socket: WebSocket, code: int, why: str) -> None:
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):
        await socket.close(code, why.encode()[:120].decode(errors="ignore"))


def _as_request(socket: WebSocket) -> HTTPConnection:
    """The handshake as the request it is: cookies and origins speak of http."""
    scheme = "https" if socket.url.scheme in ("wss", "https") else "http"
    return HTTPConnection({**socket.scope, "scheme": scheme})


async def _prove(centre: Centre, request: HTTPConnection) -> tuple[Caller, Sight]:
    """Who asks, and what they may see. A browser opens sockets to any host with its cookies: so a session counts only
    from the centre's own page.

    Raises:
        UnauthenticatedError: no valid credential.
        DeniedError: it does not allow reading, or another site's page asks.
    """
    caller = await authenticate(request, "thing.read")
    if caller.session is not None:
        check_own_page(request)
    return caller, await sight_of(centre, caller)


class _Feed:
    """One map's movers."""

    def __init__(self, centre: Centre, socket: WebSocket, request: HTTPConnection, sight: Sight) -> None:
        self._centre, self._socket, self._request, self._sight = centre, socket, request, sight
        self._live: Live = centre.parts["live"]
        self._view = View()
        self._wake = asyncio.Event()
        self._doubted = False
        self._turned = asyncio.Event()
        self._proved = time.monotonic()

    async def run(self) -> None:
        """Until either side ends it.

        Raises:
            WebSocketDisconnect: the map has gone.
            InputError: a message was not understood.
            UnauthenticatedError, DeniedError: the credential has ended.
        """
        hearing = asyncio.create_task(self._hear())
        telling = asyncio.create_task(self._tell())
        self._live.changed.append(self._wake.set)
        self._live.doubted.append(self._doubt)
        try:
            done, _ = await asyncio.wait((hearing, telling), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            self._live.changed.remove(self._wake.set)
            self._live.doubted.remove(self._doubt)
            await stop_tasks([hearing, telling])

    def _doubt(self) -> None:
        self._doubted = True
        self._wake.set()

    async def _hear(self) -> None:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", 1005))
            try:
                wanted = _decode(message.get("text") or message.get("bytes") or b"")
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise InputError(f"not a view: {error}", hint='send {"bbox": [west, south, east, north]}') from None
            self._want(wanted)

    def _want(self, wanted: _Wanted) -> None:
        west, south, east, north = wanted.bbox
        if not (abs(west) <= 180 and abs(east) <= 180 and -90 <= south <= north <= 90):
            raise InputError("not a box on the globe", where="bbox", hint="west, south, east, north in degrees")
        self._view.turn(Filter(domains=frozenset(wanted.domains), kinds=frozenset(wanted.kinds), bbox=wanted.bbox))
        self._turned.set()
        self._wake.set()

    async def _tell(self) -> None:
        """At most one frame a second of what moved; a changed view is answered sooner."""
        sent = 0.0
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PROVE_S):
                    await self._wake.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, sent + _EVERY_S - time.monotonic())):
                    await self._turned.wait()
            self._wake.clear()
            self._turned.clear()
            if self._doubted or time.monotonic() - self._proved > _PROVE_S:
                await self._prove_again()
            if self._view.wanted.bbox is None:
                continue
            turned = self._view.turned
            frame = await self._frame()
            if frame is not None:
                await self._socket.send_bytes(frame)
            if not turned:
                sent = time.monotonic()
            await asyncio.sleep(_LEAST_S)

    async def _prove_again(self) -> None:
        self._doubted = False
        _, sight = await _prove(self._centre, self._request)
        self._proved = time.monotonic()
        if (sight.key, sight.policy) != (self._sight.key, self._sight.policy) and not (
            sight.whole and self._sight.whole
        ):
            self._view.forget()
        self._sight = sight

    async def _frame(self) -> bytes | None:
        live, view = self._live, self._view
        version, mirror = live.version, live.positions
        wanted = Filter(domains=view.wanted.domains, kinds=view.wanted.kinds)
        candidates = view.candidates(mirror, live.directory.mover_mask(wanted))
        seen = await live.visible("position", candidates, self._sight)
        return view.frame(mirror, live.directory, candidates, seen, version)
