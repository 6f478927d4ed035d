"""Background work on reports: life shared with incidents, senders erased, other endpoints spoken with."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from thap.kernel.audit import verify
from thap.kernel.bus import Bus
from thap.kernel.clock import DAY_US, HOUR_US, now_us
from thap.kernel.places import Locator
from thap.kernel.records import Records
from thap.kernel.settings import Open311Settings, Settings, load_settings
from thap.kernel.store import open_store
from thap.kernel.tables import create_tables
from thap.kernel.tokens import create_token
from thap.respond.incidents.book import IncidentBook
from thap.respond.parts import Context
from thap.services.reports import Draft, ReportDesk, Sender, georeport
from thap.services.reports.exchange import Exchange
from thap.services.reports.following import Following
from thap.services.reports.retention import Retention
from thap.web.app import create_app
from thap.web.deps import Centre
from thap.web.reports import desk_of

HERE = {"lon": 105.6325, "lat": 10.4602}
LATER = now_us() + 8 * HOUR_US
DRAFT = Draft("rac-thai", "Rác dưới cầu, gọi 0912 345 678", **HERE)


@pytest.fixture
async def context(settings: Settings, records: Records, bus: Bus) -> AsyncIterator[Context]:
    store = open_store(records)
    yield Context(settings, records, bus, store)
    await store.close()


@pytest.fixture
def here(context: Context, locator: Locator) -> ReportDesk:
    async def locate(lon: float, lat: float) -> str:
        return str(locator.codes_of(lon, lat)[0])

    return ReportDesk(context.settings, context.records, store=context.store, locate=locate)


async def test_a_report_shares_the_life_of_its_incident(context: Context, here: ReportDesk) -> None:
    number = (await here.receive(DRAFT)).report.id
    opened = await here.open_incident(number, "truc-ban", severity=3)
    report = await here.get(number)
    assert report.state == "accepted" and report.incident == opened.incident
    book = IncidentBook(context.records, context.store)
    incident = await book.get(opened.incident)
    assert incident.origin == "report" and incident.severity == 3 and incident.unit == report.unit
    assert "345 678" not in incident.title + incident.description
    [link] = await book.links(incident.id)
    assert (link.kind, link.ref) == ("report", str(number))

    following = Following(context)
    for act, state in (("start", "in_progress"), ("resolve", "done"), ("reopen", "in_progress")):
        await getattr(book, act)(incident.id, "truc-ban", comment="nội bộ")
        assert await following.round() > 0 and await following.round() == 0
        assert (await here.get(number)).state == state
    assert all(step.comment == "" for step in await here.steps(number, public=True))

    other = await book.open(replace(incident_draft(), title="Bãi rác"), "truc-ban")
    await book.merge(incident.id, "truc-ban", other.incident)
    await following.round()
    assert (await here.get(number)).incident == other.incident
    assert (await verify(context.records)).broken_at is None


def incident_draft() -> Any:
    from thap.respond.incidents.model import Draft as IncidentDraft

    return IncidentDraft("Vụ khác")


async def test_a_link_made_on_either_side_counts_once(context: Context, here: ReportDesk) -> None:
    number = (await here.receive(DRAFT)).report.id
    book, following = IncidentBook(context.records, context.store), Following(context)
    incident = (await book.open(incident_draft(), "truc-ban")).incident
    await here.link(number, "truc-ban", incident)
    await following.round()
    assert [step.action for step in await here.steps(number)] == ["receive", "accept", "link"]
    await book.reject(incident, "truc-ban", comment="không phải vụ việc")
    await following.round()
    assert (await here.get(number)).incident is None


async def test_senders_are_erased_when_their_time_has_come(
    context: Context, here: ReportDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = (await here.receive(replace(DRAFT, sender=Sender(name="Người gửi")))).report.id
    done = (await here.receive(replace(DRAFT, sender=Sender(name="Người gửi")))).report.id
    await here.accept(done, "truc-ban")
    await here.answer(done, "truc-ban", comment="xong")
    retention = Retention(context)
    assert await retention.round() == 0
    later = now_us() + 91 * DAY_US
    monkeypatch.setattr("thap.services.reports.retention.now_us", lambda: later)
    assert await retention.round() == 1
    assert await here.sender(done) is None and await here.sender(kept) is not None
    assert (await here.get(done)).text == "Rác dưới cầu, gọi •••"


@contextlib.asynccontextmanager
async def serving(app: Any) -> AsyncIterator[str]:
    """An application on a port of its own."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", ws="none"))
        task = asyncio.create_task(server.serve([listening]))
        async with asyncio.timeout(10):
            while not server.started:
                await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        await task


@pytest.fixture
async def there(tmp_path: Path, bus: Bus, settings: Settings) -> AsyncIterator[tuple[ReportDesk, str, str]]:
    """Another centre: its desk, its address and a key of it."""
    other = load_settings(tmp_path / "other", port=0, mqtt_port=0)
    other.run_dir.mkdir(parents=True)
    records = Records.open(other)
    await create_tables(records)
    async with records.write() as connection:
        _, key = await create_token(connection, "tinh", ["operate", "write"])
    centre = Centre(other, records, bus)
    async with serving(create_app(centre)) as url:
        yield desk_of(centre), f"{url}/open311/v2", key
    await centre.parts["store"].close()
    await records.close()


def endpoint(url: str, key: str, **more: Any) -> Open311Settings:
    return Open311Settings(name="so-xay-dung", url=url, api_key=key, **more)


