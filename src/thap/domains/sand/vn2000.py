"""Corner tables as licences print them: VN-2000 plane metres with a province's central meridian, into WGS 84.

Projection: transverse Mercator on the WGS 84 ellipsoid, 3° zones, scale 0.9999 at the central meridian, false easting
500,000 m (Thông tư 973/2001/TT-TCĐC; the same as EPSG:9210 for 105°45′ and EPSG:9209 for 105°00′).

Datum: the seven parameters from VN-2000 to WGS 84 of Quyết định 05/2007/QĐ-BTNMT, registered as EPSG:6960 `VN-2000 to
WGS 84 (2)`, accurate to about a metre; it needs no grid files. In licences X is the northing and Y the easting.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import shapely
from pyproj import Transformer
from shapely.geometry import LineString, Polygon

from thap.domains.river import course
from thap.domains.sand.faults import Fault
from thap.domains.sand.writing_styles import fold, parse_degrees, parse_number, style_of
from thap.kernel.units import communes

__all__ = [
    "HOME_MERIDIANS",
    "MERIDIANS",
    "Corner",
    "CornerTable",
    "Judged",
    "describe_meridian",
    "from_wgs84",
    "judge",
    "meridian_of",
    "read_corners",
    "river_km",
    "rivers_near",
    "to_wgs84",
]

HOME_MERIDIANS = {"Đồng Tháp": 105.0, "Tiền Giang": 105.75}
"""Of the two provinces that became today's: licences keep what they were printed with."""
MERIDIANS = (
    *HOME_MERIDIANS.values(), 104.5, 104.75, 105.5, 103.0, 104.0, 106.0, 106.25, 106.5, 107.0, 107.25, 107.5, 107.75,
    108.0, 108.25, 108.5,
)  # fmt: skip
"""Central meridians of the provinces of Việt Nam, those of here first (Thông tư 973/2001/TT-TCĐC, its annex)."""
_HELMERT = (
    "+proj=helmert +x=-191.90441429 +y=-39.30318279 +z=-111.45032835 +rx=-0.00928836 +ry=0.01975479 "
    "+rz=-0.00427372 +s=0.252906278 +convention=coordinate_frame"
)
_NORTHING = (900_000.0, 2_700_000.0)
_EASTING = (150_000.0, 850_000.0)
_FAR_M = 20_000.0
"""A corner farther than this from the others' middle has a mistyped digit: no sand mine is that large."""
_SAME_M = 0.05
_RIVER_KM = 6.0
"""How far from the drawn course of a river a mine may lie; the course is good to a kilometre or two."""
_OUTSIDE_KM = 9.0
"""How far from the nearest commune's centre, beyond that commune's own size, still counts as the province."""
_TERRITORY = {105.0: (-180.0, 105.98), 105.75: (105.78, 180.0)}
"""Longitudes within which each of the old provinces lay."""
_BRANCHES = (
    # Drawn by hand to about two kilometres: the Hậu along the province, the Cửa Đại branch, the Sở Thượng.
    ((105.36, 10.45), (105.43, 10.40), (105.50, 10.33), (105.56, 10.27), (105.63, 10.20), (105.72, 10.10)),
    ((106.35, 10.33), (106.45, 10.28), (106.55, 10.24), (106.70, 10.20), (106.76, 10.18)),
)
_AREA_SHARE = 0.02


@dataclass(frozen=True, slots=True)
class Corner:
    """One line of a table."""

    label: str
    x: float
    """As printed in the X column: the northing, m."""
    y: float
    """As printed in the Y column: the easting, m."""
    line: int = 0


@dataclass(frozen=True, slots=True)
class CornerTable:
    """What a text or a file said."""

    corners: tuple[Corner, ...]
    meridian: float | None = None
    """Degrees, where it was printed beside the table."""
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class Judged:
    """A table as a polygon, with all that is doubtful about it."""

    corners: tuple[Corner, ...]
    meridian: float | None
    polygon: Any
    """WGS 84, None where the corners make none."""
    faults: tuple[Fault, ...]
    area_ha: float | None = None
    """On the projection plane."""
    edges_m: tuple[float, ...] = ()
    fits: tuple[float, ...] = ()
    """Central meridians with which it would lie by a river of the province, the likeliest first."""

    @property
    def good(self) -> bool:
        """Whether it may be taken as it is."""
        return self.polygon is not None and not any(one.blocking for one in self.faults)


