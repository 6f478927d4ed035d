"""Which commune a point lies in, a million points a second on one core.

A grid over the province holds, for each cell that lies wholly in one polygon, that polygon's number;
most points need nothing else. Cells that an edge runs through hold the few polygons that reach into
them, and points there are asked of those polygons themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from thap.kernel.units import Commune

__all__ = ["Locator"]

_CELLS = 1 << 21
_CHUNK = 1 << 16
_OUTSIDE, _BORDER = -1, -2
_SLACK = 1e-6
"""Cells: by how much edges are taken wider, far above rounding and far below a cell."""

Bools = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int16]


class Locator:
    """Point → commune.

    Args:
        units: the communes; results are indices into them.
        polygons: by commune code. Where none are given the nearest centre answers, and `approximate` is true.
        cells: how many cells the grid may have.
    """

    def __init__(
        self, units: tuple[Commune, ...], polygons: Mapping[str, Any] | None = None, cells: int = _CELLS
    ) -> None:
        self.communes = units
        self.codes = np.array([unit.code for unit in units])
        self.approximate = not polygons
        self._index = [i for i, unit in enumerate(units) if unit.code in (polygons or {})]
        self._polygons = [(polygons or {})[units[i].code] for i in self._index]
        if self._polygons:
            self._build(cells)
        else:
            self._centre = np.array([[unit.lon, unit.lat] for unit in units])
            self._reach2 = np.array([9 * unit.area_km2 / np.pi for unit in units])

    def commune_of(self, lon: npt.ArrayLike, lat: npt.ArrayLike) -> Numbers:
        """Index in `communes` of each point, -1 outside all of them (and where a coordinate is NaN).

        A point on the border of two belongs to the one with the lower code. Without polygons: the commune
        with the nearest centre, within three times the radius of a disc of its area.
        """
        x, y = np.atleast_1d(np.asarray(lon, np.float64)), np.atleast_1d(np.asarray(lat, np.float64))
        out = np.empty(x.shape, np.int16)
        part = self._nearest if self.approximate else self._exact
        for start in range(0, len(x), _CHUNK):
            rows = slice(start, start + _CHUNK)
            out[rows] = part(x[rows], y[rows])
        return out

    def codes_of(self, lon: npt.ArrayLike, lat: npt.ArrayLike) -> npt.NDArray[np.str_]:
        """The code of each point's commune, empty outside all of them."""
        found = self.commune_of(lon, lat)
        return np.where(found >= 0, self.codes[found], "")

    def _nearest(self, x: Doubles, y: Doubles) -> Numbers:
        real = (np.abs(x) <= 180) & (np.abs(y) <= 90)
        x, y = np.where(real, x, 0.0), np.where(real, y, 0.0)
        east = (x[:, None] - self._centre[:, 0]) * (111.3 * np.cos(np.radians(self._centre[:, 1])))
        north = (y[:, None] - self._centre[:, 1]) * 110.6
        squared = east**2 + north**2
        best = squared.argmin(axis=1)
        near = real & (squared[np.arange(len(x)), best] <= self._reach2[best])
        return np.where(near, best, _OUTSIDE).astype(np.int16)

    def _exact(self, x: Doubles, y: Doubles) -> Numbers:
        inside = (x >= self._x0) & (x <= self._x1) & (y >= self._y0) & (y <= self._y1)
        cell = self._cell(np.where(inside, x, self._x0), np.where(inside, y, self._y0))
        label = np.where(inside, self._label[cell], np.int16(_OUTSIDE))
        border = np.flatnonzero(label == _BORDER)
        if len(border):
            label[border] = self._ask(x[border], y[border], cell[border])
        return label

    def _cell(self, x: Doubles, y: Doubles) -> npt.NDArray[np.int32]:
        column = np.minimum(((x - self._x0) * self._per_x).astype(np.int32), self._nx - 1)
        row = np.minimum(((y - self._y0) * self._per_y).astype(np.int32), self._ny - 1)
        return row * np.int32(self._nx) + column

    def _ask(self, x: Doubles, y: Doubles, cell: npt.NDArray[np.int32]) -> Numbers:
        """Points in border cells: the first polygon, in order, that covers each."""
        slot = self._slot[cell]
        count = self._first[slot + 1] - self._first[slot]
        point = np.repeat(np.arange(len(x)), count)
        step = np.arange(len(point)) - np.repeat(np.cumsum(count) - count, count)
        polygon = self._candidate[self._first[slot][point] + step]
        found = np.full(len(x), len(self._polygons), np.int16)
        order = np.argsort(polygon, kind="stable")
        bounds = np.flatnonzero(np.diff(polygon[order])) + 1
        for group in np.split(order, bounds) if len(order) else ():
            number, points = polygon[group[0]], point[group]
            covered = points[shapely.intersects_xy(self._polygons[number], x[points], y[points])]
            found[covered] = np.minimum(found[covered], number)
        return self._number[found]

    def _build(self, cells: int) -> None:
        shapely.prepare(self._polygons)
        # One past the end stands for "no polygon".
        self._number = np.array([*self._index, _OUTSIDE], np.int16)
        self._x0, self._y0, self._x1, self._y1 = map(float, shapely.total_bounds(self._polygons))
        width, height = self._x1 - self._x0, self._y1 - self._y0
        self._nx = max(1, int(np.sqrt(cells * width / height)))
        self._ny = max(1, cells // self._nx)
        self._per_x, self._per_y = self._nx / width, self._ny / height
        cell, polygon = self._edges()
        border = np.unique(cell)
        label = self._fill(border)
        # A polygon without an edge in a border cell may still hold all of it where polygons overlap.
        tree = shapely.STRtree(self._polygons)
        middle = shapely.points(
            self._x0 + (border % self._nx + 0.5) / self._per_x, self._y0 + (border // self._nx + 0.5) / self._per_y
        )
        held, holder = tree.query(middle, predicate="intersects")
        pairs = np.unique(np.concatenate([np.stack([cell, polygon]), np.stack([border[held], holder])], axis=1), axis=1)
        self._candidate = pairs[1].astype(np.int16)
        self._first = np.append(np.searchsorted(pairs[0], border), len(pairs[0]))
        self._slot = np.zeros(self._nx * self._ny, np.int32)
        self._slot[border] = np.arange(len(border))
        self._label = label

    def _edges(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """(cell, polygon) for every cell an edge touches, a little more rather than less."""
        coordinates, owner = shapely.get_coordinates(self._rings()[0], return_index=True)
        ring_polygon = self._rings()[1]
        x = (coordinates[:, 0] - self._x0) * self._per_x
        y = (coordinates[:, 1] - self._y0) * self._per_y
        same = owner[1:] == owner[:-1]
        ax, ay, bx, by = x[:-1][same], y[:-1][same], x[1:][same], y[1:][same]
        polygon = ring_polygon[owner[:-1][same]]
        left, right = np.minimum(ax, bx) - _SLACK, np.maximum(ax, bx) + _SLACK
        first, last = self._clip(left, self._nx), self._clip(right, self._nx)
        edge, column = _spread(first, last)
        # The part of the edge between the sides of its column, as heights.
        flat = bx == ax
        slope = np.where(flat, 0.0, (by - ay) / np.where(flat, 1.0, bx - ax))
        lo, hi = np.minimum(ay, by), np.maximum(ay, by)
        one = ay[edge] + (np.maximum(column, left[edge]) - ax[edge]) * slope[edge]
        two = ay[edge] + (np.minimum(column + 1, right[edge]) - ax[edge]) * slope[edge]
        # A steep edge makes the heights uncertain: rounding in x, times its slope.
        slack = _SLACK * (1 + np.abs(slope[edge]))
        bottom = np.where(flat[edge], lo[edge], np.clip(np.minimum(one, two) - slack, lo[edge], hi[edge]))
        top = np.where(flat[edge], hi[edge], np.clip(np.maximum(one, two) + slack, lo[edge], hi[edge]))
        part, row = _spread(self._clip(bottom - _SLACK, self._ny), self._clip(top + _SLACK, self._ny))
        return row * self._nx + column[part], polygon[edge[part]]

    def _rings(self) -> tuple[Any, npt.NDArray[np.int64]]:
        parts, owner = shapely.get_parts(self._polygons, return_index=True)
        rings, ring_owner = shapely.get_rings(parts, return_index=True)
        return rings, owner[ring_owner]

    @staticmethod
    def _clip(value: Doubles, cells: int) -> npt.NDArray[np.int64]:
        return np.clip(np.floor(value), 0, cells - 1).astype(np.int64)

    def _fill(self, border: npt.NDArray[np.int64]) -> Numbers:
        """Labels of all cells: no edge runs between two neighbours in a row that are not border cells, so
        one question for each run of them is enough."""
        label = np.zeros(self._nx * self._ny, np.int16)
        label[border] = _BORDER
        free = label.reshape(self._ny, self._nx) != _BORDER
        starts = free.copy()
        starts[:, 1:] &= ~free[:, :-1]
        start = np.flatnonzero(starts)
        x = self._x0 + (start % self._nx + 0.5) / self._per_x
        y = self._y0 + (start // self._nx + 0.5) / self._per_y
        point, polygon = shapely.STRtree(self._polygons).query(shapely.points(x, y), predicate="intersects")
        holder = np.full(len(start), len(self._polygons), np.int64)
        np.minimum.at(holder, point, polygon)
        run = np.cumsum(starts.ravel()) - 1
        cells = free.ravel()
        label[cells] = self._number[holder[run[cells]]]
        return label


def _spread(
    first: npt.NDArray[np.int64],
    last: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Every whole number of every range first…last: (which range, the number)."""
    count = last - first + 1
    which = np.repeat(np.arange(len(first)), count)
    return which, first[which] + np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)
