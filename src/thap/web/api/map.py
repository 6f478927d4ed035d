"""/api/v1/map: the basemap that is configured, and the layers that domains declare."""

from __future__ import annotations

import asyncio
import importlib
from math import cos, radians
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import shapely.geometry
from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field
from starlette.responses import FileResponse

from thap.detect.areas import Area
from thap.detect.records import load_rules
from thap.detect.rules import Geofence
from thap.domains.domain import Layer, domains
from thap.kernel.errors import NotFoundError
from thap.kernel.places import PROVINCE_CODE
from thap.kernel.policy import Subject
from thap.kernel.settings import Settings
from thap.web.answers import to_json
from thap.web.deps import Caller, Centre, CentreDep, policy_of, require

__all__ = ["router", "tile_origin"]

router = APIRouter(prefix="/api/v1/map", tags=["map"])
Reader = Annotated[Caller, Depends(require("thing.read"))]
_METRES_A_DEGREE = 111_195.0
_CORNERS = 16


class Basemap(BaseModel):
    """What lies under everything."""

    kind: Literal["none", "raster", "pmtiles"]
    url: str = Field(description="Of a tile, with {z}, {x} and {y}; or of the PMTiles archive.")
    attribution: str
    max_zoom: int


class LayerInfo(BaseModel):
    """A layer that a domain declares."""

    id: str = Field(description="As water.rivers.")
    domain: str
    title: dict[str, str]
    colour: str = Field(description="As #c08a3e; empty where the console is to choose.")


class MapInfo(BaseModel):
    """What a map of this centre is made of."""

    basemap: Basemap
    layers: list[LayerInfo]


def tile_origin(settings: Settings) -> str:
    """Scheme, host and port of the tile server the console may ask, for the content security policy; '' for none."""
    if not settings.map.tiles or settings.map.pmtiles is not None:
        return ""
    parts = urlsplit(settings.map.tiles)
    return f"{parts.scheme}://{parts.netloc}"


def _archive(settings: Settings) -> Path | None:
    path = settings.map.pmtiles
    return None if path is None else settings.data / path


@router.get("", summary="The basemap and the layers")
async def get_map(centre: CentreDep, caller: Reader) -> MapInfo:
    """Layers of domains that the caller may see something of."""
    chosen = centre.settings.map
    archive = _archive(centre.settings)
    if archive is not None and archive.is_file():
        basemap = Basemap(
            kind="pmtiles",
            url=f"/api/v1/map/basemap.pmtiles?v={archive.stat().st_mtime_ns:x}",
            attribution=chosen.attribution,
            max_zoom=chosen.max_zoom,
        )
    elif chosen.tiles:
        basemap = Basemap(kind="raster", url=chosen.tiles, attribution=chosen.attribution, max_zoom=chosen.max_zoom)
    else:
        basemap = Basemap(kind="none", url="", attribution="", max_zoom=chosen.max_zoom)
    layers = [
        LayerInfo(id=name, domain=name.partition(".")[0], title=layer.title, colour=layer.colour)
        for name, layer in _layers().items()
        if await _may_see(centre, caller, name)
    ]
    return MapInfo(basemap=basemap, layers=layers)


@router.get(
    "/basemap.pmtiles",
    response_class=FileResponse,
    summary="The PMTiles archive",
    responses={
        200: {"content": {"application/octet-stream": {}}, "description": "The archive; parts by Range."},
        206: {"content": {"application/octet-stream": {}}, "description": "A part of the archive."},
    },
)
async def get_basemap(centre: CentreDep, _caller: Reader) -> FileResponse:
    archive = _archive(centre.settings)
    if archive is None or not archive.is_file():
        raise NotFoundError("no PMTiles archive is configured", hint="name one in `map.pmtiles` of thap.toml")
    headers = {"Cache-Control": "private, max-age=86400", "Content-Encoding": "identity"}
    return FileResponse(archive, media_type="application/octet-stream", headers=headers)


@router.get(
    "/layers/{name}",
    response_class=Response,
    summary="A layer of a domain",
    responses={200: {"content": {"application/geo+json": {}}, "description": "A FeatureCollection"}},
)
async def get_layer(name: str, centre: CentreDep, caller: Reader) -> Response:
    layer = _layers().get(name)
    if layer is None or not await _may_see(centre, caller, name):
        raise NotFoundError(f"there is no layer {name!r}", hint="/api/v1/map lists those there are")
    body: dict[str, Any]
    if layer.live:
        module, _, attribute = layer.live.partition(":")
        body = await getattr(importlib.import_module(module), attribute)(centre, caller)
    elif layer.features is not None:
        body = await asyncio.to_thread(layer.features)
    else:
        async with centre.records.read() as connection:
            rules = await load_rules(centre.settings, connection)
        found = {area.text: area for rule in rules if rule.name in layer.rules for area in _areas(rule)}
        body = {"type": "FeatureCollection", "features": [_feature(area) for area in found.values()]}
        body["features"] = [feature for feature in body["features"] if feature is not None]
    return Response(to_json(body), media_type="application/geo+json")


def _layers() -> dict[str, Layer]:
    return {f"{domain.name}.{layer.name}": layer for domain in domains().values() for layer in domain.layers}


async def _may_see(centre: Centre, caller: Caller, name: str) -> bool:
    """Whether the caller may see something of the layer's domain: in the whole province, or in a unit of theirs."""
    policy, domain = await policy_of(centre).current(), name.partition(".")[0]
    if policy.decide(caller.who, "thing.read", Subject("thing", (PROVINCE_CODE,), domain)).allowed:
        return True
    units = policy.units(caller.who, "thing.read", domain)
    return units is None or bool(units)


def _areas(rule: Any) -> tuple[Area, ...]:
    return rule.area if isinstance(rule, Geofence) else ()


def _feature(area: Area) -> dict[str, Any] | None:
    """As GeoJSON; None where it names a place whose outline is elsewhere."""
    if area.circle is not None:
        lon, lat, radius = area.circle
        ring = shapely.geometry.Point(0, 0).buffer(radius / _METRES_A_DEGREE, quad_segs=_CORNERS).exterior.coords
        corners = [[lon + x / cos(radians(lat)), lat + y] for x, y in ring]
        geometry: dict[str, Any] = {"type": "Polygon", "coordinates": [corners]}
    elif area.geometry is not None:
        geometry = shapely.geometry.mapping(area.geometry)
    else:
        return None
    return {"type": "Feature", "properties": {"title": area.name}, "geometry": geometry}
