"""An alarm book on real SQLite, and on a real PostgreSQL where Debian's server is installed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from bench.postgres import missing, private_postgres
from sqlalchemy.ext.asyncio import create_async_engine

from thap.detect.detector import Action, Change, Severity
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.kernel.tables import create_tables
from thap.respond.book import AlarmBook

MakeChange = Callable[..., Change]


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A private PostgreSQL on a socket in a temporary folder; the tests are skipped where none is installed."""
    reason = missing()
    if reason:
        pytest.skip(reason)
    with private_postgres(durable=False) as host:
        yield f"postgresql+asyncpg://thap@/postgres?host={host}"


@pytest.fixture(params=["sqlite", "postgresql"])
async def either(request: pytest.FixtureRequest, settings: Settings) -> AsyncIterator[Records]:
    """Records on SQLite, then on PostgreSQL."""
    if request.param == "sqlite":
        store = Records.open(settings)
        await create_tables(store)
    else:
        store = Records(create_async_engine(request.getfixturevalue("postgres_url")))
        await create_tables(store)
        async with store.write() as connection:
            await connection.execute(sa.text("TRUNCATE alarm_transitions, alarms, offsets RESTART IDENTITY"))
    yield store
    await store.close()


@pytest.fixture
async def book(either: Records) -> AsyncIterator[AlarmBook]:
    opened = AlarmBook(either)
    yield opened
    await opened.close()


@pytest.fixture
def change() -> MakeChange:
    """A change with everything filled in that a test does not care about."""

    def make(
        action: Action | str = "raise",
        source: str = "my-thuan/level",
        condition: str = "water.high",
        severity: int = 2,
        time: int = 1_000_000,
        seq: int = 1,
        **more: Any,
    ) -> Change:
        return Change(source, condition, Action(action), Severity(severity), time, seq, **more)

    return make
