"""Short write transactions at the speed of the database: one call, one thread hop, one commit.

For example, the engine writes an alarm change with four statements that must hold the write lock together. Awaiting
each of them through the async driver takes longer than all of them take in SQLite, and every other
writer waits meanwhile (figures in docs/decisions/0003-alarm-writes.md). So a transaction is a plain
function over `Transaction`; in SQLite it runs in one thread on a connection of its own, in PostgreSQL
over the connection pool of the records.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.exc import DBAPIError

from thap.kernel.errors import BusyError, DiskFullError, UnavailableError
from thap.kernel.records import Records

__all__ = ["ConnectionTransaction", "Store", "Transaction", "open_store"]

T = TypeVar("T")
Dialect = Literal["sqlite", "postgresql"]


class Transaction(Protocol):
    """What a transaction function may do."""

    @property
    def dialect(self) -> Dialect:
        """Which database."""
        ...

    def rows(self, statement: Any, values: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        """Run one statement and return its rows."""
        ...

    def run(self, statement: Any, values: Sequence[Mapping[str, Any]]) -> None:
        """Run one statement for each set of values."""
        ...

    def insert(self, statement: Any, key: sa.Column[Any], values: Sequence[Mapping[str, Any]]) -> list[int]:
        """Insert rows and return their keys, in order."""
        ...


class Store(Protocol):
    """Runs transactions."""

    async def transact(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in one transaction: commits when it returns, rolls back when it raises.

        `work` may run more than once (after a deadlock), so it must not change anything but the database.

        Raises:
            BusyError: another writer held the store for ten seconds.
            DiskFullError: there is no room.
            UnavailableError: the database cannot be reached.
        """
        ...

    async def close(self) -> None:
        """Close what it opened."""
        ...


def open_store(records: Records) -> Store:
    """The store on the database of these records."""
    return SqliteStore(records) if records.is_sqlite else PostgresStore(records)


_STATEMENTS = 1000
"""Compiled statements that are kept."""


