"""Warnings over the API and in public: who may, what comes back, what is announced."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import msgspec
import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from lxml import etree
from tests.respond.warning_world import CAO_LANH, draft

from thap.kernel.audit import audit, verify
from thap.kernel.bus import Bus
from thap.kernel.records import Records
from thap.kernel.units import communes
from thap.respond.warnings.document import parse, read
from thap.respond.warnings.model import WarningEvent
from thap.respond.warnings.schema import faults
from thap.respond.warnings.signing import verify as verify_signature

URL = "/api/v1/warnings"
ATOM = "{http://www.w3.org/2005/Atom}"
ELSEWHERE = next(unit.code for unit in communes() if unit.code != CAO_LANH)
Desk = Callable[..., Awaitable[httpx.AsyncClient]]
DRAFT = draft().model_dump()
ROUTES: list[tuple[str, str, Any]] = [
    ("GET", "", None),
    ("POST", "", {"draft": DRAFT}),
    ("GET", "/draft?incident=1", None),
    ("POST", "/check", None),
    ("GET", "/received", None),
    ("GET", "/feeds", None),
    ("PUT", "/feeds/x", {"url": "http://127.0.0.1/"}),
    ("DELETE", "/feeds/x", None),
    ("GET", "/subscribers", None),
    ("POST", "/subscribers", {"url": "http://127.0.0.1/"}),
    ("DELETE", "/subscribers/1", None),
    ("GET", "/1", None),
    ("PUT", "/1", {"draft": DRAFT}),
    ("GET", "/1/preview", None),
    ("GET", "/1/document", None),
    ("GET", "/1/pushes", None),
    ("POST", "/1/follow-up", {"kind": "Cancel"}),
    *(("POST", f"/1/{act}", {"comment": "x"}) for act in ("submit", "retract", "withdraw", "approve", "return")),
]


async def composed(browser: httpx.AsyncClient, **more: Any) -> int:
    answer = await browser.post(URL, json={"draft": DRAFT, **more})
    assert answer.status_code == 200, answer.text
    return int(answer.json()["warning"]["id"])


async def published(writer: httpx.AsyncClient, leader: httpx.AsyncClient, **more: Any) -> dict[str, Any]:
    number = await composed(writer, **more)
    for browser, act in ((writer, "submit"), (leader, "approve")):
        answer = await browser.post(f"{URL}/{number}/{act}")
        assert answer.status_code == 200, answer.text
    found: dict[str, Any] = (await leader.get(f"{URL}/{number}")).json()["warning"]
    return found


async def test_nobody_passes_without_a_credential(stranger: httpx.AsyncClient) -> None:
    for method, path, body in ROUTES:
        answer = await stranger.request(method, URL + path, json=body)
        assert answer.status_code == 401, (method, path)


async def test_another_units_person_sees_nothing_of_a_draft_and_is_told_it_does_not_exist(
    client: httpx.AsyncClient, desk: Desk
) -> None:
    await composed(client, unit=CAO_LANH)
    other = await desk("xa-khac", "operator", "leader", unit=ELSEWHERE)
    assert (await other.get(URL)).json() == {"items": [], "total": 0, "next": None}
    for method, path, body in ROUTES:
        if path.startswith("/1"):
            answer = await other.request(method, URL + path, json=body)
            assert answer.status_code == 404, (method, path, answer.text)
    assert (await other.post(URL, json={"draft": DRAFT, "unit": CAO_LANH})).status_code in (403, 404)
    assert (await client.get(f"{URL}/1")).json()["warning"]["version"] == 1


async def test_who_composes_does_not_approve_and_who_approves_does_not_compose(desk: Desk) -> None:
    writer, leader = await desk("truc-ban", "operator"), await desk("lanh-dao", "leader")
    number = await composed(writer)
    assert (await leader.post(URL, json={"draft": DRAFT})).status_code == 403
    assert (await writer.post(f"{URL}/{number}/submit")).status_code == 200
    for act in ("approve", "return"):
        assert (await writer.post(f"{URL}/{number}/{act}", json={"comment": "x"})).status_code == 403
    both = await desk("ca-hai", "operator", "leader")
    mine = await composed(both)
    await both.post(f"{URL}/{mine}/submit")
    answer = await both.post(f"{URL}/{mine}/approve")
    assert answer.status_code == 409 and "another person" in answer.json()["error"]["message"]
    keeper = await desk("quan-tri", "administrator")
    assert (await keeper.post(f"{URL}/{number}/approve")).status_code == 403
    assert (await leader.post(f"{URL}/{number}/approve")).status_code == 200


async def test_what_may_be_done_and_what_is_missing_is_said_before_it_is_tried(desk: Desk) -> None:
    writer, both = await desk("truc-ban", "operator"), await desk("ca-hai", "operator", "leader")
    number = (await writer.post(URL, json={"draft": {**DRAFT, "event": {"vi": "Lũ", "en": ""}}})).json()["warning"][
        "id"
    ]
    life = (await writer.get(f"{URL}/{number}")).json()
    assert life["may"] == ["edit", "submit", "withdraw"] and life["own"]
    assert life["missing"] == [{"where": "event.en", "message": "is empty"}]
    await both.put(f"{URL}/{number}", json={"draft": DRAFT})
    await writer.post(f"{URL}/{number}/submit")
    mine = (await both.get(f"{URL}/{number}")).json()
    assert mine["may"] == ["retract", "withdraw", "return"] and mine["own"] and mine["missing"] == []
    leader = await desk("lanh-dao", "leader")
    theirs = (await leader.get(f"{URL}/{number}")).json()
    assert theirs["may"] == ["approve", "return"] and not theirs["own"]
    await leader.post(f"{URL}/{number}/approve")
    assert (await writer.get(f"{URL}/{number}")).json()["may"] == ["update", "cancel"]


async def test_a_whole_life_is_kept_announced_audited_and_public(
    stranger: httpx.AsyncClient, desk: Desk, bus: Bus, records: Records
) -> None:
    heard: asyncio.Queue[WarningEvent] = asyncio.Queue()

    async def hear(_subject: str, payload: bytes) -> None:
        await heard.put(msgspec.json.decode(payload, type=WarningEvent))

    await bus.listen("centre.live.warning", hear)
    await bus.client.flush()
    writer, leader = await desk("truc-ban", "operator"), await desk("lanh-dao", "leader")
    sent = await published(writer, leader)
    path = f"/feeds/warnings/{sent['identifier']}.xml"
    answer = await stranger.get(path)
    assert answer.headers["content-type"].startswith("application/cap+xml")
    root = parse(answer.content, path)
    assert faults(root) == [] and read(root, path).identifier == sent["identifier"]
    pem = (await stranger.get("/feeds/warnings.pem")).text
    assert "BEGIN CERTIFICATE" in pem and "PRIVATE" not in pem
    assert verify_signature(root).state == "valid"
    feed = await stranger.get("/feeds/warnings.atom")
    [entry] = etree.fromstring(feed.content).findall(f"{ATOM}entry")
    assert entry.findtext(f"{ATOM}title") == "Triều cường vượt báo động III"
    link = entry.find(f"{ATOM}link")
    assert link is not None and (await stranger.get(f"/feeds/{link.get('href')}")).content == answer.content
    english = etree.fromstring((await stranger.get("/feeds/warnings.atom?lang=en")).content)
    assert english.findtext(f"{ATOM}entry/{ATOM}title") == "High tide above alarm level III"
    same = await stranger.get("/feeds/warnings.atom", headers={"If-None-Match": feed.headers["etag"]})
    assert same.status_code == 304 and not same.content
    begun = (await writer.post(f"{URL}/{sent['id']}/follow-up", json={"kind": "Cancel"})).json()["warning"]
    said = {**begun["draft"], "note": "Nước đã rút"}
    assert (await writer.put(f"{URL}/{begun['id']}", json={"draft": said, "version": 1})).status_code == 200
    await writer.post(f"{URL}/{begun['id']}/submit")
    assert (await leader.post(f"{URL}/{begun['id']}/approve")).status_code == 200
    [entry] = etree.fromstring((await stranger.get("/feeds/warnings.atom")).content).findall(f"{ATOM}entry")
    assert (entry.findtext(f"{ATOM}title") or "").startswith("Hủy cảnh báo")
    acts = [(await asyncio.wait_for(heard.get(), 30)).action for _ in range(7)]
    assert acts == ["compose", "submit", "approve", "compose", "edit", "submit", "approve"]
    async with records.read() as connection:
        rows = await connection.execute(sa.select(audit.c.who, audit.c.action).where(audit.c.object == "warning:1"))
        assert [tuple(row) for row in rows] == [
            ("truc-ban", "warning.compose"),
            ("truc-ban", "warning.submit"),
            ("lanh-dao", "warning.approve"),
        ]
    assert (await verify(records)).broken_at is None


async def test_what_did_not_go_out_is_not_public(stranger: httpx.AsyncClient, client: httpx.AsyncClient) -> None:
    await composed(client)
    feed = await stranger.get("/feeds/warnings.atom")
    assert feed.status_code == 200 and etree.fromstring(feed.content).findall(f"{ATOM}entry") == []
    for path in ("/feeds/warnings/.xml", "/feeds/warnings/1.xml", "/feeds/warnings/..%2f1.xml"):
        assert (await stranger.get(path)).status_code == 404


async def test_a_warning_from_an_incident_begins_with_what_it_says_and_is_linked_to_it(
    client: httpx.AsyncClient, desk: Desk
) -> None:
    body = {"title": "Ngập chợ", "domain": "water", "severity": 3, "commune": CAO_LANH, "unit": "82"}
    incident = (await client.post("/api/v1/incidents", json=body)).json()["incident"]
    writer, leader = await desk("truc-ban", "operator"), await desk("lanh-dao", "leader")
    suggested = (await writer.get(f"{URL}/draft", params={"incident": incident["id"]})).json()
    assert suggested["communes"] == [CAO_LANH] and suggested["severity"] == "Severe"
    number = await composed(writer, incident=incident["id"], draft=None)
    answer = await writer.post(f"{URL}/{number}/submit")
    assert answer.status_code == 400 and "description.en" in answer.json()["error"]["message"]
    preview = await writer.get(f"{URL}/{number}/preview")
    assert "description.en" in preview.headers["x-thap-missing"] and faults(parse(preview.content, "x")) == []
    suggested["description"]["en"] = "The market is flooded."
    await writer.put(f"{URL}/{number}", json={"draft": suggested})
    await writer.post(f"{URL}/{number}/submit")
    assert (await leader.post(f"{URL}/{number}/approve")).status_code == 200
    found = (await client.get(f"/api/v1/incidents/{incident['id']}")).json()
    assert "warning" in str(found), "the incident shows it"
    assert [one["id"] for one in (await client.get(URL, params={"incident": incident["id"]})).json()["items"]] == [
        number
    ]
    stranger_to_it = await desk("xa-khac", "operator", unit=ELSEWHERE)
    answer = await stranger_to_it.post(URL, json={"incident": incident["id"]})
    assert answer.status_code == 404


async def test_what_cannot_be_asked_is_an_error_that_says_so(client: httpx.AsyncClient) -> None:
    await composed(client)
    for method, path, body, status, words in (
        ("GET", "?state=angry", None, 400, "not a state"),
        ("GET", "?after=x", None, 400, "page"),
        ("POST", "", {}, 400, "incident"),
        ("POST", "", {"draft": {"colour": "red"}}, 400, "extra"),
        ("POST", "", {"draft": {"expires": "soon"}}, 400, "not a time"),
        ("POST", "", {"draft": {"contact": "a\x00b"}}, 400, "character"),
        ("POST", "", {"draft": {"polygons": [[[105]]]}}, 400, "2 items"),
        ("POST", "", {"incident": 99}, 404, "no incident"),
        ("PUT", "/1", {"draft": DRAFT, "version": 7}, 409, "no version 7"),
        ("POST", "/1/approve", {}, 409, "it is draft"),
        ("POST", "/1/explode", {}, 400, "submit"),
        ("POST", "/1/follow-up", {"kind": "Update"}, 409, "did not go out"),
        ("GET", "/1/document", None, 404, "went out"),
        ("GET", "/99", None, 404, "no warning 99"),
        ("PUT", "/feeds/A b", {"url": "http://x/"}, 400, "a-z"),
        ("PUT", "/feeds/x", {"url": "file:///etc/passwd"}, 400, "http"),
        ("POST", "/subscribers", {"url": "ftp://x/"}, 400, "http"),
        ("DELETE", "/feeds/x", None, 404, "no feed"),
        ("DELETE", "/subscribers/9", None, 404, "no subscriber"),
    ):
        answer = await client.request(method, URL + path, json=body)
        assert answer.status_code == status, (method, path, answer.text)
        assert words in answer.json()["error"]["message"], answer.text


async def test_feeds_and_subscribers_are_kept_by_administrators(client: httpx.AsyncClient, desk: Desk) -> None:
    writer = await desk("truc-ban", "operator")
    body = {"url": "https://khi-tuong.example/cap.atom", "domain": "water"}
    assert (await writer.put(f"{URL}/feeds/kttv", json=body)).status_code == 403
    for every in (60, 120):
        assert (await client.put(f"{URL}/feeds/kttv", json={**body, "every_s": every})).status_code == 200
    [feed] = (await writer.get(f"{URL}/feeds")).json()
    assert (feed["name"], feed["every_s"], feed["failures"]) == ("kttv", 120, 0)
    body = {"url": "https://truyen-thanh.example/", "secret": "bí mật"}
    assert (await client.post(f"{URL}/subscribers", json=body)).json()["signed"] is True
    assert (await client.post(f"{URL}/subscribers", json=body)).status_code == 409
    assert (await writer.get(f"{URL}/subscribers")).status_code == 403
    assert "bí mật" not in (await client.get(f"{URL}/subscribers")).text
    assert (await client.delete(f"{URL}/subscribers/1")).status_code == 204
    assert (await client.delete(f"{URL}/feeds/kttv")).status_code == 204
    assert (await client.get(f"{URL}/feeds")).json() == [] == (await client.get(f"{URL}/subscribers")).json()


async def test_documents_of_others_are_checked(client: httpx.AsyncClient, desk: Desk) -> None:
    sent = await published(await desk("truc-ban", "operator"), await desk("lanh-dao", "leader"))
    body = (await client.get(f"{URL}/{sent['id']}/document")).content
    told = (await client.post(f"{URL}/check", content=body)).json()
    assert told["valid"] and told["signature"] == "valid" and told["signer"] == "CN=thap-82"
    told = (await client.post(f"{URL}/check", content=body.replace(b"Severe", b"Nasty"))).json()
    assert not told["valid"] and told["signature"] == "broken" and "Nasty" in told["faults"][0]
    for bad, status in ((b"", 400), (b"<a>", 400), (b"x" * (5 << 20), 400), (b"<!DOCTYPE a><a/>", 400)):
        assert (await client.post(f"{URL}/check", content=bad)).status_code == status


@pytest.mark.parametrize("path", ["/feeds/warnings.atom", "/api/v1/warnings/{number}/approve"])
async def test_the_interface_is_described(app: FastAPI, path: str) -> None:
    assert path in app.openapi()["paths"]
