"""A link from a notice: opening it changes nothing, its button acknowledges, once, for one person."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest

from thap.kernel.bus import Bus
from thap.kernel.policy import people as people_of
from thap.kernel.policy import seed
from thap.kernel.store import open_store
from thap.respond.incidents.book import IncidentBook
from thap.respond.incidents.model import Draft
from thap.respond.notify.links import Links, Purpose
from thap.web.deps import Centre, policy_of


@dataclass
class Scene:
    book: IncidentBook
    links: Links
    number: int

    def link(self, login: str = "truc-ban", escalation: int = 1) -> str:
        return self.links.make(Purpose(self.number, escalation, login))

    async def state(self) -> tuple[str, str]:
        one = await self.book.get(self.number)
        return one.state, one.acknowledged_by


@pytest.fixture
async def scene(centre: Centre, client: httpx.AsyncClient) -> AsyncIterator[Scene]:
    async with centre.records.write() as connection:
        await seed(connection)
        for login, unit in (("truc-ban", "82"), ("truong-ca", "82"), ("xa-khac", "29869"), ("khong-vai", "82")):
            await people_of.add_person(connection, login, unit=unit)
            if login != "khong-vai":
                await people_of.grant(connection, login, "operator", unit=unit)
    policy_of(centre).changed()
    store = open_store(centre.records)
    book = IncidentBook(centre.records, store)
    event = await book.open(Draft("Sạt lở <b>bờ</b> sông", domain="water", severity=4, unit="82", commune="29888"), "")
    yield Scene(book, Links(centre.settings), event.incident)
    await store.close()


async def test_a_scanner_that_opens_the_link_acknowledges_nothing(stranger: httpx.AsyncClient, scene: Scene) -> None:
    for method in ("GET", "HEAD", "OPTIONS", "GET"):
        await stranger.request(method, scene.link())
    answer = await stranger.get(scene.link())
    assert answer.status_code == 200 and await scene.state() == ("open", "")
    page = answer.text
    assert "Sạt lở &lt;b&gt;bờ&lt;/b&gt; sông" in page and "Nhận xử lý" in page and "Acknowledge" in page
    assert page.index("Nhận xử lý") < page.index("Acknowledge"), "Vietnamese first"
    assert '<form method="post">' in page and "<script" not in page and "viewport" in page
    assert answer.headers["Cache-Control"] == "no-store" and "noindex" in answer.headers["X-Robots-Tag"]
    assert (await stranger.get("/a/style.css")).headers["Content-Type"].startswith("text/css")


async def test_the_button_acknowledges_for_the_person_and_is_announced(
    stranger: httpx.AsyncClient, scene: Scene, bus: Bus
) -> None:
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def hear(_subject: str, payload: bytes) -> None:
        await heard.put(payload)

    await bus.listen("centre.live.incident", hear)
    await bus.client.flush()
    answer = await stranger.post(scene.link())
    assert answer.status_code == 200 and "Bạn đã nhận" in answer.text
    assert await scene.state() == ("acknowledged", "truc-ban")
    assert b'"acknowledge"' in await asyncio.wait_for(heard.get(), 30)
    again = await stranger.post(scene.link("truong-ca"))
    assert again.status_code == 409 and "truc-ban" in again.text and "<form" not in again.text
    assert (await stranger.get(scene.link())).status_code == 409


async def test_ten_who_tap_at_once_are_one(stranger: httpx.AsyncClient, scene: Scene) -> None:
    answers = await asyncio.gather(*(stranger.post(scene.link(who)) for who in ("truc-ban", "truong-ca") * 5))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 9


async def test_a_link_serves_no_other_person_chain_or_time(
    stranger: httpx.AsyncClient, scene: Scene, centre: Centre, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = scene.link()
    for path, status in (
        (good[:-1], 404),
        ("/a/x", 404),
        (scene.link("khong-vai"), 403),
        (scene.link("xa-khac"), 403),
        (scene.link("khong-co"), 403),
        (scene.link(escalation=99), 409),
        (scene.links.make(Purpose(999, 1, "truc-ban")), 404),
    ):
        for method in ("GET", "POST"):
            assert (await stranger.request(method, path)).status_code == status, path
    async with centre.records.write() as connection:
        await people_of.set_disabled(connection, "truc-ban", True)
    policy_of(centre).changed()
    assert (await stranger.post(good)).status_code == 403, "a person who is no longer one"
    import time

    later = time.time() + 25 * 3600
    monkeypatch.setattr(time, "time", lambda: later)
    answer = await stranger.post(good)
    assert answer.status_code == 410 and "hết hạn" in answer.text
    assert await scene.state() == ("open", "")


async def test_a_link_of_before_does_not_serve_after_it_was_opened_again(
    stranger: httpx.AsyncClient, scene: Scene
) -> None:
    await scene.book.acknowledge(scene.number, "truong-ca")
    await scene.book.resolve(scene.number, "truong-ca")
    await scene.book.reopen(scene.number, "truong-ca", comment="chưa xong")
    assert (await stranger.post(scene.link())).status_code == 409
    assert (await stranger.post(scene.link(escalation=2))).status_code == 200
