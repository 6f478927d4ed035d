"""Where a warning holds: communes and drawn polygons made into CAP areas.

A polygon of CAP has no holes and lies in WGS 84. Outlines are simplified to what a phone can draw; where none are
imported a commune is a circle around its centre. Every change makes an area larger, never smaller.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import cos, pi, radians, sqrt
from typing import Any

import shapely

from thap.kernel.errors import InputError, NotFoundError
from thap.kernel.units import PROVINCE_CODE, Commune, commune, communes
from thap.respond.warnings.cap import Area, Circle, Named, Ring
from thap.respond.warnings.wording import Language, word

__all__ = ["GEOCODE", "Shapes", "commune_areas", "drawn_areas", "read_shapes", "ring_of"]

GEOCODE = "VN:DVHC"
"""Name under which the official codes of administrative units (đơn vị hành chính) are given."""

Shapes = Mapping[str, Any]
"""Outlines (shapely) by commune code."""

_VIETNAM = (101.0, 7.0, 118.0, 24.0)
_MOST_POINTS = 200
_MOST_PARTS = 50
_TOLERANCE = 0.0005  # degrees, about 55 m
_NAMES_SHOWN = 8


def read_shapes(wkb: Mapping[str, bytes]) -> dict[str, Any]:
    """Outlines from WKB, as `kernel.places.polygons` gives them."""
    return {code: shapely.from_wkb(body) for code, body in wkb.items()}


def ring_of(points: Sequence[Sequence[float]], where: str) -> Ring:
    """A drawn outline, (lon, lat), closed if it is not.

    Raises:
        InputError: it has fewer than three corners, crosses itself, or does not lie in Việt Nam.
    """
    pairs = tuple((round(float(point[0]), 5), round(float(point[1]), 5)) for point in points)
    ring = pairs if pairs and pairs[0] == pairs[-1] else pairs + pairs[:1]
    if len(ring) < 4:
        raise InputError("a polygon has at least three corners", where=where)
    west, south, east, north = _VIETNAM
    for lon, lat in ring:
        if not (west <= lon <= east and south <= lat <= north):
            raise InputError(
                f"{lon:g} {lat:g} does not lie in Việt Nam", where=where, hint="corners are longitude, latitude"
            )
    shape = shapely.Polygon(ring)
    if not shape.is_valid or shape.area == 0:
        raise InputError(f"its outline is not valid: {shapely.is_valid_reason(shape)}", where=where)
    return ring


def _rings(shape: Any) -> tuple[Ring, ...]:
    """Outlines of a (multi)polygon, without holes, with few points, that cover all of it."""
    wide = shape.buffer(_TOLERANCE, quad_segs=1)  # as far as simplifying may cut in; islands close by become one
    parts = [part for part in shapely.get_parts(wide) if part.geom_type == "Polygon"]
    if len(parts) > _MOST_PARTS:
        parts = [wide.convex_hull]
    return tuple(_outline(part) for part in sorted(parts, key=lambda one: -one.area))


def _outline(part: Any) -> Ring:
    outer = shapely.Polygon(part.exterior)
    tolerance = _TOLERANCE
    while True:
        plain = shapely.set_precision(outer.simplify(tolerance), 1e-5)
        whole = max(shapely.get_parts(plain), key=lambda one: one.area, default=plain)
        if len(whole.exterior.coords) <= _MOST_POINTS or tolerance > 1:
            return tuple((round(lon, 5), round(lat, 5)) for lon, lat in whole.exterior.coords)
        outer = outer.buffer(tolerance, quad_segs=1)
        tolerance *= 2


def _circle(unit: Commune) -> Circle:
    """A circle as large as twice the commune: its centre is known to some kilometres only."""
    return Circle(round(unit.lon, 4), round(unit.lat, 4), round(sqrt(2 * unit.area_km2 / pi) + 1, 1))


def _name(unit: Commune, language: Language) -> str:
    kind = word("en", f"kinds.{unit.kind}") if language == "en" else unit.kind
    return word(language, "commune", title=unit.title, name=unit.name, kind=kind)


def _known(code: str, where: str) -> Commune:
    try:
        return commune(code)
    except NotFoundError as error:
        raise InputError(error.message, where=where, hint="`thap places list` shows the codes") from None


def commune_areas(codes: Iterable[str], shapes: Shapes, language: Language) -> tuple[Area, ...]:
    """An area for each commune; one for the whole province where its code is among them.

    Raises:
        InputError: a code is none.
    """
    wanted = list(dict.fromkeys(codes))
    if PROVINCE_CODE in wanted:
        geocodes = (Named(GEOCODE, PROVINCE_CODE),)
        missing = [unit for unit in communes() if unit.code not in shapes]
        rings = _rings(shapely.union_all(list(shapes.values())).buffer(0.001)) if shapes else ()
        circles = tuple(_circle(unit) for unit in missing)
        return (Area(description=word(language, "province"), polygons=rings, circles=circles, geocodes=geocodes),)
    found = []
    for code in wanted:
        unit = _known(code, "communes")
        rings = _rings(shapes[code]) if code in shapes else ()
        found.append(
            Area(
                description=_name(unit, language),
                polygons=rings,
                circles=() if rings else (_circle(unit),),
                geocodes=(Named(GEOCODE, code),),
            )
        )
    return tuple(found)


def _touched(ring: Ring, shapes: Shapes) -> list[Commune]:
    polygon = shapely.Polygon(ring)
    found = []
    for unit in communes():
        if unit.code in shapes:
            inside = shapes[unit.code].intersects(polygon)
        else:
            reach = _circle(unit).radius_km / 111.0 / cos(radians(unit.lat))
            inside = polygon.distance(shapely.Point(unit.lon, unit.lat)) <= reach / 2
        if inside:
            found.append(unit)
    return found


def drawn_areas(rings: Iterable[Ring], shapes: Shapes, language: Language) -> tuple[Area, ...]:
    """An area for each drawn outline, named after the communes it touches, as far as is known."""
    found = []
    for ring in rings:
        units = _touched(ring, shapes)
        names = [_name(unit, language) for unit in units[:_NAMES_SHOWN]]
        if len(units) > _NAMES_SHOWN:
            names.append(word(language, "more", count=len(units) - _NAMES_SHOWN))
        description = word(language, "drawn", names=", ".join(names)) if names else word(language, "drawn_outside")
        # Geocodes would say that the whole communes are meant.
        found.append(Area(description=description, polygons=(ring,)))
    return tuple(found)
