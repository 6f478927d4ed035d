"""The map of a violation: the track, the positions that decided it, mines, zones and wharves around; SVG, north up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

import shapely

from thap.domains.sand.model import Book, Fix, Violation
from thap.domains.sand.picture import HEIGHT, WIDTH, View, north_arrow, scale_bar

__all__ = ["draw_track"]

_LAT_M = 110_600.0
_LEAST_M = 250.0
_FILLS = {"licence": ("#f0c869", "#7a5200"), "zone": ("#e6a5a0", "#b3261e"), "wharf": ("#b9c7ce", "#44525a")}


def draw_track(violation: Violation, track: Sequence[Fix], book: Book) -> str:
    """The picture as SVG text. Shown are the violation's surroundings; the track may lead out of the picture."""
    lon_m = _LAT_M * math.cos(math.radians(violation.lat)) * 1.0066

    def plane(lon: float, lat: float) -> tuple[float, float]:
        return (lon - violation.lon) * lon_m, (lat - violation.lat) * _LAT_M

    decided = [plane(fix.lon, fix.lat) for fix in violation.positions] or [(0.0, 0.0)]
    licence = book.licence_by_id.get(violation.licence) if violation.licence is not None else None
    near = [plane(fix.lon, fix.lat) for fix in track if violation.begin <= fix.time <= (violation.end or fix.time)]
    seen = [*decided, *near, (0.0, 0.0)]
    if licence is not None:
        outline = shapely.get_coordinates(licence.polygon)
        corners = [plane(float(lon), float(lat)) for lon, lat in outline]
        if min(math.hypot(*corner) for corner in corners) < 5000:
            seen += corners
    size = max(max(abs(value) for value in pair) for pair in seen)
    frame = max(_LEAST_M, size * 1.15)
    view = View([(-frame, -frame * HEIGHT / WIDTH), (frame, frame * HEIGHT / WIDTH), *seen])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" width="{WIDTH:.0f}" '
        f'height="{HEIGHT:.0f}" font-family="Libertinus Serif" font-size="12">',
        f'<rect width="{WIDTH:.0f}" height="{HEIGHT:.0f}" fill="#e3eef4"/>',
    ]
    for kind, shapes in (("licence", book.licences), ("zone", book.zones), ("wharf", book.wharves)):
        for one in shapes:
            parts += _area(view, plane, one.polygon, getattr(one, "number", "") or one.name, *_FILLS[kind])
    for bank in book.banks:
        parts += _lines(view, plane, shapely.boundary(bank.geometry) if bank.geometry.geom_type.endswith("Polygon")
                        else bank.geometry, "#4d6b3c", 2.2)  # fmt: skip
    path = [view.plane(*plane(fix.lon, fix.lat)) for fix in track]
    if len(path) > 1:
        drawn = "M" + "L".join(f"{x} {y}" for x, y in path)
        parts.append(f'<path d="{drawn}" fill="none" stroke="#24506b" stroke-width="1.3"/>')
    for x, y in (view.plane(*place) for place in decided):
        parts.append(f'<circle cx="{x}" cy="{y}" r="3" fill="#b3261e" fill-opacity="0.75"/>')
    x, y = view.plane(0.0, 0.0)
    parts.append(f'<circle cx="{x}" cy="{y}" r="9" fill="none" stroke="#b3261e" stroke-width="2"/>')
    parts += [scale_bar(view), north_arrow(), "</svg>"]
    return "".join(parts)


def _area(view: View, plane: Any, shape: Any, title: str, fill: str, stroke: str) -> list[str]:
    frame = shapely.box(0, 0, WIDTH, HEIGHT)
    found = []
    for part in getattr(shape, "geoms", [shape]):
        ring = [view.plane(*plane(float(lon), float(lat))) for lon, lat in shapely.get_coordinates(part.exterior)]
        drawn = shapely.Polygon(ring)
        if not drawn.intersects(frame):
            continue
        path = "M" + "L".join(f"{x} {y}" for x, y in ring) + "Z"
        found.append(f'<path d="{path}" fill="{fill}" fill-opacity="0.55" stroke="{stroke}" stroke-width="1.6"/>')
        at = shapely.point_on_surface(shapely.intersection(shapely.make_valid(drawn), frame))
        if not at.is_empty:
            found.append(
                f'<text x="{at.x:.1f}" y="{at.y:.1f}" text-anchor="middle" stroke="#ffffff" stroke-width="3" '
                f'paint-order="stroke" fill="#1d1d1d">{escape(title)}</text>'
            )
    return found


def _lines(view: View, plane: Any, shape: Any, stroke: str, width: float) -> list[str]:
    frame = shapely.box(-50, -50, WIDTH + 50, HEIGHT + 50)
    found = []
    for part in getattr(shape, "geoms", [shape]):
        places = [view.plane(*plane(float(lon), float(lat))) for lon, lat in shapely.get_coordinates(part)]
        if len(places) < 2:
            continue
        cut = shapely.intersection(shapely.LineString(places), frame)
        for one in getattr(cut, "geoms", [cut]):
            if one.geom_type == "LineString" and not one.is_empty:
                path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in one.coords)
                found.append(f'<path d="{path}" fill="none" stroke="{stroke}" stroke-width="{width}"/>')
    return found