@cache
def _transformer(meridian: float) -> Transformer:
    return Transformer.from_pipeline(
        f"+proj=pipeline +step +inv +proj=tmerc +lat_0=0 +lon_0={meridian!r} +k=0.9999 +x_0=500000 +y_0=0 "
        f"+ellps=WGS84 +step +proj=push +v_3 +step +proj=cart +ellps=WGS84 +step {_HELMERT} "
        "+step +inv +proj=cart +ellps=WGS84 +step +proj=pop +v_3 +step +proj=unitconvert +xy_in=rad +xy_out=deg"
    )


def to_wgs84(northing: Any, easting: Any, meridian: float) -> tuple[Any, Any]:
    """Longitude and latitude, degrees, of plane coordinates in metres; numbers or arrays."""
    lon, lat = _transformer(meridian).transform(easting, northing)
    return lon, lat


def from_wgs84(lon: Any, lat: Any, meridian: float) -> tuple[Any, Any]:
    """Northing (X) and easting (Y), m: what a licence would print; the inverse of `to_wgs84`."""
    easting, northing = _transformer(meridian).transform(lon, lat, direction="INVERSE")
    return northing, easting


def describe_meridian(meridian: float) -> str:
    """As 105°45′."""
    return f"{int(meridian)}°{round(meridian % 1 * 60):02d}′"


def meridian_of(text: Any) -> float:
    """A central meridian from what was typed: degrees, or the name of one of the old provinces.

    Raises:
        ValueError: it is none that a province of Việt Nam uses.
    """
    if isinstance(text, int | float):
        degrees = float(text)
    else:
        folded = fold(str(text))
        for name, known in HOME_MERIDIANS.items():
            if fold(name) in folded:
                return known
        degrees = parse_degrees(text)
    near = min(MERIDIANS, key=lambda one: abs(one - degrees))
    if abs(near - degrees) > 0.005:
        raise ValueError(f"no province uses the central meridian {degrees:g}°")
    return near


# ---- reading a table


_AXES = {
    "x": frozenset(
        {"x", "x m", "toa do x", "toa do x m", "n", "bac", "northing", "x bac", "x n", "huong bac", "x bac m"}
    ),
    "y": frozenset(
        {"y", "y m", "toa do y", "toa do y m", "e", "dong", "easting", "y dong", "y e", "huong dong", "y dong m"}
    ),
}
_BREAK = re.compile(r"\t+|;|\||\s{2,}")
_HAS_MERIDIAN = re.compile(r"kinh tuy|\bktt\b|meridian|múi|mui chieu", re.IGNORECASE)


def read_corners(text: str) -> CornerTable:
    """The corners in a text copied out of a licence or a table: a line each, with or without a label before X and Y.

    A heading that names the columns (X is the northing, Y the easting) puts them in another order; a line that
    mentions the central meridian gives it. Lines without two coordinates before the first corner are passed over.
    """
    lines = [line.strip() for line in text.replace("\u00a0", " ").splitlines()]
    meridian: float | None = None
    faults: list[Fault] = []
    found: list[Corner] = []
    flipped = False
    cut = [_cells(line) for line in lines]
    style = style_of(cell for cells in cut for cell in cells)
    for number, (line, cells) in enumerate(zip(lines, cut, strict=True), 1):
        if not line:
            continue
        if _HAS_MERIDIAN.search(line):
            try:
                meridian = meridian_of(line)
                continue
            except ValueError:
                pass
        names = [fold(cell) for cell in cells]
        axes = [axis for name in names for axis, known in _AXES.items() if name in known]
        if set(axes) == {"x", "y"}:
            flipped = axes.index("y") < axes.index("x")
            continue
        try:
            corner = _corner(cells, style, flipped, number, len(found) + 1)
        except ValueError as error:
            # Words before the first corner are its title; a line with figures that cannot be read never is.
            if found or (cells and sum(any(c.isdigit() for c in cell) for cell in cells) >= 2 and len(line) < 60):
                faults.append(
                    Fault(
                        "corner_unreadable",
                        f"no corner can be read: {error}",
                        "write: label, X, Y",
                        row=number,
                        value=line[:60],
                    )
                )
            continue
        found.append(corner)
    return CornerTable(tuple(found), meridian, tuple(faults))


