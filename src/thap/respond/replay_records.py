"""Statements of a replay: what stood at a moment, and what happened through a stretch of time.

All goes by event time: when a condition changed, or when somebody acted.
"""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.kernel.clock import HOUR_US
from thap.respond.incidents.records import incident_events, incidents
from thap.respond.incidents.states import LIVE
from thap.respond.records import alarm_transitions, alarms

__all__ = ["Happened", "Step", "happened_at", "happened_through", "steps_at", "steps_through"]

_A, _T = alarms.c, alarm_transitions.c
_I, _E = incidents.c, incident_events.c
_OPEN = ("unacknowledged", "acknowledged", "returned_unacknowledged")


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One transition of one alarm, as it is replayed. Times are µs UTC."""

    id: int
    alarm: int
    source: str
    condition: str
    domain: str
    action: str
    to_state: str
    severity: int
    active: bool
    annunciated: bool
    """Whether it called the operator."""
    time: int
    value: float | None
    lon: float | None
    lat: float | None
    commune: str
    by: str


class Happened(msgspec.Struct, frozen=True, kw_only=True):
    """One event of one incident, as it is replayed; title, severity and place are those of today."""

    id: int
    incident: int
    action: str
    to_state: str
    time: int
    by: str
    title: str
    severity: int
    domain: str
    lon: float | None
    lat: float | None


_STEP = (
    _T.id,
    _T.alarm_id.label("alarm"),
    _A.source,
    _A.condition,
    _A.domain,
    *(_T[name] for name in ("action", "to_state", "severity", "active", "annunciated", "time", "value")),
    *(_T[name] for name in ("lon", "lat", "commune", "by")),
)
_HAPPENED = (
    _E.id,
    _E.incident_id.label("incident"),
    *(_E[name] for name in ("action", "to_state", "time", "by")),
    *(_I[name] for name in ("title", "severity", "domain", "lon", "lat")),
)


def _steps(rows: Any) -> list[Step]:
    return [Step(**row) for row in rows.mappings()]


async def steps_at(connection: AsyncConnection, moment: int, within: sa.ColumnElement[bool], limit: int) -> list[Step]:
    """The latest transition before a moment of every alarm that was open then, as it was raised.

    Args:
        connection: of the records.
        moment: µs, not included.
        within: which alarms may be seen.
        limit: how many at most; the newest.
    """
    last = sa.select(sa.func.max(_T.id)).where(_T.time < moment).group_by(_T.alarm_id)
    rows = await connection.execute(
        sa.select(*_STEP)
        .join_from(alarm_transitions, alarms)
        .where(_T.id.in_(last), _T.to_state.in_(_OPEN), within)
        .order_by(_T.id.desc())
        .limit(limit)
    )
    return _steps(rows)


async def steps_through(
    connection: AsyncConnection, since: int, until: int, within: sa.ColumnElement[bool], limit: int
) -> list[Step]:
    """Transitions with `since` ≤ time < `until`, in order; those of alarms that may be seen, at most `limit`."""
    rows = await connection.execute(
        sa.select(*_STEP)
        .join_from(alarm_transitions, alarms)
        # What happened is written afterwards: the index on that narrows it; an hour is left for clocks that are ahead.
        .where(_T.recorded_at >= since - HOUR_US, _T.time >= since, _T.time < until, within)
        .order_by(_T.time, _T.id)
        .limit(limit)
    )
    return _steps(rows)


async def happened_at(
    connection: AsyncConnection, moment: int, where: sa.ColumnElement[bool], limit: int
) -> list[Happened]:
    """The latest event before a moment of every incident that was not done then."""
    last = sa.select(sa.func.max(_E.id)).where(_E.time < moment).group_by(_E.incident_id)
    rows = await connection.execute(
        sa.select(*_HAPPENED)
        .join_from(incident_events, incidents)
        .where(_E.id.in_(last), _E.to_state.in_(sorted(map(str, LIVE))), where)
        .order_by(_E.id.desc())
        .limit(limit)
    )
    return [Happened(**row) for row in rows.mappings()]


async def happened_through(
    connection: AsyncConnection, since: int, until: int, where: sa.ColumnElement[bool], limit: int
) -> list[Happened]:
    """Events with `since` ≤ time < `until`, in order, of incidents that may be seen, at most `limit`."""
    rows = await connection.execute(
        sa.select(*_HAPPENED)
        .join_from(incident_events, incidents)
        .where(_E.time >= since, _E.time < until, where)
        .order_by(_E.id)
        .limit(limit)
    )
    return [Happened(**row) for row in rows.mappings()]
