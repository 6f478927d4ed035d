"""Areas that geofence rules speak of, and the test of many points against one.

An area is written as GeoJSON (`{ type = "Polygon", coordinates = [...] }`), as a circle
(`{ lon = 105.63, lat = 10.45, radius_m = 500 }`), or as the name of a place that the centre knows.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from shapely.geometry import Point, shape
from shapely.geometry.base import BaseGeometry

from thap.observe.kinds import Floats

__all__ = ["AT_EDGE", "INSIDE", "OUTSIDE", "Area", "Fence", "Resolver"]

INSIDE, OUTSIDE, AT_EDGE = 1, 0, -1
"""What `Fence.classify` says of a point; AT_EDGE is outside, but within the hysteresis."""

Resolver = Callable[[str], Any]
"""Gives the geometry of a named place, WGS 84: shapely or GeoJSON; None if nobody knows it."""

# Radii of curvature at a latitude need these two, WGS 84.
_SEMI_MAJOR_M = 6_378_137.0
_ECCENTRICITY_2 = 0.006_694_379_990_14


@dataclass(frozen=True)
class Area:
    """One area as written. `geometry` is None where it is a circle or a name."""

    text: str
    """As canonical JSON: two areas are equal if this is."""
    name: str = ""
    geometry: Any = None
    circle: tuple[float, float, float] | None = None
    """Longitude, latitude, radius in metres."""

    def __repr__(self) -> str:
        return f"Area({self.text})"

    @classmethod
    def parse(cls, value: Any) -> Area:
        """An area from what TOML or JSON gave.

        Raises:
            ValueError: it is not an area; the message says why.
        """
        if isinstance(value, str) and value.strip():
            return cls(json.dumps(value.strip()), value.strip())
        if not isinstance(value, dict):
            raise ValueError("an area is a GeoJSON polygon, a circle { lon, lat, radius_m } or the name of a place")
        text = json.dumps(value, sort_keys=True, default=str)
        name = str(value.get("name", ""))
        if "radius_m" in value:
            return cls(text, name, circle=_circle({k: v for k, v in value.items() if k != "name"}))
        body = value.get("geometry") if value.get("type") == "Feature" else value
        name = name or str((value.get("properties") or {}).get("name", ""))
        return cls(text, name, geometry=_polygon(body))

    def resolve(self, resolver: Resolver | None) -> Any:
        """Its geometry in degrees, or a circle's tuple.

        Raises:
            LookupError: it names a place that is not known.
        """
        if self.circle is not None:
            return self.circle
        if self.geometry is not None:
            return self.geometry
        found = resolver(self.name) if resolver else None
        if found is None:
            raise LookupError(f"no place is called {self.name!r}")
        return found if isinstance(found, BaseGeometry) else _polygon(found)


def _circle(value: dict[str, Any]) -> tuple[float, float, float]:
    unknown = set(value) - {"lon", "lat", "radius_m"}
    numbers = [value.get(key) for key in ("lon", "lat", "radius_m")]
    if unknown or not all(isinstance(n, int | float) and math.isfinite(n) for n in numbers):
        raise ValueError("a circle is written { lon = 105.63, lat = 10.45, radius_m = 500 }")
    lon, lat, radius = (float(n) for n in numbers if n is not None)
    if abs(lon) > 180 or abs(lat) > 89 or not 0 < radius <= 1_000_000:
        raise ValueError("a circle's centre is in degrees, WGS 84, and its radius 1 to 1,000,000 metres")
    return lon, lat, radius


def _polygon(value: Any) -> BaseGeometry:
    if not isinstance(value, dict) or value.get("type") not in ("Polygon", "MultiPolygon"):
        raise ValueError("a GeoJSON area has type Polygon or MultiPolygon")
    try:
        made = shape(value)
    except (shapely.errors.ShapelyError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise ValueError(f"not a GeoJSON {value['type']}: {error}") from None
    if made.is_empty or not made.is_valid:
        raise ValueError(f"the polygon is not valid: {shapely.is_valid_reason(made)}")
    west, south, east, north = made.bounds
    if west < -180 or east > 180 or south < -89 or north > 89:
        raise ValueError("coordinates are longitude, latitude in degrees, WGS 84")
    return made


class Fence:
    """The union of areas, ready to test many points at once.

    Degrees are turned into metres linearly around the middle of the areas, so boundaries stay the straight
    lines that GeoJSON means, and distances are right to about 1 % within 50 km of that middle.

    Args:
        shapes: what `Area.resolve` gave, at least one.
        hysteresis_m: width of the strip around the areas that is neither inside nor clearly outside.
    """

    def __init__(self, shapes: Sequence[Any], hysteresis_m: float) -> None:
        boxes = [(s[0], s[1], s[0], s[1]) if isinstance(s, tuple) else s.bounds for s in shapes]
        self._lon = (min(b[0] for b in boxes) + max(b[2] for b in boxes)) / 2
        self._lat = (min(b[1] for b in boxes) + max(b[3] for b in boxes)) / 2
        sine = math.sin(math.radians(self._lat))
        bend = 1 - _ECCENTRICITY_2 * sine * sine
        degree = math.pi / 180
        self._kx = degree * _SEMI_MAJOR_M / math.sqrt(bend) * math.cos(math.radians(self._lat))
        self._ky = degree * _SEMI_MAJOR_M * (1 - _ECCENTRICITY_2) / bend**1.5
        self._inner = shapely.union_all([self._metres(s) for s in shapes])
        self._outer = self._inner.buffer(hysteresis_m, quad_segs=16) if hysteresis_m else self._inner
        shapely.prepare(self._inner)
        shapely.prepare(self._outer)
        self._metres_box = west, south, east, north = self._outer.bounds
        slack = 1e-9  # degrees: what rounding may cost
        self.box = (
            self._lon + west / self._kx - slack,
            self._lat + south / self._ky - slack,
            self._lon + east / self._kx + slack,
            self._lat + north / self._ky + slack,
        )
        """West, south, east, north of the areas with their strip, degrees."""
        self._strip = hysteresis_m > 0

    def _metres(self, one: Any) -> BaseGeometry:
        if isinstance(one, tuple):
            lon, lat, radius = one
            x, y = self._project(np.array([lon]), np.array([lat]))
            return Point(float(x[0]), float(y[0])).buffer(radius, quad_segs=64)
        return shapely.transform(one, lambda points: np.column_stack(self._project(points[:, 0], points[:, 1])))

    def _project(self, lon: Floats, lat: Floats) -> tuple[Floats, Floats]:
        return (lon - self._lon) * self._kx, (lat - self._lat) * self._ky

    def classify(self, lon: Floats, lat: Floats) -> npt.NDArray[np.int8]:
        """INSIDE, OUTSIDE or AT_EDGE for each point; a point on the boundary is inside."""
        found = np.full(len(lon), OUTSIDE, np.int8)
        x, y = self._project(lon, lat)
        west, south, east, north = self._metres_box
        near = np.flatnonzero((x >= west) & (x <= east) & (y >= south) & (y <= north))
        if len(near):
            x, y = x[near], y[near]
            inside = shapely.intersects_xy(self._inner, x, y)
            if self._strip:
                found[near] = np.where(shapely.intersects_xy(self._outer, x, y), AT_EDGE, OUTSIDE)
            found[near[inside]] = INSIDE
        return found
