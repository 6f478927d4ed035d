"""Migrations bring a store to just what the code declares."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from thap.kernel.records import Records, metadata
from thap.kernel.settings import Settings
from thap.kernel.tables import create_tables


def _differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return list(compare_metadata(context, metadata))


@pytest.fixture
async def records(settings: Settings) -> AsyncIterator[Records]:
    """Migrated here and now, not copied."""
    store = Records.open(settings)
    await create_tables(store)
    yield store
    await store.close()


async def test_a_migrated_store_is_what_the_code_declares(records: Records) -> None:
    async with records.read() as connection:
        assert await connection.run_sync(_differences) == []


async def test_migrating_twice_changes_nothing(records: Records) -> None:
    await create_tables(records)
    async with records.read() as connection:
        assert await connection.run_sync(_differences) == []
