"""What the register shows on the map: mines, wharves and yards, forbidden zones and banks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.domains.sand.entries import Noun
from thap.domains.sand.records import ENTRY_RESOURCE, entries
from thap.kernel.policy import Resource

__all__ = ["Layer", "forbidden", "mines", "wharves"]

Where = Callable[[str, Resource], sa.ColumnElement[bool]]
"""As `Policy.where` of the caller."""
Layer = Callable[[AsyncConnection, Where], Awaitable[dict[str, Any]]]


async def _layer(connection: AsyncConnection, where: Where, *nouns: Noun) -> dict[str, Any]:
    features = []
    for noun in nouns:
        for one in await entries(connection, noun, within=where("register.read", ENTRY_RESOURCE)):
            name = " ".join(str(one.body.get(field) or "") for field in ("number", "name")).strip()
            more = {"min_distance_m": one.body["min_distance_m"]} if noun == "bank" else {}
            features.append(
                {
                    "type": "Feature",
                    "properties": {"title": name, "key": one.key, "noun": noun, **more},
                    "geometry": one.body["geometry"],
                }
            )
    return {"type": "FeatureCollection", "features": features}


async def mines(connection: AsyncConnection, where: Where) -> dict[str, Any]:
    """Licences in force."""
    return await _layer(connection, where, "licence")


async def wharves(connection: AsyncConnection, where: Where) -> dict[str, Any]:
    """Registered wharves and yards."""
    return await _layer(connection, where, "wharf")


async def forbidden(connection: AsyncConnection, where: Where) -> dict[str, Any]:
    """Forbidden zones, and banks with the distance to keep."""
    return await _layer(connection, where, "zone", "bank")
