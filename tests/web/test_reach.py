"""Routes that know no units are for who may act in the whole province; what is linked is seen by who links it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import httpx
import pytest

from thap.detect.detector import Action, Change, Severity
from thap.kernel.audit import AuditFilter, entries_before
from thap.kernel.clock import now_us
from thap.kernel.policy import Policy
from thap.kernel.policy.limits import restrict
from thap.kernel.policy.people import add_person, grant
from thap.kernel.tokens import Token, create_token
from thap.kernel.units import communes
from thap.respond.book import AlarmBook
from thap.web.auth import tokens_of, who_of_token
from thap.web.deps import Centre, policy_of

Desk = Callable[..., Awaitable[httpx.AsyncClient]]
V1 = "/api/v1"
HERE, THERE = communes()[0].code, communes()[1].code
BACKTEST = {"body": "x", "since": "2026-01-01T00:00:00Z"}
CHAIN = {"steps": [{"to": ["json://127.0.0.1:9/x"], "wait": "10m"}], "unit": HERE}


async def test_a_token_of_one_unit_does_nothing_that_knows_no_units(
    client: httpx.AsyncClient, desk: Desk, stranger: httpx.AsyncClient, centre: Centre
) -> None:
    await desk("truc-ban", "operator")
    async with centre.records.write() as connection:
        _, secret = await create_token(connection, "xa", ["operate", "write"], unit=HERE)
    tokens_of(centre).changed()
    headers = {"Authorization": f"Bearer {secret}"}
    for method, path, body in (
        ("POST", "/things", {"things": [{"name": "cam-1", "domain": "khac"}]}),
        ("POST", "/quarantine/admit", {"patterns": ["*"]}),
        ("GET", "/quarantine", None),
        ("GET", "/dead-letters", None),
        ("POST", "/backtests", BACKTEST),
        ("POST", "/query", {"sql": "SELECT 1"}),
    ):
        answer = await stranger.request(method, V1 + path, json=body, headers=headers)
        assert answer.status_code == 403, (path, answer.text)
    assert (await stranger.get(f"{V1}/alarms", headers=headers)).status_code == 200
    assert (await client.get(f"{V1}/quarantine")).status_code == 200


async def test_raw_records_and_backtests_are_for_who_has_clearance_for_all(desk: Desk, centre: Centre) -> None:
    lead = await desk("truong-ca", "shift_lead")
    assert (await lead.get(f"{V1}/dead-letters")).status_code == 200
    async with centre.records.write() as connection:
        await restrict(connection, "thing", "cam-1")
    policy_of(centre).changed()
    assert (await lead.get(f"{V1}/dead-letters")).status_code == 403
    assert (await lead.get(f"{V1}/dead-letters/1")).status_code == 403
    assert (await lead.post(f"{V1}/backtests", json=BACKTEST)).status_code == 403
    assert (await lead.get(f"{V1}/quarantine")).status_code == 200


async def test_who_administers_a_commune_does_not_say_where_the_province_sends_and_reads(desk: Desk) -> None:
    theirs = await desk("quan-tri-xa", "administrator", "shift_lead", unit=HERE)
    url = "http://127.0.0.1:9/x"
    for method, path, body in (
        ("PUT", "/warnings/feeds/khac", {"url": url}),
        ("DELETE", "/warnings/feeds/khac", None),
        ("GET", "/warnings/subscribers", None),
        ("POST", "/warnings/subscribers", {"url": url}),
        ("DELETE", "/warnings/subscribers/1", None),
        ("PUT", "/escalation/chains/xa", CHAIN),
    ):
        answer = await theirs.request(method, V1 + path, json=body)
        assert answer.status_code == 403, (path, answer.text)
    named = {**CHAIN, "steps": [{"to": ["email:xa@example.org"], "wait": "10m"}]}
    assert (await theirs.put(f"{V1}/escalation/chains/xa", json=named)).status_code == 200


async def test_notices_of_who_has_power_elsewhere_are_not_turned_to_another_address(desk: Desk, centre: Centre) -> None:
    theirs = await desk("quan-tri-xa", "administrator", unit=HERE)
    async with centre.records.write() as connection:
        for login in ("nguoi-xa", "lanh-dao"):
            await add_person(connection, login, unit=HERE)
        await grant(connection, "nguoi-xa", "operator", unit=HERE)
        await grant(connection, "lanh-dao", "leader")
    policy_of(centre).changed()
    assert (await theirs.put(f"{V1}/notices/preferences/nguoi-xa", json={})).status_code == 200
    assert (await theirs.put(f"{V1}/notices/preferences/lanh-dao", json={})).status_code == 403


async def test_an_alarm_is_linked_by_who_may_see_it(client: httpx.AsyncClient, desk: Desk, centre: Centre) -> None:
    official = await desk("can-bo", "commune_official", unit=HERE)
    book = AlarmBook(centre.records)
    change = Change("tram-2/level", "water.high", Action.RAISE, Severity(2), now_us(), 1, commune=THERE)
    [event] = await book.apply([change])
    await book.close()
    made = await official.post(f"{V1}/incidents", json={"title": "Ngập", "unit": HERE, "commune": HERE})
    number = made.json()["incident"]["id"]
    link = {"kind": "alarm", "ref": str(event.alarm)}
    assert (await official.post(f"{V1}/incidents/{number}/links", json=link)).status_code == 404
    assert (await official.post(f"{V1}/incidents/{number}/links", json={**link, "ref": "9"})).status_code == 404
    for kind in ("report", "warning"):
        strange = await official.post(f"{V1}/incidents/{number}/links", json={"kind": kind, "ref": "1"})
        assert strange.status_code == 404
    assert (await official.post(f"{V1}/incidents/{number}/links", json={**link, "ref": "x"})).status_code == 400
    assert (await client.post(f"{V1}/incidents/{number}/links", json=link)).status_code == 200


async def test_what_is_asked_of_history_is_in_the_audit_log(desk: Desk, centre: Centre) -> None:
    lead = await desk("truong-ca", "shift_lead")
    await lead.post(f"{V1}/query", json={"sql": "SELECT 42"})
    async with centre.records.read() as connection:
        [entry] = await entries_before(connection, None, 10, AuditFilter("", "history.query", "", None, None))
    assert entry["who"] == "truong-ca" and entry["detail"] == {"sql": "SELECT 42"}


@pytest.mark.parametrize("scope", ["read", "operate", "write", "admin"])
def test_no_token_approves_a_warning(scope: str) -> None:
    who = who_of_token(Token("x", "api", frozenset({scope})))
    assert not Policy({"82": ""}).may_somewhere(who, "warning.approve")
