"""Migrations bring a store to just what the code declares."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from thap.kernel import tables
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


async def test_a_store_at_the_newest_migration_is_known_without_alembic(records: Records) -> None:
    script = ScriptDirectory(str(Path(tables.__file__).parent / "migrations"))
    assert script.get_current_head() == tables._newest()  # files begin with the number of their revision
    async with records.read() as connection:
        assert await connection.run_sync(tables._reached) == tables._newest()


async def test_an_older_store_is_brought_to_the_newest_migration(records: Records) -> None:
    async with records.write() as connection:
        await connection.run_sync(lambda one: command.downgrade(tables.alembic_config(one), "0011"))
        assert await connection.run_sync(tables._reached) == "0011"
    await create_tables(records)
    async with records.read() as connection:
        assert await connection.run_sync(_differences) == []
