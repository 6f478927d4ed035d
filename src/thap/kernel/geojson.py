"""Commune polygons in GeoJSON: read, checked feature by feature, matched to communes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import shapely
import shapely.geometry

from thap.kernel.errors import InputError, ThapError
from thap.kernel.units import Commune, communes, fold

__all__ = ["Fault", "Polygons", "parse_polygons", "read_polygons"]

CODE_FIELDS = ("code", "ma", "ma_xa", "maxa", "ma_dvhc", "wardcode", "ward_code", "id")
NAME_FIELDS = ("fullname", "full_name", "ten_day_du", "name", "ten", "ten_xa", "tenxa", "ward", "ten_dvhc")
_LIMIT = 256 * 1024 * 1024
_MOST = 20_000
"""Features: a country has some ten thousand communes."""
_VIETNAM = (101.0, 7.0, 118.0, 24.0)


@dataclass(frozen=True, slots=True)
class Fault:
    """A feature that cannot be taken."""

    index: int
    """From 0."""
    name: str
    reason: str

    def __str__(self) -> str:
        return f"feature {self.index} ({self.name or 'without a name'}): {self.reason}"


@dataclass(slots=True)
class Polygons:
    """What a file holds."""

    digest: str
    """SHA-256 of the file."""
    wkb: dict[str, bytes] = field(default_factory=dict)
    """By commune code."""
    faults: list[Fault] = field(default_factory=list)

    @property
    def missing(self) -> list[Commune]:
        """Communes the file has no polygon for."""
        return [unit for unit in communes() if unit.code not in self.wkb]


def read_polygons(path: Path) -> Polygons:
    """Read a file as `parse_polygons` does.

    Raises:
        InputError: the file cannot be read, or is none that `parse_polygons` takes.
    """
    try:
        size = path.stat().st_size
        if size > _LIMIT:
            raise InputError(
                f"{size >> 20} MiB is too large for commune polygons", where=str(path), hint="simplify it to about 10 m"
            )
        body = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from None
    return parse_polygons(body, str(path))


def parse_polygons(body: bytes, where: str) -> Polygons:
    """Read a GeoJSON FeatureCollection of commune polygons in WGS 84.

    A feature is matched by its code (one of the properties `code`, `ma_xa`, …, or its `id`), then by its
    name (`fullName`, `name`, `ten`, …), diacritics optional as long as one commune alone is meant.

    Args:
        where: what the text is called in errors.

    Raises:
        InputError: it is not JSON (with line and column), is no FeatureCollection, or is larger than 256 MiB or than
            20,000 features. What is wrong with one feature is not raised but listed in `faults`.
    """
    if len(body) > _LIMIT:
        raise InputError(
            f"{len(body) >> 20} MiB is too large for commune polygons", where=where, hint="simplify it to about 10 m"
        )
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InputError(f"not JSON: {error.msg}", where=f"{where} line {error.lineno} column {error.colno}") from None
    features = document.get("features") if isinstance(document, dict) else None
    if not isinstance(features, list) or document.get("type") != "FeatureCollection":
        raise InputError("not a GeoJSON FeatureCollection", where=where)
    if not features:
        raise InputError("it has no features", where=where)
    if len(features) > _MOST:
        raise InputError(
            f"{len(features)} features are more than the {_MOST} that are taken at once",
            where=where,
            hint="leave out those that are no communes of the province",
        )
    result = Polygons(hashlib.sha256(body).hexdigest())
    taken: dict[str, int] = {}
    for index, feature in enumerate(features):
        properties = feature.get("properties") if isinstance(feature, dict) else None
        known = (
            {str(key).lower(): value for key, value in (properties or {}).items()}
            if isinstance(properties, dict)
            else {}
        )
        name = next((str(known[key]) for key in NAME_FIELDS if known.get(key)), "")
        try:
            if not isinstance(feature, dict) or feature.get("type") != "Feature":
                raise InputError("is not a GeoJSON Feature")
            unit = _match({"id": feature.get("id"), **known}, name)
            if unit.code in taken:
                raise InputError(f"is {unit.title} ({unit.code}) again, as feature {taken[unit.code]} was")
            result.wkb[unit.code] = shapely.to_wkb(_polygon(feature.get("geometry")))
            taken[unit.code] = index
        except ThapError as error:
            result.faults.append(Fault(index, name, str(error)))
    return result


def _match(known: dict[str, Any], name: str) -> Commune:
    codes = {unit.code: unit for unit in communes()}
    for key in CODE_FIELDS:
        if (value := known.get(key)) is not None and (unit := codes.get(str(value).strip().zfill(5))):
            return unit
    wanted = fold(name)
    if not wanted:
        raise InputError("has neither a known code nor a name", hint="give it the property `code`")
    found = [unit for unit in communes() if wanted in (fold(unit.title), fold(unit.name))]
    if len(found) > 1:  # names that differ in their marks alone, as Tân Thành and Tân Thạnh
        found = [unit for unit in found if name.strip().casefold() in (unit.title.casefold(), unit.name.casefold())]
        if not found:
            raise InputError("several communes are called that", hint="give it the property `code`")
    if not found:
        raise InputError("no commune of the province has this code or name")
    return found[0]


def _polygon(geometry: Any) -> Any:
    if not isinstance(geometry, dict):
        raise InputError("has no geometry")
    if geometry.get("type") not in ("Polygon", "MultiPolygon"):
        raise InputError(f"its geometry is a {geometry.get('type')}, not a Polygon or MultiPolygon")
    try:
        shape = shapely.geometry.shape(geometry)
    except Exception as error:  # shapely raises many kinds on malformed coordinates
        raise InputError(f"its coordinates cannot be read: {error}") from None
    if shape.is_empty:
        raise InputError("its geometry is empty")
    west, south, east, north = shape.bounds
    if not (_VIETNAM[0] <= west and _VIETNAM[1] <= south and east <= _VIETNAM[2] and north <= _VIETNAM[3]):
        raise InputError(
            f"it lies at {west:g} {south:g} … {east:g} {north:g}, not in Việt Nam",
            hint="coordinates are longitude, latitude in degrees of WGS 84; convert VN-2000 first",
        )
    if not shape.is_valid:
        raise InputError(f"its outline is not valid: {shapely.is_valid_reason(shape)}")
    return shapely.force_2d(shape)
