"""Statements that list things; datastreams and movers are listed from the registry's snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.observe.registry import things

__all__ = ["ThingInfo", "load_things", "thing_properties"]

_SOME = 500


@dataclass(frozen=True, slots=True)
class ThingInfo:
    """One thing with what it is searched by."""

    id: int
    name: str
    title: str
    kind: str
    domain: str
    lon: float | None
    lat: float | None
    commune: str

    @property
    def key(self) -> str:
        """Its name: patterns of sources are held against it."""
        return self.name


async def load_things(connection: AsyncConnection) -> tuple[ThingInfo, ...]:
    """All things, by number."""
    t = things.c
    rows = await connection.execute(
        sa.select(t.id, t.name, t.title, t.kind, t.domain, t.lon, t.lat, t.commune).order_by(t.id)
    )
    return tuple(ThingInfo(*row) for row in rows)


async def thing_properties(connection: AsyncConnection, numbers: Sequence[int]) -> dict[int, dict[str, Any]]:
    """What is known beyond the columns, of things with these numbers."""
    found: dict[int, dict[str, Any]] = {}
    for start in range(0, len(numbers), _SOME):
        rows = await connection.execute(
            sa.select(things.c.id, things.c.properties).where(things.c.id.in_(numbers[start : start + _SOME]))
        )
        found.update((number, properties or {}) for number, properties in rows)
    return found
