"""People, units, restrictions, policy and audit over the API: who may, and what comes back."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest
from fastapi import FastAPI

from thap.kernel.accounts import link_path
from thap.kernel.bus import Bus
from thap.kernel.policy import seed
from thap.kernel.policy.limits import restrict
from thap.kernel.policy.people import add_person, get_person, grant
from thap.kernel.records import Records
from thap.kernel.sessions import csrf_token
from thap.kernel.settings import Settings
from thap.kernel.tokens import create_token
from thap.kernel.units import communes
from thap.web.app import create_app
from thap.web.auth import sessions_of
from thap.web.deps import Centre

COMMUNE, OTHER = communes()[0].code, communes()[1].code
BASE = "http://127.0.0.1:8000"
Client = httpx.AsyncClient
SignedIn = Callable[[str], Awaitable[Client]]
ROUTES = (
    ("GET", "/people"),
    ("GET", "/people/can-bo-xa"),
    ("POST", "/people"),
    ("PATCH", "/people/can-bo-xa"),
    ("POST", "/people/can-bo-xa/disable"),
    ("POST", "/people/can-bo-xa/enable"),
    ("PUT", "/people/can-bo-xa/grants"),
    ("DELETE", "/people/can-bo-xa/grants?role=viewer"),
    ("PUT", "/people/can-bo-xa/clearances"),
    ("DELETE", "/people/can-bo-xa/clearances?kind=thing&ref=cam-1"),
    ("POST", "/people/can-bo-xa/link"),
    ("GET", "/units"),
    ("GET", f"/units/{COMMUNE}"),
    ("POST", "/units"),
    ("PATCH", f"/units/{COMMUNE}"),
    ("GET", "/restrictions"),
    ("POST", "/restrictions"),
    ("DELETE", "/restrictions/thing/cam-1"),
    ("GET", "/policy/roles"),
    ("GET", "/policy/explain?person=can-bo-xa&action=people.read&record=unit:82"),
    ("GET", "/audit"),
    ("GET", "/audit/verify"),
    ("GET", "/audit/export"),
)
OPEN_TO_READERS = {"/people", "/people/can-bo-xa", "/units", f"/units/{COMMUNE}", "/policy/roles"}


@pytest.fixture
async def app(settings: Settings, records: Records, bus: Bus) -> AsyncIterator[FastAPI]:
    """A centre with somebody in each of three places."""
    async with records.write() as connection:
        await seed(connection)
        for login, unit, role in (
            ("quan-tri", "82", "administrator"),
            ("can-bo-xa", COMMUNE, "commune_official"),
            ("quan-tri-xa", COMMUNE, "administrator"),
            ("can-bo-xa-khac", OTHER, "commune_official"),
        ):
            await add_person(connection, login, unit=unit, email=f"{login}@so.example")
            await grant(connection, login, role, unit=unit)
    made = create_app(Centre(settings, records, bus))
    async with made.router.lifespan_context(made):
        yield made


@pytest.fixture
async def owner(app: FastAPI, settings: Settings) -> AsyncIterator[Client]:
    """The machine's owner."""
    key = secrets.token_urlsafe(32)
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    (settings.run_dir / "centre.json").write_text(json.dumps({"token": key}))
    async with _client(app, {"Authorization": f"Bearer {key}"}) as made:
        yield made


@pytest.fixture
async def as_person(app: FastAPI, records: Records) -> AsyncIterator[SignedIn]:
    """Somebody signed in with a session."""
    clients: list[Client] = []
    sessions = sessions_of(app.state.centre)

    async def sign_in(login: str) -> Client:
        async with records.write() as connection:
            person = await get_person(connection, login)
            _, secret = await sessions.start(connection, person_id=person.id, method="password")
        headers = {"Cookie": f"thap-session-8000={secret}", "X-CSRF-Token": csrf_token(secret), "Origin": BASE}
        clients.append(_client(app, headers))
        return clients[-1]

    yield sign_in
    for client in clients:
        await client.aclose()


def _client(app: FastAPI, headers: dict[str, str]) -> Client:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return Client(transport=transport, base_url=f"{BASE}/api/v1", headers=headers)


async def test_anonymous_gets_401_everywhere(app: FastAPI) -> None:
    async with _client(app, {}) as nobody:
        for method, path in ROUTES:
            assert (await nobody.request(method, path)).status_code == 401, path