def _cells(line: str) -> list[str]:
    parts = [part.strip() for part in _BREAK.split(line) if part and part.strip()]
    if len(parts) >= 2 and sum(_plausible(part) for part in parts) >= 2:
        return parts
    if "," in line and not any(mark in line for mark in "\t;|"):
        by_comma = [part.strip() for part in line.split(",") if part.strip()]
        whole = not any(re.search(r"\d\s+\d", part) for part in by_comma)
        if whole and sum(_plausible(part) for part in by_comma) >= 2:
            return by_comma
        if not any(letter.isdigit() for letter in line):
            return by_comma  # a heading
    grouped = _grouped([part for part in re.split(r"[\s;|,]*\s+|[;|]", line) if part])
    return grouped if len(grouped) > len(parts) else parts


def _plausible(cell: str) -> bool:
    try:
        return parse_number(cell) >= 10_000
    except ValueError:
        return False


def _grouped(tokens: Sequence[str]) -> list[str]:
    """Figures whose thousands are set apart by spaces, put together again."""
    made: list[str] = []
    open_group = False
    for token in tokens:
        if open_group and re.fullmatch(r"\d{3}([.,]\d+)?", token):
            made[-1] += token
            open_group = "." not in token and "," not in token
        else:
            made.append(token)
            open_group = re.fullmatch(r"\d{1,3}", token) is not None
    return made


def _corner(cells: Sequence[str], style: Any, flipped: bool, line: int, number: int) -> Corner:
    figures: list[tuple[int, float]] = []
    for index, cell in enumerate(cells):
        body = re.sub(r"^[xyXYneNE]\s*[=:]\s*", "", cell)
        try:
            figures.append((index, parse_number(body, style)))
        except ValueError:
            continue
    chosen = [(index, value) for index, value in figures if abs(value) >= 1000][:2]
    if len(chosen) < 2:
        raise ValueError("two coordinates are needed")
    before = [cell for index, cell in enumerate(cells) if index < chosen[0][0]]
    x, y = (value for _, value in (reversed(chosen) if flipped else chosen))
    return Corner(before[-1][:16] if before else str(number), x, y, line)


# ---- judging it


def judge(
    corners: Sequence[Corner],
    meridian: float | None,
    *,
    swap_axes: bool = False,
    stated_ha: float | None = None,
    faults: Sequence[Fault] = (),
) -> Judged:
    """Make a polygon of a table, and say all that is wrong with it.

    Args:
        corners: in the order of the boundary.
        meridian: degrees; None where nobody said: then the one that fits is taken, where only one does.
        swap_axes: take X as the easting and Y as the northing, after a person said so.
        stated_ha: the area printed in the licence, to be compared.
        faults: what reading the table found already.
    """
    told = list(faults)
    taken = [replace(one, x=one.y, y=one.x) for one in corners] if swap_axes else list(corners)
    if len(taken) > 3 and _apart(taken[0], taken[-1]) < _SAME_M:
        taken = taken[:-1]  # the first once more, to close the ring
    told += _of_figures(taken)
    if any(one.blocking for one in told):
        return Judged(tuple(taken), meridian, None, tuple(told))
    ring = [(one.y, one.x) for one in taken]
    edges = tuple(round(_apart(one, taken[(at + 1) % len(taken)]), 2) for at, one in enumerate(taken))
    told += _crossings(taken)
    area = round(abs(Polygon(ring).area) / 10_000, 4) if not any(one.blocking for one in told) else None
    if area is not None and area < 0.01:
        told.append(
            Fault("no_area", "the corners lie on one line and enclose nothing", "compare them with the licence")
        )
    possible = _fits(ring)
    # Where one of the two old provinces' fits, others that happen to lead to a river are not worth a word.
    fits = tuple(one for one in possible if one in HOME_MERIDIANS.values()) or possible
    used, said = _meridian(meridian, ring, fits)
    told += said
    if area and stated_ha and abs(area - stated_ha) > _AREA_SHARE * stated_ha:
        told.append(
            Fault(
                "area_differs",
                f"the corners enclose {area:.2f} ha, the licence says {stated_ha:.2f} ha",
                "compare each corner with the printed table",
                blocking=False,
                values={"area": area, "stated": stated_ha},
            )
        )
    polygon = None
    if used is not None and area is not None:
        east, north = np.array(ring).T
        polygon = shapely.normalize(Polygon(np.column_stack(to_wgs84(north, east, used))))
    return Judged(tuple(taken), used, polygon, tuple(told), area, edges, fits)


def _apart(one: Corner, other: Corner) -> float:
    return float(np.hypot(one.x - other.x, one.y - other.y))


def _inside(value: float, bounds: tuple[float, float]) -> bool:
    return bounds[0] <= value <= bounds[1]


