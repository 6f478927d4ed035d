"""Where points lie against a book: in which mine, zone or wharf, how far from the nearest one and from the bank.

Degrees become metres on one plane around the middle of the book, so inside and outside are exact and distances are
right to 1 % within 50 km of that middle. Points far from everything are told apart by a coarse grid, and cost nothing
more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt
import shapely
from shapely.geometry.base import BaseGeometry

from thap.domains.sand.model import Book

__all__ = ["FAR_M", "LAT_M", "Ground", "Places", "lon_m"]

Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]

LAT_M = 110_600.0
"""Metres in a degree of latitude, to 0.7 % between the equator and 60°."""
FAR_M = 1e9
_CELL_DEG = 0.01


def lon_m(lat: npt.ArrayLike) -> Doubles:
    """Metres in a degree of longitude."""
    return np.asarray(111_320.0 * np.cos(np.radians(lat)))


@dataclass(slots=True)
class Places:
    """Where each of some points lies."""

    licence: Ints
    """Index in `book.licences` of the nearest, -1 where none is within reach."""
    distance_m: Doubles
    """To it; 0 inside, `FAR_M` beyond reach."""
    zone: Ints
    """Index in `book.zones` of the one it is in, -1 in none."""
    wharf: Ints
    """Index in `book.wharves` of the one it is at, -1 at none."""
    bank: Ints
    """Index in `book.banks` of the nearest, -1 where none is within reach."""
    bank_m: Doubles
    """To it, `FAR_M` beyond reach."""
    river: Bools
    """In the river, as far as a book with a polygon of it says; else true."""

    @classmethod
    def nowhere(cls, count: int) -> Places:
        """Far from everything."""
        none, far = np.full(count, -1, np.int32), np.full(count, FAR_M)
        return cls(none, far, none.copy(), none.copy(), none.copy(), far.copy(), np.ones(count, bool))

    def put(self, rows: npt.NDArray[Any], other: Places) -> None:
        """Write others into these rows."""
        for name in self.__slots__:
            getattr(self, name)[rows] = getattr(other, name)


class Ground:
    """A book, ready to be asked about many points at once.

    Args:
        book: what licences and registers say.
        reach_m: how far from a mine or bank distances are still told.
        wharf_reach_m: how near to a wharf's polygon counts as at it: berths are drawn on land, boats lie beside.
    """

    def __init__(self, book: Book, reach_m: float, wharf_reach_m: float) -> None:
        self.book, self.reach_m, self.wharf_reach_m = book, reach_m, wharf_reach_m
        shapes = [one.polygon for group in (book.licences, book.zones, book.wharves) for one in group]
        shapes += [one.geometry for one in book.banks]
        self.empty = not shapes
        self.fingerprint = crc32(b"".join(shapely.to_wkb(shapes).tolist()) if shapes else b"")
        """Changes with every outline and their order."""
        box = shapely.total_bounds(shapes) if shapes else np.zeros(4)
        self._lon, self._lat = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        self._kx = float(lon_m(self._lat))
        self._licences = self._tree([one.polygon for one in book.licences])
        self._zones = self._tree([one.polygon for one in book.zones])
        self._wharves = self._tree([one.polygon for one in book.wharves])
        banks = [self._metres(one.geometry) for one in book.banks]
        self._banks = shapely.STRtree([one.boundary if one.area else one for one in banks])
        rivers = [one for one in banks if one.area]
        self._river: BaseGeometry | None = shapely.union_all(rivers) if rivers else None
        if self._river is not None:
            shapely.prepare(self._river)
        self._cells = self._near_cells(shapes, box)

    def _metres(self, shape: BaseGeometry) -> BaseGeometry:
        made: BaseGeometry = shapely.transform(shape, lambda p: (p - (self._lon, self._lat)) * (self._kx, LAT_M))
        shapely.prepare(made)
        return made

    def _tree(self, shapes: Sequence[BaseGeometry]) -> shapely.STRtree:
        return shapely.STRtree([self._metres(one) for one in shapes])

    def _near_cells(self, shapes: Sequence[BaseGeometry], box: Doubles) -> Bools:
        """Cells of a grid over the book that are within reach of anything, with one cell of slack around."""
        if not shapes:
            return np.zeros((1, 1), bool)
        margin = np.array([self.reach_m / self._kx, self.reach_m / LAT_M])
        low, high = box[:2] - margin - _CELL_DEG, box[2:] + margin + _CELL_DEG
        self._low = low
        count = np.minimum(np.ceil((high - low) / _CELL_DEG).astype(int) + 1, 4000)
        self._step = (high - low) / count
        cells = np.zeros((int(count[0]), int(count[1])), bool)
        for part in shapely.get_parts(shapes):
            bounds = np.array(part.bounds)
            first = np.clip(np.floor((bounds[:2] - margin - low) / self._step).astype(int), 0, count - 1)
            last = np.clip(np.floor((bounds[2:] + margin - low) / self._step).astype(int), 0, count - 1)
            cells[first[0] : last[0] + 1, first[1] : last[1] + 1] = True
        return cells

    def near(self, lon: Doubles, lat: Doubles) -> Bools:
        """Whether each point may be within reach of anything; never false where one is."""
        if self.empty:
            return np.zeros(len(lon), bool)
        x = np.floor((lon - self._low[0]) / self._step[0])
        y = np.floor((lat - self._low[1]) / self._step[1])
        wide, high = self._cells.shape
        held = (x >= 0) & (x < wide) & (y >= 0) & (y < high)
        found = np.zeros(len(lon), bool)
        found[held] = self._cells[x[held].astype(np.intp), y[held].astype(np.intp)]
        return found

    def places(self, lon: Doubles, lat: Doubles) -> Places:
        """Where points lie.

        Args:
            lon: degrees.
            lat: degrees, of the same length.
        """
        made = Places.nowhere(len(lon))
        if self.empty or not len(lon):
            return made
        rows = np.flatnonzero(self.near(lon, lat))
        x, y = (lon[rows] - self._lon) * self._kx, (lat[rows] - self._lat) * LAT_M
        points = shapely.points(x, y)
        if self._river is not None:
            made.river[:] = False
            made.river[rows] = shapely.intersects_xy(self._river, x, y)
        _nearest(self._licences, points, rows, self.reach_m, made.licence, made.distance_m)
        _nearest(self._banks, points, rows, self.reach_m, made.bank, made.bank_m)
        beyond = np.full(len(lon), FAR_M)
        _nearest(self._wharves, points, rows, self.wharf_reach_m, made.wharf, beyond)
        _nearest(self._zones, points, rows, 0.01, made.zone, beyond)
        return made

    def holders(self, lon: float, lat: float) -> list[int]:
        """Indices of all licences that hold a point, in order."""
        point = shapely.Point((lon - self._lon) * self._kx, (lat - self._lat) * LAT_M)
        return sorted(self._licences.query(point, predicate="intersects").tolist())


def _nearest(
    tree: shapely.STRtree, points: Any, rows: npt.NDArray[np.intp], reach_m: float, index: Ints, distance: Doubles
) -> None:
    if not len(tree) or not len(points):
        return
    pairs, away = tree.query_nearest(points, max_distance=max(reach_m, 0.001), return_distance=True, all_matches=False)
    index[rows[pairs[0]]] = pairs[1]
    distance[rows[pairs[0]]] = away
