"""A web application on real records and a real stream, called in this process."""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest
from fastapi import FastAPI

from thap.kernel.bus import Bus
from thap.kernel.policy import seed
from thap.kernel.policy.people import add_person, grant
from thap.kernel.records import Records
from thap.kernel.sessions import csrf_token
from thap.kernel.settings import Settings
from thap.web.app import create_app
from thap.web.auth import CSRF_HEADER, sessions_of
from thap.web.deps import Centre, policy_of


@pytest.fixture
def admin() -> str:
    """The local administrator's token."""
    return secrets.token_urlsafe(32)


@pytest.fixture
async def centre(settings: Settings, records: Records, bus: Bus, admin: str) -> Centre:
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    (settings.run_dir / "centre.json").write_text(json.dumps({"token": admin}))
    return Centre(settings, records, bus)


@pytest.fixture
async def app(centre: Centre) -> AsyncIterator[FastAPI]:
    made = create_app(centre)
    async with made.router.lifespan_context(made):
        yield made


@pytest.fixture
async def client(app: FastAPI, admin: str) -> AsyncIterator[httpx.AsyncClient]:
    """Signed in as the local administrator."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://127.0.0.1:8000", headers={"Authorization": f"Bearer {admin}"}
    ) as made:
        yield made


@pytest.fixture
async def stranger(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Not signed in."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as made:
        yield made


@pytest.fixture
async def desk(app: FastAPI, centre: Centre) -> AsyncIterator[Callable[..., Awaitable[httpx.AsyncClient]]]:
    """Makes people: `await desk("truc-ban", "operator", unit="29869")` is a browser in which they are signed in."""
    async with centre.records.write() as connection:
        await seed(connection)
    async with contextlib.AsyncExitStack() as stack:

        async def made(login: str, *roles: str, unit: str = "", domain: str = "") -> httpx.AsyncClient:
            async with centre.records.write() as connection:
                person = await add_person(connection, login, unit=unit)
                for role in roles:
                    await grant(connection, login, role, unit=unit, domain=domain)
                _, secret = await sessions_of(centre).start(connection, person_id=person.id, method="password")
            policy_of(centre).changed()
            return await stack.enter_async_context(
                httpx.AsyncClient(
                    transport=httpx.ASGITransport(app, raise_app_exceptions=False),
                    base_url="http://127.0.0.1:8000",
                    cookies={"thap-session-8000": secret},
                    headers={CSRF_HEADER: csrf_token(secret), "Origin": "http://127.0.0.1:8000"},
                )
            )

        yield made
