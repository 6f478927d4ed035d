"""Duty, escalation and notices over the API: who may, who sees what, what is refused."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from thap.kernel.bus import Bus
from thap.kernel.clock import HOUR_US, now_us
from thap.kernel.policy import people as people_of
from thap.kernel.policy import seed
from thap.kernel.tokens import create_token
from thap.respond.incidents.model import Draft
from thap.respond.notify import Address, Notice, Person, enqueue
from thap.web.api.incidents import incidents_of
from thap.web.deps import Centre, policy_of
from thap.web.sight import store_of

V1 = "/api/v1"
ROTA = {
    "unit": "82",
    "role": "operator",
    "rule": "FREQ=DAILY;BYHOUR=7,19",
    "start": "2026-01-01T00:00:00Z",
    "length": "12h",
    "turns": [["truc-1"], ["truc-2"]],
}
CHAIN = {"steps": [{"to": ["duty:$unit"], "wait": "10m"}], "severity": 2}


@pytest.fixture
async def official(centre: Centre, client: httpx.AsyncClient) -> dict[str, str]:
    """The headers of one who may act in commune 29869 only."""
    async with centre.records.write() as connection:
        await seed(connection)
        for login in ("truc-ban", "lanh-dao", "truc-1", "truc-2", "truc-9"):
            await people_of.add_person(connection, login)
        _, secret = await create_token(connection, "xa", ["operate"], unit="29869")
    policy_of(centre).changed()
    return {"Authorization": f"Bearer {secret}"}


async def test_strangers_see_nothing_and_another_unit_nothing_of_this_one(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient, official: dict[str, str]
) -> None:
    assert (await client.put(f"{V1}/duty/rotas/truc", json=ROTA)).status_code == 200
    now = now_us()
    shift = {"unit": "82", "role": "operator", "login": "truc-1", "start": now - HOUR_US, "until": now + HOUR_US}
    number = (await client.post(f"{V1}/duty/shifts", json=shift)).json()["id"]
    note = (await client.post(f"{V1}/duty/handovers", json={"note": "không có gì"})).json()["id"]
    await client.put(f"{V1}/escalation/chains/tinh", json={**CHAIN, "unit": "82"})
    window = {"title": "bảo trì", "unit": "82", "start": now, "length": "2h"}
    supp = (await client.post(f"{V1}/escalation/suppressions", json=window)).json()["id"]
    for method, path, body, status in (
        ("GET", "/duty", None, 200),
        ("GET", "/duty/plan", None, 200),
        ("GET", "/duty/rotas", None, 200),
        ("GET", "/duty/rotas/truc", None, 404),
        ("PUT", "/duty/rotas/truc", ROTA, 403),
        ("DELETE", "/duty/rotas/truc", None, 404),
        ("POST", "/duty/shifts", shift, 403),
        ("POST", "/duty/shifts", {**shift, "rota": "truc", "unit": "29869"}, 404),
        ("DELETE", f"/duty/shifts/{number}", None, 404),
        ("GET", "/duty/handovers", None, 200),
        ("POST", "/duty/handovers", {"note": "x"}, 403),
        ("POST", f"/duty/handovers/{note}/take", None, 404),
        ("GET", "/escalation/chains", None, 200),
        ("PUT", "/escalation/chains/tinh", {**CHAIN, "unit": "29869"}, 403),
        ("PUT", "/escalation/chains/moi", CHAIN, 403),
        ("DELETE", "/escalation/chains/tinh", None, 403),
        ("GET", "/escalation/suppressions", None, 200),
        ("POST", "/escalation/suppressions", window, 403),
        ("DELETE", f"/escalation/suppressions/{supp}", None, 403),
        ("GET", "/escalation", None, 200),
        ("GET", "/notices", None, 200),
        ("GET", "/notices/1", None, 404),
        ("POST", "/notices/1/retry", None, 404),
        ("POST", "/notices/test", {"to": "person:truc-ban"}, 403),
        ("GET", "/notices/preferences/truc-ban", None, 404),
        ("PUT", "/notices/preferences/truc-ban", {}, 404),
    ):
        answer = await stranger.request(method, V1 + path, json=body)
        assert answer.status_code == 401, path
        answer = await client.request(method, V1 + path, json=body, headers=official)
        assert answer.status_code in ({status, 404} if status == 403 else {status}), (method, path, answer.text)
        if method == "GET" and status == 200:
            items = answer.json()["items"]
            assert all(one.get("unit") is None for one in items), (path, items)
    mine = {**ROTA, "unit": "29869"}
    assert (await client.put(f"{V1}/duty/rotas/xa", json=mine, headers=official)).status_code == 200
    found = (await client.get(f"{V1}/duty", headers=official)).json()["items"]
    assert {one["unit"] for one in found} == {"29869"}


async def test_duty_is_planned_and_told(client: httpx.AsyncClient, official: dict[str, str], bus: Bus) -> None:
    made = (await client.put(f"{V1}/duty/rotas/truc", json=ROTA)).json()
    assert (made["version"], made["length_us"], made["changed_by"]) == (1, 12 * HOUR_US, "local")
    plan = (
        await client.get(f"{V1}/duty/plan", params={"since": "2026-03-01T00:00:00Z", "until": str(1772496000)})
    ).json()
    assert {one["login"] for one in plan["items"]} == {"truc-1", "truc-2"} and len(plan["items"]) == 4
    override = {"rota": "truc", "login": "truc-9", "start": now_us() - 1, "until": now_us() + HOUR_US}
    assert (await client.post(f"{V1}/duty/shifts", json=override)).status_code == 200
    assert [one["login"] for one in (await client.get(f"{V1}/duty")).json()["items"]] == ["truc-9"]
    stale = await client.put(f"{V1}/duty/rotas/truc", json={**ROTA, "version": 0})
    assert stale.status_code == 409 and "version 1, by local" in stale.json()["error"]["message"]
    assert (await client.delete(f"{V1}/duty/rotas/truc", params={"version": 1})).status_code == 200
    assert (await client.get(f"{V1}/duty/rotas/truc")).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/duty/rotas/Tên", ROTA),
        ("PUT", "/duty/rotas/a", {**ROTA, "rule": "FREQ=SECONDLY"}),
        ("PUT", "/duty/rotas/a", {**ROTA, "start": "mai"}),
        ("PUT", "/duty/rotas/a", {**ROTA, "start": 2**62}),
        ("PUT", "/duty/rotas/a", {**ROTA, "length": "9999d"}),
        ("PUT", "/duty/rotas/a", {**ROTA, "turns": [[]]}),
        ("PUT", "/duty/rotas/a", {**ROTA, "role": ""}),
        ("POST", "/duty/shifts", {"login": "truc-1", "start": 5, "until": 4}),
        ("POST", "/duty/handovers", {"note": " "}),
        ("GET", "/duty?at=mai", None),
        ("GET", "/duty?at=0", None),
        ("GET", "/duty/plan?since=2026-01-01T00:00:00Z&until=2027-01-01T00:00:00Z", None),
        ("PUT", "/escalation/chains/x", {"steps": [{"to": ["ai"], "wait": "10m"}]}),
        ("PUT", "/escalation/chains/x", {"steps": [{"to": ["person:truc-1"], "wait": "1s"}]}),
        ("POST", "/escalation/suppressions", {"title": "x", "start": 5, "length": "1h", "severity": 4}),
        ("GET", "/escalation?state=angry", None),
        ("GET", "/notices?state=angry", None),
        ("POST", "/notices/test", {"to": "json://127.0.0.1/"}),
        ("POST", "/notices/test", {"to": "ai"}),
        ("PUT", "/notices/preferences/truc-ban", {"channels": [{"channel": "khong", "address": "x"}]}),
        ("PUT", "/notices/preferences/truc-ban", {"quiet_from": "22:00"}),
        ("PUT", "/notices/preferences/truc-ban", {"quiet_from": "25:00", "quiet_until": "06:00"}),
    ],
)
async def test_what_is_wrong_is_refused(
    client: httpx.AsyncClient, official: dict[str, str], method: str, path: str, body: Any
) -> None:
    answer = await client.request(method, V1 + path, json=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize("who", ["truc-moi", "da-nghi"])
async def test_only_people_on_hand_and_known_roles_are_put_on_duty(
    client: httpx.AsyncClient, centre: Centre, official: dict[str, str], who: str
) -> None:
    async with centre.records.write() as connection:
        await people_of.add_person(connection, "da-nghi")
        await people_of.set_disabled(connection, "da-nghi", True)
    shift = {"start": now_us(), "until": now_us() + HOUR_US}
    for method, path, body, where in (
        ("PUT", "/duty/rotas/truc", {**ROTA, "turns": [["truc-1"], ["truc-2", who]]}, "turns"),
        ("POST", "/duty/shifts", {**shift, "login": who}, "login"),
        ("PUT", "/escalation/chains/x", {"steps": [{"to": ["person:$owner", f"person:{who}"], "wait": "1m"}]}, "steps"),
        ("PUT", "/duty/rotas/truc", {**ROTA, "role": "truc_ban"}, "role"),
        ("POST", "/duty/shifts", {**shift, "login": "truc-1", "role": "truc_ban"}, "role"),
    ):
        answer = await client.request(method, V1 + path, json=body)
        assert (answer.status_code, answer.json()["error"]["where"]) == (400, where), answer.text


async def test_a_hand_over_is_taken_by_another(client: httpx.AsyncClient, official: dict[str, str]) -> None:
    note = {"unit": "29869", "note": "Trạm 3 chập chờn"}
    made = (await client.post(f"{V1}/duty/handovers", json=note)).json()
    assert made["from_login"] == "local" and made["taken"] is None
    assert (await client.post(f"{V1}/duty/handovers/{made['id']}/take")).status_code == 409
    taken = await client.post(f"{V1}/duty/handovers/{made['id']}/take", headers=official)
    assert taken.json()["taken_by"] == "xa"
    assert (await client.get(f"{V1}/duty/handovers")).json()["items"][0]["taken_by"] == "xa"


async def test_chains_come_with_the_program_and_can_be_replaced(
    client: httpx.AsyncClient, official: dict[str, str]
) -> None:
    names = [one["name"] for one in (await client.get(f"{V1}/escalation/chains")).json()["items"]]
    assert names == ["khan-cap", "thuong"]
    assert (await client.delete(f"{V1}/escalation/chains/thuong")).status_code == 409
    put = await client.put(f"{V1}/escalation/chains/thuong", json={**CHAIN, "version": 0})
    assert put.json()["version"] == 1 and put.json()["steps"][0]["wait_s"] == 600
    assert (await client.put(f"{V1}/escalation/chains/thuong", json={**CHAIN, "version": 0})).status_code == 409
    assert (await client.delete(f"{V1}/escalation/chains/thuong")).status_code == 204
    kept = (await client.get(f"{V1}/escalation/chains")).json()["items"]
    assert [one["version"] for one in kept] == [0, 0]


async def test_notices_are_seen_with_their_incident_and_strangers_addresses_only_by_those_who_may(
    client: httpx.AsyncClient, centre: Centre, official: dict[str, str]
) -> None:
    book = incidents_of(centre)
    here = (await book.open(Draft("Xã", unit="29869", commune="29869"), "x")).incident
    there = (await book.open(Draft("Tỉnh", unit="82"), "x")).incident
    told = [
        Notice(Person("truc-ban"), "test", incident=here),
        Notice(Person("truc-ban"), "test", incident=there),
        Notice(Address("email:dan@example.org"), "test", {"phone": "0900"}, incident=here),
        Notice(Person("lanh-dao"), "test"),
    ]
    numbers = await store_of(centre).transact(lambda tx: enqueue(tx, told))
    assert len((await client.get(f"{V1}/notices")).json()["items"]) >= 4
    seen = (await client.get(f"{V1}/notices", headers=official)).json()["items"]
    assert [one["id"] for one in seen] == [numbers[2], numbers[0]]
    assert seen[0]["to"] == "address:…" and seen[0]["params"] is None
    assert (await client.get(f"{V1}/notices/{numbers[1]}", headers=official)).status_code == 404
    one = (await client.get(f"{V1}/notices/{numbers[2]}")).json()
    assert one["notice"]["to"] == "address:email:dan@example.org" and one["deliveries"] == []
    page = (await client.get(f"{V1}/notices", params={"limit": 1, "incident": here})).json()
    assert page["next"] == numbers[2]
    rest = (await client.get(f"{V1}/notices", params={"before": page["next"], "incident": here})).json()
    assert [one["id"] for one in rest["items"]] == [numbers[0]] and rest["next"] is None


async def test_preferences_are_kept_and_a_test_is_sent(
    client: httpx.AsyncClient, centre: Centre, official: dict[str, str]
) -> None:
    centre.settings.notify.channels = {"email": SecretStr("mailto://u:secret@h/?to={address}")}
    chosen = {
        "language": "en",
        "quiet_from": "22:00",
        "quiet_until": "06:30",
        "channels": [{"channel": "email", "address": "truc-ban@example.org"}],
    }
    url = f"{V1}/notices/preferences/truc-ban"
    put = await client.put(url, json=chosen)
    assert put.status_code == 200 and put.json() == (await client.get(url)).json()
    assert put.json()["available"] == ["email"] and put.json()["quiet_until"] == "06:30" and "secret" not in put.text
    twice = await client.put(url, json={"channels": chosen["channels"] * 2})
    assert twice.status_code == 400
    made = (await client.post(f"{V1}/notices/test", json={"to": "person:truc-ban"})).json()
    assert (made["to"], made["state"], made["template"]) == ("person:truc-ban", "waiting", "test")
    assert (await client.post(f"{V1}/notices/{made['id']}/retry")).json() == {"retried": 0}
    assert (await client.get(f"{V1}/notices/preferences/khong-co")).status_code == 404


async def test_who_a_chain_would_reach_now_is_told_step_by_step(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient, official: dict[str, str]
) -> None:
    steps = [
        {"to": ["person:truc-1", "person:truc-2"], "wait": "10m", "times": 2},
        {"to": ["duty:$unit/leader"], "wait": "1h"},
        {"to": ["email:phong-truc@example.org"], "wait": "15m"},
    ]
    assert (await stranger.post(f"{V1}/escalation/reach", json={})).status_code == 401
    refused = await client.post(f"{V1}/escalation/reach", json={"unit": "82"}, headers=official)
    assert refused.status_code in (403, 404)
    await client.patch(f"{V1}/people/truc-1", json={"email": "truc-1@example.org"})
    told = (await client.post(f"{V1}/escalation/reach", json={"steps": steps})).json()
    assert told["chain"] == ""
    assert [(one["people"], one["silent"], one["channels"], one["after_s"]) for one in told["steps"]] == [
        (["truc-1"], ["truc-2"], [], 0),
        ([], [], [], 1200),
        ([], [], ["email"], 1200),
    ]
    chosen = (await client.post(f"{V1}/escalation/reach", json={"severity": 4})).json()
    assert chosen["chain"] == "khan-cap"
    wrong = await client.post(f"{V1}/escalation/reach", json={"steps": [{"to": ["ai đó"], "wait": "10m"}]})
    assert wrong.status_code == 400 and "ai đó" in wrong.json()["error"]["message"]
