"""Signing in over HTTP: passwords, codes, links, sessions, roles; and streams that end with their credential."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import argon2
import httpx
import pyotp
import pytest
import sqlalchemy as sa
from fastapi import FastAPI

from thap.kernel import passwords
from thap.kernel.accounts import one_time_link
from thap.kernel.audit import audit, verify
from thap.kernel.policy import seed
from thap.kernel.policy.people import add_person, grant, revoke, set_disabled
from thap.web.auth import accounts_of, doubt_credentials
from thap.web.deps import Centre

OWN = "http://127.0.0.1:8000"
GOOD, OTHER = "mùa nước nổi về sớm", "cánh đồng sen tháng tám"
ME = "/api/v1/session"

AddPerson = Callable[..., Awaitable[int]]
Browser = Callable[[], httpx.AsyncClient]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashing that takes little."""
    monkeypatch.setattr(passwords, "_hasher", argon2.PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1))
    passwords._nobodys.cache_clear()


@pytest.fixture
def person(centre: Centre) -> AddPerson:
    """Adds a person with the password GOOD and roles like `operator@82`."""

    async def add(login: str = "truc-ban", *roles: str, unit: str = "82") -> int:
        async with centre.records.write() as connection:
            await seed(connection)
            number = (await add_person(connection, login, name="Trực ban", unit=unit)).id
            for role, _, place in (text.partition("@") for text in roles):
                await grant(connection, login, role, unit=place)
        await accounts_of(centre).set_password(number, GOOD, by=login)
        doubt_credentials(centre)
        return number

    return add


@pytest.fixture
async def browser(app: FastAPI) -> AsyncIterator[Browser]:
    """Makes browsers: each keeps its cookies and says where its changes come from."""
    made: list[httpx.AsyncClient] = []

    def open_() -> httpx.AsyncClient:
        async def add_proof(request: httpx.Request) -> None:
            found = re.search(r"thap-csrf-8000=(\w+)", request.headers.get("cookie", ""))
            if request.method not in ("GET", "HEAD") and found:
                request.headers["X-CSRF-Token"] = found[1]

        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        made.append(
            httpx.AsyncClient(
                transport=transport, base_url=OWN, headers={"Origin": OWN}, event_hooks={"request": [add_proof]}
            )
        )
        return made[-1]

    yield open_
    for one in made:
        await one.aclose()


async def enter(browser: httpx.AsyncClient, login: str = "truc-ban", password: str = GOOD, code: str = "") -> int:
    answer = await browser.post("/session", json={"login": login, "password": password, "code": code})
    return answer.status_code


async def audited(centre: Centre) -> list[str]:
    async with centre.records.read() as connection:
        return [f"{row[0]} {row[1]}" for row in await connection.execute(sa.select(audit.c.who, audit.c.action))]


# ---- strangers


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("GET", "/all"), ("DELETE", "/others"), ("DELETE", "/1"), ("POST", "/password"),
     ("POST", "/second-factor"), ("POST", "/second-factor/confirm"), ("POST", "/second-factor/off"),
     ("DELETE", "/identities/x")],
)  # fmt: skip
async def test_a_stranger_is_told_to_sign_in(stranger: httpx.AsyncClient, method: str, path: str) -> None:
    body = {"old": "", "new": "", "password": "", "code": ""}
    wanted = {"/password": ("old", "new"), "/second-factor/confirm": ("code",)}.get(path, ("password",))
    answer = await stranger.request(
        method, f"{ME}{path}", json={name: body[name] for name in wanted} if method == "POST" else None
    )
    assert answer.status_code == 401, answer.text


async def test_anybody_may_ask_whether_a_session_is_in_force(stranger: httpx.AsyncClient) -> None:
    answer = await stranger.get("/session")
    assert answer.json() == {"login": None, "issuers": []} and answer.headers["cache-control"] == "no-store"
    assert (await stranger.delete("/session")).status_code == 204  # nothing to end


async def test_a_token_is_no_person(client: httpx.AsyncClient) -> None:
    me = (await client.get(ME)).json()
    assert (me["name"], me["kind"], me["session"]) == ("local", "local", None) and "admin" in me["scopes"]
    assert (await client.get(f"{ME}/all")).status_code == 403
    assert (await client.delete("/session")).status_code == 400


# ---- in and out


