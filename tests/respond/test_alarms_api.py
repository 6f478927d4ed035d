"""Alarms over the API: who may, what comes back, what is announced."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import msgspec
import pytest
from fastapi import FastAPI

from thap.detect.detector import Change
from thap.kernel.bus import Bus
from thap.kernel.clock import HOUR_US, iso, now_us
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.kernel.tokens import create_token
from thap.respond.alarm import AlarmEvent
from thap.respond.book import AlarmBook
from thap.web.api.alarms import book_of
from thap.web.app import create_app
from thap.web.deps import Centre

URL = "/api/v1/alarms"
MakeChange = Callable[..., Change]


@pytest.fixture
async def centre(settings: Settings, records: Records, bus: Bus) -> AsyncIterator[Centre]:
    made = Centre(settings, records, bus)
    yield made
    await book_of(made).close()


@pytest.fixture
async def app(centre: Centre) -> AsyncIterator[FastAPI]:
    made = create_app(centre)
    async with made.router.lifespan_context(made):
        yield made


@pytest.fixture
async def client(app: FastAPI, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    admin = secrets.token_urlsafe(32)
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    (settings.run_dir / "centre.json").write_text(json.dumps({"token": admin}))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://127.0.0.1:8000", headers={"Authorization": f"Bearer {admin}"}
    ) as made:
        yield made


@pytest.fixture
def alarms(centre: Centre, client: httpx.AsyncClient) -> AlarmBook:
    return book_of(centre)


async def test_a_stranger_sees_nothing_and_a_reader_does_nothing(
    client: httpx.AsyncClient, records: Records, alarms: AlarmBook, change: MakeChange
) -> None:
    await alarms.apply([change("raise")])
    async with records.write() as connection:
        _, secret = await create_token(connection, "man-hinh", ["read"])
    for method, path in (
        ("GET", URL),
        ("GET", f"{URL}/1"),
        ("GET", f"{URL}/figures"),
        ("POST", f"{URL}/acknowledge"),
        ("POST", f"{URL}/1/acknowledge"),
        ("POST", f"{URL}/1/shelve"),
        ("POST", f"{URL}/1/comment"),
    ):
        answer = await client.request(method, path, headers={"Authorization": ""})
        assert answer.status_code == 401, path
        answer = await client.request(method, path, headers={"Authorization": f"Bearer {secret}"})
        assert answer.status_code == (200 if method == "GET" else 403), path


async def test_the_list_filters_and_pages(client: httpx.AsyncClient, alarms: AlarmBook, change: MakeChange) -> None:
    await alarms.apply(
        [
            change("raise", source=f"tram-{i}/muc", severity=1 + i % 4, time=i, domain="water", evidence={"limit": 1.8})
            for i in range(12)
        ]
    )
    first = (await client.get(URL, params={"limit": 5})).json()
    assert [a["source"] for a in first["items"]] == [f"tram-{i}/muc" for i in (11, 10, 9, 8, 7)]
    assert first["total"] == 12 and first["items"][0]["evidence"] == {"limit": 1.8}
    rest = (await client.get(URL, params={"limit": 100, "after": first["next"]})).json()
    assert len(rest["items"]) == 7 and rest["next"] is None
    wanted = {"severity": "high,critical", "state": "unacknowledged", "source": "tram-?/*"}
    some = await client.get(URL, params=wanted)
    assert some.json()["total"] == 4
    assert (await client.get(URL, params={"active": "false"})).json()["total"] == 0


def cursor(sort: str, value: str | int, number: int) -> str:
    return base64.urlsafe_b64encode(json.dumps([sort, value, number]).encode()).decode()


@pytest.mark.parametrize(
    ("params", "where"),
    [
        ({"state": "angry"}, "state"),
        ({"severity": "5"}, "severity"),
        ({"limit": 0}, "query.limit"),
        ({"sort": "colour"}, "query.sort"),
        ({"after": "zz"}, "after"),
        ({"sort": "source", "after": cursor("source", "a\0b", 1)}, "after"),
        ({"sort": "source", "after": cursor("source", "a", 2**63)}, "after"),
        ({"sort": "-changed", "after": cursor("-changed", 2**63, 1)}, "after"),
        ({"active": "maybe"}, "query.active"),
    ],
)
async def test_a_wrong_filter_is_told_where(
    client: httpx.AsyncClient, alarms: AlarmBook, params: dict[str, Any], where: str
) -> None:
    answer = await client.get(URL, params=params)
    assert answer.status_code == 400
    assert answer.json()["error"]["where"] == where


async def test_every_action_is_announced_after_it_is_kept(
    client: httpx.AsyncClient, bus: Bus, alarms: AlarmBook, change: MakeChange
) -> None:
    heard: asyncio.Queue[AlarmEvent] = asyncio.Queue()

    async def hear(_subject: str, payload: bytes) -> None:
        await heard.put(msgspec.json.decode(payload, type=AlarmEvent))

    await bus.listen("centre.live.alarm", hear)
    await bus.client.flush()
    [raised] = await alarms.apply([change("raise", domain="water")])
    for path, body, state in (
        ("acknowledge", {"comment": "đã thấy", "version": 1}, "acknowledged"),
        ("comment", {"comment": "gọi trạm"}, "acknowledged"),
        ("shelve", {"for": "8h"}, "shelved"),
        ("shelve", {"until": iso(now_us() + HOUR_US)}, "shelved"),
        ("unshelve", {}, "unacknowledged"),
        ("suppress", {}, "suppressed"),
        ("unsuppress", {}, "unacknowledged"),
        ("out-of-service", {"comment": "hỏng"}, "out_of_service"),
        ("in-service", {}, "unacknowledged"),
    ):
        answer = await client.post(f"{URL}/{raised.alarm}/{path}", json=body)
        assert answer.status_code == 200, answer.text
        event = await asyncio.wait_for(heard.get(), 30)
        assert msgspec.json.decode(answer.content, type=AlarmEvent) == event
        assert (event.to_state, event.by, event.comment) == (state, "local", body.get("comment", ""))
    one = (await client.get(f"{URL}/{raised.alarm}")).json()
    assert one["alarm"]["state"] == "unacknowledged" and one["total"] == 10
    assert one["transitions"][0]["action"] == "in_service" and one["transitions"][-1]["action"] == "raise"


async def test_an_act_without_a_body_is_enough(
    client: httpx.AsyncClient, alarms: AlarmBook, change: MakeChange
) -> None:
    await alarms.apply([change("raise")])
    assert (await client.post(f"{URL}/1/acknowledge")).status_code == 200


async def test_conflicts_and_wrong_bodies_are_told(
    client: httpx.AsyncClient, alarms: AlarmBook, change: MakeChange
) -> None:
    await alarms.apply([change("raise")])
    await client.post(f"{URL}/1/acknowledge", json={})
    for path, body, status, words in (
        ("1/acknowledge", {"version": 1}, 409, "acknowledge by local at"),
        ("1/acknowledge", {}, 409, "already, by local at"),
        ("1/unshelve", {}, 409, "not shelved"),
        ("77/acknowledge", {}, 404, "no alarm 77"),
        ("0/acknowledge", {}, 400, "greater"),
        ("1/explode", {}, 400, "acknowledge"),
        ("1/acknowledge", {"coment": "x"}, 400, "extra"),
        ("1/acknowledge", {"comment": "x" * 2001}, 400, "2000"),
        ("1/comment", {"comment": " "}, 400, "say something"),
        ("1/comment", {"comment": "a\x00b"}, 400, "character"),
        ("1/shelve", {}, 400, "until when"),
        ("1/shelve", {"for": "8h", "until": 5}, 400, "until when"),
        ("1/shelve", {"for": "soon"}, 400, "length"),
        ("1/shelve", {"until": "2020-01-01T00:00:00Z"}, 400, "future"),
        ("1/shelve", {"for": "9999d"}, 400, "within a year"),
    ):
        answer = await client.post(f"{URL}/{path}", json=body)
        assert answer.status_code == status, (path, body, answer.text)
        assert words in answer.json()["error"]["message"], answer.text


async def test_several_are_acknowledged_in_one_call(
    client: httpx.AsyncClient, alarms: AlarmBook, change: MakeChange
) -> None:
    await alarms.apply([change("raise", source=f"s{i}/x") for i in range(3)])
    answer = await client.post(f"{URL}/acknowledge", json={"alarms": [1, 3, 9], "comment": "bão"})
    body = answer.json()
    assert [e["alarm"] for e in body["events"]] == [1, 3]
    assert body["refused"] == [{"alarm": 9, "reason": "there is no such alarm"}]
    assert (await client.post(f"{URL}/acknowledge", json={"alarms": []})).status_code == 400


async def test_figures_come_for_a_length_of_time(
    client: httpx.AsyncClient, alarms: AlarmBook, change: MakeChange
) -> None:
    await alarms.apply([change("raise", source=f"s{i}/x", domain="water") for i in range(11)])
    found = (await client.get(f"{URL}/figures", params={"since": "2h", "domain": "water"})).json()
    assert (found["alarms"], found["peak"]["value"], found["peak"]["ok"]) == (11, 11, False)
    assert len(found["floods"][0]["rows"]) == 11
    for since in ("yesterday", "2100-01-01T00:00:00Z"):
        assert (await client.get(f"{URL}/figures", params={"since": since})).status_code == 400


async def test_the_interface_is_described(client: httpx.AsyncClient) -> None:
    described = (await client.get("/api/v1/openapi.json")).json()
    answer = described["paths"][URL]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert answer["properties"]["items"]["items"]["properties"]["shelved_until"]
    assert "$defs" not in json.dumps(described)
