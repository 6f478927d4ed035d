"""The plane of the ground: from points of the picture to metres on the road.

Four points of the picture whose distances on the road are known give a homography (Hartley & Zisserman, Multiple View
Geometry, §4.1). Where more distances are given than needed, they disagree a little: `error_m` says how much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from thap.kernel.errors import InputError

__all__ = ["GroundPlane", "speed_kmh", "to_metres"]

Doubles = npt.NDArray[np.float64]
_SIDES = ((0, 1), (1, 2), (2, 3), (0, 3))
_WORST = 0.1
"""Distances that differ from each other by more than a tenth were not measured between these points."""


@dataclass(frozen=True, slots=True)
class GroundPlane:
    """Four points of the picture and where they lie on the road, in metres of a frame of its own."""

    points: tuple[tuple[float, float], ...]
    """Relative to the picture, in order around the quadrilateral."""
    distances: tuple[tuple[int, int, float], ...]
    """(point, point, metres) as measured."""
    places: tuple[tuple[float, float], ...]
    """The same points in metres: the first at the origin, the second on the x axis."""
    error_m: float
    """Root mean square of measured less resulting distances, m; 0 where no more were given than needed."""
    error_share: float
    """The worst of them as a share of its distance."""

    @classmethod
    def solve(cls, points: Sequence[tuple[float, float]], distances: Mapping[tuple[int, int], float]) -> GroundPlane:
        """Find the plane.

        Args:
            points: four points of the picture, relative, in order around.
            distances: (i, j) with i < j → metres. The four sides are needed; with a diagonal the shape is certain, with
                both its error shows. Without any, the corners are taken to be as right-angled as the sides allow.

        Raises:
            InputError: not four points, three of them in a row, a side missing, or distances that cannot all be.
        """
        if len(points) != 4:
            raise InputError(f"{len(points)} points; four are needed", where="ground.points")
        for side in _SIDES:
            if side not in distances:
                raise InputError(
                    f"the distance between points {side[0]} and {side[1]} is missing",
                    where="ground.distances",
                    hint="give all four sides; with the diagonals 0–2 and 1–3 the error shows",
                )
        given = [(i, j, float(metres)) for (i, j), metres in sorted(distances.items())]
        _check_shape(points)
        places = _places(given)
        worst, total = 0.0, 0.0
        for i, j, metres in given:
            off = abs(float(np.hypot(*(places[i] - places[j]))) - metres)
            worst, total = max(worst, off / metres), total + off**2
        if worst > _WORST:
            raise InputError(
                f"the distances do not fit each other: one is off by {100 * worst:.0f} %",
                where="ground.distances",
                hint="measure again, and name the points in order around the area",
            )
        return cls(
            tuple((float(x), float(y)) for x, y in points),
            tuple(given),
            tuple((float(x), float(y)) for x, y in places),
            float(np.sqrt(total / len(given))),
            worst,
        )

    def matrix(self) -> Doubles:
        """The homography, 3 × 3, from relative points of the picture to metres."""
        rows = []
        for (u, v), (x, y) in zip(self.points, self.places, strict=True):
            rows.append([u, v, 1, 0, 0, 0, -x * u, -x * v, -x])
            rows.append([0, 0, 0, u, v, 1, -y * u, -y * v, -y])
        found = np.linalg.svd(np.array(rows, np.float64))[2][-1].reshape(3, 3)
        # One sign for all of the plane before the horizon: what has the other lies behind it.
        centre = np.array([*np.mean(self.points, axis=0), 1.0])
        return np.asarray(found * np.sign(found[2] @ centre))

    def to_json(self) -> dict[str, Any]:
        """As plain values, with the error for the reader."""
        return {
            "points": [list(point) for point in self.points],
            "distances": [{"between": [i, j], "metres": metres} for i, j, metres in self.distances],
        }

    def error_json(self) -> dict[str, float]:
        """What a screen shows beside the drawing."""
        return {"error_m": round(self.error_m, 3), "error_share": round(self.error_share, 4)}


def to_metres(matrix: Doubles, points: Doubles) -> Doubles:
    """Points of the picture on the ground.

    Args:
        matrix: of `GroundPlane.matrix`.
        points: (n, 2), relative.

    Returns:
        (n, 2) metres; NaN at and beyond the horizon.
    """
    made = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(made[:, 2:] > 1e-9, made[:, :2] / made[:, 2:], np.nan)


def speed_kmh(matrix: Doubles, path: Sequence[tuple[int, float, float, float]], over_s: float = 1.0) -> float | None:
    """The speed of what went along a path, km/h: the slope of its place over the last second.

    Args:
        matrix: of `GroundPlane.matrix`.
        path: (µs, x, y, foot) as of a track; where it touches the ground is below its middle.
        over_s: how far back.

    Returns:
        None where it was seen less than a third of that time, or lies beyond the horizon.
    """
    recent = np.array([step for step in path if step[0] >= path[-1][0] - over_s * 1e6], np.float64)
    times = (recent[:, 0] - recent[0, 0]) / 1e6
    if len(recent) < 3 or times[-1] < over_s / 3:
        return None
    places = to_metres(matrix, recent[:, [1, 3]])
    if not np.isfinite(places).all():
        return None
    centred = times - times.mean()
    slope = centred @ places / (centred @ centred)
    return float(np.hypot(*slope) * 3.6)


def _check_shape(points: Sequence[tuple[float, float]]) -> None:
    turns = []
    for at in range(4):
        (ax, ay), (bx, by), (cx, cy) = (points[(at + step) % 4] for step in range(3))
        turns.append((bx - ax) * (cy - by) - (by - ay) * (cx - bx))
    if min(abs(turn) for turn in turns) < 1e-6 or len({turn > 0 for turn in turns}) > 1:
        raise InputError(
            "the four points are no convex area, in order around it",
            where="ground.points",
            hint="begin at one corner and go round",
        )


def _places(given: Sequence[tuple[int, int, float]]) -> Doubles:
    """Least squares over all distances, from the quadrilateral with right corners that fits the sides best."""
    from scipy.optimize import least_squares

    length = {(i, j): metres for i, j, metres in given}
    across = 0.5 * (length[0, 1] + length[2, 3])
    along = 0.5 * (length[1, 2] + length[0, 3])
    certain = (0, 2) in length or (1, 3) in length
    weak = 0.0 if certain else 1e-3  # right angles decide only what the distances leave open

    def put(free: Doubles) -> Doubles:
        return np.array([[0.0, 0.0], [free[0], 0.0], [free[1], free[2]], [free[3], free[4]]])

    def off(free: Doubles) -> Doubles:
        places = put(free)
        found = [float(np.hypot(*(places[i] - places[j]))) - metres for i, j, metres in given]
        if weak:
            for at in range(4):
                one, two = places[at - 1] - places[at], places[(at + 1) % 4] - places[at]
                found.append(weak * float(one @ two) / max(float(np.hypot(*one) * np.hypot(*two)), 1e-9))
        return np.array(found)

    begin = np.array([length[0, 1], across, along, 0.0, along])
    return put(np.asarray(least_squares(off, begin, xtol=1e-12, ftol=1e-12, gtol=1e-12).x))
