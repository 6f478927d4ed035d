"""Figures of response and after-action reports over HTTP."""

from __future__ import annotations

import httpx
import pytest
import sqlalchemy as sa

from thap.kernel.audit import audit
from thap.kernel.places import communes
from thap.kernel.policy import seed
from thap.kernel.records import Records
from thap.respond.incidents.book import IncidentBook
from thap.respond.incidents.model import Draft

HERE, THERE = communes()[3], communes()[4]
_PATHS = (
    "/api/v1/figures/response",
    "/api/v1/figures/response/incidents?figure=opened",
    "/api/v1/incidents/1/report.pdf",
)


@pytest.fixture
async def number(records: Records) -> int:
    async with records.write() as connection:
        await seed(connection)
    book = IncidentBook(records, followers=())
    opened = await book.open(Draft("Ngập đường", domain="water", unit=HERE.code, commune=HERE.code), "truc-ban")
    await book.acknowledge(opened.incident, "truc-ban")
    await book.close_store()
    return opened.incident


async def _reader(client: httpx.AsyncClient, unit: str) -> dict[str, str]:
    made = await client.post("/api/v1/tokens", json={"name": f"reader-{unit}", "scopes": ["read"], "unit": unit})
    assert made.status_code in (200, 201), made.text
    return {"Authorization": f"Bearer {made.json()['secret']}"}


@pytest.mark.parametrize("path", _PATHS)
async def test_nobody_unknown_sees_them(stranger: httpx.AsyncClient, path: str) -> None:
    assert (await stranger.get(path)).status_code == 401


async def test_another_unit_sees_nothing_of_it(client: httpx.AsyncClient, number: int) -> None:
    headers = await _reader(client, THERE.code)
    figures = (await client.get(_PATHS[0], headers=headers)).json()
    assert figures["groups"] == [] and figures["total"]["backlog"]["backlog"] == 0
    assert (await client.get(_PATHS[1], headers=headers)).json()["total"] == 0
    assert (await client.get(f"/api/v1/incidents/{number}/report.pdf", headers=headers)).status_code == 404


async def test_its_own_unit_sees_the_figure_and_what_is_behind_it(client: httpx.AsyncClient, number: int) -> None:
    headers = await _reader(client, HERE.code)
    figures = (await client.get(_PATHS[0], headers=headers)).json()
    assert [(group["key"], group["opened"]) for group in figures["groups"]] == [(HERE.code, 1)]
    behind = await client.get(_PATHS[1], params={"figure": "acknowledged", "key": HERE.code}, headers=headers)
    assert [item["id"] for item in behind.json()["items"]] == [number]


async def test_the_report_is_a_pdf_and_its_export_is_audited(
    client: httpx.AsyncClient, records: Records, number: int
) -> None:
    answer = await client.get(f"/api/v1/incidents/{number}/report.pdf", params={"language": "en"})
    assert answer.status_code == 200 and answer.content.startswith(b"%PDF-")
    assert answer.headers["content-type"] == "application/pdf"
    async with records.read() as connection:
        told = (await connection.execute(sa.select(audit.c.object).where(audit.c.action == "export"))).scalars().all()
    assert told == [f"incident:{number}"]


@pytest.mark.parametrize(
    "query", ["since=gestern", "by=colour", "since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z"]
)
async def test_a_period_that_is_none_says_where(client: httpx.AsyncClient, query: str) -> None:
    answer = await client.get(f"/api/v1/figures/response?{query}")
    assert answer.status_code in (400, 422) and answer.json()["error"]["where"]
