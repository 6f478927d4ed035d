"""/api/v1/cameras/{name}/live: a WebSocket with a camera's video as fragmented MP4, for Media Source Extensions.

Each message is one byte of type and its content: 0 JSON about the stream (`mime`, `codec`, `width`, `height`), 1 the
header (ftyp, moov), 2 a fragment that begins with a key picture, 3 any other. A new 0 and 1 may come at any time: the
camera changed what it sends. Where `mime` is empty a browser cannot play it: ask for snapshots instead.
"""

from __future__ import annotations

import asyncio
import contextlib

from fastapi import APIRouter
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket, WebSocketDisconnect

from thap.kernel.errors import DeniedError, NotFoundError, ThapError, UnauthenticatedError, UnavailableError
from thap.kernel.policy import Subject
from thap.observe.cameras.records import RESOURCE, camera_named
from thap.web.answers import JsonAnswer
from thap.web.auth import authenticate, check_own_page
from thap.web.cameras import Relays, Viewer
from thap.web.deps import Caller, Centre, policy_of
from thap.web.live import stop_tasks
from thap.web.sight import note_reading

__all__ = ["router"]

router = APIRouter()
_PROVE_S = 10.0
_MOST_OPEN = 400
_MOST_OF_ONE = 40
"""Streams of one person: two walls of sixteen, and a few beside."""
_OVER, _BUSY, _GONE = 4401, 4503, 4404


@router.websocket("/api/v1/cameras/{name}/live")
async def camera_live(socket: WebSocket, name: str) -> None:
    """Video of one camera, as binary messages."""
    centre: Centre = socket.app.state.centre
    scheme = "https" if socket.url.scheme in ("wss", "https") else "http"
    request = HTTPConnection({**socket.scope, "scheme": scheme})
    try:
        caller = await _prove(centre, request, name)
        relay, viewer = await relays_of(centre).join(name)
    except ThapError as error:
        told = {"error": {"code": error.code, "message": error.message, "where": error.where, "hint": error.hint}}
        status = (
            503 if isinstance(error, UnavailableError) else 404 if isinstance(error, NotFoundError) else error.status
        )
        await socket.send_denial_response(JsonAnswer(told, status))
        return
    open_now: dict[WebSocket, str] = centre.parts.setdefault("camera_sockets", {})
    await socket.accept()
    try:
        if len(open_now) >= _MOST_OPEN or sum(who == caller.identity for who in open_now.values()) >= _MOST_OF_ONE:
            await _close(socket, _BUSY, "too many streams are open already: close one")
            return
        open_now[socket] = caller.identity
        tasks = [
            asyncio.create_task(_send(socket, viewer)),
            asyncio.create_task(_wait_for_end(socket)),
            asyncio.create_task(_watch_right(centre, request, name)),
        ]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        await stop_tasks(tasks)
        for task in done:
            task.result()
        await _close(socket, _GONE, "the stream has ended")
    except (UnauthenticatedError, DeniedError, NotFoundError) as error:
        await _close(socket, _OVER, str(error))
    except (WebSocketDisconnect, RuntimeError):
        pass
    finally:
        open_now.pop(socket, None)
        relay.leave(viewer)


def relays_of(centre: Centre) -> Relays:
    """The relays of this process, made at first use."""
    found: Relays | None = centre.parts.get("relays")
    if found is None:
        found = centre.parts["relays"] = Relays(centre.settings.run_dir)
    return found


async def _close(socket: WebSocket, code: int, why: str) -> None:
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):
        await socket.close(code, why.encode()[:120].decode(errors="ignore"))


async def _send(socket: WebSocket, viewer: Viewer) -> None:
    while frames := await viewer.take():
        for frame in frames:
            await socket.send_bytes(frame)


async def _wait_for_end(socket: WebSocket) -> None:
    while True:
        await socket.receive_bytes()


async def _watch_right(centre: Centre, request: HTTPConnection, name: str) -> None:
    """A right that is taken away ends the stream within seconds."""
    while True:
        await asyncio.sleep(_PROVE_S)
        await _prove(centre, request, name, first=False)


async def _prove(centre: Centre, request: HTTPConnection, name: str, *, first: bool = True) -> Caller:
    """Who asks, and whether they may see this camera now.

    Raises:
        UnauthenticatedError: no valid credential.
        DeniedError: it does not allow viewing, or another site's page asks.
        NotFoundError: there is no such camera, as far as they may see.
    """
    caller = await authenticate(request, "camera.view")
    if caller.session is not None:
        check_own_page(request)
    policy = await policy_of(centre).current()
    async with centre.records.read() as connection:
        camera = await camera_named(connection, name, policy.where(caller.who, "camera.view", RESOURCE))
    if first:
        subject = Subject("thing", (camera.commune,), camera.domain, camera.name)
        await note_reading(centre, caller, policy, "thing", [(f"thing:{camera.name}", subject)])
    return caller