async def test_a_person_signs_in_is_known_and_signs_out(centre: Centre, person: AddPerson, browser: Browser) -> None:
    await person("truc-ban", "operator")
    me = browser()
    answer = await me.post("/session", json={"login": "Truc-Ban", "password": GOOD})
    assert answer.status_code == 204
    cookies = answer.headers.get_list("set-cookie")
    session = next(cookie for cookie in cookies if cookie.startswith("thap-session-8000="))
    assert "HttpOnly" in session and "SameSite=strict" in session and "Secure" not in session
    said = (await me.get(ME)).json()
    assert (said["name"], said["title"], said["kind"], said["unit"]) == ("truc-ban", "Trực ban", "person", "82")
    assert said["roles"] == [{"role": "operator", "unit": "82", "domain": "", "until": None}]
    assert said["scopes"] == ["operate", "read"] and said["password"] and not said["second_factor"]
    assert (await me.get("/api/v1/alarms")).status_code == 200
    assert (await me.get("/api/v1/tokens")).status_code == 403
    kept = dict(me.cookies)
    assert (await me.delete("/session")).status_code == 204
    assert (await me.get(ME)).status_code == 401
    me.cookies.update(kept)
    assert (await me.get(ME)).status_code == 401  # over, not only forgotten
    assert {"truc-ban sign_in"} <= set(await audited(centre))
    assert (await verify(centre.records)).broken_at is None


async def test_with_tls_the_cookie_is_bound_to_the_host_and_to_tls(
    centre: Centre, person: AddPerson, browser: Browser
) -> None:
    await person()
    centre.settings.sign_in.public_url = "https://trung-tam.example"
    me = browser()
    answer = await me.post(
        "/session", json={"login": "truc-ban", "password": GOOD}, headers={"Origin": "https://trung-tam.example"}
    )
    assert answer.status_code == 204
    for cookie in answer.headers.get_list("set-cookie"):
        assert cookie.startswith("__Host-thap-") and "Secure" in cookie and "Path=/" in cookie


async def test_wrong_passwords_are_refused_audited_and_lead_to_a_wait(
    centre: Centre, person: AddPerson, browser: Browser
) -> None:
    await person()
    me = browser()
    for _ in range(centre.settings.sign_in.tries):
        answer = await me.post("/session", json={"login": "truc-ban", "password": "wrong"})
        assert answer.status_code == 401 and answer.json()["error"]["code"] == "sign_in_refused"
        assert "set-cookie" not in answer.headers
    answer = await me.post("/session", json={"login": "truc-ban", "password": GOOD})
    assert answer.status_code == 429 and 25 <= int(answer.headers["retry-after"]) <= 30
    told = await audited(centre)
    assert told.count("anonymous sign_in.failed") == 5 and told.count("anonymous sign_in.locked") == 1


async def test_bodies_that_make_no_sense_are_refused(browser: Browser) -> None:
    me = browser()
    for body in (
        {},
        {"login": "a", "key": "b"},
        {"login": "x" * 65, "password": "y"},
        {"login": ["a"], "password": "b"},
        {"login": "a", "password": "p" * 1001},
        {"login": "a", "password": "b", "more": 1},
        [],
    ):
        assert (await me.post("/session", json=body)).status_code == 400, body
    assert (await me.post("/session", content=b"login=a&password=b")).status_code == 400


async def test_signing_in_from_another_sites_page_is_refused(person: AddPerson, browser: Browser) -> None:
    await person()
    body = {"login": "truc-ban", "password": GOOD}
    me = browser()
    for headers in ({"Origin": "https://elsewhere.example"}, {"Origin": "null"}):
        assert (await me.post("/session", json=body, headers=headers)).status_code == 403
    del me.headers["Origin"]
    assert (await me.post("/session", json=body, headers={"Sec-Fetch-Site": "cross-site"})).status_code == 403
    assert (await me.post("/session", json=body)).status_code == 204  # no browser at all


async def test_a_change_needs_the_sessions_own_token_and_another_sessions_will_not_do(
    person: AddPerson, browser: Browser
) -> None:
    await person()
    me, other = browser(), browser()
    await enter(me)
    await enter(other)
    foreign = {"X-CSRF-Token": other.cookies["thap-csrf-8000"]}
    me.event_hooks = {}
    for headers in ({}, foreign, {"X-CSRF-Token": ""}):
        answer = await me.delete(f"{ME}/others", headers=headers)
        assert answer.status_code == 403 and answer.json()["error"]["where"] == "X-CSRF-Token"
    own = {"X-CSRF-Token": me.cookies["thap-csrf-8000"]}
    assert (await me.delete(f"{ME}/others", headers=own)).json() == {"ended": 1}


# ---- sessions


