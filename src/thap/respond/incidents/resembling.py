"""Finds among the incidents a person may see those that may be the same as one that is told."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.kernel.clock import HOUR_US
from thap.respond.incidents.duplicates import Closeness, Sketch, Suggestion, most_like
from thap.respond.incidents.listing import Scope
from thap.respond.incidents.model import Draft, Incident
from thap.respond.incidents.records import incident_of, incidents

__all__ = ["resembling"]

_I = incidents.c
_LOOKED_AT = 1000
_DEGREE_M = 111_000
_WIDE = 1.03
"""A degree of longitude is that much shorter in the province than one of latitude; rounded up."""


async def resembling(
    connection: AsyncConnection,
    scope: Scope,
    told: Draft,
    time: int,
    *,
    but: int | None = None,
    limit: int = 5,
    near: Closeness | None = None,
) -> list[tuple[Suggestion[int], Incident]]:
    """Incidents that may be the same, the likest first, with how alike they are.

    Looked at are those not merged or rejected, opened within `near.longest_h` of `time` (µs), near the place where
    there is one; of more than a thousand, the newest.

    Args:
        connection: of the records.
        scope: what the caller may see.
        told: what is compared.
        time: when it was told or opened.
        but: an incident that is not compared: itself.
        limit: how many at most.
        near: how near is near.
    """
    near = near or Closeness()
    span = round(near.longest_h * HOUR_US)
    tests = [scope.where, _I.opened.between(time - span, time + span), _I.state.not_in(("merged", "rejected"))]
    if told.lon is not None and told.lat is not None:
        high = near.farthest_m / _DEGREE_M
        wide = high * _WIDE
        beside = sa.and_(
            _I.lon.between(told.lon - wide, told.lon + wide), _I.lat.between(told.lat - high, told.lat + high)
        )
        tests.append(sa.or_(beside, _I.lon.is_(None)))
    if but is not None:
        tests.append(_I.id != but)
    rows = await connection.execute(
        sa.select(incidents).where(*tests).order_by(_I.opened.desc(), _I.id.desc()).limit(_LOOKED_AT)
    )
    names = [column.name for column in incidents.columns]
    found = {one.id: one for one in (incident_of(dict(zip(names, row, strict=True))) for row in rows)}
    one = Sketch(f"{told.title} {told.description}", time, told.domain, told.commune, told.lon, told.lat)
    sketches = [
        (number, Sketch(f"{o.title} {o.description}", o.opened, o.domain, o.commune, o.lon, o.lat))
        for number, o in found.items()
    ]
    return [(like, found[like.key]) for like in most_like(one, sketches, limit=limit, near=near)]
