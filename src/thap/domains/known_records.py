"""Which domains there are: a name mistyped in a grant, a token or a rule would quietly mean nothing."""

from __future__ import annotations

import difflib
from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.domains.domain import domains
from thap.kernel.errors import InputError
from thap.observe.registry import movers, things
from thap.respond.incidents.records import incidents
from thap.respond.records import alarms

__all__ = ["SYSTEM", "check_domain", "known_domains", "unknown_domain"]

SYSTEM = "system"
"""Domain of what the centre says about itself."""


async def known_domains(connection: AsyncConnection) -> frozenset[str]:
    """Domains installed here, the centre's own, and those of things, movers, alarms and incidents."""
    columns = (things.c.domain, movers.c.domain, alarms.c.domain, incidents.c.domain)
    found = await connection.scalars(sa.union(*(sa.select(column.label("domain")) for column in columns)))
    return frozenset({*domains(), SYSTEM, *found} - {""})


def unknown_domain(name: str, known: Collection[str], where: str = "domain") -> InputError:
    """What to raise for a name that is none of those known."""
    near = difflib.get_close_matches(name, sorted(known), 1, 0.6)
    listed = f"known are {', '.join(sorted(known))}"
    return InputError(
        f"there is no domain {name[:64]!r}", where=where, hint=f"did you mean {near[0]!r}? {listed}" if near else listed
    )


async def check_domain(connection: AsyncConnection, name: str, where: str = "domain") -> str:
    """The same name, where there is such a domain; `''` means all.

    Raises:
        InputError: there is none; the hint lists those there are.
    """
    if not name or name in domains() or name == SYSTEM:
        return name
    for table in (things, movers, alarms, incidents):  # a look for one row, not a list of millions
        if await connection.scalar(sa.select(1).select_from(table).where(table.c.domain == name).limit(1)):
            return name
    raise unknown_domain(name, await known_domains(connection), where)
