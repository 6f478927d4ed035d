"""Frames of movers: what changed in view, nothing else, and only to whom it may be shown."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import numpy as np
from fastapi import FastAPI

from thap.kernel.clock import now_us
from thap.kernel.policy.people import grant
from thap.kernel.units import communes
from thap.observe.registry import MoverInfo, Registry
from thap.web.deps import Centre, policy_of
from thap.web.directory import Directory, Filter
from thap.web.latest import Delta, Mirror
from thap.web.live import Live
from thap.web.movers import MAGIC, View

Desk = Callable[..., Awaitable[httpx.AsyncClient]]
HERE, THERE = communes()[0], communes()[1]
PATH = "/api/v1/movers/live"


def read(frame: bytes) -> dict[str, Any]:
    """A frame, taken apart as the console does."""
    magic, flags, rows, removed, names, hidden = struct.unpack_from("<6I", frame)
    assert magic == MAGIC
    assert len(frame) == 24 + names + rows * 20 + removed * 4
    at = 24 + names
    named = json.loads(frame[24:at]) if names else []
    found: dict[str, Any] = {
        "anew": bool(flags & 1),
        "hidden": hidden,
        "named": {key: index for index, key, *_ in named},
    }
    for name, dtype in (
        ("index", "<u4"),
        ("lon", "<i4"),
        ("lat", "<i4"),
        ("time", "<u4"),
        ("speed", "<u2"),
        ("course", "<u2"),
    ):
        found[name] = np.frombuffer(frame, dtype, rows, at)
        at += rows * np.dtype(dtype).itemsize
    found["removed"] = np.frombuffer(frame, "<u4", removed, at).tolist()
    return found


def moved(*rows: tuple[int, float, float], speed: float = 5.0) -> Delta:
    numbers, lon, lat = zip(*rows, strict=True)
    columns: dict[str, Any] = {
        "time": np.full(len(rows), now_us()),
        "lon": np.array(lon, np.float64),
        "lat": np.array(lat, np.float64),
        "speed_kn": np.full(len(rows), speed, np.float32),
        "course_deg": np.full(len(rows), 90.0, np.float32),
        "received": np.full(len(rows), now_us()),
    }
    return Delta("position", 0, 1, np.array(numbers, np.int32), columns)


class Scene:
    """One map before a registry of a few movers."""

    def __init__(self, count: int = 5) -> None:
        infos = tuple(
            MoverInfo(number, f"m-{number}", f"Tàu {number}", "cargo", "traffic", {}) for number in range(1, count + 1)
        )
        self.directory, self.mirror, self.version = Directory(Registry(movers=infos)), Mirror("position"), 0
        self.view = View(Filter(bbox=(105.0, 10.0, 106.0, 11.0)))

    def move(self, *rows: tuple[int, float, float], speed: float = 5.0) -> None:
        self.version += 1
        self.mirror.apply(moved(*rows, speed=speed), self.version)

    def look(self, *hidden: int) -> dict[str, Any] | None:
        candidates = self.view.candidates(self.mirror, self.directory.mover_mask(Filter()))
        seen = candidates[~np.isin(candidates, hidden)]
        frame = self.view.frame(self.mirror, self.directory, candidates, seen, self.version)
        return None if frame is None else read(frame)


def test_the_first_frame_names_what_is_in_view_and_the_next_ones_tell_only_what_changed() -> None:
    scene = Scene()
    scene.move((1, 105.5, 10.5), (2, 105.6, 10.6), (3, 107.0, 10.5))
    first = scene.look()
    assert first is not None
    assert first["anew"]
    assert set(first["named"]) == {"m-1", "m-2"}
    assert scene.look() is None
    scene.move((2, 105.61, 10.6), (3, 107.1, 10.5))
    second = scene.look()
    assert second is not None
    assert (second["anew"], second["named"], second["index"].tolist()) == (False, {}, [first["named"]["m-2"]])
    assert second["lon"].tolist() == [1_056_100_000]


def test_a_mover_that_leaves_the_view_is_removed_and_its_index_is_used_again() -> None:
    scene = Scene()
    scene.move((1, 105.5, 10.5), (2, 105.6, 10.6))
    first = scene.look()
    assert first is not None
    scene.move((1, 107.0, 10.5))
    gone = scene.look()
    assert gone is not None
    assert gone["removed"] == [first["named"]["m-1"]]
    scene.move((3, 105.2, 10.2))
    came = scene.look()
    assert came is not None
    assert came["named"] == {"m-3": first["named"]["m-1"]}


def test_a_turned_view_shows_what_stands_still_there() -> None:
    scene = Scene()
    scene.move((1, 105.5, 10.5), (2, 107.5, 10.5))
    scene.look()
    scene.view.wanted, scene.view.turned = Filter(bbox=(107.0, 10.0, 108.0, 11.0)), True
    turned = scene.look()
    assert turned is not None
    assert (set(turned["named"]), len(turned["removed"])) == ({"m-2"}, 0)  # its index is that of the one that left


def test_a_view_turned_while_a_frame_is_made_shows_what_stands_still_there() -> None:
    scene = Scene()
    scene.move((1, 105.5, 10.5), (2, 107.5, 10.5))
    mask = scene.directory.mover_mask(Filter())
    candidates = scene.view.candidates(scene.mirror, mask)
    scene.view.turn(Filter(bbox=(107.0, 10.0, 108.0, 11.0)))
    assert scene.view.frame(scene.mirror, scene.directory, candidates, candidates, scene.version) is None
    turned = scene.look()
    assert turned is not None
    assert (turned["anew"], set(turned["named"])) == (True, {"m-2"})


def test_a_mover_that_may_be_seen_no_longer_is_removed() -> None:
    scene = Scene()
    scene.move((1, 105.5, 10.5))
    scene.look()
    scene.move((1, 105.51, 10.5))
    hidden = scene.look(1)
    assert hidden is not None
    assert (hidden["index"].tolist(), hidden["removed"]) == ([], [0])


def test_unknown_speed_and_course_are_said_to_be_unknown() -> None:
    scene = Scene()
    scene.move((1, 105.5, 10.5), speed=float("nan"))
    frame = scene.look()
    assert frame is not None
    assert frame["speed"].tolist() == [65_535]
    assert frame["course"].tolist() == [900]


class Socket:
    """A WebSocket to the application, by hand."""

    def __init__(self, app: FastAPI, headers: dict[str, str]) -> None:
        raw = [(name.lower().encode(), value.encode()) for name, value in {"host": "127.0.0.1:8000", **headers}.items()]
        self.scope = {
            "type": "websocket", "asgi": {"version": "3.0"}, "scheme": "ws", "path": PATH, "raw_path": PATH.encode(),
            "query_string": b"", "root_path": "", "headers": raw, "subprotocols": [], "client": ("127.0.0.1", 9),
            "server": ("127.0.0.1", 8000), "state": {}, "extensions": {"websocket.http.response": {}},
        }  # fmt: skip
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.heard.put_nowait({"type": "websocket.connect"})
        self.running = asyncio.create_task(app(self.scope, self.heard.get, self.sent.put))  # type: ignore[arg-type]

    async def next(self) -> dict[str, Any]:
        return await asyncio.wait_for(self.sent.get(), 30)

    def say(self, text: str) -> None:
        self.heard.put_nowait({"type": "websocket.receive", "text": text})

    async def close(self) -> None:
        self.heard.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await asyncio.wait_for(self.running, 30)


def cookies(browser: httpx.AsyncClient) -> str:
    return "; ".join(f"{name}={value}" for name, value in browser.cookies.items())


async def test_nobody_hears_of_movers_without_a_credential(app: FastAPI) -> None:
    socket = Socket(app, {})
    assert (await socket.next())["status"] == 401
    await socket.running


async def test_another_sites_page_hears_nothing_though_the_browser_sends_the_cookie(app: FastAPI, desk: Desk) -> None:
    browser = await desk("truc-ban", "operator")
    socket = Socket(app, {"cookie": cookies(browser), "origin": "http://elsewhere.example"})
    assert (await socket.next())["status"] == 403
    await socket.running


async def fill(client: httpx.AsyncClient, centre: Centre) -> None:
    movers = [{"key": "tau-1", "domain": "traffic"}, {"key": "tau-2", "domain": "traffic"}]
    assert (await client.post("/api/v1/things", json={"movers": movers})).status_code == 200
    live: Live = centre.parts["live"]
    number = {info.key: info.id for info in live.directory.movers.values()}
    delta = moved((number["tau-1"], HERE.lon, HERE.lat), (number["tau-2"], THERE.lon, THERE.lat))
    live._take(delta, whole=False)


async def test_an_official_is_sent_the_movers_in_their_own_commune(
    app: FastAPI, client: httpx.AsyncClient, centre: Centre, desk: Desk
) -> None:
    await fill(client, centre)
    official = await desk("can-bo-xa", "commune_official", unit=HERE.code)
    whole = await desk("lanh-dao", "leader")
    for browser, expected in ((official, {"tau-1"}), (whole, {"tau-1", "tau-2"})):
        socket = Socket(app, {"cookie": cookies(browser), "origin": "http://127.0.0.1:8000"})
        assert (await socket.next())["type"] == "websocket.accept"
        socket.say('{"bbox": [104, 9, 108, 12]}')
        assert set(read((await socket.next())["bytes"])["named"]) == expected
        await socket.close()


async def test_a_session_that_ends_closes_the_socket(app: FastAPI, client: httpx.AsyncClient, desk: Desk) -> None:
    browser = await desk("truc-ban", "operator")
    socket = Socket(app, {"cookie": cookies(browser), "origin": "http://127.0.0.1:8000"})
    assert (await socket.next())["type"] == "websocket.accept"
    assert (await client.post("/api/v1/people/truc-ban/disable")).status_code == 200
    ended = await socket.next()
    assert (ended["type"], ended["code"]) == ("websocket.close", 4401)
    await socket.running


async def test_a_view_that_is_none_is_answered_by_closing(app: FastAPI, admin: str) -> None:
    for text in ("nonsense", '{"bbox": [1, 2, 3]}', '{"bbox": [0, 50, 1, 40]}', '{"bbox": [0, 0, 1, 1], "more": 1}'):
        socket = Socket(app, {"authorization": f"Bearer {admin}"})
        assert (await socket.next())["type"] == "websocket.accept"
        socket.say(text)
        assert (await socket.next())["code"] == 4400
        await socket.running


async def test_a_grant_that_ends_takes_its_movers_from_the_map(
    app: FastAPI, client: httpx.AsyncClient, centre: Centre, desk: Desk
) -> None:
    await fill(client, centre)
    official = await desk("can-bo-xa", "commune_official", unit=HERE.code)
    until = now_us() + 1_500_000
    async with centre.records.write() as connection:
        await grant(connection, "can-bo-xa", "commune_official", unit=THERE.code, until=until)
    policy_of(centre).changed()
    socket = Socket(app, {"cookie": cookies(official), "origin": "http://127.0.0.1:8000"})
    assert (await socket.next())["type"] == "websocket.accept"
    socket.say('{"bbox": [104, 9, 108, 12]}')
    assert set(read((await socket.next())["bytes"])["named"]) == {"tau-1", "tau-2"}
    live: Live = centre.parts["live"]
    async with asyncio.timeout(10):
        while True:
            for call in live.doubted:
                call()
            with contextlib.suppress(TimeoutError):
                told = await asyncio.wait_for(socket.sent.get(), 0.2)
                break
    frame = read(told["bytes"])
    assert (frame["anew"], set(frame["named"])) == (True, {"tau-1"})
    assert now_us() >= until
    await socket.close()


async def test_nobody_opens_more_maps_than_eight(app: FastAPI, admin: str, desk: Desk) -> None:
    sockets = [Socket(app, {"authorization": f"Bearer {admin}"}) for _ in range(9)]
    for socket in sockets:
        assert (await socket.next())["type"] == "websocket.accept"
    refused = await sockets[8].next()
    assert (refused["code"], "8 maps of yours are open" in refused["reason"]) == (4503, True)
    other = Socket(app, {"cookie": cookies(await desk("truc-ban", "operator")), "origin": "http://127.0.0.1:8000"})
    assert (await other.next())["type"] == "websocket.accept"
    await sockets[0].close()
    again = Socket(app, {"authorization": f"Bearer {admin}"})
    assert (await again.next())["type"] == "websocket.accept"
    again.say('{"bbox": [104, 9, 108, 12]}')
    assert (await again.next())["type"] == "websocket.send"
    for socket in (*sockets[1:8], other, again):
        await socket.close()
