"""Records: the SQL store (SQLite by default, PostgreSQL when outgrown).

Tables are SQLAlchemy Core tables on one `metadata`, declared in the `records.py` of the package that
owns them. Statements live there too, never in a route or a command. A transaction begins with
`Records.write()` and commits once, when that block ends.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import MetaData, event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from thap.kernel.settings import Settings

__all__ = ["Records", "metadata"]

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Records:
    """Connections to the records of one centre.

    Use `read()` for statements that change nothing and `write()` for those that do. In SQLite a write
    takes the write lock at its start, so two writers queue (up to ten seconds) instead of failing.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.is_sqlite = engine.dialect.name == "sqlite"

    @classmethod
    def open(cls, settings: Settings) -> Records:
        """Open the store that the settings name; nothing is created but the file itself."""
        if settings.records_url is not None:
            return cls(create_async_engine(settings.records_url))
        settings.data.mkdir(parents=True, exist_ok=True)
        path = settings.data / "records.sqlite"
        engine = create_async_engine(f"sqlite+aiosqlite:///{path}", connect_args={"timeout": 10})
        level = "FULL" if settings.journal.durability == "power" else "NORMAL"

        @event.listens_for(engine.sync_engine, "connect")
        def _prepare(connection: Any, _record: Any) -> None:
            connection.isolation_level = None  # the driver must not begin transactions by itself
            cursor = connection.cursor()
            for pragma in (
                "journal_mode=WAL",
                f"synchronous={level}",
                "foreign_keys=ON",
                "busy_timeout=10000",
                "temp_store=MEMORY",
            ):
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()

        @event.listens_for(engine.sync_engine, "begin")
        def _begin(connection: Any) -> None:
            mode = connection.get_execution_options().get("thap_begin", "DEFERRED")
            connection.exec_driver_sql(f"BEGIN {mode}")

        return cls(engine)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection for reading: one consistent view, rolled back at the end."""
        async with self.engine.connect() as connection:
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction: commits when the block ends, rolls back when it raises."""
        async with self.engine.connect() as connection:
            await connection.execution_options(thap_begin="IMMEDIATE")
            async with connection.begin():
                yield connection

    async def close(self) -> None:
        await self.engine.dispose()