async def test_sessions_are_listed_and_ended_by_their_owner_only(person: AddPerson, browser: Browser) -> None:
    await person("truc-ban", "viewer")
    await person("lanh-dao", "administrator")
    one, two, stranger = browser(), browser(), browser()
    for who, login in ((one, "truc-ban"), (two, "truc-ban"), (stranger, "lanh-dao")):
        assert await enter(who, login) == 204
    listed = (await one.get(f"{ME}/all")).json()["items"]
    assert len(listed) == 2 and sum(item["current"] for item in listed) == 1
    other = next(item["id"] for item in listed if not item["current"])
    assert (await stranger.delete(f"{ME}/{other}")).status_code == 404
    assert (await one.delete(f"{ME}/{other}")).status_code == 200
    assert (await two.get(ME)).status_code == 401
    for number in (other, 999_999, 2**40, 0):
        assert (await one.delete(f"{ME}/{number}")).status_code in (400, 404)
    assert (await one.get(ME)).status_code == 200


async def test_signing_in_again_replaces_the_session_before(person: AddPerson, browser: Browser) -> None:
    await person()
    me = browser()
    await enter(me)
    first = me.cookies["thap-session-8000"]
    await enter(me)
    assert len((await me.get(f"{ME}/all")).json()["items"]) == 1
    assert me.cookies["thap-session-8000"] != first


async def test_a_disabled_persons_session_is_over(centre: Centre, person: AddPerson, browser: Browser) -> None:
    await person("truc-ban", "viewer")
    me = browser()
    await enter(me)
    async with centre.records.write() as connection:
        await set_disabled(connection, "truc-ban")
    await centre.bus.announce("centre.live.people", {})
    await eventually(lambda: me.get(ME), 401)
    assert await enter(me) == 401


async def test_a_role_taken_away_is_gone_at_once(centre: Centre, person: AddPerson, browser: Browser) -> None:
    await person("truc-ban", "viewer")
    me = browser()
    await enter(me)
    assert (await me.get("/api/v1/alarms")).status_code == 200
    async with centre.records.write() as connection:
        await revoke(connection, "truc-ban", "viewer")
    await centre.bus.announce("centre.live.people", {})
    await eventually(lambda: me.get("/api/v1/alarms"), 403)


async def test_a_role_in_one_unit_opens_no_route_for_the_whole_province(person: AddPerson, browser: Browser) -> None:
    await person("can-bo-xa", "operator@28249", "administrator@28249")
    me = browser()
    await enter(me, "can-bo-xa")
    assert (await me.get(ME)).json()["scopes"] == ["read"]
    assert (await me.get("/api/v1/tokens")).status_code == 403


async def eventually(ask: Callable[[], Awaitable[httpx.Response]], status: int) -> None:
    deadline = time.monotonic() + 30
    while (answer := await ask()).status_code != status:
        assert time.monotonic() < deadline, answer.text
        await asyncio.sleep(0.02)


# ---- passwords


async def test_a_person_changes_the_password_and_other_sessions_end(person: AddPerson, browser: Browser) -> None:
    await person()
    one, two = browser(), browser()
    await enter(one)
    await enter(two)
    wrong = await one.post(f"{ME}/password", json={"old": "wrong", "new": OTHER})
    assert wrong.status_code == 401
    weak = await one.post(f"{ME}/password", json={"old": GOOD, "new": "password12"})
    assert weak.status_code == 400 and weak.json()["error"]["where"] == "password"
    assert (await one.post(f"{ME}/password", json={"old": GOOD, "new": OTHER})).status_code == 200
    assert (await one.get(ME)).status_code == 200
    assert (await two.get(ME)).status_code == 401
    assert await enter(two) == 401 and await enter(two, password=OTHER) == 204


async def test_a_link_opens_the_door_once(centre: Centre, person: AddPerson, browser: Browser) -> None:
    number = await person()
    async with centre.records.write() as connection:
        secret = await one_time_link(connection, number, by="administrator")
    me = browser()
    assert (await me.post("/session/link/check", json={"secret": secret})).json() == {"login": "truc-ban"}
    assert (await me.post("/session/link", json={"secret": secret, "password": "short"})).status_code == 400
    assert (await me.post("/session/link", json={"secret": secret, "password": OTHER})).status_code == 204
    assert (await me.get(ME)).json()["name"] == "truc-ban"
    again = browser()
    for path in ("/session/link/check", "/session/link"):
        refused = await again.post(path, json={"secret": secret, "password": OTHER})
        assert refused.status_code == 401, refused.text
    evil = await again.post("/session/link", json={"secret": "x", "password": OTHER}, headers={"Origin": "http://x"})
    assert evil.status_code == 403


# ---- second factor


