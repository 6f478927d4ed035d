"""Places: communes, which one a point lies in, and their outlines."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import shapely
import shapely.geometry
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from thap.kernel.audit import Entry, append_async
from thap.kernel.errors import InputError
from thap.kernel.places import (
    Commune,
    Locator,
    commune,
    communes,
    convert,
    import_polygons,
    imports,
    load_locator,
    parse_polygons,
    polygons,
    polygons_version,
    search,
)
from thap.web.answers import to_json
from thap.web.deps import Caller, CallerDep, Centre, CentreDep, require

__all__ = ["router"]

router = APIRouter(prefix="/api/v1/places", tags=["places"])
Admin = Annotated[Caller, Depends(require("admin"))]
_LARGEST = 64 * 1024 * 1024


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


class BadFeature(BaseModel):
    """A feature of a file that cannot be taken."""

    index: int = Field(description="From 0")
    name: str
    reason: str


class ImportedOutlines(BaseModel):
    """What became of a file of outlines."""

    read: int = Field(description="Communes whose outline the file holds")
    imported: int = Field(description="Communes that got an outline from it")
    unchanged: bool = Field(description="Exactly these outlines hold already")
    faults: list[BadFeature]
    missing: list[Place] = Field(description="Communes the file has no outline for")


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


@router.post(
    "/import",
    summary="Import outlines of communes; what they replace is kept as history",
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/geo+json": {"schema": {"type": "object"}}}}
    },
)
async def import_places(
    request: Request,
    centre: CentreDep,
    caller: Admin,
    source: Annotated[str, Query(max_length=200, description="Where the outlines are from, as the file's name")] = "",
    skip_bad: Annotated[bool, Query(description="Take the good features where some are bad")] = False,
    check: Annotated[bool, Query(description="Only say what the file holds; change nothing")] = False,
) -> ImportedOutlines:
    """The body is a GeoJSON FeatureCollection of commune polygons in WGS 84. Where a feature cannot be taken nothing is
    imported, unless `skip_bad` is set."""
    name = source.replace("\x00", "").strip() or "file.geojson"
    body = await _body(request, name)
    read = await asyncio.to_thread(parse_polygons, body, name)
    done = None
    if not check:
        if read.faults and (not skip_bad or not read.wkb):
            raise InputError(
                f"{len(read.faults)} features cannot be taken, nothing was imported: "
                + "; ".join(str(fault) for fault in read.faults[:3]),
                where=name,
                hint="mend them, or import the others with skip_bad",
            )
        async with centre.records.write() as connection:
            done = await import_polygons(connection, name, read.digest, read.wkb)
            if done is not None:
                told = {"source": name, "sha256": read.digest, "outlines": len(read.wkb)}
                await append_async(connection, [Entry(caller.who, "places.import", "places", told, caller.address)])
        await centre.bus.announce("centre.live.places", {"source": name})
    return ImportedOutlines(
        read=len(read.wkb),
        imported=0 if done is None else done.communes,
        unchanged=not check and done is None,
        faults=[BadFeature(index=one.index, name=one.name, reason=one.reason) for one in read.faults],
        missing=[_place(unit) for unit in read.missing],
    )


async def _body(request: Request, name: str) -> bytes:
    """The whole body.

    Raises:
        InputError: it is too large.
    """
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _LARGEST:
            raise InputError(
                f"more than {_LARGEST >> 20} MiB is too large for commune outlines",
                where=name,
                hint="simplify it to about 10 m, or use `thap places import`",
            )
    return bytes(body)
