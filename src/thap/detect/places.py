"""Names of places in geofence rules: communes, whose outlines were imported."""

from __future__ import annotations

import shapely
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.detect.areas import Resolver
from thap.kernel.places import communes, polygons
from thap.kernel.units import fold

__all__ = ["area_resolver"]


async def area_resolver(connection: AsyncConnection) -> Resolver:
    """A resolver that knows communes by code (`29869` or `commune:29869`) or by their name with its kind.

    It is as of now; after an import of outlines, make another.
    """
    outlines = await polygons(connection)
    codes = {fold(unit.title): unit.code for unit in communes()}

    def resolve(name: str) -> object | None:
        text = name.removeprefix("commune:").strip()
        shape = outlines.get(text) or outlines.get(codes.get(fold(text), ""))
        return None if shape is None else shapely.from_wkb(shape)

    return resolve
