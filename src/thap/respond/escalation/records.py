"""Tables of escalation, and every statement on them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.kernel.records import metadata
from thap.kernel.store import Transaction
from thap.respond.escalation.model import Chain, Escalation, Step, Suppression
from thap.respond.notify.records import notice_deliveries, notices

__all__ = [
    "EscalationRows",
    "chain_rows",
    "escalation_by_id",
    "escalation_chains",
    "escalation_rows",
    "escalations",
    "suppression_rows",
    "suppressions",
    "troubled",
]

_Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")

escalation_chains = sa.Table(
    "escalation_chains",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("title", sa.String(200), nullable=False),
    sa.Column("domain", sa.String(32), nullable=False),  # '' for any
    sa.Column("unit", sa.String(32)),  # NULL for any
    sa.Column("severity", sa.SmallInteger, nullable=False),
    sa.Column("steps", sa.Text, nullable=False),  # JSON
    sa.Column("rounds", sa.SmallInteger, nullable=False),
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("changed", sa.BigInteger, nullable=False),
    sa.Column("changed_by", sa.String(64), nullable=False),
)
escalations = sa.Table(
    "escalations",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("incident", sa.BigInteger, nullable=False, index=True),
    sa.Column("chain", sa.String(64), nullable=False),
    sa.Column("steps", sa.Text, nullable=False),  # JSON, as they were at the start
    sa.Column("rounds", sa.SmallInteger, nullable=False),
    sa.Column("title", sa.String(300), nullable=False),
    sa.Column("domain", sa.String(32), nullable=False),
    sa.Column("unit", sa.String(32), nullable=False),
    sa.Column("commune", sa.String(16), nullable=False),
    sa.Column("owner", sa.String(64), nullable=False),
    sa.Column("severity", sa.SmallInteger, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("reason", sa.String(16), nullable=False),
    sa.Column("step", sa.SmallInteger, nullable=False),
    sa.Column("time", sa.SmallInteger, nullable=False),
    sa.Column("round", sa.Integer, nullable=False),
    sa.Column("started", sa.BigInteger, nullable=False),
    sa.Column("changed", sa.BigInteger, nullable=False),
    sa.Column("ended", sa.BigInteger),
    sa.Column("ended_by", sa.String(64), nullable=False),
    sqlite_autoincrement=True,
)
_E = escalations.c
sa.Index(
    "uq_escalations_incident_running",
    _E.incident,
    unique=True,
    sqlite_where=_E.state == "running",
    postgresql_where=_E.state == "running",
)
_TROUBLED = sa.and_(_E.state == "running", _E.reason != "")
sa.Index("ix_escalations_troubled", _E.unit, sqlite_where=_TROUBLED, postgresql_where=_TROUBLED)
suppressions = sa.Table(
    "escalation_suppressions",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("title", sa.String(200), nullable=False),
    sa.Column("domain", sa.String(32), nullable=False),
    sa.Column("unit", sa.String(32)),
    sa.Column("severity", sa.SmallInteger, nullable=False),
    sa.Column("rule", sa.String(300), nullable=False),
    sa.Column("start", sa.BigInteger, nullable=False),
    sa.Column("length_us", sa.BigInteger, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.String(64), nullable=False),
    sa.Column("removed", sa.BigInteger),
    sa.Column("removed_by", sa.String(64), nullable=False),
)

_C, _S, _N, _D = escalation_chains.c, suppressions.c, notices.c, notice_deliveries.c
STEP_TEMPLATE = "escalation.step"
_CHAINS = sa.select(escalation_chains).order_by(_C.name)
_CHAIN = sa.select(escalation_chains).where(_C.name == sa.bindparam("name")).with_for_update()
_CHAIN_INSERT, _CHAIN_UPDATE = (
    sa.insert(escalation_chains),
    sa.update(escalation_chains).where(_C.name == sa.bindparam("row_name")),
)
_CHAIN_DELETE = sa.delete(escalation_chains).where(_C.name == sa.bindparam("row_name"))
_INSERT = sa.insert(escalations)
_UPDATE = sa.update(escalations).where(_E.id == sa.bindparam("row_id"))
_BY_ID = sa.select(escalations).where(_E.id == sa.bindparam("id")).with_for_update()
_INCIDENT_OF = sa.select(_E.incident).where(_E.id == sa.bindparam("id"))
_RUNNING = (
    sa.select(escalations).where(_E.incident == sa.bindparam("incident"), _E.state == "running").with_for_update()
)
_SUPPRESSIONS = sa.select(suppressions).where(_S.removed.is_(None)).order_by(_S.id)
_SUPPRESSION_INSERT = sa.insert(suppressions)
_SUPPRESSION_BY_ID = sa.select(suppressions).where(_S.id == sa.bindparam("id")).with_for_update()
_SUPPRESSION_UPDATE = sa.update(suppressions).where(_S.id == sa.bindparam("row_id"))
_TOLD = (_N.incident == sa.bindparam("incident"), _N.template == STEP_TEMPLATE, _N.created >= sa.bindparam("since"))
_WAITING = sa.select(_N.id).where(*_TOLD, _N.state == "waiting").limit(1)
_REACHED = (
    sa.select(_D.id)
    .join(notices, _D.notice_id == _N.id)
    .where(*_TOLD, sa.or_(_D.state == "sent", sa.and_(_D.state != "failed", _D.attempts == 0)))
    .limit(1)
)
_STEPS = list[Step]


class EscalationRows:
    """The rows of escalation within one write transaction."""

    def __init__(self, transaction: Transaction) -> None:
        self._tx = transaction

    def chains(self) -> list[Chain]:
        """Chains kept in the records."""
        return [_chain(_named(escalation_chains, row)) for row in self._tx.rows(_CHAINS, {})]

    def chain(self, name: str) -> Chain | None:
        """One of them, locked."""
        rows = self._tx.rows(_CHAIN, {"name": name})
        return _chain(_named(escalation_chains, rows[0])) if rows else None

    def put_chain(self, chain: Chain, *, new: bool) -> None:
        """Keep a chain."""
        row = msgspec.structs.asdict(chain)
        row["steps"] = msgspec.json.encode(chain.steps).decode()
        if new:
            self._tx.run(_CHAIN_INSERT, [row])
        else:
            self._tx.run(_CHAIN_UPDATE, [{**{k: v for k, v in row.items() if k != "name"}, "row_name": chain.name}])

    def delete_chain(self, name: str) -> None:
        """Forget a chain."""
        self._tx.run(_CHAIN_DELETE, [{"row_name": name}])

    def start(self, started: Sequence[Escalation]) -> list[int]:
        """Keep escalations that begin."""
        return self._tx.insert(_INSERT, _E.id, [_columns(one) for one in started]) if started else []

    def running(self, incident: int) -> Escalation | None:
        """The escalation of an incident that runs, locked."""
        rows = self._tx.rows(_RUNNING, {"incident": incident})
        return _escalation(_named(escalations, rows[0])) if rows else None

    def get(self, number: int) -> Escalation | None:
        """One escalation, locked."""
        rows = self._tx.rows(_BY_ID, {"id": number})
        return _escalation(_named(escalations, rows[0])) if rows else None

    def incidents_of(self, numbers: Iterable[int]) -> dict[int, int]:
        """The incident of each of these that there is."""
        found = {}
        for number in numbers:
            for row in self._tx.rows(_INCIDENT_OF, {"id": number}):
                found[number] = int(row[0])
        return found

    def save(self, one: Escalation) -> None:
        """Write all of one that was read."""
        self._tx.run(_UPDATE, [{"row_id": one.id, **_columns(one)}])

    def reached(self, one: Escalation) -> bool:
        """Whether somebody was told, or nothing yet speaks against it."""
        asked = {"incident": one.incident, "since": one.started}
        return bool(self._tx.rows(_WAITING, asked) or self._tx.rows(_REACHED, asked))

    def suppressions(self) -> list[Suppression]:
        """Those in force."""
        return [Suppression(**_named(suppressions, row)) for row in self._tx.rows(_SUPPRESSIONS, {})]

    def add_suppression(self, one: Suppression) -> int:
        """Keep one."""
        row = msgspec.structs.asdict(one)
        del row["id"]
        return self._tx.insert(_SUPPRESSION_INSERT, _S.id, [row])[0]

    def suppression(self, number: int) -> Suppression | None:
        """One, locked."""
        rows = self._tx.rows(_SUPPRESSION_BY_ID, {"id": number})
        return Suppression(**_named(suppressions, rows[0])) if rows else None

    def remove_suppression(self, number: int, by: str, now: int) -> None:
        """Take one back."""
        self._tx.run(_SUPPRESSION_UPDATE, [{"row_id": number, "removed": now, "removed_by": by}])


async def chain_rows(connection: AsyncConnection) -> list[Chain]:
    """Chains kept in the records, by name."""
    return [_chain(row) for row in (await connection.execute(_CHAINS)).mappings()]


async def suppression_rows(connection: AsyncConnection) -> list[Suppression]:
    """Suppressions in force."""
    return [Suppression(**row) for row in (await connection.execute(_SUPPRESSIONS)).mappings()]


async def escalation_rows(
    connection: AsyncConnection,
    *,
    where: sa.ColumnElement[bool] | None = None,
    state: str = "",
    incident: int | None = None,
    limit: int = 100,
    before: int | None = None,
) -> list[Escalation]:
    """Escalations, the newest first: those that meet `where`, in a state, of an incident."""
    statement = sa.select(escalations).order_by(_E.id.desc()).limit(limit)
    if where is not None:
        statement = statement.where(where)
    if state:
        statement = statement.where(_E.state == state)
    if incident is not None:
        statement = statement.where(_E.incident == incident)
    if before is not None:
        statement = statement.where(_E.id < before)
    return [_escalation(row) for row in (await connection.execute(statement)).mappings()]


async def escalation_by_id(connection: AsyncConnection, number: int) -> Escalation | None:
    """One escalation."""
    found = (await connection.execute(sa.select(escalations).where(_E.id == number))).mappings().first()
    return None if found is None else _escalation(found)


async def troubled(connection: AsyncConnection) -> list[tuple[str, str, int, int]]:
    """(reason, unit, highest severity, how many) of the running chains that reach nobody or are at their end."""
    statement = (
        sa.select(_E.reason, _E.unit, sa.func.max(_E.severity), sa.func.count())
        .where(_E.state == "running", _E.reason != "")
        .group_by(_E.reason, _E.unit)
    )
    return [(r, u, int(s), int(n)) for r, u, s, n in await connection.execute(statement)]


def _named(table: sa.Table, row: Sequence[Any]) -> dict[str, Any]:
    return dict(zip((column.name for column in table.columns), row, strict=True))


def _columns(one: Escalation) -> dict[str, Any]:
    row = msgspec.structs.asdict(one)
    row["steps"] = msgspec.json.encode(one.steps).decode()
    del row["id"]
    return row


def _chain(row: Any) -> Chain:
    return Chain(**{**row, "steps": msgspec.json.decode(row["steps"], type=_STEPS), "enabled": bool(row["enabled"])})


def _escalation(row: Any) -> Escalation:
    return Escalation(**{**row, "steps": msgspec.json.decode(row["steps"], type=_STEPS)})
