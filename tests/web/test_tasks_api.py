"""Tasks, procedures and the calendar over HTTP: who may, what comes back, what is announced."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from thap.kernel.bus import Bus
from thap.kernel.places import communes
from thap.kernel.policy import seed
from thap.kernel.records import Records
from thap.kernel.working_calendar import packaged_text
from thap.respond.incidents.book import IncidentBook
from thap.respond.incidents.model import Draft
from thap.respond.procedures.follow import follow
from thap.respond.procedures.templates import shipped

HERE, THERE = communes()[3], communes()[4]
PATHS = ("/api/v1/tasks", "/api/v1/tasks/1", "/api/v1/procedures", "/api/v1/procedures/general", "/api/v1/calendar")
ACTS = ("done", "skip", "reopen", "extend", "assign")


@pytest.fixture
async def number(records: Records) -> int:
    """An incident of one commune, with its tasks."""
    async with records.write() as connection:
        await seed(connection)
    book = IncidentBook(records, followers=(follow,))
    opened = await book.open(Draft("Ngập đường", domain="water", unit=HERE.code, commune=HERE.code), "truc-ban")
    await book.close_store()
    return opened.incident


async def token(client: httpx.AsyncClient, unit: str, *scopes: str) -> dict[str, str]:
    body = {"name": f"{'-'.join(scopes)}-{unit or 'all'}", "scopes": list(scopes), "unit": unit}
    made = await client.post("/api/v1/tokens", json=body)
    assert made.status_code in (200, 201), made.text
    return {"Authorization": f"Bearer {made.json()['secret']}"}


async def first_task(client: httpx.AsyncClient) -> dict[str, object]:
    page = (await client.get("/api/v1/tasks")).json()
    return dict(page["items"][0])


async def test_nobody_unknown_gets_an_answer(stranger: httpx.AsyncClient) -> None:
    for path in PATHS:
        assert (await stranger.get(path)).status_code == 401
    for act in ACTS:
        assert (await stranger.post(f"/api/v1/tasks/1/{act}", json={"comment": "x"})).status_code == 401
    assert (await stranger.post("/api/v1/tasks", json={})).status_code == 401
    assert (await stranger.put("/api/v1/procedures", json={"toml": "x"})).status_code == 401
    assert (await stranger.put("/api/v1/calendar", json={"toml": "x"})).status_code == 401


async def test_another_unit_sees_nothing_and_does_nothing(client: httpx.AsyncClient, number: int) -> None:
    other = await token(client, THERE.code, "read", "operate")
    task = await first_task(client)
    assert (await client.get("/api/v1/tasks", headers=other)).json() == {"items": [], "total": 0, "next": None}
    assert (await client.get(f"/api/v1/tasks/{task['id']}", headers=other)).status_code == 404
    for act in ACTS:
        body = {"comment": "vì", **({"length": "1h"} if act == "extend" else {"role": "x"} if act == "assign" else {})}
        answer = await client.post(f"/api/v1/tasks/{task['id']}/{act}", json=body, headers=other)
        assert answer.status_code == 404, answer.text
    new = {"incident": number, "title": "x", "within": "1h"}
    assert (await client.post("/api/v1/tasks", json=new, headers=other)).status_code == 404
    assert (await first_task(client)) == task


async def test_who_only_reads_changes_nothing(client: httpx.AsyncClient, number: int) -> None:
    reader = await token(client, HERE.code, "read")
    task = await first_task(client)
    assert (await client.get(f"/api/v1/tasks/{task['id']}", headers=reader)).json()["incident"] == number
    assert (await client.post(f"/api/v1/tasks/{task['id']}/done", headers=reader)).status_code == 403
    assert (await client.put("/api/v1/procedures", json={"toml": "x"}, headers=reader)).status_code == 403


async def test_a_task_is_done_and_the_incident_announced(client: httpx.AsyncClient, number: int, bus: Bus) -> None:
    here = await token(client, HERE.code, "read", "operate")
    task = await first_task(client)
    assert task["incident"] == number and task["step"] == "acknowledge"
    told: list[dict[str, object]] = []

    async def hear(_subject: str, payload: bytes) -> None:
        told.append(json.loads(payload))

    await bus.listen("centre.live.incident", hear)
    answer = await client.post(f"/api/v1/tasks/{task['id']}/done", json={"version": task["version"]}, headers=here)
    assert answer.status_code == 200 and answer.json()["state"] == "done"
    for _ in range(500):
        if told:
            break
        await asyncio.sleep(0.01)
    assert (told[0]["id"], told[0]["action"]) == (number, "task_done")
    again = await client.post(f"/api/v1/tasks/{task['id']}/done", json={"version": task["version"]}, headers=here)
    assert again.status_code == 409 and "changed since version" in again.json()["error"]["message"]
    reopened = await client.post(f"/api/v1/tasks/{task['id']}/reopen", json={"comment": "chưa"}, headers=here)
    assert reopened.json()["state"] == "open"
    more = await client.post(
        f"/api/v1/tasks/{task['id']}/extend", json={"length": "2h", "comment": "chờ"}, headers=here
    )
    assert more.json()["within"] > reopened.json()["within"]
    given = await client.post(f"/api/v1/tasks/{task['id']}/assign", json={"assignee": "truc-ban"}, headers=here)
    assert given.json()["assignee"] == "truc-ban"
    mine = await client.get("/api/v1/tasks", params={"assignee": "truc-ban"}, headers=here)
    assert mine.json()["total"] == 1
    assert (await client.get("/api/v1/tasks", params={"mine": True}, headers=here)).json()["total"] == 0
    skipped = await client.post(f"/api/v1/tasks/{task['id']}/skip", json={"comment": "trùng"}, headers=here)
    assert skipped.json()["state"] == "skipped"


async def test_a_task_is_added_by_hand(client: httpx.AsyncClient, number: int) -> None:
    here = await token(client, HERE.code, "read", "operate")
    new = {"incident": number, "title": "Gọi xã bên", "within": "4h", "clock": "working"}
    answer = await client.post("/api/v1/tasks", json=new, headers=here)
    assert answer.status_code == 201 and answer.json()["unit"] == HERE.code, answer.text
    every = await client.get("/api/v1/tasks", params={"incident": number, "all": True}, headers=here)
    assert [task["title"]["vi"] for task in every.json()["items"]].count("Gọi xã bên") == 1
    for wrong in ({"within": "soon"}, {"unit": "so-khong-co"}, {"clock": "moon"}, {"title": ""}, {"incident": 999}):
        refused = await client.post("/api/v1/tasks", json={**new, **wrong}, headers=here)
        assert refused.status_code in (400, 404, 422), refused.text
    for query in ({"state": "lost"}, {"after": "x"}, {"limit": 0}):
        assert (await client.get("/api/v1/tasks", params=query)).status_code in (400, 422)


async def test_procedures_are_read_and_put_in_as_versions(client: httpx.AsyncClient, records: Records) -> None:
    async with records.write() as connection:
        await seed(connection)
    found = (await client.get("/api/v1/procedures")).json()["items"]
    assert {one["procedure"]["name"] for one in found} == {n for one in shipped().values() for n in one}
    text = """
    [[procedure]]
    name = "general"
    title = { vi = "Chung", en = "General" }
    [[procedure.step]]
    key = "only"
    title = { vi = "Một bước", en = "One step" }
    role = "operator"
    within = "1h"
    """
    put = await client.put("/api/v1/procedures", json={"toml": text, "version": 1})
    assert [one["version"] for one in put.json()["items"]] == [2], put.text
    assert (await client.put("/api/v1/procedures", json={"toml": text})).json()["items"] == []
    assert (await client.put("/api/v1/procedures", json={"toml": text, "version": 1})).status_code == 409
    versions = (await client.get("/api/v1/procedures/general")).json()["items"]
    assert [(one["version"], one["changed_by"]) for one in versions] == [(2, "local"), (1, "")]
    wrong = await client.put("/api/v1/procedures", json={"toml": text.replace("1h", "soon")})
    assert wrong.status_code == 400 and "step only: within" in wrong.json()["error"]["where"]
    assert (await client.get("/api/v1/procedures/nothing")).status_code == 404
    commune = await token(client, HERE.code, "read", "operate")
    refused = await client.put("/api/v1/procedures", json={"toml": text}, headers=commune)
    assert refused.status_code == 403, "procedures hold for the whole province"


async def test_the_calendar_tells_a_year_and_takes_another(client: httpx.AsyncClient) -> None:
    year = (await client.get("/api/v1/calendar", params={"year": 2026})).json()
    assert (year["complete"], len(year["closed"]), year["day_hours"], year["worked"]) == (True, 13, 8.0, [])
    text = packaged_text() + '\n[[worked]]\nday = "2027-01-09"\nlike = "fri"\n'
    assert (await client.put("/api/v1/calendar", json={"toml": text})).json() == {"moved": 0}
    year = (await client.get("/api/v1/calendar", params={"year": 2027})).json()
    assert (year["complete"], year["worked"]) == (False, ["2027-01-09"])
    assert (await client.put("/api/v1/calendar", json={"toml": "hours = 3"})).status_code == 400