async def test_reports_go_there_and_what_becomes_of_them_comes_back(
    context: Context, here: ReportDesk, there: tuple[ReportDesk, str, str]
) -> None:
    desk, url, key = there
    context.settings.reports.endpoints = [endpoint(url, key, push={"rac-thai": "o-nhiem"}, updates=True)]
    exchange = Exchange(context)
    number = (await here.receive(replace(DRAFT, sender=Sender("Người gửi", "0912 345 678")))).report.id
    assert await exchange.round() == 0  # nothing leaves before moderation
    await here.accept(number, "truc-ban")
    client = exchange._clients["so-xay-dung"]
    await exchange._push(client)
    [sent] = (await desk.list()).items
    assert (sent.service, sent.text, sent.lat) == ("o-nhiem", "Rác dưới cầu, gọi •••", HERE["lat"])
    who = await desk.sender(sent.id)
    assert who is not None and who[0].name == who[0].phone == ""
    assert await exchange._push(client) == 0

    await desk.accept(sent.id, "ben-kia")
    await exchange.one_turn(client)
    await desk.answer(sent.id, "ben-kia", comment="Đã dọn sạch.")
    await exchange.one_turn(client)
    report = await here.get(number)
    assert report.state == "done" and report.note == "Đã dọn sạch."
    before = len(await here.steps(number))
    await exchange.one_turn(client)
    assert len(await here.steps(number)) == before
    await exchange._http.aclose()


async def test_an_answer_that_was_lost_makes_no_second_report(
    context: Context, here: ReportDesk, there: tuple[ReportDesk, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, url, key = there
    context.settings.reports.endpoints = [endpoint(url, key, push={"rac-thai": "rac-thai"})]
    exchange = Exchange(context)
    client = exchange._clients["so-xay-dung"]
    await here.accept((await here.receive(DRAFT)).report.id, "truc-ban")
    real = client._fetch

    async def lost(method: str, *arguments: Any, **named: Any) -> Any:
        answer = await real(method, *arguments, **named)
        return (503, "", b"") if method == "POST" else answer

    monkeypatch.setattr(client, "_fetch", lost)
    assert await exchange.round() == 0
    [exchanged] = await here.exchanges(1)
    assert exchanged["state"] == "waiting" and "503" in exchanged["error"]
    monkeypatch.setattr(client, "_fetch", real)
    monkeypatch.setattr("thap.services.reports.exchange.now_us", lambda: LATER)
    await exchange._push(client)
    assert (await desk.list()).total == 1 and (await here.exchanges(1))[0]["state"] == "known"
    await exchange._http.aclose()


async def test_theirs_come_here_once_and_hear_what_became_of_them(
    context: Context, here: ReportDesk, there: tuple[ReportDesk, str, str]
) -> None:
    desk, url, key = there
    context.settings.reports.endpoints = [endpoint(url, key, pull={"rac-thai": "o-nhiem"}, updates=True)]
    exchange = Exchange(context)
    client = exchange._clients["so-xay-dung"]
    theirs = (await desk.receive(DRAFT)).report.id
    await desk.accept(theirs, "ben-kia")
    await desk.receive(replace(DRAFT, service="khac"))
    for _ in range(2):
        await exchange.one_turn(client)
    [mine] = (await here.list()).items
    assert (mine.service, mine.source, mine.client) == ("o-nhiem", "endpoint", "so-xay-dung")
    await here.accept(mine.id, "truc-ban", comment="Đã chuyển.")
    await here.answer(mine.id, "truc-ban", comment="Đã xong.")
    await exchange.one_turn(client)
    report = await desk.get(theirs)
    assert report.state == "done" and report.note == "Đã xong."
    before = len(await desk.steps(theirs))
    await exchange.one_turn(client)
    assert len(await desk.steps(theirs)) == before and len((await here.list()).items) == 1
    await exchange._http.aclose()


Answer = Callable[[Request], Response]


async def test_an_endpoint_of_xml_and_tokens_is_understood_and_a_broken_one_is_left(
    context: Context, here: ReportDesk
) -> None:
    answers: list[Any] = []

    async def handle(request: Request) -> Response:
        if not request.url.path.endswith(".xml"):
            return Response("gone", 404)
        status, root, body = answers.pop(0)
        content = georeport.to_xml(root, body) if isinstance(body, list) else body
        return Response(content, status, media_type="text/xml")

    app = Starlette(routes=[Route("/{path:path}", handle, methods=["GET", "POST"])])
    async with serving(app) as url:
        context.settings.reports.endpoints = [endpoint(url, "k", push={"rac-thai": "7"})]
        exchange = Exchange(context)
        client = exchange._clients["so-xay-dung"]
        number = (await here.receive(DRAFT)).report.id
        await here.accept(number, "truc-ban")
        answers.append((200, "service_requests", [{"token": "t-1"}]))
        await exchange._push(client)
        assert (await here.exchanges(number))[0]["state"] == "token"
        answers.append((200, "service_requests", [{"service_request_id": "A-9", "token": "t-1"}]))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("thap.services.reports.exchange.now_us", lambda: LATER)
            await exchange._push(client)
        assert (await here.exchanges(number))[0]["remote_id"] == "A-9"

        refused = (await here.receive(replace(DRAFT, text="khác"))).report.id
        await here.accept(refused, "truc-ban")
        answers.append((400, "errors", [{"code": 400, "description": "service_code?"}]))
        answers.append((200, "", b"<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><x>&a;</x"))
        await exchange.round()
        [one] = await here.exchanges(refused)
        assert one["state"] == "failed" and "service_code?" in one["error"]
        await exchange._http.aclose()