async def test_a_second_factor_is_set_up_asked_for_and_switched_off(person: AddPerson, browser: Browser) -> None:
    await person()
    me, other = browser(), browser()
    await enter(me)
    assert (await me.post(f"{ME}/second-factor", json={"password": "wrong"})).status_code == 401
    shown = (await me.post(f"{ME}/second-factor", json={"password": GOOD})).json()
    assert shown["uri"].startswith("otpauth://totp/") and shown["picture"].startswith("data:image/svg+xml;")
    maker = pyotp.TOTP(shown["secret"])
    assert (await me.post(f"{ME}/second-factor/confirm", json={"code": "000"})).status_code == 401
    codes = await me.post(f"{ME}/second-factor/confirm", json={"code": maker.at(int(time.time()) - 30)})
    assert len(codes.json()["recovery_codes"]) == 10
    said = (await me.get(ME)).json()
    assert said["second_factor"] and said["recovery_codes"] == 10
    answer = await other.post("/session", json={"login": "truc-ban", "password": GOOD})
    assert answer.status_code == 401 and answer.json()["error"]["code"] == "code_needed"
    now = maker.now()
    assert await enter(other, code=now) == 204
    assert await enter(browser(), code=now) == 401  # not again
    assert await enter(browser(), code=codes.json()["recovery_codes"][0]) == 204
    assert (await me.post(f"{ME}/second-factor/off", json={"password": GOOD})).status_code == 200
    assert await enter(browser()) == 204


# ---- streams


async def listens(app: FastAPI, headers: dict[str, str]) -> asyncio.Task[list[bytes]]:
    """A listener to the event stream; the task ends when the stream does."""
    parts: list[bytes] = []
    begun = asyncio.Event()
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": "/api/v1/stream", "raw_path": b"/api/v1/stream", "query_string": b"kinds=alarm", "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "server": ("127.0.0.1", 8000), "client": ("127.0.0.1", 5000),
    }  # fmt: skip

    async def receive() -> dict[str, object]:
        await asyncio.Event().wait()
        return {}

    async def send(message: dict[str, object]) -> None:
        if message["type"] == "http.response.start":
            assert message["status"] == 200
        else:
            parts.append(bytes(message.get("body") or b""))  # type: ignore[call-overload]
            begun.set()

    async def run() -> list[bytes]:
        await app(scope, receive, send)  # type: ignore[arg-type]
        return parts

    task = asyncio.create_task(run())
    await asyncio.wait_for(begun.wait(), 30)
    return task


async def test_a_stream_ends_when_its_token_is_revoked_and_no_other_does(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    tasks = []
    for name in ("man-hinh", "kiosk"):
        secret = (await client.post("/api/v1/tokens", json={"name": name, "scopes": ["read"]})).json()["secret"]
        tasks.append(await listens(app, {"Host": "127.0.0.1:8000", "Authorization": f"Bearer {secret}"}))
    await client.delete("/api/v1/tokens/man-hinh")
    await asyncio.wait_for(tasks[0], 30)
    done, _ = await asyncio.wait([tasks[1]], timeout=0.2)
    assert not done
    await client.delete("/api/v1/tokens/kiosk")
    await asyncio.wait_for(tasks[1], 30)


async def test_a_stream_ends_when_its_person_signs_out_or_is_disabled(
    app: FastAPI, centre: Centre, person: AddPerson, browser: Browser
) -> None:
    await person("truc-ban", "viewer")
    for end in ("sign out", "disable"):
        me = browser()
        await enter(me)
        cookie = "; ".join(f"{name}={value}" for name, value in me.cookies.items())
        task = await listens(app, {"Host": "127.0.0.1:8000", "Cookie": cookie})
        if end == "sign out":
            await me.delete("/session")
        else:
            async with centre.records.write() as connection:
                await set_disabled(connection, "truc-ban")
            await centre.bus.announce("centre.live.people", {})
        await asyncio.wait_for(task, 30)


async def test_a_stream_ends_when_its_token_expires(
    app: FastAPI, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thap.web.sse._HEARTBEAT_S", 0.2)
    body = {"name": "ngan", "scopes": ["read"], "expires": "4s"}
    secret = (await client.post("/api/v1/tokens", json=body)).json()["secret"]
    task = await listens(app, {"Host": "127.0.0.1:8000", "Authorization": f"Bearer {secret}"})
    await asyncio.wait_for(task, 30)


# ---- tokens


async def test_a_token_may_be_limited_to_a_unit_unless_it_administers(
    client: httpx.AsyncClient, centre: Centre
) -> None:
    async with centre.records.write() as connection:
        await seed(connection)
    made = await client.post("/api/v1/tokens", json={"name": "xa", "scopes": ["operate"], "unit": "29869"})
    assert made.status_code == 201 and made.json()["unit"] == "29869"
    me = (await client.get(ME, headers={"Authorization": f"Bearer {made.json()['secret']}"})).json()
    assert {role["unit"] for role in me["roles"]} == {"29869"}
    assert {role["role"] for role in me["roles"]} == {"viewer", "operator", "shift_lead"}
    refused = await client.post("/api/v1/tokens", json={"name": "y", "scopes": ["admin"], "unit": "29869"})
    assert refused.status_code == 400
