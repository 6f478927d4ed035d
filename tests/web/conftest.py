"""A web application on real records and a real stream, called in this process."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from thap.kernel.bus import Bus
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.web.app import create_app
from thap.web.deps import Centre


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
