"""The tree of units: the province, its departments and communes, and what stands below them."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.kernel.audit import Entry, append_async
from thap.kernel.clock import now_us
from thap.kernel.errors import ConflictError, InputError
from thap.kernel.policy.changing import begin_change, clean_email, clean_phone, clean_words, known_unit
from thap.kernel.policy.model import Who
from thap.kernel.policy.records import people, units
from thap.kernel.units import PROVINCE_CODE

__all__ = ["Unit", "UnitKind", "add_unit", "edit_unit", "get_unit", "list_units"]

UnitKind = Literal["province", "department", "commune"]
_CODE = re.compile(r"[a-z0-9][a-z0-9-]{1,31}")
_DEEPEST = 8


@dataclass(frozen=True, slots=True)
class Unit:
    """An office that acts: the province, a department, a commune, or a part of one."""

    code: str
    parent: str
    """Code of the unit above, `''` for the province."""
    kind: UnitKind
    name: str
    email: str = ""
    phone: str = ""
    changed: int = 0
    """µs."""
    people: int = 0
    """How many belong to it, those disabled left out."""

    def as_dict(self) -> dict[str, Any]:
        """As API and `--json` show it."""
        return asdict(self)


_COUNT = (
    sa.select(sa.func.count())
    .where(people.c.unit == units.c.code, people.c.disabled.is_(None))
    .correlate(units)
    .scalar_subquery()
)
_LIST = sa.select(units, _COUNT.label("people")).order_by(
    sa.case((units.c.kind == "province", 0), (units.c.kind == "department", 1), else_=2), units.c.code
)


def _unit(row: sa.RowMapping) -> Unit:
    return Unit(**{**row, "parent": row["parent"] or ""})


async def list_units(connection: AsyncConnection, kind: str = "", parent: str = "") -> list[Unit]:
    """The units: the province, departments, communes, by code.

    Raises:
        InputError: there is no such kind.
    """
    statement = _LIST
    if kind:
        statement = statement.where(units.c.kind == _known_kind(kind))
    if parent:
        statement = statement.where(units.c.parent == await known_unit(connection, parent, "parent"))
    return [_unit(row) for row in (await connection.execute(statement)).mappings()]


async def get_unit(connection: AsyncConnection, code: str) -> Unit:
    """One unit.

    Raises:
        NotFoundError: there is none of this code.
    """
    known = await known_unit(connection, code)
    return _unit((await connection.execute(_LIST.where(units.c.code == known))).mappings().one())


async def add_unit(
    connection: AsyncConnection,
    code: str,
    name: str,
    *,
    kind: str = "department",
    parent: str = PROVINCE_CODE,
    email: str = "",
    phone: str = "",
    by: Who | str = "",
) -> Unit:
    """Add a unit below another.

    Raises:
        InputError: an argument does not hold.
        ConflictError: the code is taken.
        NotFoundError: there is no such parent.
    """
    if not _CODE.fullmatch(code):
        raise InputError(
            f"{code[:64]!r} is not a code for a unit", where="code", hint="letters a-z, digits and -, at most 32"
        )
    if _known_kind(kind) == "province":
        raise ConflictError("there is one province, and it stands already", where="kind")
    await begin_change(connection)
    if await connection.scalar(sa.select(units.c.code).where(units.c.code == code)) is not None:
        raise ConflictError(f"there is a unit {code!r} already", where="code", hint="`thap units edit` changes it")
    above = await known_unit(connection, parent, "parent")
    await _check_depth(connection, above, code)
    row = {
        "code": code,
        "parent": above,
        "kind": kind,
        "name": _name(name),
        "email": clean_email(email),
        "phone": clean_phone(phone),
        "changed": now_us(),
    }
    await connection.execute(sa.insert(units).values(row))
    await append_async(connection, [Entry(by, "unit.add", f"unit:{code}", {k: row[k] for k in ("name", "parent")})])
    return await get_unit(connection, code)


async def edit_unit(connection: AsyncConnection, code: str, changes: dict[str, str], by: Who | str = "") -> Unit:
    """Change a unit's `name`, `parent`, `email` or `phone`.

    Raises:
        NotFoundError: there is no such unit, or parent.
        InputError: a value does not hold.
        ConflictError: it would stand below itself.
    """
    await begin_change(connection)
    before = await get_unit(connection, code)
    cleaned: dict[str, Any] = {}
    for name, value in changes.items():
        if name == "parent":
            cleaned[name] = await _new_parent(connection, before, value)
        elif name in _CLEANED:
            cleaned[name] = _CLEANED[name](value)
        else:
            raise InputError(f"{name!r} of a unit cannot be changed", where=name)
    kept = before.as_dict()
    told = {name: [kept[name], value] for name, value in cleaned.items() if kept[name] != value}
    if told:
        await connection.execute(
            sa.update(units).where(units.c.code == before.code).values(**cleaned, changed=now_us())
        )
        await append_async(connection, [Entry(by, "unit.edit", f"unit:{before.code}", told)])
    return await get_unit(connection, before.code)


def _name(text: str) -> str:
    name = clean_words(text, 128, "name")
    if not name:
        raise InputError("a unit must have a name", where="name")
    return name


_CLEANED = {"name": _name, "email": clean_email, "phone": clean_phone}


def _known_kind(kind: str) -> str:
    if kind not in get_args(UnitKind):
        raise InputError(f"{kind[:64]!r} is not a kind of unit", where="kind", hint="department or commune")
    return kind


async def _new_parent(connection: AsyncConnection, unit: Unit, parent: str) -> str:
    if unit.kind == "province":
        raise ConflictError("nothing stands above the province", where="parent")
    above = await known_unit(connection, parent, "parent")
    await _check_depth(connection, above, unit.code)
    return above


async def _check_depth(connection: AsyncConnection, above: str, code: str) -> None:
    """A unit must not stand below itself, nor the tree grow without end."""
    at, steps = above, 0
    while at:
        if at == code:
            raise ConflictError(f"unit {code!r} would stand below itself", where="parent")
        steps += 1
        if steps > _DEEPEST:
            raise InputError(f"units stand at most {_DEEPEST} below each other", where="parent")
        found = await connection.scalar(sa.select(units.c.parent).where(units.c.code == at))
        at = str(found) if found else ""
