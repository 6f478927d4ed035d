"""The alarms of an incident as they stand: which, and whether the condition of each is over."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.respond.alarm import Alarm
from thap.respond.incidents.records import incident_links
from thap.respond.records import alarms

__all__ = ["MOST", "all_cleared", "linked_alarms", "quiet_since"]

MOST = 1000
"""Alarms of one incident that are read."""

_A, _L = alarms.c, incident_links.c
_NUMBER = sa.case((_L.kind == "alarm", sa.cast(_L.ref, sa.BigInteger)))
_OF = sa.select(_NUMBER.label("number")).where(_L.kind == "alarm", _L.removed.is_(None))


def all_cleared(incident: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    """Whether an incident has alarms, and the condition of none of them is true now.

    Args:
        incident: column with its number.
    """
    mine = sa.and_(_L.incident_id == incident, _L.kind == "alarm", _L.removed.is_(None))
    some = sa.exists().where(mine)
    true_still = sa.exists().where(mine, _A.id == _NUMBER, _A.active)
    return sa.and_(some, sa.not_(true_still))


async def linked_alarms(connection: AsyncConnection, incident: int, within: sa.ColumnElement[bool]) -> list[Alarm]:
    """The alarms linked to an incident that meet a condition, true ones first, then the newest; at most `MOST`."""
    chosen = sa.select(alarms).where(_A.id.in_(_OF.where(_L.incident_id == incident)), within)
    found = await connection.execute(chosen.order_by(_A.active.desc(), _A.raised.desc(), _A.id.desc()).limit(MOST))
    return [Alarm(**{**row, "evidence": msgspec.json.decode(row["evidence"])}) for row in found.mappings()]


async def quiet_since(connection: AsyncConnection, incident: int) -> int | None:
    """When the last of an incident's alarms cleared, µs; None while one is true, or where it has none."""
    numbers = _OF.where(_L.incident_id == incident)
    last, loud = (
        await connection.execute(
            sa.select(sa.func.max(_A.cleared), sa.func.sum(sa.case((_A.active, 1), else_=0))).where(_A.id.in_(numbers))
        )
    ).one()
    return None if last is None or loud else int(last)
