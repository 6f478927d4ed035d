"""The course of the Tiền through the province, for the demo world.

Drawn by hand along the middle of the river to about one kilometre: good for a simulation, not for navigation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["LENGTH_KM", "along", "course", "km_of", "reach"]

Doubles = npt.NDArray[np.float64]

_COURSE = np.array(
    [  # from the Cambodian border down to the Cửa Tiểu mouth, lon and lat
        (105.203, 10.915),
        (105.200, 10.900),
        (105.222, 10.850),
        (105.253, 10.802),
        (105.300, 10.775),
        (105.330, 10.735),
        (105.345, 10.690),
        (105.378, 10.640),
        (105.430, 10.590),
        (105.480, 10.558),
        (105.545, 10.523),
        (105.590, 10.480),
        (105.612, 10.440),
        (105.645, 10.415),
        (105.700, 10.385),
        (105.745, 10.345),
        (105.800, 10.320),
        (105.860, 10.295),
        (105.905, 10.275),
        (105.960, 10.305),
        (106.020, 10.307),
        (106.080, 10.290),
        (106.150, 10.286),
        (106.230, 10.318),
        (106.290, 10.330),
        (106.350, 10.342),
        (106.420, 10.335),
        (106.480, 10.310),
        (106.540, 10.305),
        (106.600, 10.300),
        (106.660, 10.285),
        (106.730, 10.270),
    ]
)
_KM = np.array([111.32 * np.cos(np.radians(10.5)), 110.6])
"""Kilometres in a degree of longitude and of latitude here."""
_STEPS = np.hypot(*(np.diff(_COURSE, axis=0) * _KM).T)
_AT = np.concatenate([[0.0], np.cumsum(_STEPS)])
LENGTH_KM = float(_AT[-1])


def course() -> dict[str, Any]:
    """The middle of the river as a GeoJSON FeatureCollection, for maps."""
    line = {"type": "LineString", "coordinates": [[round(lon, 4), round(lat, 4)] for lon, lat in _COURSE.tolist()]}
    return {
        "type": "FeatureCollection",
        "features": [{"type": "Feature", "properties": {"title": "Sông Tiền"}, "geometry": line}],
    }


def along(km: npt.ArrayLike, right_m: npt.ArrayLike = 0.0) -> tuple[Doubles, Doubles]:
    """Longitude and latitude of points on the river.

    Args:
        km: distance from the border, down the river.
        right_m: distance from the middle, to the right of who looks down the river.
    """
    at = np.clip(np.asarray(km, np.float64), 0.0, LENGTH_KM)
    lon, lat = np.interp(at, _AT, _COURSE[:, 0]), np.interp(at, _AT, _COURSE[:, 1])
    # The direction is taken over a kilometre, so that a path beside the middle has no corners.
    ahead, behind = np.clip(at + 0.5, 0, LENGTH_KM), np.clip(at - 0.5, 0, LENGTH_KM)
    east = (np.interp(ahead, _AT, _COURSE[:, 0]) - np.interp(behind, _AT, _COURSE[:, 0])) * _KM[0]
    north = (np.interp(ahead, _AT, _COURSE[:, 1]) - np.interp(behind, _AT, _COURSE[:, 1])) * _KM[1]
    size = np.hypot(east, north)
    offset = np.asarray(right_m, np.float64) / 1000
    return lon + north / size * offset / _KM[0], lat - east / size * offset / _KM[1]


def km_of(lon: float, lat: float) -> float:
    """The kilometre of the river nearest to a point, to 50 m."""
    at = np.arange(0, LENGTH_KM, 0.05)
    x, y = along(at)
    return float(at[np.argmin(((x - lon) * _KM[0]) ** 2 + ((y - lat) * _KM[1]) ** 2)])


def reach(from_km: float, to_km: float, left_m: float, right_m: float) -> list[tuple[float, float]]:
    """Corners of the stretch of river between two kilometres, as a closed ring of (lon, lat)."""
    at = np.linspace(from_km, to_km, max(2, round((to_km - from_km) * 2) + 1))
    one, two = along(at, -left_m), along(at[::-1], right_m)
    ring = [(round(float(x), 5), round(float(y), 5)) for part in (one, two) for x, y in zip(*part, strict=True)]
    return [*ring, ring[0]]