async def test_a_reader_sees_people_without_their_contact_and_changes_nothing(app: FastAPI, records: Records) -> None:
    async with records.write() as connection:
        _, secret = await create_token(connection, "man-hinh", ["operate"])
    async with _client(app, {"Authorization": f"Bearer {secret}"}) as reader:
        for method, path in ROUTES:
            allowed = method == "GET" and path in OPEN_TO_READERS
            answer = await reader.request(method, path, json={} if method != "GET" else None)
            assert answer.status_code == (200 if allowed else 403), path
        people = (await reader.get("/people")).json()["items"]
        assert len(people) == 4
        assert {one["email"] for one in people} == {None}


async def test_another_units_person_sees_nothing_of_them(as_person: SignedIn) -> None:
    official = await as_person("can-bo-xa-khac")
    assert [one["login"] for one in (await official.get("/people")).json()["items"]] == ["can-bo-xa-khac"]
    assert (await official.get("/people", params={"disabled": True})).json()["total"] == 1
    assert (await official.get("/people/can-bo-xa")).status_code == 404
    own = (await official.get("/people/can-bo-xa-khac")).json()
    assert own["email"] == "can-bo-xa-khac@so.example"


async def test_who_administers_a_commune_reaches_nobody_with_power_elsewhere(
    as_person: SignedIn, records: Records
) -> None:
    local = await as_person("quan-tri-xa")
    async with records.write() as connection:
        await grant(connection, "can-bo-xa", "operator", unit=OTHER)
    for method, path, body in (
        ("POST", "/people/can-bo-xa/link", {}),
        ("POST", "/people/can-bo-xa/disable", None),
        ("PATCH", "/people/can-bo-xa", {"email": "khac@so.example"}),
        ("PUT", "/people/can-bo-xa/grants", {"role": "viewer", "unit": OTHER}),
        ("PUT", "/people/quan-tri-xa/grants", {"role": "administrator"}),
        ("PUT", "/people/quan-tri-xa/clearances", {"kind": "domain", "ref": "sand"}),
        ("POST", "/people", {"login": "nguoi-moi"}),
        ("POST", "/people", {"login": "nguoi-moi", "unit": OTHER}),
        ("PATCH", f"/units/{COMMUNE}", {"parent": "so-y-te"}),
        ("PATCH", f"/units/{OTHER}", {"name": "Xã khác"}),
        ("POST", "/restrictions", {"kind": "domain", "ref": "sand"}),
        ("GET", "/restrictions", None),
        ("GET", "/audit", None),
        ("GET", "/audit/verify", None),
        ("GET", "/audit/export", None),
    ):
        answer = await local.request(method, path, json=body)
        assert answer.status_code == 403, (path, answer.text)
    for method, path in (("POST", "/people/can-bo-xa-khac/link"), ("POST", "/people/quan-tri/disable")):
        assert (await local.request(method, path)).status_code == 404, path
    assert (await local.post("/people", json={"login": "nguoi-moi", "unit": COMMUNE})).status_code == 201
    given = await local.put("/people/nguoi-moi/grants", json={"role": "viewer", "unit": COMMUNE, "for": "30d"})
    assert given.json()["grants"][0]["until"] > 0
    assert (await local.post("/people/nguoi-moi/link")).json()["path"].startswith(link_path(""))
    assert (await local.patch(f"/units/{COMMUNE}", json={"phone": "0277 1"})).json()["phone"] == "0277 1"


async def test_an_administrator_changes_people_and_every_process_hears_of_it(as_person: SignedIn, bus: Bus) -> None:
    admin = await as_person("quan-tri")
    heard: list[str] = []

    async def hear(subject: str, _body: bytes) -> None:
        heard.append(subject)

    await bus.listen("centre.live.people", hear)
    made = await admin.post("/people", json={"login": "Lanh-Dao", "unit": "so-y-te", "name": "Lãnh đạo"})
    assert made.status_code == 201
    assert made.json()["created_by"] == "quan-tri"
    changed = await admin.patch("/people/lanh-dao", json={"language": "en", "version": 1})
    assert changed.json()["language"] == "en"
    assert (await admin.patch("/people/lanh-dao", json={"name": "x", "version": 1})).status_code == 409
    assert (await admin.post("/people", json={"login": "lanh-dao"})).status_code == 409
    assert (await admin.put("/people/lanh-dao/grants", json={"role": "leader"})).status_code == 200
    leader = await as_person("lanh-dao")
    assert (await leader.get("/people")).json()["total"] == 5
    taken = await admin.delete("/people/lanh-dao/grants", params={"role": "leader"})
    assert taken.json()["grants"] == []
    assert (await leader.get("/people")).status_code == 403, "the role is gone at once"
    assert (await admin.delete("/people/lanh-dao/grants", params={"role": "leader"})).status_code == 404
    assert (await admin.post("/people/lanh-dao/disable")).json()["disabled"] > 0
    assert (await leader.get("/people")).status_code == 401, "the session is over at once"
    assert (await admin.delete("/people/quan-tri/grants", params={"role": "administrator"})).status_code == 409
    assert (await admin.post("/people/quan-tri/disable")).status_code == 409
    async with asyncio.timeout(10):
        while "centre.live.people" not in heard:
            await asyncio.sleep(0.01)
    actions = [one["action"] for one in (await admin.get("/audit", params={"who": "quan-tri"})).json()["items"]]
    assert actions == ["person.disable", "grant.remove", "grant.add", "person.edit", "person.add"]


