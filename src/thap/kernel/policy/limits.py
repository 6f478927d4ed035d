"""Restrictions: things, domains and units that only those see who have a clearance."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.kernel.audit import Entry, append_async
from thap.kernel.clock import now_us
from thap.kernel.errors import ConflictError, InputError, NotFoundError
from thap.kernel.policy.changing import begin_change, clean_domain, clean_words, known_unit
from thap.kernel.policy.model import EVERYWHERE, Restriction, Who
from thap.kernel.policy.records import clearances, restrictions

__all__ = ["known_restriction", "lift", "list_restrictions", "restrict"]

_KINDS = ("thing", "domain", "unit")
_R = restrictions.c


async def list_restrictions(connection: AsyncConnection) -> list[Restriction]:
    """All, by kind and name."""
    rows = await connection.execute(sa.select(restrictions).order_by(_R.kind, _R.ref))
    return [Restriction(**row) for row in rows.mappings()]


async def known_restriction(connection: AsyncConnection, kind: str, ref: str) -> Restriction:
    """One restriction.

    Raises:
        NotFoundError: that is not restricted.
        InputError: kind or name is none.
    """
    name = _ref(kind, ref)
    row = (await connection.execute(sa.select(restrictions).where(_R.kind == kind, _R.ref == name))).mappings().first()
    if row is None:
        raise NotFoundError(
            f"{kind} {name} is not restricted", where="ref", hint="`thap policy restrictions` shows what is"
        )
    return Restriction(**row)


async def restrict(
    connection: AsyncConnection, kind: str, ref: str, reason: str = "", *, by: Who | str = ""
) -> Restriction:
    """Hide a thing, a domain, or a unit with all below it, from everyone without a clearance.

    That a thing or domain exists is the caller's to see (`observe.registry.check_restrictable`).

    Raises:
        InputError: kind or name is none.
        NotFoundError: there is no such unit.
        ConflictError: it is restricted already, or is the whole province.
    """
    name, why = _ref(kind, ref), clean_words(reason, 256, "reason")
    if kind == "unit":
        if name in EVERYWHERE:
            raise ConflictError("the whole province cannot be restricted", where="ref")
        await known_unit(connection, name)
    await begin_change(connection)
    same = sa.select(_R.kind).where(_R.kind == kind, _R.ref == name)
    if await connection.scalar(same) is not None:
        raise ConflictError(f"{kind} {name} is restricted already", where="ref")
    made_by = by if isinstance(by, str) else by.name
    row = {"kind": kind, "ref": name, "reason": why, "created": now_us(), "created_by": made_by[:64]}
    await connection.execute(sa.insert(restrictions).values(row))
    await append_async(connection, [Entry(by, "restriction.add", f"{kind}:{name}", {"reason": why})])
    return await known_restriction(connection, kind, name)


async def lift(connection: AsyncConnection, kind: str, ref: str, *, by: Who | str = "") -> Restriction:
    """End a restriction and the clearances for it.

    Raises:
        NotFoundError: that is not restricted.
    """
    await begin_change(connection)
    found = await known_restriction(connection, kind, ref)
    await connection.execute(
        sa.delete(clearances).where(clearances.c.kind == found.kind, clearances.c.ref == found.ref)
    )
    await connection.execute(sa.delete(restrictions).where(_R.kind == found.kind, _R.ref == found.ref))
    await append_async(connection, [Entry(by, "restriction.remove", f"{found.kind}:{found.ref}")])
    return found


def _ref(kind: str, ref: str) -> str:
    if kind not in _KINDS:
        raise InputError(f"{kind[:64]!r} cannot be restricted", where="kind", hint=f"one of {', '.join(_KINDS)}")
    name = clean_domain(ref) if kind == "domain" else clean_words(ref, 128, "ref")
    if not name:
        raise InputError("say what to restrict", where="ref")
    if kind == "thing" and "/" in name:
        raise InputError("a thing is restricted as a whole", where="ref", hint="leave out the slash and what follows")
    return name
