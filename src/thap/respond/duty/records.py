"""Tables of duty, and every statement on them.

A rota is never changed in place: a change ends the version in force and begins another, so that who was on duty
stays known. Shifts and hand-overs are only ever taken back, with who did it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.kernel.records import metadata
from thap.kernel.store import Transaction
from thap.respond.duty.model import Handover, Rota, Shift

__all__ = [
    "DutyRows",
    "duty_handovers",
    "duty_rotas",
    "duty_shifts",
    "handovers_of",
    "rotas_within",
    "shifts_within",
]

_Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")

duty_rotas = sa.Table(
    "duty_rotas",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("title", sa.String(200), nullable=False),
    sa.Column("unit", sa.String(32), nullable=False),
    sa.Column("role", sa.String(32), nullable=False),
    sa.Column("rule", sa.String(300), nullable=False),
    sa.Column("start", sa.BigInteger, nullable=False),
    sa.Column("length_us", sa.BigInteger, nullable=False),
    sa.Column("turns", sa.Text, nullable=False),  # JSON, logins of each turn
    sa.Column("valid_from", sa.BigInteger, nullable=False),
    sa.Column("valid_until", sa.BigInteger),
    sa.Column("changed_by", sa.String(64), nullable=False),
    sa.UniqueConstraint("name", "version"),
)
sa.Index("ix_duty_rotas_unit_valid_until", duty_rotas.c.unit, duty_rotas.c.valid_until)
duty_shifts = sa.Table(
    "duty_shifts",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("unit", sa.String(32), nullable=False),
    sa.Column("role", sa.String(32), nullable=False),
    sa.Column("login", sa.String(64), nullable=False),  # '' for nobody
    sa.Column("start", sa.BigInteger, nullable=False),
    sa.Column("until", sa.BigInteger, nullable=False),
    sa.Column("rota", sa.String(64), nullable=False),  # '' for a shift of its own
    sa.Column("instead_of", sa.String(64), nullable=False),  # '' for all of the turn
    sa.Column("note", sa.String(500), nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.String(64), nullable=False),
    sa.Column("removed", sa.BigInteger),
    sa.Column("removed_by", sa.String(64), nullable=False),
    sqlite_autoincrement=True,
)
sa.Index("ix_duty_shifts_unit_until", duty_shifts.c.unit, duty_shifts.c.until)
duty_handovers = sa.Table(
    "duty_handovers",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("unit", sa.String(32), nullable=False),
    sa.Column("role", sa.String(32), nullable=False),
    sa.Column("time", sa.BigInteger, nullable=False),
    sa.Column("from_login", sa.String(64), nullable=False),
    sa.Column("to_login", sa.String(64), nullable=False),  # '' for whoever comes next
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("taken", sa.BigInteger),
    sa.Column("taken_by", sa.String(64), nullable=False),
    sqlite_autoincrement=True,
)
sa.Index("ix_duty_handovers_unit_time", duty_handovers.c.unit, duty_handovers.c.time)

_R, _S, _H = duty_rotas.c, duty_shifts.c, duty_handovers.c
_ROTA_INSERT, _SHIFT_INSERT, _HANDOVER_INSERT = sa.insert(duty_rotas), sa.insert(duty_shifts), sa.insert(duty_handovers)
_LOCK = sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext(sa.bindparam("name"))))
_ROTA_NAMED = (
    sa.select(duty_rotas).where(_R.name == sa.bindparam("name")).order_by(_R.version.desc()).limit(1).with_for_update()
)
_ROTA_END = sa.update(duty_rotas).where(_R.id == sa.bindparam("row_id"))
_SHIFT_BY_ID = sa.select(duty_shifts).where(_S.id == sa.bindparam("id")).with_for_update()
_SHIFT_UPDATE = sa.update(duty_shifts).where(_S.id == sa.bindparam("row_id"))
_HANDOVER_BY_ID = sa.select(duty_handovers).where(_H.id == sa.bindparam("id")).with_for_update()
_HANDOVER_UPDATE = sa.update(duty_handovers).where(_H.id == sa.bindparam("row_id"))
_ROTAS_WITHIN = (
    sa.select(duty_rotas)
    .where(
        sa.or_(_R.unit == sa.bindparam("unit"), sa.bindparam("every_unit") == 1),
        _R.valid_from < sa.bindparam("until"),
        sa.or_(_R.valid_until.is_(None), _R.valid_until > sa.bindparam("since")),
    )
    .order_by(_R.name, _R.version)
)
_SHIFTS_WITHIN = (
    sa.select(duty_shifts)
    .where(
        sa.or_(_S.unit == sa.bindparam("unit"), sa.bindparam("every_unit") == 1),
        _S.start < sa.bindparam("until"),
        _S.until > sa.bindparam("since"),
        _S.removed.is_(None),
    )
    .order_by(_S.start, _S.id)
)


class DutyRows:
    """The rows of duty within one write transaction."""

    def __init__(self, transaction: Transaction) -> None:
        self._tx = transaction

    def rotas(self, unit: str, since: int, until: int) -> list[Rota]:
        """Versions of the unit's rotas that were in force at some time between."""
        return [_rota(_named(duty_rotas, row)) for row in self._tx.rows(_ROTAS_WITHIN, _asked(unit, since, until))]

    def shifts(self, unit: str, since: int, until: int) -> list[Shift]:
        """Shifts of the unit that overlap."""
        return [_shift(_named(duty_shifts, row)) for row in self._tx.rows(_SHIFTS_WITHIN, _asked(unit, since, until))]

    def rota(self, name: str) -> Rota | None:
        """The newest version of a rota; nobody else changes it, or makes it, before the transaction ends."""
        if self._tx.dialect == "postgresql":
            self._tx.rows(_LOCK, {"name": f"rota:{name}"})
        rows = self._tx.rows(_ROTA_NAMED, {"name": name})
        return _rota(_named(duty_rotas, rows[0])) if rows else None

    def add_rota(self, rota: Rota) -> int:
        """Keep a version."""
        row = msgspec.structs.asdict(rota)
        row["turns"] = msgspec.json.encode(row["turns"]).decode()
        del row["id"]
        return self._tx.insert(_ROTA_INSERT, _R.id, [row])[0]

    def end_rota(self, rota_id: int, until: int) -> None:
        """A version is in force no longer."""
        self._tx.run(_ROTA_END, [{"row_id": rota_id, "valid_until": until}])

    def shift(self, shift_id: int) -> Shift | None:
        """One shift, locked."""
        rows = self._tx.rows(_SHIFT_BY_ID, {"id": shift_id})
        return _shift(_named(duty_shifts, rows[0])) if rows else None

    def add_shift(self, shift: Shift) -> int:
        """Keep a shift."""
        row = msgspec.structs.asdict(shift)
        del row["id"]
        return self._tx.insert(_SHIFT_INSERT, _S.id, [row])[0]

    def remove_shift(self, shift_id: int, by: str, now: int) -> None:
        """Take a shift back."""
        self._tx.run(_SHIFT_UPDATE, [{"row_id": shift_id, "removed": now, "removed_by": by}])

    def handover(self, handover_id: int) -> Handover | None:
        """One hand-over, locked."""
        rows = self._tx.rows(_HANDOVER_BY_ID, {"id": handover_id})
        return Handover(**_named(duty_handovers, rows[0])) if rows else None

    def add_handover(self, handover: Handover) -> int:
        """Keep a hand-over."""
        row = msgspec.structs.asdict(handover)
        del row["id"]
        return self._tx.insert(_HANDOVER_INSERT, _H.id, [row])[0]

    def take_handover(self, handover_id: int, by: str, now: int) -> None:
        """Somebody read it and takes over."""
        self._tx.run(_HANDOVER_UPDATE, [{"row_id": handover_id, "taken": now, "taken_by": by}])