def _of_figures(corners: Sequence[Corner]) -> list[Fault]:
    """Too few corners, axes swapped, digits missing, corners that repeat, one far away."""
    if len(corners) < 3:
        return [
            Fault(
                "few_corners",
                f"a boundary has at least three corners, here are {len(corners)}",
                "paste the whole table",
                values={"count": len(corners)},
            )
        ]
    if sum(_inside(one.x, _EASTING) and _inside(one.y, _NORTHING) for one in corners) * 2 > len(corners):
        return [
            Fault(
                "swapped",
                "X and Y are swapped: the X column holds eastings (6 digits), the Y column northings (7 digits)",
                "in VN-2000 tables X is the northing, as 1 156 123, and Y the easting, as 565 432; swap the columns",
            )
        ]
    found = []
    for one in corners:
        for axis, value, bounds, digits in (("X", one.x, _NORTHING, 7), ("Y", one.y, _EASTING, 6)):
            if not _inside(value, bounds):
                have = len(str(int(abs(value))))
                what = (
                    f"has {have} digits before the decimals, {digits} are needed"
                    if have != digits
                    else f"lies outside Việt Nam ({bounds[0]:.0f} to {bounds[1]:.0f})"
                )
                found.append(
                    Fault(
                        "digits",
                        f"corner {one.label}: {axis} = {value:.2f} {what}",
                        "a digit is missing, doubled or mistyped: compare it with the licence",
                        row=one.line,
                        column=axis,
                        value=f"{value:.2f}",
                        values={"corner": one.label, "axis": axis, "have": have, "need": digits},
                    )
                )
    return found or _repeated(corners) or _far(corners)


def _repeated(corners: Sequence[Corner]) -> list[Fault]:
    found = []
    for at, one in enumerate(corners):
        for other in corners[:at]:
            if _apart(one, other) < _SAME_M:
                found.append(
                    Fault(
                        "duplicate",
                        f"corners {_named(other)} and {_named(one)} are the same point",
                        "one of them was copied twice: correct it or take it away",
                        row=one.line,
                        values={"one": other.label, "other": one.label},
                    )
                )
    return found


def _named(corner: Corner) -> str:
    return f"{corner.label} (line {corner.line})" if corner.line else corner.label


def _far(corners: Sequence[Corner]) -> list[Fault]:
    found = []
    for one in corners:
        others = [other for other in corners if other is not one]
        x, y = (statistics.median(getattr(other, axis) for other in others) for axis in "xy")
        away = float(np.hypot(one.x - x, one.y - y))
        if away > _FAR_M:
            axis = "X" if abs(one.x - x) > abs(one.y - y) else "Y"
            found.append(
                Fault(
                    "far_corner",
                    f"corner {one.label} lies {away / 1000:.0f} km from the others: a digit of its {axis} is wrong",
                    "compare it with the licence",
                    row=one.line,
                    column=axis,
                    value=f"{getattr(one, axis.lower()):.2f}",
                    values={"corner": one.label, "km": round(away / 1000), "axis": axis},
                )
            )
    return found


def _crossings(corners: Sequence[Corner]) -> list[Fault]:
    count = len(corners)
    edges = [
        LineString([(one.y, one.x), (corners[(at + 1) % count].y, corners[(at + 1) % count].x)])
        for at, one in enumerate(corners)
    ]
    names = [f"{one.label}–{corners[(at + 1) % count].label}" for at, one in enumerate(corners)]
    found = []
    for one in range(count):
        for other in range(one + 2, count):
            if (other + 1) % count != one and edges[one].intersects(edges[other]):
                order = _untangled(corners)
                hint = f"corners in this order would not cross: {', '.join(order)}" if order else "check their order"
                found.append(
                    Fault(
                        "crossed",
                        f"the edges {names[one]} and {names[other]} cross",
                        hint,
                        row=corners[one].line,
                        values={"one": names[one], "other": names[other], "order": order},
                    )
                )
    return found


def _untangled(corners: Sequence[Corner]) -> list[str]:
    """Labels in an order without crossings: around their middle, from the first; [] where that is no polygon."""
    x, y = (statistics.fmean(getattr(one, axis) for one in corners) for axis in "xy")
    around = sorted(corners, key=lambda one: np.arctan2(one.x - x, one.y - y))
    if not Polygon([(one.y, one.x) for one in around]).is_valid:
        return []
    at = around.index(corners[0])
    one_way = [*around[at:], *around[:at]]
    other_way = [one_way[0], *reversed(one_way[1:])]
    kept = [sum(a is b for a, b in zip(order, corners, strict=True)) for order in (one_way, other_way)]
    return [one.label for one in (other_way if kept[1] > kept[0] else one_way)]


