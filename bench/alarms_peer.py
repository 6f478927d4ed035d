"""The peer of `bench.alarms`: the same changes written by hand, without the alarm book and its life cycle.

One transaction does what is needed to keep one row a condition and every transition: an upsert that only takes
effect where the condition changes, and an insert of the transition. On PostgreSQL where its server is installed,
else on Python's sqlite3 with its own waiting for the lock.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import sqlite3
import tempfile
import time
from contextlib import ExitStack
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

from bench.postgres import missing, private_postgres
from thap.detect.detector import Action

__all__ = ["measure"]

_TABLES = (
    "CREATE TABLE alarms (id {id}, source text NOT NULL, condition text NOT NULL, active bool NOT NULL, "
    "state text NOT NULL, changed bigint NOT NULL, evidence text NOT NULL, UNIQUE (source, condition))",
    "CREATE TABLE transitions (id {id}, alarm bigint NOT NULL, action text NOT NULL, time bigint NOT NULL, "
    "evidence text NOT NULL)",
    "CREATE INDEX transitions_alarm ON transitions (alarm)",
)
_UPSERT = (
    "INSERT INTO alarms (source, condition, active, state, changed, evidence) VALUES ($1, $2, $3, $4, $5, $6) "
    "ON CONFLICT (source, condition) DO UPDATE SET active = excluded.active, state = excluded.state, "
    "changed = excluded.changed, evidence = excluded.evidence WHERE alarms.active <> excluded.active "
    "RETURNING id"
)
_LOG = "INSERT INTO transitions (alarm, action, time, evidence) VALUES ($1, $2, $3, $4)"
_EVIDENCE = '{"limit":1.7,"rule":1}'


def _values(source: str, condition: str, action: Action) -> tuple[str, str, bool, str, int, str]:
    active = action is Action.RAISE
    return source, condition, active, "unacknowledged" if active else "normal", time.time_ns() // 1000, _EVIDENCE


async def _postgres_writer(number: int, host: str, conditions: int, begin: float, seconds: float) -> int:
    import asyncpg  # type: ignore[import-untyped, unused-ignore]

    from bench.alarms import batches

    connection = await asyncpg.connect(user="thap", database="postgres", host=host)
    upsert, log = await connection.prepare(_UPSERT), await connection.prepare(_LOG)
    done = 0
    await asyncio.sleep(max(0.0, begin - time.time()))
    end = time.monotonic() + seconds
    for [(source, condition, action)] in batches(number, conditions, 1):
        async with connection.transaction():
            row = await upsert.fetchval(*_values(source, condition, action))
            if row is not None:
                await log.fetch(row, str(action), time.time_ns() // 1000, _EVIDENCE)
                done += 1
        if time.monotonic() >= end:
            break
    await connection.close()
    return done


def _sqlite_writer(number: int, path: str, conditions: int, begin: float, seconds: float) -> int:
    from bench.alarms import batches

    connection = sqlite3.connect(path, isolation_level=None, timeout=30)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    done = 0
    time.sleep(max(0.0, begin - time.time()))
    end = time.monotonic() + seconds
    for [(source, condition, action)] in batches(number, conditions, 1):
        connection.execute("BEGIN IMMEDIATE")
        row = connection.execute(_UPSERT.replace("$", "?"), _values(source, condition, action)).fetchone()
        if row is not None:
            connection.execute(_LOG.replace("$", "?"), (row[0], str(action), time.time_ns() // 1000, _EVIDENCE))
            done += 1
        connection.execute("COMMIT")
        if time.monotonic() >= end:
            break
    connection.close()
    return done


def _writer(kind: str, number: int, where: str, conditions: int, begin: float, seconds: float, out: Queue[Any]) -> None:
    if kind == "postgresql":
        out.put(asyncio.run(_postgres_writer(number, where, conditions, begin, seconds)))
    else:
        out.put(_sqlite_writer(number, where, conditions, begin, seconds))


def _run(kind: str, where: str, writers: int, seconds: float, conditions: int) -> float:
    context = multiprocessing.get_context("spawn")
    out: Queue[Any] = context.Queue()
    begin = time.time() + 3 + writers * 0.3
    processes = [
        context.Process(target=_writer, args=(kind, n, where, conditions, begin, seconds, out)) for n in range(writers)
    ]
    for process in processes:
        process.start()
    done: int = sum(out.get(timeout=seconds + 120) for _ in processes)
    for process in processes:
        process.join()
    return round(done / seconds)


async def _make_tables(host: str) -> str:
    import asyncpg  # type: ignore[import-untyped, unused-ignore]

    connection = await asyncpg.connect(user="thap", database="postgres", host=host)
    for statement in _TABLES:
        await connection.execute(statement.format(id="bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY"))
    version = str(await connection.fetchval("SHOW server_version"))
    await connection.close()
    return version


def measure(stack: ExitStack, writers: int, seconds: float, conditions: int) -> dict[str, Any]:
    """Transitions a second of the peer."""
    reason = missing()
    if not reason:
        host = stack.enter_context(private_postgres())
        version = asyncio.run(_make_tables(host))
        rate = _run("postgresql", host, writers, seconds, conditions)
        return {"name": f"PostgreSQL {version}, asyncpg, SQL by hand, no life cycle", "transitions_per_second": rate}
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="thap-bench-peer-"))
    path = str(Path(folder) / "peer.sqlite")
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    for statement in _TABLES:
        connection.execute(statement.format(id="INTEGER PRIMARY KEY AUTOINCREMENT"))
    connection.close()
    rate = _run("sqlite", path, writers, seconds, conditions)
    return {
        "name": f"sqlite3 {sqlite3.sqlite_version}, SQL by hand, no life cycle ({reason})",
        "transitions_per_second": rate,
    }
