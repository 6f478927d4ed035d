"""Statements about one source: when alarms of it stood, and which incidents have to do with it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.respond.incidents.model import Incident
from thap.respond.incidents.records import incidents
from thap.respond.incidents.sources import having_to_do_with
from thap.respond.records import alarm_transitions, alarms

__all__ = ["Episode", "episodes_of", "incidents_about"]

_A, _T = alarms.c, alarm_transitions.c
_STEPS = 20_000


class Episode(msgspec.Struct, kw_only=True):
    """A time during which an alarm's condition was true. Times are µs UTC."""

    alarm: int
    source: str
    condition: str
    severity: int
    """The highest it reached, 1 to 4."""
    raised: int
    cleared: int | None = None
    """None while it is true."""
    value: float | None = None
    """That raised it."""
    acknowledged: int | None = None
    acknowledged_by: str = ""


def _about(key: str) -> sa.ColumnElement[bool]:
    begin = f"{key}/"
    return sa.or_(_A.source == key, sa.func.substr(_A.source, 1, len(begin)) == begin)


async def episodes_of(
    connection: AsyncConnection, key: str, since: int, until: int, within: sa.ColumnElement[bool], limit: int
) -> list[Episode]:
    """When alarms of a thing (and its datastreams), mover or datastream stood within a time, the newest first.

    Args:
        connection: of the records.
        key: of the source.
        since: µs; those that stood then count.
        until: µs, not included.
        within: which alarms may be seen.
        limit: how many at most.
    """
    earlier = alarm_transitions.alias()
    begin = (
        sa.select(sa.func.max(earlier.c.time))
        .where(earlier.c.alarm_id == _T.alarm_id, earlier.c.action == "raise", earlier.c.time <= since)
        .scalar_subquery()
    )
    columns = (_T.alarm_id, _A.source, _A.condition, _T.action, _T.severity, _T.active, _T.time, _T.value, _T.by)
    chosen = (
        sa.select(*columns)
        .join_from(alarm_transitions, alarms)
        .where(_about(key), within, _T.time < until, _T.time >= sa.func.coalesce(begin, since))
        .order_by(_T.id.desc())
        .limit(_STEPS)
    )
    rows = [tuple(row) for row in await connection.execute(chosen)]
    found = [one for one in _episodes(reversed(rows)) if one.cleared is None or one.cleared >= since]
    return sorted(found, key=lambda one: one.raised, reverse=True)[:limit]


def _episodes(rows: Iterable[tuple[Any, ...]]) -> list[Episode]:
    made: list[Episode] = []
    standing: dict[int, Episode] = {}
    for alarm, source, condition, action, severity, active, time, value, by in rows:
        one = standing.get(alarm)
        if one is None:
            if not active or action not in ("raise", "escalate"):
                continue
            one = standing[alarm] = Episode(
                alarm=alarm, source=source, condition=condition, severity=severity, raised=time, value=value
            )
            made.append(one)
            continue
        one.severity = max(one.severity, severity)
        if action == "acknowledge":
            one.acknowledged, one.acknowledged_by = time, by
        if not active:
            one.cleared = time
            del standing[alarm]
    return made


async def incidents_about(
    connection: AsyncConnection, key: str, where: sa.ColumnElement[bool], limit: int
) -> list[Incident]:
    """Incidents that have to do with a source by their alarms or evidence, the newest first.

    Args:
        connection: of the records.
        key: of a thing, mover or datastream.
        where: which incidents may be seen.
        limit: how many at most.
    """
    names = {part.name for part in incidents.columns} & set(Incident.__struct_fields__)
    shown = [incidents.c[name] for name in sorted(names)]
    chosen = sa.select(*shown).where(where, having_to_do_with(incidents.c.id)(key))
    rows = await connection.execute(chosen.order_by(incidents.c.opened.desc(), incidents.c.id.desc()).limit(limit))
    return [Incident(**row) for row in rows.mappings()]
