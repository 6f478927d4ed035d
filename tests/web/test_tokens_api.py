"""Tokens over the API."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import httpx

from thap.kernel.bus import Bus
from thap.web.deps import Centre

URL = "/api/v1/tokens"


async def test_a_stranger_is_asked_for_a_credential(stranger: httpx.AsyncClient) -> None:
    answer = await stranger.get(URL)
    assert answer.status_code == 401 and answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.json()["error"]["code"] == "unauthenticated"
    assert "thap tokens create" in answer.json()["error"]["hint"]


async def test_a_token_is_made_used_listed_and_revoked(client: httpx.AsyncClient, stranger: httpx.AsyncClient) -> None:
    made = await client.post(URL, json={"name": "man-hinh", "scopes": ["read"], "expires": "30d"})
    assert made.status_code == 201
    secret = made.json()["secret"]
    headers = {"Authorization": f"Bearer {secret}"}
    denied = await stranger.get(URL, headers=headers)
    assert denied.status_code == 403 and "admin" in denied.json()["error"]["message"]
    listed = (await client.get(URL)).json()["items"]
    assert [token["name"] for token in listed] == ["man-hinh"] and secret not in str(listed)
    assert listed[0]["created_by"] == "local"
    assert (await client.delete(f"{URL}/man-hinh")).status_code == 200
    assert (await stranger.get(URL, headers=headers)).status_code == 401
    assert (await client.get(URL)).json()["items"] == []
    assert len((await client.get(URL, params={"revoked": "true"})).json()["items"]) == 1
    assert (await client.delete(f"{URL}/man-hinh")).status_code == 404


async def test_a_change_of_tokens_is_announced(client: httpx.AsyncClient, bus: Bus) -> None:
    heard = asyncio.Event()

    async def hear(_subject: str, _payload: bytes) -> None:
        heard.set()

    await bus.listen("centre.live.tokens", hear)
    await client.post(URL, json={"name": "bom", "scopes": ["write"], "kind": "mqtt"})
    await asyncio.wait_for(heard.wait(), 30)


async def test_wrong_bodies_say_where_they_are_wrong(client: httpx.AsyncClient, centre: Centre) -> None:
    for body, where in (
        ({"name": "a b", "scopes": ["read"]}, "name"),
        ({"name": "x", "scopes": ["all"]}, "scopes"),
        ({"name": "x", "scopes": []}, "body.scopes"),
        ({"scopes": ["read"]}, "body.name"),
        ({"name": "x", "scopes": ["read"], "scope": 1}, "body.scope"),
    ):
        answer = await client.post(URL, json=body)
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["where"] == where
    broken = await client.post(URL, content=b'{"name": ', headers={"Content-Type": "application/json"})
    assert broken.status_code == 400 and "not valid JSON" in broken.json()["error"]["message"]
    taken = await client.post(URL, json={"name": "local", "scopes": ["read"]})
    assert taken.status_code == 409


async def test_a_unit_or_domain_that_does_not_exist_is_refused_with_those_there_are(
    client: httpx.AsyncClient, desk: Callable[..., Awaitable[httpx.AsyncClient]]
) -> None:
    await desk("truc-ban", "operator")  # so that there are units
    refused = await client.post(URL, json={"name": "bom", "scopes": ["read"], "domain": "watr"})
    assert refused.status_code == 400
    assert "did you mean 'water'? known are rice, sand, system, traffic, water" in refused.json()["error"]["hint"]
    assert (await client.post(URL, json={"name": "bom", "scopes": ["read"], "unit": "khong-co"})).status_code == 404
    grant = {"role": "viewer", "domain": "watr"}
    assert (await client.put("/api/v1/people/truc-ban/grants", json=grant)).status_code == 400
    made = await client.post(URL, json={"name": "bom", "scopes": ["read"], "unit": "29869", "domain": "water"})
    assert (made.status_code, made.json()["unit"], made.json()["domain"]) == (201, "29869", "water")