async def test_an_administrator_without_a_clearance_does_not_see_a_restricted_unit(as_person: SignedIn) -> None:
    admin = await as_person("quan-tri")
    assert (await admin.post("/restrictions", json={"kind": "unit", "ref": OTHER, "reason": "thử"})).status_code == 201
    assert (await admin.post("/restrictions", json={"kind": "unit", "ref": OTHER})).status_code == 409
    assert (await admin.get("/people")).json()["total"] == 3
    assert (await admin.get("/people/can-bo-xa-khac")).status_code == 404
    cleared = await admin.put("/people/quan-tri/clearances", json={"kind": "unit", "ref": OTHER, "for": "1h"})
    assert cleared.json()["clearances"][0]["ref"] == OTHER
    assert (await admin.get("/people")).json()["total"] == 4
    back = await admin.delete("/people/quan-tri/clearances", params={"kind": "unit", "ref": OTHER})
    assert back.json()["clearances"] == []
    assert [one["ref"] for one in (await admin.get("/restrictions")).json()["items"]] == [OTHER]
    assert (await admin.delete(f"/restrictions/unit/{OTHER}")).status_code == 200
    assert (await admin.delete(f"/restrictions/unit/{OTHER}")).status_code == 404


async def test_what_is_not_there_is_not_restricted(as_person: SignedIn) -> None:
    admin = await as_person("quan-tri")
    for kind in ("thing", "domain", "unit"):
        answer = await admin.post("/restrictions", json={"kind": kind, "ref": "cat-nham"})
        assert answer.status_code == 404 and answer.json()["error"]["hint"], answer.text
    assert (await admin.get("/restrictions")).json()["items"] == []
    assert (await admin.post("/restrictions", json={"kind": "domain", "ref": "sand"})).status_code == 201


async def test_a_person_may_ask_why_for_themselves_and_an_administrator_for_anybody(
    as_person: SignedIn, records: Records
) -> None:
    async with records.write() as connection:
        await restrict(connection, "unit", OTHER)
    official = await as_person("can-bo-xa")
    asked = {"person": "can-bo-xa", "action": "people.write", "record": f"unit:{OTHER}"}
    told = (await official.get("/policy/explain", params=asked)).json()
    assert told["allowed"] is False
    assert told["reasons"][-1] == f"unit {OTHER} is restricted, and there is no clearance for it"
    assert (await official.get("/policy/explain", params={**asked, "person": "quan-tri"})).status_code == 404
    assert (await official.get("/policy/explain", params={**asked, "person": "quan-tri-xa"})).status_code == 403
    admin = await as_person("quan-tri")
    assert (await admin.get("/policy/explain", params=asked)).status_code == 200
    for bad in ({"action": "unit.eat"}, {"record": "x"}, {"record": "alarm:x"}):
        assert (await admin.get("/policy/explain", params={**asked, **bad})).status_code == 400
    assert (await admin.get("/policy/explain", params={**asked, "person": "ai-do"})).status_code == 404


async def test_bad_input_is_refused_with_its_place(owner: Client) -> None:
    for method, path, body in (
        ("POST", "/people", {"login": "a b"}),
        ("POST", "/people", {"login": "ab\u0000"}),
        ("POST", "/people", {"login": "ab", "email": "x"}),
        ("POST", "/people", {"login": "ab", "unit": "so\u0000"}),
        ("PUT", "/people/can-bo-xa/grants", {"role": "chief"}),
        ("PUT", "/people/can-bo-xa/grants", {"role": "viewer", "until": 5}),
        ("PUT", "/people/can-bo-xa/grants", {"role": "viewer", "until": 2**70}),
        ("PUT", "/people/can-bo-xa/grants", {"role": "viewer", "until": "soon"}),
        ("PUT", "/people/can-bo-xa/grants", {"role": "viewer", "for": "999999999999999w"}),
        ("PUT", "/people/can-bo-xa/grants", {"role": "viewer", "for": "1d", "until": "2030-01-01"}),
        ("POST", "/units", {"code": "A", "name": "x"}),
        ("POST", "/restrictions", {"kind": "thing", "ref": "\u0000"}),
        ("GET", "/people?unit=%00", None),
        ("GET", "/audit?who=%00", None),
        ("GET", "/audit?since=soon", None),
        ("GET", "/audit/verify?anchor=x", None),
    ):
        answer = await owner.request(method, path, json=body)
        assert answer.status_code in (400, 422), (path, body, answer.text)
    for path in ("/people/%00", "/people/%F0%9F%92%A9", "/units/%00x", "/units/xa-nao"):
        assert (await owner.get(path)).status_code in (400, 404), path


