"""Indicators over HTTP: who sees which numbers, who sets targets, what is exported."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

import httpx
import pytest
import sqlalchemy as sa

from thap.kernel.audit import audit
from thap.kernel.clock import now_us
from thap.kernel.places import communes
from thap.kernel.policy import Who
from thap.kernel.policy.limits import restrict
from thap.kernel.policy.people import clear
from thap.kernel.records import Records
from thap.measure.indicators.compute import PROVINCE
from thap.measure.indicators.model import Reading
from thap.measure.indicators.records import keep
from thap.respond.incidents.book import IncidentBook, open_many
from thap.respond.incidents.model import Draft
from thap.web.deps import Centre, policy_of
from thap.web.sight import store_of

HERE, THERE = communes()[3], communes()[4]
_BASE = "/api/v1/indicators"
_PATHS = (
    _BASE,
    f"{_BASE}/incidents.open",
    f"{_BASE}/incidents.open/rows",
    f"{_BASE}/export.pdf",
    f"{_BASE}/export.csv",
)
Desk = Callable[..., Awaitable[httpx.AsyncClient]]


@pytest.fixture
async def number(records: Records) -> int:
    book = IncidentBook(records, followers=())
    opened = await book.open(Draft("Ngập đường", domain="water", unit=HERE.code, commune=HERE.code), "truc-ban")
    await book.close_store()
    return opened.incident


@pytest.mark.parametrize("path", _PATHS)
async def test_nobody_unknown_sees_them(stranger: httpx.AsyncClient, path: str) -> None:
    assert (await stranger.get(path)).status_code == 401


async def test_nobody_unknown_sets_a_target(stranger: httpx.AsyncClient) -> None:
    body = {"high": 1, "source": "x", "version": 0}
    assert (await stranger.put(f"{_BASE}/incidents.open/target", json=body)).status_code == 401


async def test_an_official_sees_the_numbers_of_their_own_unit(desk: Desk, number: int) -> None:
    own = await desk("can-bo", "commune_official", unit=HERE.code)
    other = await desk("can-bo-khac", "commune_official", unit=THERE.code)
    for client, count in ((own, 1), (other, 0)):
        wall = (await client.get(_BASE, params={"theme": "incidents"})).json()
        assert {item["id"]: item["value"] for item in wall["items"]}["incidents.open"] == count
        page = (await client.get(f"{_BASE}/incidents.open/rows")).json()
        assert (page["total"], page["value"], len(page["items"])) == (count, count, count)
        detail = (await client.get(f"{_BASE}/incidents.open")).json()
        assert detail["item"]["value"] == count and not detail["item"]["may_set"]
        assert (await client.get(f"{_BASE}/system.disk_free")).status_code == 404
        ids = {item["id"] for item in (await client.get(_BASE)).json()["items"]}
        assert "system.dead_letters" not in ids and "alarms.open" in ids
    row = (await own.get(f"{_BASE}/incidents.open/rows")).json()["items"][0]
    assert (row["incident"], row["unit"]) == (number, HERE.code)


async def test_a_series_is_of_those_who_see_the_same(
    desk: Desk, client: httpx.AsyncClient, records: Records, centre: Centre
) -> None:
    own = await desk("can-bo", "commune_official", unit=HERE.code)
    now = now_us()
    async with records.write() as connection:
        await keep(connection, PROVINCE, {"incidents.open": Reading(value=70, rows=70, time=now)})
    assert [v for _, v in (await client.get(f"{_BASE}/incidents.open")).json()["series"]] == [70]
    assert (await own.get(f"{_BASE}/incidents.open")).json()["series"] == []
    assert (await policy_of(centre).current()).may(Who.local(), "system.read")


async def test_what_the_province_says_is_what_was_kept(client: httpx.AsyncClient, records: Records) -> None:
    async with records.write() as connection:
        await keep(connection, PROVINCE, {"alarms.in_10_min": Reading(value=42, rows=42, time=now_us())})
    items = {item["id"]: item for item in (await client.get(_BASE, params={"theme": "alarms"})).json()["items"]}
    assert items["alarms.in_10_min"]["value"] == 42 and items["alarms.in_10_min"]["light"] == "bad"
    assert items["alarms.open"]["reason"] == "not_yet"


async def test_a_target_is_set_by_who_may_once_and_audited(desk: Desk, records: Records) -> None:
    expert = await desk("chuyen-vien-nuoc", "domain_expert", domain="water")
    path = f"{_BASE}/water.incidents_open/target"
    body = {"high": 3, "warn_high": 5, "source": "QĐ 12, điều 3", "version": 0}
    assert (await expert.put(path, json=body)).json()["version"] == 1
    assert (await expert.put(path, json=body)).status_code == 409
    assert (await expert.put(path, json={**body, "version": 1, "low": 1})).json()["error"]["where"] == "low"
    assert (await expert.put(path, json={**body, "version": 1, "source": ""})).json()["error"]["where"] == "source"
    refused = await expert.put(f"{_BASE}/incidents.open/target", json=body)
    assert refused.status_code == 403 and refused.json()["error"]["where"] == "rule.write"
    official = await desk("can-bo", "commune_official", unit=HERE.code)
    assert (await official.put(path, json={**body, "version": 1})).status_code == 403
    found = (await official.get(f"{_BASE}/water.incidents_open")).json()
    assert (found["item"]["target"]["high"], found["item"]["target"]["changed_by"]) == (3, "chuyen-vien-nuoc")
    assert found["item"]["light"] == "good"
    async with records.read() as connection:
        told = (await connection.execute(sa.select(audit.c.object).where(audit.c.action == "indicator.target"))).all()
    assert [row[0] for row in told] == ["indicator:water.incidents_open"]


async def test_exports_take_the_action_and_are_audited(desk: Desk, records: Records, number: int) -> None:
    leader, official = await desk("lanh-dao", "leader"), await desk("can-bo", "commune_official", unit=HERE.code)
    rows = await leader.get(f"{_BASE}/incidents.open/rows", params={"format": "csv", "language": "en"})
    assert rows.headers["content-type"].startswith("text/csv")
    lines = rows.content.decode("utf-8-sig").splitlines()
    assert lines[0].startswith("Incident,Title") and len(lines) == 2 and "Ngập đường" in lines[1]
    pdf = await leader.get(f"{_BASE}/export.pdf")
    assert pdf.content.startswith(b"%PDF-") and pdf.headers["content-type"] == "application/pdf"
    table = await leader.get(f"{_BASE}/export.csv", params={"theme": "incidents"})
    assert "incidents.open" in table.text
    for path in (f"{_BASE}/incidents.open/rows?format=csv", f"{_BASE}/export.pdf", f"{_BASE}/export.csv"):
        assert (await official.get(path)).status_code == 403
    async with records.read() as connection:
        told = (await connection.execute(sa.select(audit.c.object).where(audit.c.action == "export"))).scalars().all()
    assert sorted(told) == ["indicator:incidents.open", "indicators", "indicators"]


async def test_every_page_of_an_export_is_noted(desk: Desk, records: Records, centre: Centre) -> None:
    leader = await desk("lanh-dao", "leader")
    drafts = [Draft(f"Ngập {n}", domain="water", commune=HERE.code) for n in range(1050)]
    await store_of(centre).transact(lambda tx: open_many(tx, drafts, "truc-ban"))
    async with records.write() as connection:
        await restrict(connection, "domain", "water")
        await clear(connection, "lanh-dao", "domain", "water")
    policy_of(centre).changed()
    rows = await leader.get(f"{_BASE}/incidents.open/rows", params={"format": "csv"})
    assert len(rows.content.splitlines()) == 1051
    async with records.read() as connection:
        told = await connection.execute(sa.select(audit.c.detail).where(audit.c.action == "incident.read"))
        assert sorted(json.loads(row[0])["restricted"] for row in told) == [50, 1000]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"{_BASE}/no.such", 404),
        (f"{_BASE}/NOT-ONE", 422),
        (f"{_BASE}/incidents.open?since=gestern", 400),
        (f"{_BASE}/incidents.open?since=2026-02-01T00:00:00Z&until=2026-01-01T00:00:00Z", 400),
        (f"{_BASE}/incidents.open/rows?after=x", 400),
        (f"{_BASE}/incidents.open/rows?limit=0", 422),
    ],
)
async def test_what_is_wrong_is_said(client: httpx.AsyncClient, path: str, status: int) -> None:
    answer = await client.get(path)
    assert answer.status_code in (status, 400, 422) and answer.json()["error"]["message"]


async def test_rows_page_without_gap_or_double(client: httpx.AsyncClient, records: Records) -> None:
    book = IncidentBook(records, followers=())
    numbers = [(await book.open(Draft(f"Việc {n}", domain="water"), "truc-ban")).incident for n in range(7)]
    await book.close_store()
    seen, after = [], None
    while True:
        params = {"limit": "3", **({"after": after} if after else {})}
        page = (await client.get(f"{_BASE}/incidents.open/rows", params=params)).json()
        seen += [row["incident"] for row in page["items"]]
        after = page["next"]
        if after is None:
            break
    assert seen == sorted(numbers, reverse=True) and page["total"] == 7
