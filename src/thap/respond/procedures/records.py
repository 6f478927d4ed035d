"""Tables of procedures, calendars and tasks, and every statement on them.

`procedure_versions` keeps every version of every procedure, `calendars` every calendar that was put in; the newest
is in force. `tasks` has one row for each thing to be done about an incident. Domain, unit and commune stand in it
too, so that a person's list of tasks is found without its incidents.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.kernel.policy import Resource
from thap.kernel.records import metadata
from thap.kernel.store import Transaction
from thap.respond.incidents.sources import having_to_do_with
from thap.respond.procedures.model import Procedure, StoredProcedure, Task, TaskFilter, TaskState

__all__ = [
    "NEVER",
    "RESOURCE",
    "ProcedureRows",
    "TaskRows",
    "calendar_text",
    "calendars",
    "list_procedures",
    "list_tasks",
    "procedure_versions",
    "task_by_id",
    "task_of",
    "tasks",
    "tasks_of",
    "versions_of",
]

_Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_Row = dict[str, Any]

procedure_versions = sa.Table(
    "procedure_versions",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("body", sa.Text, nullable=False),  # JSON
    sa.Column("origin", sa.String(128), nullable=False),
    sa.Column("changed", sa.BigInteger, nullable=False),
    sa.Column("changed_by", sa.String(64), nullable=False),
    sa.UniqueConstraint("name", "version"),
    sqlite_autoincrement=True,
)
calendars = sa.Table(
    "calendars",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("body", sa.Text, nullable=False),  # TOML
    sa.Column("changed", sa.BigInteger, nullable=False),
    sa.Column("changed_by", sa.String(64), nullable=False),
    sqlite_autoincrement=True,
)
tasks = sa.Table(
    "tasks",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("incident_id", sa.BigInteger, nullable=False, index=True),
    sa.Column("procedure", sa.String(64), nullable=False),
    sa.Column("procedure_version", sa.Integer, nullable=False),
    sa.Column("step", sa.String(64), nullable=False),
    sa.Column("position", sa.SmallInteger, nullable=False),
    sa.Column("title", sa.Text, nullable=False),  # JSON by language
    sa.Column("text", sa.Text, nullable=False),  # JSON by language
    sa.Column("domain", sa.String(32), nullable=False),
    sa.Column("unit", sa.String(32), nullable=False),
    sa.Column(
        "unit_of", sa.String(32), nullable=False
    ),  # incident, commune, province or a code; '' when a person set it
    sa.Column("commune", sa.String(16), nullable=False),
    sa.Column("role", sa.String(32), nullable=False),
    sa.Column("assignee", sa.String(64), nullable=False),
    sa.Column("state", sa.String(12), nullable=False),
    sa.Column("clock", sa.String(8), nullable=False),
    sa.Column("within", sa.BigInteger, nullable=False),
    sa.Column("remaining", sa.BigInteger, nullable=False),
    sa.Column("since", sa.BigInteger),
    sa.Column("due", sa.BigInteger),
    sa.Column("late", sa.BigInteger),
    sa.Column("reminded", sa.Integer, nullable=False),
    sa.Column("after", sa.Text, nullable=False),  # JSON list
    sa.Column("attach", sa.Text, nullable=False),  # JSON list
    sa.Column("done_when", sa.String(16), nullable=False),
    sa.Column("why", sa.String(16), nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.String(64), nullable=False),
    sa.Column("closed", sa.BigInteger),
    sa.Column("closed_by", sa.String(64), nullable=False),
    sa.Column("comment", sa.Text, nullable=False),
    sa.Column("evidence", sa.Text, nullable=False),  # JSON list
    sa.Column("changed", sa.BigInteger, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sqlite_autoincrement=True,
)
sa.Index("ix_tasks_state_due", tasks.c.state, tasks.c.due)
sa.Index(
    "ix_tasks_assignee",
    tasks.c.assignee,
    sqlite_where=tasks.c.assignee != "",
    postgresql_where=tasks.c.assignee != "",
)

_P, _C, _T = procedure_versions.c, calendars.c, tasks.c
RESOURCE = Resource(units=(_T.unit, _T.commune), domain=_T.domain, things=having_to_do_with(_T.incident_id))
"""What policy looks at."""
_COLUMNS = tuple(column.name for column in tasks.columns)
_JSON = ("title", "text", "after", "attach", "evidence")
_FIXED = frozenset({"id", "incident_id", "procedure", "procedure_version", "step", "created", "created_by"})

_NEWEST = sa.select(sa.func.max(_P.id).label("id")).group_by(_P.name).subquery()
_LATEST = sa.select(procedure_versions).join(_NEWEST, _NEWEST.c.id == _P.id).order_by(_P.name)
_MARK_P = sa.select(_P.id, _P.changed).order_by(_P.id.desc()).limit(1)
_MARK_C = sa.select(-_C.id, _C.changed).order_by(_C.id.desc()).limit(1)
_BY_NAME = sa.select(procedure_versions).where(_P.name == sa.bindparam("name")).order_by(_P.version.desc()).limit(1)
_PUT = sa.insert(procedure_versions)
_PUT_CALENDAR = sa.insert(calendars)
_CALENDAR = sa.select(_C.body).order_by(_C.id.desc()).limit(1)
_LOCK = sa.select(sa.func.pg_advisory_xact_lock(0x70726F63))  # "proc"

_ADD = sa.insert(tasks)
_ONE = sa.select(tasks).where(_T.id == sa.bindparam("id")).with_for_update()
_OF = sa.select(tasks).where(_T.incident_id == sa.bindparam("incident")).order_by(_T.id).with_for_update()
_WHOSE = sa.select(_T.incident_id).where(_T.id == sa.bindparam("id"))
_SAVE = sa.update(tasks).where(_T.id == sa.bindparam("row_id"))
_TOLD = sa.update(tasks).where(_T.id == sa.bindparam("row_id"))
_RUNNING = (
    sa.select(tasks)
    .where(_T.state == "open", _T.clock == "working", _T.due > sa.bindparam("now"))
    .order_by(_T.id)
    .with_for_update()
)


class ProcedureRows:
    """Procedures and calendars within one write transaction."""

    def __init__(self, transaction: Transaction) -> None:
        self._tx = transaction

    def marks(self) -> tuple[int, ...]:
        """What tells whether procedures or calendar have changed: the newest of each, and when it was put in."""
        found = (*self._tx.rows(_MARK_P, {}), *self._tx.rows(_MARK_C, {}))
        return tuple(int(value) for row in found for value in row)

    def lock(self) -> None:
        """Let nobody else put in versions until the transaction ends."""
        if self._tx.dialect == "postgresql":
            self._tx.rows(_LOCK, {})

    def latest(self) -> list[StoredProcedure]:
        """The newest version of each, by name."""
        return [_stored(row) for row in self._tx.rows(_LATEST, {})]

    def newest(self, name: str) -> StoredProcedure | None:
        """The newest version of one."""
        rows = self._tx.rows(_BY_NAME, {"name": name})
        return _stored(rows[0]) if rows else None

    def put(self, procedure: Procedure, version: int, origin: str, by: str, now: int) -> int:
        """Add a version; returns its number."""
        row = {
            "name": procedure.name,
            "version": version,
            "body": msgspec.json.encode(procedure).decode(),
            "origin": origin,
            "changed": now,
            "changed_by": by,
        }
        return self._tx.insert(_PUT, _P.id, [row])[0]

    def calendar(self) -> str | None:
        """The calendar that was put in last, TOML; None where none was."""
        rows = self._tx.rows(_CALENDAR, {})
        return str(rows[0][0]) if rows else None

    def put_calendar(self, body: str, by: str, now: int) -> None:
        """Put in another."""
        self._tx.insert(_PUT_CALENDAR, _C.id, [{"body": body, "changed": now, "changed_by": by}])


class TaskRows:
    """Tasks within one write transaction. Rows it returns are locked until the transaction ends; their lists and
    texts are JSON still, see `task_of`."""

    def __init__(self, transaction: Transaction) -> None:
        self._tx = transaction

    def add(self, rows: Sequence[_Row]) -> list[int]:
        """Insert rows (all columns but `id`); returns their numbers."""
        return self._tx.insert(_ADD, _T.id, rows) if rows else []

    def incident(self, number: int) -> int | None:
        """Whose task it is, without locking it."""
        return self.incidents([number]).get(number)

    def incidents(self, numbers: Sequence[int]) -> dict[int, int]:
        """Whose tasks they are, without locking them: incidents are locked before their tasks."""
        if self._tx.dialect == "sqlite":
            found = [(number, row[0]) for number in numbers for row in self._tx.rows(_WHOSE, {"id": number})]
        else:
            asked = sa.select(_T.id, _T.incident_id).where(_T.id.in_(numbers))
            found = [(row[0], row[1]) for row in self._tx.rows(asked, {})]
        return {int(number): int(incident) for number, incident in found}

    def many(self, numbers: Sequence[int]) -> dict[int, _Row]:
        """Those that there are, locked in the order of their numbers."""
        if self._tx.dialect == "sqlite":
            rows = [row for number in numbers for row in self._tx.rows(_ONE, {"id": number})]
        else:
            asked = sa.select(tasks).where(_T.id.in_(numbers)).order_by(_T.id).with_for_update()
            rows = list(self._tx.rows(asked, {}))
        return {int(row[0]): dict(zip(_COLUMNS, row, strict=True)) for row in rows}

    def of(self, incident: int) -> list[_Row]:
        """Those of an incident, in order."""
        return [dict(zip(_COLUMNS, row, strict=True)) for row in self._tx.rows(_OF, {"incident": incident})]

    def running(self, now: int) -> list[_Row]:
        """Those whose deadline lies ahead and counts working hours."""
        return [dict(zip(_COLUMNS, row, strict=True)) for row in self._tx.rows(_RUNNING, {"now": now})]

    def save(self, rows: Sequence[_Row]) -> None:
        """Write rows back."""
        kept = [
            {
                ("row_id" if name == "id" else name): value
                for name, value in row.items()
                if name == "id" or name not in _FIXED
            }
            for row in rows
        ]
        if kept:
            self._tx.run(_SAVE, kept)

    def save_told(self, rows: Sequence[_Row]) -> None:
        """Write back what telling that a task is late changes, and touch no index."""
        if rows:
            names = ("late", "reminded", "changed", "version")
            self._tx.run(_TOLD, [{"row_id": row["id"], **{name: row[name] for name in names}} for row in rows])


def task_of(row: Mapping[str, Any] | sa.RowMapping) -> Task:
    """A row as a task."""
    body = {str(name): value for name, value in row.items() if name not in ("incident_id", "unit_of")}
    for name in _JSON:
        body[name] = msgspec.json.decode(body[name])
    return msgspec.convert({**body, "incident": row["incident_id"]}, Task)


def _stored(row: Sequence[Any]) -> StoredProcedure:
    number, _name, version, body, origin, changed, by = row
    return StoredProcedure(
        id=int(number),
        version=int(version),
        origin=str(origin),
        changed=int(changed),
        changed_by=str(by),
        procedure=msgspec.json.decode(body, type=Procedure),
    )


# Reading.

NEVER = 2**62
"""Stands for the deadline of a task that has none."""


async def list_procedures(connection: AsyncConnection) -> list[StoredProcedure]:
    """The newest version of each procedure, by name."""
    return [_stored(tuple(row)) for row in await connection.execute(_LATEST)]


async def versions_of(connection: AsyncConnection, name: str) -> list[StoredProcedure]:
    """Every version of a procedure, newest first."""
    rows = await connection.execute(sa.select(procedure_versions).where(_P.name == name).order_by(_P.version.desc()))
    return [_stored(tuple(row)) for row in rows]


async def calendar_text(connection: AsyncConnection) -> str | None:
    """The calendar that was put in last, TOML; None where none was."""
    found: str | None = await connection.scalar(_CALENDAR)
    return found


async def task_by_id(connection: AsyncConnection, number: int) -> Task | None:
    """One task."""
    row = (await connection.execute(sa.select(tasks).where(_T.id == number))).mappings().first()
    return None if row is None else task_of(row)


async def tasks_of(connection: AsyncConnection, incident: int) -> list[Task]:
    """The tasks of an incident in the order of its procedure."""
    rows = await connection.execute(
        sa.select(tasks).where(_T.incident_id == incident).order_by(_T.created, _T.position, _T.id)
    )
    return [task_of(row) for row in rows.mappings()]


def _tests(chosen: TaskFilter) -> list[sa.ColumnElement[bool]]:
    many: tuple[tuple[sa.Column[Any], Collection[str]], ...] = (
        (_T.state, chosen.states),
        (_T.unit, chosen.units),
        (_T.domain, chosen.domains),
        (_T.role, chosen.roles),
    )
    tests: list[sa.ColumnElement[bool]] = [column.in_(sorted(values)) for column, values in many if values]
    if chosen.incident is not None:
        tests.append(_T.incident_id == chosen.incident)
    if chosen.assignee is not None:
        tests.append(_T.assignee == chosen.assignee)
    if chosen.late is not None:
        tests.append(_T.late.is_not(None) if chosen.late else _T.late.is_(None))
    if chosen.due_before is not None:
        tests.append(_T.due < chosen.due_before)
    return tests


async def list_tasks(
    connection: AsyncConnection,
    where: sa.ColumnElement[bool],
    chosen: TaskFilter,
    limit: int,
    after: tuple[int, int] | None,
) -> tuple[list[Task], int]:
    """Tasks by deadline, those without one last, beginning after the given (due, id); and how many there are."""
    tests = [where, *_tests(chosen)]
    total = await connection.scalar(sa.select(sa.func.count()).select_from(tasks).where(*tests))
    running = chosen.states == frozenset({TaskState.OPEN})  # those have a deadline, and an index by it
    due: sa.ColumnElement[Any] = _T.due if running else sa.func.coalesce(_T.due, NEVER)
    if after is not None:
        there = sa.tuple_(sa.literal(after[0], sa.BigInteger), sa.literal(after[1], _T.id.type))
        tests.append(sa.tuple_(due, _T.id) > there)
    rows = await connection.execute(sa.select(tasks).where(*tests).order_by(due, _T.id).limit(limit))
    return [task_of(row) for row in rows.mappings()], int(total or 0)