async def test_units_make_a_tree(owner: Client) -> None:
    found = (await owner.get("/units")).json()["items"]
    assert (found[0]["code"], found[0]["people"]) == ("82", 1)
    assert len((await owner.get("/units", params={"kind": "commune"})).json()["items"]) == 102
    made = await owner.post("/units", json={"code": "to-1", "name": "Tổ 1", "parent": COMMUNE, "kind": "department"})
    assert made.json()["parent"] == COMMUNE
    moved = await owner.patch("/units/to-1", json={"parent": OTHER})
    assert moved.json()["parent"] == OTHER
    assert (await owner.patch("/units/82", json={"parent": OTHER})).status_code == 409
    assert (await owner.get("/units/to-1")).json()["name"] == "Tổ 1"
    roles = {one["role"] for one in (await owner.get("/policy/roles")).json()["items"]}
    assert "leader" in roles
    assert "sender" not in roles


async def test_the_log_is_read_page_by_page_verified_and_exported(owner: Client) -> None:
    page = (await owner.get("/audit", params={"limit": 3, "action": "person.*"})).json()
    assert [one["object"] for one in page["items"]] == [
        "person:can-bo-xa-khac",
        "person:quan-tri-xa",
        "person:can-bo-xa",
    ]
    rest = (await owner.get("/audit", params={"limit": 3, "action": "person.*", "before": page["next"]})).json()
    assert ([one["object"] for one in rest["items"]], rest["next"]) == (["person:quan-tri"], None)
    found = (await owner.get("/audit/verify")).json()
    assert (found["whole"], found["entries"], found["broken_at"]) == (True, 8, None)
    answer = await owner.get("/audit/export", params={"action": "grant.*"})
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["action"] for line in lines] == ["grant.add"] * 4
    newest = (await owner.get("/audit", params={"limit": 1})).json()["items"][0]
    assert (newest["who"], newest["action"], newest["detail"]) == ("local", "export", {"action": "grant.*"})
    assert (await owner.get("/audit/verify", params={"anchor": found["anchor"]})).json()["whole"]
    forged = f"{found['last']}:{'0' * 64}"
    assert (await owner.get("/audit/verify", params={"anchor": forged})).json()["broken_at"] == found["last"]


async def test_changes_of_tokens_rules_and_the_registry_are_audited_too(owner: Client) -> None:
    for method, path, body in (
        ("POST", "/tokens", {"name": "cong", "scopes": ["write"]}),
        ("DELETE", "/tokens/cong", None),
        ("POST", "/things", {"things": [{"name": "tram-1"}]}),
    ):
        answer = await owner.request(method, path, json=body)
        assert answer.is_success, answer.text
    told = (await owner.get("/audit", params={"who": "local"})).json()["items"]
    assert [(one["action"], one["object"]) for one in told] == [
        ("registry.put", "registry"),
        ("token.revoke", "token:cong"),
        ("token.create", "token:cong"),
    ]
    assert "secret" not in json.dumps(told)


async def test_sessions_of_a_person_are_listed_and_ended_by_who_may_change_them(
    stranger: httpx.AsyncClient, client: httpx.AsyncClient, desk: Callable[..., Awaitable[httpx.AsyncClient]]
) -> None:
    url = "/api/v1/people/ca-dem/sessions"
    assert (await stranger.get(url)).status_code == 401
    watch = await desk("ca-dem", "operator")
    other = await desk("quan-tri-xa-khac", "administrator", unit="29869")
    assert (await watch.get(url)).status_code == 403
    assert (await other.get(url)).status_code == 404 and (await other.delete(url)).status_code == 404
    assert len((await client.get(url)).json()["items"]) == 1
    assert (await client.delete(url)).json() == {"ended": 1}
    assert (await watch.get("/api/v1/session")).status_code == 401
    noted = (await client.get("/api/v1/audit", params={"action": "session.end_all"})).json()["items"]
    assert [entry["object"] for entry in noted] == ["person:ca-dem"]