# ---- where it lies


@cache
def rivers_near() -> tuple[tuple[tuple[float, float], ...], ...]:
    """The courses of the rivers that are known here, each as (lon, lat); drawn by hand, good to a kilometre or two."""
    drawn = [tuple((lon, lat) for lon, lat in part["geometry"]["coordinates"]) for part in course()["features"]]
    return (*drawn, *_BRANCHES)


@cache
def _rivers() -> Any:
    return shapely.MultiLineString([[_flat(*point) for point in line] for line in rivers_near()])


def _flat(lon: float, lat: float) -> tuple[float, float]:
    """Kilometres east and north, good to a percent here."""
    return lon * 109.5, lat * 110.6


def river_km(lon: float, lat: float) -> float:
    """Distance to the nearest river whose course is known, km."""
    return float(_rivers().distance(shapely.Point(_flat(lon, lat))))


@cache
def _centres() -> tuple[Any, Any]:
    units = communes()
    points = np.array([_flat(unit.lon, unit.lat) for unit in units])
    return points, np.sqrt(np.array([unit.area_km2 for unit in units]) / np.pi)


def _outside_km(lon: float, lat: float) -> float:
    """How far beyond the province, roughly; 0 inside."""
    points, sizes = _centres()
    return float(max(0.0, (np.hypot(*(points - _flat(lon, lat)).T) - sizes).min() - _OUTSIDE_KM))


def _fits(ring: Sequence[tuple[float, float]]) -> tuple[float, ...]:
    """Central meridians with which a ring lies by a river of the province, those of here first."""
    east, north = (statistics.fmean(values) for values in zip(*ring, strict=True))
    found = []
    for meridian in MERIDIANS:
        lon, lat = to_wgs84(north, east, meridian)
        if _outside_km(lon, lat) == 0 and river_km(lon, lat) <= _RIVER_KM:
            found.append((not _native(meridian, float(lon)), meridian))
    return tuple(meridian for _, meridian in sorted(found, key=lambda one: (one[0], MERIDIANS.index(one[1]))))


def _native(meridian: float, lon: float) -> bool:
    """Whether a longitude lies in the old province that used the meridian."""
    west, east = _TERRITORY.get(meridian, (1.0, -1.0))
    return west <= lon <= east


def _meridian(
    given: float | None, ring: Sequence[tuple[float, float]], fits: Sequence[float]
) -> tuple[float | None, list[Fault]]:
    """The meridian to go by, and what is to be said of it."""
    names = " or ".join(describe_meridian(one) for one in fits)
    if given is None:
        east, north = (statistics.fmean(values) for values in zip(*ring, strict=True))
        native = [one for one in fits if _native(one, float(to_wgs84(north, east, one)[0]))]
        if len(native or fits) == 1:
            taken = (native or list(fits))[0]
            names = describe_meridian(taken)
            note = Fault(
                "meridian_guessed",
                f"no central meridian was given; with {names} it lies by a river of the province",
                "compare it with the licence",
                blocking=False,
                values={"meridian": names},
            )
            return taken, [note]
        hint = "it is printed beside the table, as `kinh tuyến trục 105°00′` (old Đồng Tháp) or 105°45′ (Tiền Giang)"
        return None, [Fault("meridian_missing", "the central meridian is not known", hint, column="meridian")]
    if given in fits:
        return given, []
    east, north = (statistics.fmean(values) for values in zip(*ring, strict=True))
    lon, lat = (float(value) for value in to_wgs84(north, east, given))
    away = f"{river_km(lon, lat):.0f} km from the nearest river of the province"
    if fits:
        return given, [
            Fault(
                "wrong_meridian",
                f"with the central meridian {describe_meridian(given)} the mine lies at {lat:.4f}, {lon:.4f}, {away}; "
                f"with {names} it lies by a river",
                f"the table was probably printed with {names}",
                column="meridian",
                value=describe_meridian(given),
                values={"given": describe_meridian(given), "fits": names, "km": round(river_km(lon, lat))},
            )
        ]
    note = Fault(
        "far_from_river",
        f"the mine lies at {lat:.4f}, {lon:.4f}, {away}, with any central meridian",
        "compare the corners with the licence, then look at it on the map",
        blocking=False,
        values={"lon": round(lon, 4), "lat": round(lat, 4), "km": round(river_km(lon, lat))},
    )
    return given, [note]