async def rotas_within(connection: AsyncConnection, unit: str | None, since: int, until: int) -> list[Rota]:
    """Versions of rotas in force at some time between; of all units where None."""
    found = await connection.execute(_ROTAS_WITHIN, _asked(unit, since, until))
    return [_rota(row) for row in found.mappings()]


async def shifts_within(connection: AsyncConnection, unit: str | None, since: int, until: int) -> list[Shift]:
    """Shifts that overlap; of all units where None."""
    found = await connection.execute(_SHIFTS_WITHIN, _asked(unit, since, until))
    return [_shift(row) for row in found.mappings()]


async def handovers_of(
    connection: AsyncConnection, units: Sequence[str] | None, limit: int, before: int | None = None
) -> list[Handover]:
    """Hand-overs of the units, the newest first."""
    statement = sa.select(duty_handovers).order_by(_H.id.desc()).limit(limit)
    if units is not None:
        statement = statement.where(_H.unit.in_(list(units)))
    if before is not None:
        statement = statement.where(_H.id < before)
    return [Handover(**row) for row in (await connection.execute(statement)).mappings()]


def _asked(unit: str | None, since: int, until: int) -> dict[str, Any]:
    return {"unit": unit or "", "every_unit": int(unit is None), "since": since, "until": until}


def _named(table: sa.Table, row: Sequence[Any]) -> dict[str, Any]:
    return dict(zip((column.name for column in table.columns), row, strict=True))


def _rota(row: Any) -> Rota:
    return Rota(**{**row, "turns": msgspec.json.decode(row["turns"], type=list[list[str]])})


def _shift(row: Any) -> Shift:
    return Shift(**row)
