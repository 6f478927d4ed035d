"""Commune polygons in the records: imported, replaced, never lost."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import shapely
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.kernel.clock import now_us
from thap.kernel.grid import Locator
from thap.kernel.records import metadata
from thap.kernel.units import communes

__all__ = ["Imported", "import_polygons", "imports", "load_locator", "polygons", "polygons_version"]

place_imports = sa.Table(
    "place_imports",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("source", sa.String(512), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),  # SHA-256 of the file
    sa.Column("time", sa.BigInteger, nullable=False),  # µs
    sa.Column("communes", sa.Integer, nullable=False),
)
place_polygons = sa.Table(
    "place_polygons",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("import_id", sa.ForeignKey("place_imports.id"), nullable=False),
    sa.Column("code", sa.String(5), nullable=False),
    sa.Column("wkb", sa.LargeBinary, nullable=False),  # WGS 84
    sa.Column("until", sa.BigInteger),  # µs when it was replaced; null holds now
    sa.Index("ix_place_polygons_code_until", "code", "until"),
)


@dataclass(frozen=True, slots=True)
class Imported:
    """One import."""

    id: int
    source: str
    digest: str
    time: int
    """µs."""
    communes: int
    """How many polygons it brought."""


async def import_polygons(
    connection: AsyncConnection, source: str, digest: str, wkb: dict[str, bytes]
) -> Imported | None:
    """Let new polygons hold from now on; those they replace are kept with the time they ended.

    Args:
        connection: in a write transaction.
        source: file name or address, shown beside the map.
        digest: SHA-256 of the file.
        wkb: by commune code.

    Returns:
        The import, or None where exactly these polygons hold already.
    """
    p = place_polygons.c
    current = await polygons(connection)
    if all(current.get(code) == shape for code, shape in wkb.items()):
        return None
    now = now_us()
    made = await connection.execute(
        sa.insert(place_imports)
        .values(source=source, digest=digest, time=now, communes=len(wkb))
        .returning(place_imports.c.id)
    )
    number = int(made.scalar_one())
    await connection.execute(sa.update(place_polygons).where(p.until.is_(None), p.code.in_(wkb)).values(until=now))
    await connection.execute(
        sa.insert(place_polygons),
        [{"import_id": number, "code": code, "wkb": shape, "until": None} for code, shape in wkb.items()],
    )
    return Imported(number, source, digest, now, len(wkb))


async def imports(connection: AsyncConnection) -> list[Imported]:
    """All imports, the newest first."""
    rows = await connection.execute(sa.select(place_imports).order_by(place_imports.c.id.desc()))
    return [Imported(**row) for row in rows.mappings()]


async def polygons(connection: AsyncConnection, at: int | None = None) -> dict[str, bytes]:
    """The polygons that hold now, or held at a time (µs), as WKB by commune code."""
    p = place_polygons.c
    statement = sa.select(p.code, p.wkb).where(p.until.is_(None))
    if at is not None:
        statement = (
            sa.select(p.code, p.wkb)
            .join_from(place_polygons, place_imports)
            .where(place_imports.c.time <= at, sa.or_(p.until.is_(None), p.until > at))
        )
    return {row.code: row.wkb for row in await connection.execute(statement)}


async def polygons_version(connection: AsyncConnection) -> int:
    """Number of the newest import, 0 before the first; whoever keeps a Locator asks whether it is still right."""
    return int((await connection.execute(sa.select(sa.func.coalesce(sa.func.max(place_imports.c.id), 0)))).scalar_one())


async def load_locator(connection: AsyncConnection, cells: int | None = None) -> Locator:
    """A Locator over the polygons that hold now; with the default cells, building takes a second of CPU."""
    shapes: dict[str, Any] = {code: shapely.from_wkb(shape) for code, shape in (await polygons(connection)).items()}
    arguments = (communes(), shapes) if cells is None else (communes(), shapes, cells)
    return await asyncio.to_thread(Locator, *arguments)
