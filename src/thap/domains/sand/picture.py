"""The picture of a boundary: corners as printed, edges with their lengths, what crosses in red; SVG, north up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

import shapely

from thap.domains.sand.entries import LicenceEntry
from thap.domains.sand.vn2000 import Corner, Judged, from_wgs84, rivers_near

__all__ = ["HEIGHT", "WIDTH", "View", "draw_corners", "draw_entry", "north_arrow", "scale_bar"]

WIDTH, HEIGHT, _EDGE = 640.0, 460.0, 58.0
_MOST_LABELS = 40


def draw_corners(judged: Judged) -> str:
    """The picture of a corner table as SVG text; of one that makes no polygon too, so that one sees why."""
    corners = list(judged.corners)
    if not corners:
        return ""
    bad = {name for one in judged.faults if one.code == "crossed" for name in (one.values["one"], one.values["other"])}
    wrong = {one.values.get("corner") for one in judged.faults if one.code in ("digits", "far_corner", "duplicate")}
    return _draw(corners, judged.meridian, bad, wrong)


def draw_entry(entry: LicenceEntry) -> str:
    """The picture of a licence: of the table it was printed with where there is one, else of its outline."""
    if entry.corners is not None:
        corners = [Corner(one.label, one.x, one.y) for one in entry.corners.rows]
        return _draw(corners, entry.corners.meridian, set(), set())
    shape = entry.shape
    assert shape is not None
    part = max(getattr(shape, "geoms", [shape]), key=lambda one: float(one.area))
    meridian = round(part.centroid.x * 4) / 4
    points = list(part.exterior.coords)[:-1]
    corners = []
    for at, (lon, lat, *_) in enumerate(points, 1):
        north, east = from_wgs84(lon, lat, meridian)
        corners.append(Corner(str(at), float(north), float(east)))
    return _draw(corners, meridian, set(), set())


class View:
    """Plane metres to picture coordinates.

    Args:
        places: (east, north), m, all of which are to be seen.
    """

    def __init__(self, places: Sequence[tuple[float, float]]) -> None:
        west, east = min(x for x, _ in places), max(x for x, _ in places)
        south, north = min(y for _, y in places), max(y for _, y in places)
        self._east, self._north = (west + east) / 2, (south + north) / 2
        self.scale = min((WIDTH - 2 * _EDGE) / max(east - west, 1.0), (HEIGHT - 2 * _EDGE) / max(north - south, 1.0))

    def at(self, one: Corner) -> tuple[float, float]:
        """Of a corner."""
        return self.plane(one.y, one.x)

    def plane(self, east: float, north: float) -> tuple[float, float]:
        """Of a point."""
        return (
            round(WIDTH / 2 + (east - self._east) * self.scale, 1),
            round(HEIGHT / 2 - (north - self._north) * self.scale, 1),
        )


def _draw(corners: Sequence[Corner], meridian: float | None, bad: set[Any], wrong: set[Any]) -> str:
    view = View([(one.y, one.x) for one in corners])
    places = [view.at(one) for one in corners]
    count = len(corners)
    ring = "M" + "L".join(f"{x} {y}" for x, y in places) + "Z"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" width="{WIDTH:.0f}" '
        f'height="{HEIGHT:.0f}" font-family="Libertinus Serif, Be Vietnam Pro, sans-serif" font-size="12">',
        f'<rect width="{WIDTH:.0f}" height="{HEIGHT:.0f}" fill="#e3eef4"/>',
        *_rivers(view, meridian),
        f'<path d="{ring}" fill="#f0c869" fill-opacity="0.55" fill-rule="evenodd" stroke="none"/>',
    ]
    labelled = count <= _MOST_LABELS
    for at, one in enumerate(corners):
        other = corners[(at + 1) % count]
        (x1, y1), (x2, y2) = places[at], places[(at + 1) % count]
        crossed = f"{one.label}–{other.label}" in bad
        parts.append(
            f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{"#b3261e" if crossed else "#7a5200"}" '
            f'stroke-width="{3 if crossed else 1.8}"/>'
        )
        if labelled and math.hypot(x2 - x1, y2 - y1) > 46:
            parts.append(
                _text((x1 + x2) / 2, (y1 + y2) / 2, f"{math.hypot(one.x - other.x, one.y - other.y):.0f} m", 10)
            )
    for one, (x, y) in zip(corners, places, strict=True):
        colour = "#b3261e" if one.label in wrong else "#3c2a00"
        parts.append(f'<circle cx="{x}" cy="{y}" r="{4 if labelled else 2}" fill="{colour}"/>')
        if labelled:
            away = 14 / max(math.hypot(x - WIDTH / 2, y - HEIGHT / 2), 1)
            parts.append(_text(x + (x - WIDTH / 2) * away, y + (y - HEIGHT / 2) * away, one.label, 13, bold=True))
    parts += [scale_bar(view), north_arrow(), "</svg>"]
    return "".join(parts)


def _text(x: float, y: float, text: str, size: float, *, bold: bool = False) -> str:
    weight = 'font-weight="600" ' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y + size / 3:.1f}" text-anchor="middle" font-size="{size:g}" '
        f'{weight}stroke="#ffffff" stroke-width="3" paint-order="stroke" '
        f'fill="#1d1d1d">{escape(text)}</text>'
    )


def _rivers(view: View, meridian: float | None) -> list[str]:
    """The drawn middle of the river, where it passes by; good to a kilometre."""
    if meridian is None:
        return []
    found = []
    frame = shapely.box(0, 0, WIDTH, HEIGHT)
    for line in rivers_near():
        north, east = from_wgs84([lon for lon, _ in line], [lat for _, lat in line], meridian)
        course = shapely.LineString([view.plane(*pair) for pair in zip(east, north, strict=True)])
        shown = shapely.intersection(course, frame)
        for part in getattr(shown, "geoms", [shown]):
            if part.geom_type == "LineString" and not part.is_empty:
                path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in part.coords)
                found.append(
                    f'<path d="{path}" fill="none" stroke="#8fb9d0" stroke-width="7" stroke-dasharray="14 8"/>'
                )
    return found


def scale_bar(view: View) -> str:
    """A bar of a round length at the lower left."""
    length = next((m for m in (5000, 2000, 1000, 500, 200, 100, 50, 20, 10) if m * view.scale < WIDTH / 3), 5)
    x, y, wide = 18.0, HEIGHT - 16, length * view.scale
    return (
        f'<path d="M{x} {y - 5}V{y}H{x + wide:.1f}V{y - 5}" fill="none" stroke="#333333" stroke-width="1.4"/>'
        f'<text x="{x + 5}" y="{y - 7}" fill="#333333">{length:g} m</text>'
    )


def north_arrow() -> str:
    """An arrow at the upper right."""
    x, y = WIDTH - 26, 34.0
    return (
        f'<path d="M{x} {y - 20}L{x + 7} {y + 6}L{x} {y}L{x - 7} {y + 6}Z" fill="#333333"/>'
        f'<text x="{x}" y="{y + 20}" text-anchor="middle" fill="#333333">N</text>'
    )
