"""The things that incidents have to do with: sources of their alarms, and of evidence that people linked.

A thing that is restricted hides the incidents it is in, together with their tasks, chains and notices. What links say
decides, those taken away too (the history still names them), so a restriction holds for what was there before it, and
merging or splitting loses none. Where no thing is restricted nothing is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.kernel.policy import Policy, Subject
from thap.kernel.store import Transaction
from thap.respond.incidents.records import incident_links, incidents
from thap.respond.records import alarms

__all__ = ["having_to_do_with", "subject_in", "things_in", "things_of"]

_L = incident_links.c
_EVIDENCE = ("observation", "track", "frame")
"""Kinds of links that name a thing, mover or datastream by its key."""
_ALARM = sa.case((_L.kind == "alarm", sa.cast(_L.ref, sa.BigInteger)))
_I = incidents.c
_ABOUT = sa.select(_I.unit, _I.commune, _I.domain).where(_I.id == sa.bindparam("incident"))
_NAMED = sa.union(
    sa.select(alarms.c.source)
    .join(incident_links, alarms.c.id == _ALARM)
    .where(_L.incident_id == sa.bindparam("incident")),
    sa.select(_L.ref).where(
        _L.incident_id == sa.bindparam("incident"), sa.or_(*(_L.kind == kind for kind in _EVIDENCE))
    ),
)


def having_to_do_with(incident: sa.ColumnElement[Any]) -> Callable[[str], sa.ColumnElement[bool]]:
    """As `Resource.things` wants it.

    Args:
        incident: column with an incident's number, 0 for none.
    """

    def test(thing: str) -> sa.ColumnElement[bool]:
        found = []
        for there in (_L.removed.is_(None), _L.removed.is_not(None)):  # an index serves each
            by_alarm = sa.select(_L.incident_id).join(alarms, _L.ref == sa.cast(alarms.c.id, sa.String))
            found.append(by_alarm.where(there, _L.kind == "alarm", _of(alarms.c.source, thing)))
            found.append(sa.select(_L.incident_id).where(there, _L.kind.in_(_EVIDENCE), _of(_L.ref, thing)))
        return sa.or_(*(incident.in_(numbers) for numbers in found))

    return test


def _of(column: sa.ColumnElement[Any], thing: str) -> sa.ColumnElement[bool]:
    begin = f"{thing}/"
    return sa.or_(column == thing, sa.func.substr(column, 1, len(begin)) == begin)


def things_in(tx: Transaction, policy: Policy, incident: int) -> tuple[str, ...]:
    """What an incident has to do with, as far as the policy asks for it; in a transaction."""
    if not _asked(policy):
        return ()
    return tuple(str(row[0]) for row in tx.rows(_NAMED, {"incident": incident}))


def subject_in(tx: Transaction, policy: Policy, incident: int) -> Subject | None:
    """An incident as policy sees it, in a transaction, which locks nothing for that; None where there is none."""
    found = tx.rows(_ABOUT, {"incident": incident})
    if not found:
        return None
    unit, commune, domain = found[0]
    return Subject("incident", (unit, commune), domain, things=things_in(tx, policy, incident))


async def things_of(connection: AsyncConnection, policy: Policy, numbers: Iterable[int]) -> dict[int, tuple[str, ...]]:
    """What each of these incidents has to do with, as far as the policy asks for it."""
    if not _asked(policy):
        return {}
    return {
        number: tuple(str(row[0]) for row in await connection.execute(_NAMED, {"incident": number}))
        for number in numbers
    }


def _asked(policy: Policy) -> bool:
    return any(one.kind == "thing" for one in policy.restrictions)
