"""Assembly, errors and sign-in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI

from thap.web.app import create_app
from thap.web.deps import Caller, Centre, CentreDep, require

Operator = Annotated[Caller, Depends(require("operate"))]
OWN = "http://127.0.0.1:8000"


async def test_an_unknown_address_answers_in_the_one_shape(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/v1/nothing")
    assert answer.status_code == 404
    assert answer.json()["error"] == {
        "code": "not_found",
        "message": "there is nothing at this address",
        "where": "/api/v1/nothing",
        "hint": "/api/v1/openapi.json lists every address",
    }
    assert (await client.put("/api/v1/tokens")).json()["error"]["code"] == "method_not_allowed"


async def test_every_answer_carries_a_request_id_and_security_headers(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/v1/tokens", headers={"X-Request-Id": "abc-123"})
    assert answer.headers["x-request-id"] == "abc-123"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    for forged in ("a\tb", "x" * 65, "<script>"):
        other = await client.get("/api/v1/tokens", headers={"X-Request-Id": forged})
        assert other.headers["x-request-id"] != forged and len(other.headers["x-request-id"]) == 16


async def test_a_fault_of_ours_tells_the_caller_nothing_but_where_to_look(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    @app.get("/api/v1/broken")
    async def broken() -> None:
        raise RuntimeError("the secret inside")

    answer = await client.get("/api/v1/broken")
    assert answer.status_code == 500 and "secret" not in answer.text
    assert answer.headers["x-request-id"] in answer.json()["error"]["hint"]


async def test_every_address_of_the_api_is_described(client: httpx.AsyncClient) -> None:
    described = (await client.get("/api/v1/openapi.json")).json()
    assert "/api/v1/tokens" in described["paths"]
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            assert operation.get("summary"), f"{method} {path} has no summary"


async def test_doors_are_reached_before_any_middleware(centre: Centre) -> None:
    seen: list[str] = []

    async def doors(
        scope: MutableMapping[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        seen.append(f"{scope['method']} {scope['path']}")
        assert "thap_request" not in scope
        await send({"type": "http.response.start", "status": 202, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    app = create_app(centre, doors=doors)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=OWN) as caller:
        for path in ("/api/v1/observations", "/api/v1/positions", "/api/v1/trackers/osmand"):
            assert (await caller.post(path)).status_code == 202
        assert (await caller.get("/api/v1/trackers/osmand?id=1")).status_code == 202
        assert (await caller.get("/api/v1/observations")).status_code == 404
        assert (await caller.post("/api/v1/observations2")).status_code == 404
    assert len(seen) == 4


@pytest.fixture
def changing(app: FastAPI) -> FastAPI:
    """An app with a route that changes something and needs the scope `operate`."""

    @app.post("/api/v1/change")
    async def change(_centre: CentreDep, caller: Operator) -> dict[str, str]:
        return {"by": caller.name}

    return app


async def test_the_link_starts_a_session_and_hides_its_key(stranger: httpx.AsyncClient, admin: str) -> None:
    answer = await stranger.get("/", params={"key": admin})
    assert answer.status_code == 303 and answer.headers["location"] == "/"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and admin not in cookie
    assert "thap-session-8000" in cookie
    assert (await stranger.get("/api/v1/tokens")).status_code == 200


async def test_a_wrong_key_starts_nothing(stranger: httpx.AsyncClient, admin: str) -> None:
    answer = await stranger.get("/", params={"key": "guess"})
    assert answer.headers["location"] == "/#refused" and "set-cookie" not in answer.headers


async def test_a_session_changes_things_only_from_the_centres_own_page(
    changing: FastAPI, stranger: httpx.AsyncClient, admin: str
) -> None:
    await stranger.get("/", params={"key": admin})
    for headers in (
        {},
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:8001"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        refused = await stranger.post("/api/v1/change", headers=headers)
        assert refused.status_code == 403, headers
    token = {"X-CSRF-Token": stranger.cookies["thap-csrf-8000"]}
    for headers in ({"Origin": OWN}, {"Sec-Fetch-Site": "same-origin"}):
        assert (await stranger.post("/api/v1/change", headers={**headers, **token})).json() == {"by": "local"}
        assert (await stranger.post("/api/v1/change", headers=headers)).status_code == 403
        assert (await stranger.post("/api/v1/change", headers={**headers, "X-CSRF-Token": "x"})).status_code == 403
    assert (await stranger.post("/api/v1/change", headers=token)).status_code == 403


async def test_a_session_ends_with_its_token(client: httpx.AsyncClient, stranger: httpx.AsyncClient) -> None:
    secret = (await client.post("/api/v1/tokens", json={"name": "ca-truc", "scopes": ["admin"]})).json()["secret"]
    await stranger.get("/", params={"key": secret})
    assert (await stranger.get("/api/v1/tokens")).status_code == 200
    await client.delete("/api/v1/tokens/ca-truc")
    over = await stranger.get("/api/v1/tokens")
    assert over.status_code == 401 and "thap up" in over.json()["error"]["hint"]


async def test_a_forged_session_is_refused(stranger: httpx.AsyncClient, admin: str) -> None:
    await stranger.get("/", params={"key": admin})
    value = stranger.cookies["thap-session-8000"]
    for forged in (value[:-1], f"{value}x", value.swapcase(), "x", "", "..", "x" * 5000):
        answer = await stranger.get("/api/v1/tokens", headers={"Cookie": f"thap-session-8000={forged}"})
        assert answer.status_code == 401, forged


async def test_other_schemes_and_empty_credentials_are_named(stranger: httpx.AsyncClient, admin: str) -> None:
    for header in ("Basic abc", "Bearer", "Bearer  ", "x" * 5000):
        answer = await stranger.get("/api/v1/tokens", headers={"Authorization": header})
        assert answer.status_code == 401, header


async def test_many_requests_at_once_each_find_the_centre(client: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(client.get("/api/v1/tokens") for _ in range(50)))
    assert {answer.status_code for answer in answers} == {200}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/incidents?text=a%00b"),
        ("GET", "/api/v1/search?q=%00"),
        ("GET", "/api/v1/movers/a%00b"),
        ("GET", "/api/v1/things/a%00b"),
        ("DELETE", "/api/v1/tokens/a%00b"),
        ("GET", "/a%00b"),
    ],
)
async def test_an_address_with_a_character_that_is_none_is_refused(
    client: httpx.AsyncClient, method: str, path: str
) -> None:
    answer = await client.request(method, path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_input")
    assert answer.json()["error"]["where"] == ("query" if "?" in path else "path")
    assert answer.headers["x-request-id"]


def _pieces(body: bytes, size: int) -> AsyncIterator[bytes]:
    async def made() -> AsyncIterator[bytes]:
        for at in range(0, len(body), size):
            yield body[at : at + size]

    return made()


@pytest.mark.parametrize("size", [1, 5, 1000])
@pytest.mark.parametrize(
    ("text", "strange_at"),
    [
        (r"a\u0000b", 1),
        (r"\\\u0000", 2),
        (r"\ud83d", 0),
        (r"\ud83dx\ude00", 0),
        (r"\uDE00\ud83d", 0),
        (r"\ud83d\ud83d\ude00", 0),
        (r"\\u0000", None),
        (r"\ud83d\uDE00\u0111\n\"", None),
        ("đê \U0001f600", None),
    ],
)
async def test_a_body_with_a_character_that_is_none_is_refused(
    app: FastAPI, client: httpx.AsyncClient, text: str, strange_at: int | None, size: int
) -> None:
    @app.post("/api/v1/echo")
    async def echo(body: dict[str, Any]) -> dict[str, Any]:
        return body

    raw = f'{{"deep": [{{"k": "{text}"}}]}}'.encode()
    answer = await client.post(
        "/api/v1/echo", content=_pieces(raw, size), headers={"Content-Type": "application/json; charset=utf-8"}
    )
    if strange_at is None:
        assert (answer.status_code, answer.json()) == (200, json.loads(raw))
    else:
        error = answer.json()["error"]
        byte = raw.index(text.encode()) + strange_at + 1
        assert (answer.status_code, error["code"], error["where"]) == (400, "bad_input", f"body, byte {byte}")
        assert "surrogates" in error["hint"]


async def test_a_form_with_a_character_that_is_none_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post("/open311/v2/requests.json", data={"description": "a\0b", "service_code": "x"})
    assert answer.status_code == 400 and "the body holds a character that is none" in answer.text


async def test_json_that_is_none_is_told_by_its_reader(client: httpx.AsyncClient) -> None:
    answer = await client.post(
        "/api/v1/tokens", content=b'{"name": "\\uZZ"}', headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 400 and "not valid JSON" in answer.json()["error"]["message"]