class _SqliteTransaction:
    dialect: Dialect = "sqlite"
    _dialect = SQLiteDialect_pysqlite(paramstyle="named")

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._compiled: dict[int, tuple[Any, str, dict[str, Any]]] = {}

    def _prepare(self, statement: Any, columns: Mapping[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """The statement's text and the values written into it; `columns` are those an insert or update sets."""
        known = self._compiled.get(id(statement))
        if known is None:
            if len(self._compiled) >= _STATEMENTS:  # somebody makes statements anew each time
                self._compiled.clear()
            compiled = statement.compile(dialect=self._dialect, column_keys=list(columns) if columns else None)
            fixed = {name: value for name, value in compiled.params.items() if value is not None}
            # The statement is kept too, so that nothing else can get its id.
            known = self._compiled[id(statement)] = (statement, str(compiled), fixed)
        return known[1], known[2]

    def rows(self, statement: Any, values: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        sql, fixed = self._prepare(statement)
        return self._connection.execute(sql, {**fixed, **values}).fetchall()

    def run(self, statement: Any, values: Sequence[Mapping[str, Any]]) -> None:
        sql, fixed = self._prepare(statement, values[0])
        self._connection.executemany(sql, [{**fixed, **row} for row in values] if fixed else values)

    def insert(self, statement: Any, key: sa.Column[Any], values: Sequence[Mapping[str, Any]]) -> list[int]:
        sql, _ = self._prepare(statement, values[0])
        return [int(self._connection.execute(sql, row).lastrowid or 0) for row in values]


class SqliteStore:
    """One connection in one thread: writers of a process queue for the thread, processes for the file."""

    _patience_s = 10.0
    _pause_s = (0.001, 0.008)

    def __init__(self, records: Records) -> None:
        self._records = records
        self._path = str(records.engine.url.database)
        self._thread = ThreadPoolExecutor(1, "thap-store")
        self._transaction: _SqliteTransaction | None = None
        self._connection: sqlite3.Connection | None = None
        self._opening = asyncio.Lock()

    async def transact(self, work: Callable[[Transaction], T]) -> T:
        if self._transaction is None:
            async with self._opening:
                if self._transaction is None:
                    async with self._records.read() as connection:
                        level = await connection.scalar(sa.text("PRAGMA synchronous"))
                    await self._do(self._open, int(level if level is not None else 2))
        return await self._do(self._transact, work)

    async def close(self) -> None:
        if self._connection is not None:
            await self._do(self._connection.close)
            self._connection = self._transaction = None
        self._thread.shutdown(wait=False)

    async def _do(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    def _open(self, synchronous: int) -> None:
        try:
            connection = sqlite3.connect(
                self._path,
                timeout=self._patience_s,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=64,
            )
            for pragma in (
                "journal_mode=WAL",
                f"synchronous={synchronous}",
                "foreign_keys=ON",
                "temp_store=MEMORY",
                "busy_timeout=0",
            ):
                connection.execute(f"PRAGMA {pragma}")
        except sqlite3.Error as error:
            raise _translated(error, self._path) from error
        self._connection, self._transaction = connection, _SqliteTransaction(connection)

    def _transact(self, work: Callable[[Transaction], T]) -> T:
        connection, transaction = self._connection, self._transaction
        assert connection is not None and transaction is not None
        try:
            self._begin(connection)
            try:
                result = work(transaction)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise _translated(error, self._path) from error
        return result

    def _begin(self, connection: sqlite3.Connection) -> None:
        # SQLite's own wait grows to 100 ms between two tries and lets late comers pass: with 16 writers its
        # slowest waited 1.5 s. Short random pauses serve all of them alike.
        end = time.monotonic() + self._patience_s
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
                if time.monotonic() > end:
                    raise BusyError(
                        "another writer held the records for ten seconds",
                        where=self._path,
                        hint="`thap doctor` says which stage is stuck",
                    ) from None
                time.sleep(random.uniform(*self._pause_s))


def _translated(error: sqlite3.Error, path: str) -> Exception:
    if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL:
        return DiskFullError("there is no room to write records", where=path, hint="free disk space")
    if isinstance(error, sqlite3.OperationalError):
        return UnavailableError(f"the records cannot be written: {error}", where=path)
    return error


class ConnectionTransaction:
    """A transaction on an open connection of SQLAlchemy, of either database."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self.dialect: Dialect = "sqlite" if connection.dialect.name == "sqlite" else "postgresql"

    def rows(self, statement: Any, values: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        return self._connection.execute(statement, dict(values)).fetchall()

    def run(self, statement: Any, values: Sequence[Mapping[str, Any]]) -> None:
        self._connection.execute(statement, [dict(row) for row in values])

    def insert(self, statement: Any, key: sa.Column[Any], values: Sequence[Mapping[str, Any]]) -> list[int]:
        returning = statement.returning(key, sort_by_parameter_order=True)
        return [int(number) for number in self._connection.scalars(returning, [dict(row) for row in values])]


class PostgresStore:
    """Transactions on the pool of the records, with row locks; a deadlock's victim tries again."""

    _tries = 5
    _again = ("40001", "40P01")  # serialization failure, deadlock

    def __init__(self, records: Records) -> None:
        self._records = records

    async def transact(self, work: Callable[[Transaction], T]) -> T:
        for attempt in range(self._tries):
            try:
                async with self._records.write() as connection:
                    return await connection.run_sync(lambda sync: work(ConnectionTransaction(sync)))
            except DBAPIError as error:
                state = str(getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", ""))
                if state.startswith("53100"):
                    raise DiskFullError("there is no room to write records", hint="free disk space") from error
                if state not in self._again or attempt == self._tries - 1:
                    if error.connection_invalidated or state.startswith(("08", "57P")):
                        raise UnavailableError("the database of records does not answer") from error
                    raise
                await asyncio.sleep(random.uniform(0.002, 0.02))
            except OSError as error:
                raise UnavailableError(f"the database of records does not answer: {error}") from error
        raise AssertionError("unreachable")

    async def close(self) -> None:
        """Nothing: the pool belongs to the records."""
