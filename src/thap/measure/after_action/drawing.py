"""The map picture of a report: outlines of communes and marks, as SVG."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

from thap.measure.after_action.model import AfterAction, Mark

__all__ = ["draw_map"]

_WIDTH, _HEIGHT, _EDGE = 680.0, 380.0, 14.0
_LEAST_KM = 6.0
"""A map shows at least this many kilometres from side to side."""
_KM_PER_DEGREE = 111.32

Ring = Sequence[tuple[float, float]]


def draw_map(report: AfterAction) -> str:
    """The picture as SVG text; empty where neither a mark nor an outline says where it was.

    Shows the surroundings of the marks and of the commune, north up, in the equirectangular projection, with a
    scale bar.
    """
    points = [(mark.lon, mark.lat) for mark in report.marks]
    points += [point for ring in report.here for point in ring]
    if not points:
        return ""
    view = _View(points)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:.0f} {_HEIGHT:.0f}" '
        f'width="{_WIDTH:.0f}" height="{_HEIGHT:.0f}" font-family="Libertinus Serif" font-size="13">',
        f'<rect width="{_WIDTH:.0f}" height="{_HEIGHT:.0f}" fill="#eef2f4"/>',
    ]
    rings = [ring for polygon in report.outlines for ring in polygon]
    parts += [_path(view, (ring for ring in rings if view.shows(ring)), fill="#ffffff", stroke="#9aa9b2", width=0.8)]
    parts += [_path(view, report.here, fill="#fff3cf", stroke="#a86a00", width=1.6)]
    parts += [_mark(view, mark) for mark in report.marks]
    parts += [_scale(view), "</svg>"]
    return "".join(parts)


class _View:
    """Degrees to picture coordinates."""

    def __init__(self, points: Sequence[tuple[float, float]]) -> None:
        west, east = min(lon for lon, _ in points), max(lon for lon, _ in points)
        south, north = min(lat for _, lat in points), max(lat for _, lat in points)
        self._lon, self._lat = (west + east) / 2, (south + north) / 2
        self._narrow = math.cos(math.radians(self._lat))
        wide = max((east - west) * self._narrow * _KM_PER_DEGREE, _LEAST_KM)
        high = max((north - south) * _KM_PER_DEGREE, _LEAST_KM * _HEIGHT / _WIDTH)
        self.px_per_km = min((_WIDTH - 2 * _EDGE) / wide, (_HEIGHT - 2 * _EDGE) / high)

    def at(self, lon: float, lat: float) -> tuple[float, float]:
        x = _WIDTH / 2 + (lon - self._lon) * self._narrow * _KM_PER_DEGREE * self.px_per_km
        y = _HEIGHT / 2 - (lat - self._lat) * _KM_PER_DEGREE * self.px_per_km
        return round(x, 1), round(y, 1)

    def shows(self, ring: Ring) -> bool:
        places = [self.at(*point) for point in ring]
        return (
            max(x for x, _ in places) > 0
            and min(x for x, _ in places) < _WIDTH
            and max(y for _, y in places) > 0
            and min(y for _, y in places) < _HEIGHT
        )


def _path(view: _View, rings: Iterable[Ring], *, fill: str, stroke: str, width: float) -> str:
    drawn = "".join("M" + "L".join("{} {}".format(*view.at(*point)) for point in ring) + "Z" for ring in rings if ring)
    if not drawn:
        return ""
    return f'<path d="{drawn}" fill="{fill}" fill-rule="evenodd" stroke="{stroke}" stroke-width="{width}"/>'


def _mark(view: _View, mark: Mark) -> str:
    x, y = view.at(mark.lon, mark.lat)
    left = x > _WIDTH * 0.7
    return (
        f'<circle cx="{x}" cy="{y}" r="6" fill="#b3261e" stroke="#ffffff" stroke-width="1.5"/>'
        f'<text x="{x + (-11 if left else 11)}" y="{y + 4.5}" text-anchor="{"end" if left else "start"}" '
        f'stroke="#ffffff" stroke-width="3" paint-order="stroke" fill="#1d1d1d">{escape(mark.label)}</text>'
    )


def _scale(view: _View) -> str:
    length = next(km for km in (50, 20, 10, 5, 2, 1, 0.5) if km * view.px_per_km < _WIDTH / 3)
    x, y, wide = 18.0, _HEIGHT - 18, length * view.px_per_km
    return (
        f'<path d="M{x} {y - 5}V{y}H{x + wide:.1f}V{y - 5}" fill="none" stroke="#333333" stroke-width="1.4"/>'
        f'<text x="{x + 5}" y="{y - 7}" fill="#333333">{length:g} km</text>'
    )
