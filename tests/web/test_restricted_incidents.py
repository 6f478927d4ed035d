"""A restricted thing hides the incidents it is in: from lists, pages, tasks, links, the stream, and from notices."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from thap.detect.detector import Action, Change, Severity
from thap.kernel.clock import now_us
from thap.kernel.policy import Grant, Policy, Subject, Who
from thap.kernel.policy.limits import restrict
from thap.kernel.policy.people import add_person, clear, edit_person
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.kernel.store import open_store
from thap.kernel.units import communes
from thap.respond.book import AlarmBook
from thap.respond.incidents.book import open_many
from thap.respond.incidents.listing import RESOURCE
from thap.respond.incidents.model import Draft, NewLink
from thap.respond.incidents.records import incidents
from thap.respond.incidents.sources import things_of
from thap.respond.notify import Address, Notice, Person, enqueue
from thap.respond.notify.records import deliveries_of
from thap.respond.notify.sending import Sender
from thap.web.deps import Centre, policy_of
from thap.web.sight import Sight, store_of

Desk = Callable[..., Awaitable[httpx.AsyncClient]]
HERE = communes()[0]


async def _alarm(records: Records, source: str) -> int:
    book = AlarmBook(records)
    change = Change(source, "traffic.jam", Action.RAISE, Severity(2), now_us(), 1, domain="traffic", commune=HERE.code)
    [event] = await book.apply([change])
    await book.close()
    return event.alarm


def _draft(*links: NewLink) -> Draft:
    return Draft("Ùn tắc", domain="traffic", commune=HERE.code, links=links)


@pytest.fixture
async def hidden(centre: Centre, client: httpx.AsyncClient) -> int:
    """The second of two incidents, of a camera that was restricted after it was opened."""
    del client  # it makes the application
    alarm = await _alarm(centre.records, "cam-1/count")
    drafts = [_draft(), _draft(NewLink("alarm", str(alarm), "cam-1/count"))]
    events = await store_of(centre).transact(lambda tx: open_many(tx, drafts, "truc-ban"))
    async with centre.records.write() as connection:
        await restrict(connection, "thing", "cam-1")
    policy_of(centre).changed()
    return events[1].incident


async def test_who_has_no_clearance_finds_it_nowhere_and_who_has_one_finds_it(
    client: httpx.AsyncClient, desk: Desk, centre: Centre, hidden: int
) -> None:
    lead = await desk("truong-ca", "shift_lead")
    v1 = "/api/v1"
    task = {"incident": hidden, "title": "Xem lại", "within": "4h"}
    number = (await client.post(f"{v1}/tasks", json=task)).json()["id"]
    why = {"person": "truong-ca", "action": "incident.read", "record": f"incident:{hidden}"}
    assert (await lead.get(f"{v1}/policy/explain", params=why)).status_code == 404
    told = (await client.get(f"{v1}/policy/explain", params=why)).json()
    assert told["reasons"][-1] == "thing cam-1 is restricted, and there is no clearance for it"
    assert (await lead.get(f"{v1}/incidents")).json()["total"] == 1
    assert (await lead.get(f"{v1}/incidents/counts")).json()["total"] == 1
    assert (await lead.get(f"{v1}/tasks", params={"all": True, "incident": hidden})).json()["total"] == 0
    assert (await lead.get(f"{v1}/escalation", params={"state": "", "incident": hidden})).json()["items"] == []
    assert (await lead.get(f"{v1}/notices", params={"incident": hidden})).json()["items"] == []
    for method, path, body in (
        ("GET", f"/incidents/{hidden}", None),
        ("GET", f"/incidents/{hidden}/events", None),
        ("GET", f"/incidents/{hidden}/report.pdf", None),
        ("POST", f"/incidents/{hidden}/acknowledge", {}),
        ("POST", f"/incidents/{hidden}/comment", {"comment": "x"}),
        ("POST", "/incidents/1/merge", {"into": hidden}),
        ("POST", "/incidents/1/links", {"kind": "alarm", "ref": "1"}),
        ("GET", f"/tasks/{number}", None),
        ("POST", f"/tasks/{number}/done", {}),
        ("POST", "/tasks", task),
    ):
        answer = await lead.request(method, f"{v1}{path}", json=body)
        assert answer.status_code == 404, (method, path, answer.text)
    given = await client.post(f"{v1}/tasks/{number}/assign", json={"assignee": "truong-ca"})
    assert given.status_code == 400 and given.json()["error"]["where"] == "assignee"
    async with centre.records.write() as connection:
        await clear(connection, "truong-ca", "thing", "cam-1")
    policy_of(centre).changed()
    assert (await lead.get(f"{v1}/incidents")).json()["total"] == 2
    assert (await lead.get(f"{v1}/incidents/{hidden}")).status_code == 200
    assert (await client.post(f"{v1}/tasks/{number}/assign", json={"assignee": "truong-ca"})).status_code == 200


async def test_taking_the_alarm_away_from_it_does_not_uncover_its_history(
    client: httpx.AsyncClient, desk: Desk, hidden: int
) -> None:
    lead = await desk("truong-ca", "shift_lead")
    link = (await client.get(f"/api/v1/incidents/{hidden}")).json()["links"][0]["id"]
    assert (await client.delete(f"/api/v1/incidents/{hidden}/links/{link}")).status_code == 200
    assert (await lead.get(f"/api/v1/incidents/{hidden}")).status_code == 404
    assert (await lead.get("/api/v1/incidents")).json()["total"] == 1


async def test_the_stream_tells_of_it_to_who_has_a_clearance(centre: Centre, hidden: int) -> None:
    hub: Any = centre.parts["stream"]
    told = {"id": hidden, "unit": "", "commune": HERE.code, "domain": "traffic"}
    told["things"] = await hub._things(hidden)
    policy = await policy_of(centre).current()
    grants = (Grant("operator", ""),)
    assert told["things"] == ("cam-1/count",)
    assert not Sight(policy, Who("a", "person", 1, grants=grants)).incident(told)
    assert Sight(policy, Who("b", "person", 2, grants=grants, clearances=frozenset({"thing:cam-1"}))).incident(told)
    assert Sight(policy, Who("a", "person", 1, grants=grants)).incident({**told, "things": ()})


async def test_notices_of_it_go_to_who_has_a_clearance_alone(
    centre: Centre, desk: Desk, settings: Settings, hidden: int
) -> None:
    await desk("truc-ban", "operator")
    async with centre.records.write() as connection:
        for login in ("co-phep", "khong-phep"):
            await add_person(connection, login)
            await edit_person(connection, login, {"email": f"{login}@example.org"})
        await clear(connection, "co-phep", "thing", "cam-1")
    store = store_of(centre)
    to = (Person("co-phep"), Person("khong-phep"), Address("email:ai-do@example.org"))
    told = [Notice(one, "incident.mention", {}, incident=hidden) for one in to]
    open_to_all = Notice(Person("khong-phep"), "incident.mention", {}, incident=1)
    numbers = await store.transact(lambda tx: enqueue(tx, [*told, open_to_all]))
    sender = Sender(settings, centre.records, store)
    await store.transact(lambda tx: sender._take(tx, now_us()))
    await sender.close()
    async with centre.records.read() as connection:
        found = [[one["login"] for one in await deliveries_of(connection, number)] for number in numbers]
    assert found == [["co-phep"], [], [], ["khong-phep"]]


async def test_the_list_filter_and_the_single_check_say_the_same_on_either_database(either: Records) -> None:
    async with either.write() as connection:
        await connection.execute(sa.text("DELETE FROM restrictions"))
    alarm = await _alarm(either, "cam-1/count")
    drafts = [
        _draft(),
        _draft(NewLink("alarm", str(alarm), "x"), NewLink("page", "not-a-number", "x")),
        _draft(NewLink("track", "cam-1", "x")),
        _draft(NewLink("observation", "cam-10/count", "x")),
    ]
    store = open_store(either)
    events = await store.transact(lambda tx: open_many(tx, drafts, "truc-ban"))
    await store.close()
    async with either.write() as connection:
        await restrict(connection, "thing", "cam-1")
    async with either.read() as connection:
        policy = await Policy.load(connection)
        who = Who("a", "person", 1, grants=(Grant("operator", ""),))
        numbers = [event.incident for event in events]
        where = policy.where(who, "incident.read", RESOURCE)
        listed = set(await connection.scalars(sa.select(incidents.c.id).where(where, incidents.c.id.in_(numbers))))
        things = await things_of(connection, policy, numbers)
    one_by_one = {
        number
        for number in numbers
        if policy.decide(who, "incident.read", Subject("incident", ("",), "traffic", things=things[number])).allowed
    }
    assert listed == one_by_one == {numbers[0], numbers[3]}
