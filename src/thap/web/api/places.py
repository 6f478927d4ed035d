"""Places: communes, which one a point lies in, and their outlines."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import shapely
import shapely.geometry
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from thap.kernel.places import (
    Commune,
    Locator,
    commune,
    communes,
    convert,
    imports,
    load_locator,
    polygons,
    polygons_version,
    search,
)
from thap.web.answers import to_json
from thap.web.deps import CallerDep, Centre, CentreDep

__all__ = ["router"]

router = APIRouter(prefix="/api/v1/places", tags=["places"])


class Place(BaseModel):
    """A commune."""

    code: str = Field(description="Official five-digit code")
    name: str
    kind: str = Field(description="phường or xã")
    title: str = Field(description="Name with its kind")
    lon: float = Field(description="Centre, degrees WGS 84, good to some kilometres")
    lat: float
    area_km2: float


class At(BaseModel):
    """The commune of a point."""

    commune: Place | None = Field(description="null outside the province")
    approximate: bool = Field(description="true where no outlines are imported and the nearest centre answers")


class Former(BaseModel):
    """A unit of before July 2025 and what it became."""

    code: str
    ward: str
    district: str
    province: str
    became: list[Place] = Field(description="The one most of it went into first")


def _place(unit: Commune) -> Place:
    return Place(
        code=unit.code,
        name=unit.name,
        kind=unit.kind,
        title=unit.title,
        lon=unit.lon,
        lat=unit.lat,
        area_km2=unit.area_km2,
    )


async def locator_of(centre: Centre) -> Locator:
    """The centre's Locator, rebuilt in a thread after an import."""
    async with centre.records.read() as connection:
        version = await polygons_version(connection)
        kept: tuple[int, Locator] | None = centre.parts.get("locator")
        if kept is not None and kept[0] == version:
            return kept[1]
        lock = centre.parts.setdefault("locator_lock", asyncio.Lock())
        async with lock:
            kept = centre.parts.get("locator")
            if kept is None or kept[0] != version:
                centre.parts["locator"] = kept = (version, await load_locator(connection))
    return kept[1]


@router.get("")
async def list_places(
    _caller: CallerDep,
    q: Annotated[
        str,
        Query(max_length=100, description="Part of a name, new or old, with or without marks; all communes if empty"),
    ] = "",
    limit: Annotated[int, Query(ge=1, le=500)] = 200,
) -> list[Place]:
    """The communes, or those whose name matches."""
    return [_place(unit) for unit in (search(q, limit) if q.strip() else communes()[:limit])]


@router.get("/at")
async def place_at(
    _caller: CallerDep,
    centre: CentreDep,
    lon: Annotated[float, Query(ge=-180, le=180)],
    lat: Annotated[float, Query(ge=-90, le=90)],
) -> At:
    """The commune a point lies in."""
    locator = await locator_of(centre)
    index = int(locator.commune_of(lon, lat)[0])
    return At(commune=_place(locator.communes[index]) if index >= 0 else None, approximate=locator.approximate)


@router.get("/convert")
async def convert_name(_caller: CallerDep, name: Annotated[str, Query(min_length=1, max_length=200)]) -> list[Former]:
    """What a unit of before July 2025 became."""
    return [
        Former(
            code=old.code,
            ward=old.ward,
            district=old.district,
            province=old.province,
            became=[_place(commune(code)) for code in old.became],
        )
        for old in convert(name)
    ]


@router.get(
    ".geojson",
    response_class=Response,
    responses={
        200: {"content": {"application/geo+json": {}}, "description": "A FeatureCollection"},
        304: {"description": "Unchanged"},
    },
)
async def places_geojson(_caller: CallerDep, centre: CentreDep, request: Request) -> Response:
    """Outlines of the communes as GeoJSON; a point at the centre where a commune has no outline yet."""
    async with centre.records.read() as connection:
        version = await polygons_version(connection)
        tag = f'"places-{version}"'
        headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        shapes = await polygons(connection)
        newest = await imports(connection)
    features: list[dict[str, Any]] = []
    for unit in communes():
        shape = shapely.from_wkb(shapes[unit.code]) if unit.code in shapes else shapely.Point(unit.lon, unit.lat)
        features.append(
            {
                "type": "Feature",
                "id": unit.code,
                "geometry": shapely.geometry.mapping(shape),
                "properties": {**_place(unit).model_dump(), "approximate": unit.code not in shapes},
            }
        )
    body = {"type": "FeatureCollection", "source": newest[0].source if newest else None, "features": features}
    return Response(to_json(body), media_type="application/geo+json", headers=headers)
