"""What is drawn on a camera's picture: lines to count at, zones, and the plane of the ground.

All points are relative to the picture, (0, 0) its upper left and (1, 1) its lower right corner, so that a scene
outlives a change of resolution. As JSON:

    {"lines": [{"name": "north", "start": [0.1, 0.5], "end": [0.9, 0.5], "classes": ["car"]}],
     "zones": [{"name": "road", "points": [[0, 0], [1, 0], [1, 1]], "uses": ["carriageway", "queue"]}],
     "ground": {"points": [[…], […], […], […]], "distances": [{"between": [0, 1], "metres": 7.0}, …]}}

With `"width": 1280, "height": 720` beside them, points are read as pixels of such a picture.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from thap.detect.vision.ground import GroundPlane
from thap.kernel.errors import InputError

__all__ = ["USES", "GroundPlane", "Line", "Point", "Scene", "Zone"]

Point = tuple[float, float]
"""(x, y), both 0 to 1 of the picture's width and height."""

USES = {
    "carriageway": "vehicles drive here: stopped vehicles, wrong way, persons, occupancy, congestion",
    "queue": "vehicles wait here: the length of the queue",
    "trip": "origin or destination of trips between zones",
    "forbidden": "nothing of the zone's classes may be here in its hours",
    "crowd": "persons are counted here: a sudden crowd",
    "look": "the detector is shown this part alone, enlarged: for a far road in a large picture",
    "ignore": "nothing in here is detected (a screen, a tree)",
}
_SHORTEST = 0.005
_MOST = 32


@dataclass(frozen=True, slots=True)
class Line:
    """A line at which tracks are counted, once each.

    Directions are named by where a track goes in the picture: across a line that lies flatter than 45° it is `down` or
    `up`, across a steeper one `right` or `left`. `names` puts the road's own words in their place.
    """

    name: str
    start: Point
    end: Point
    classes: frozenset[str] = frozenset()
    """Classes that are counted; empty: all that the detector is asked for."""
    names: Mapping[str, str] = field(default_factory=dict)
    """`down`, `up`, `right`, `left` → a name, as {"down": "into town"}."""
    capacity_pcu_h: float = 0.0
    """Capacity of the counted road, passenger-car units per hour in a direction; 0: unknown, and no level of
    service."""

    def directions(self, width: float = 1.0, height: float = 1.0) -> tuple[str, str]:
        """Names of a crossing to the line's positive side (clockwise of start → end), and to its negative one.

        Args:
            width: of the picture; with the height it tells how steep the line is to the eye.
            height: of the picture.
        """
        dx, dy = (self.end[0] - self.start[0]) * width, (self.end[1] - self.start[1]) * height
        if abs(dx) >= abs(dy):
            words = ("down", "up") if dx > 0 else ("up", "down")
        else:
            words = ("left", "right") if dy > 0 else ("right", "left")
        first, second = (self.names.get(word, word) for word in words)
        return first, second


@dataclass(frozen=True, slots=True)
class Zone:
    """An area of the picture, a simple polygon."""

    name: str
    points: tuple[Point, ...]
    uses: frozenset[str] = frozenset({"carriageway"})
    classes: frozenset[str] = frozenset()
    """Of a forbidden zone: what may not be here; empty: every vehicle."""
    hours: tuple[tuple[int, int], ...] = ()
    """Of a forbidden zone: when, as minutes of the local day (from, until); over midnight where from > until; empty:
    always."""
    heading: Point | None = None
    """Where traffic goes in the picture, (x, y), y downwards; None: either way is right."""
    limit: int = 0
    """Of a crowd zone: persons from which on it is a crowd; 0: only what is sudden."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything drawn on one camera's picture."""

    lines: tuple[Line, ...] = ()
    zones: tuple[Zone, ...] = ()
    ground: GroundPlane | None = None

    def of_use(self, use: str) -> Iterator[Zone]:
        """The zones of a use."""
        return (zone for zone in self.zones if use in zone.uses)

    def to_json(self) -> dict[str, Any]:
        """As plain values, relative points; `from_json` is its inverse."""
        return {
            "lines": [
                {
                    "name": line.name,
                    "start": list(line.start),
                    "end": list(line.end),
                    "classes": sorted(line.classes),
                    "names": dict(line.names),
                    "capacity_pcu_h": line.capacity_pcu_h,
                }
                for line in self.lines
            ],
            "zones": [
                {
                    "name": zone.name,
                    "points": [list(point) for point in zone.points],
                    "uses": sorted(zone.uses),
                    "classes": sorted(zone.classes),
                    "hours": [f"{_clock(begin)}-{_clock(end)}" for begin, end in zone.hours],
                    "heading": None if zone.heading is None else list(zone.heading),
                    "limit": zone.limit,
                }
                for zone in self.zones
            ],
            "ground": None if self.ground is None else self.ground.to_json(),
        }

    @classmethod
    def from_json(cls, document: Any) -> Scene:
        """Read a scene.

        Args:
            document: plain values as of `json.loads`; with `width` and `height` in it, points are pixels.

        Raises:
            InputError: something is missing, of a wrong form, twice there, or outside the picture; says which.
        """
        top = _mapping(document, "scene")
        _known(top, {"lines", "zones", "ground", "width", "height"}, "scene")
        scale = _scale(top)
        lines = tuple(_line(one, f"lines[{at}]", scale) for at, one in enumerate(_list(top, "lines", "scene")))
        zones = tuple(_zone(one, f"zones[{at}]", scale) for at, one in enumerate(_list(top, "zones", "scene")))
        for what, named in (("lines", lines), ("zones", zones)):
            names = [one.name for one in named]
            for at, name in enumerate(names):
                if name in names[:at]:
                    raise InputError(f"{name!r} is there twice", where=f"{what}[{at}].name", hint="name it otherwise")
        ground = top.get("ground")
        return cls(lines, zones, None if ground is None else _ground(ground, scale))


def _line(given: Any, where: str, scale: Point) -> Line:
    one = _mapping(given, where)
    _known(one, {"name", "start", "end", "classes", "names", "capacity_pcu_h"}, where)
    start, end = (_point(one.get(key), f"{where}.{key}", scale) for key in ("start", "end"))
    if math.dist(start, end) < _SHORTEST:
        raise InputError("the line has no length", where=where, hint="draw it across the road")
    names = _mapping(one.get("names") or {}, f"{where}.names")
    _known(names, {"down", "up", "right", "left"}, f"{where}.names")
    return Line(
        _name(one, where),
        start,
        end,
        _words(one, "classes", where),
        {key: _text(value, f"{where}.names.{key}") for key, value in names.items()},
        _number(one.get("capacity_pcu_h", 0.0), f"{where}.capacity_pcu_h", 0, 100_000),
    )


def _zone(given: Any, where: str, scale: Point) -> Zone:
    one = _mapping(given, where)
    _known(one, {"name", "points", "uses", "classes", "hours", "heading", "limit"}, where)
    points = tuple(
        _point(point, f"{where}.points[{at}]", scale) for at, point in enumerate(_list(one, "points", where))
    )
    if len(points) < 3:
        raise InputError(f"{len(points)} points are no area", where=f"{where}.points", hint="draw at least three")
    if _crosses_itself(points) or abs(_area(points)) < _SHORTEST**2:
        raise InputError("the outline crosses itself or has no area", where=f"{where}.points", hint="draw it again")
    uses = _words(one, "uses", where) or frozenset({"carriageway"})
    for use in uses - set(USES):
        raise InputError(f"{use!r} is no use of a zone", where=f"{where}.uses", hint=f"one of {', '.join(USES)}")
    heading = one.get("heading")
    direction = None if heading is None else _pair(heading, f"{where}.heading")
    if direction is not None and math.hypot(*direction) == 0:
        raise InputError("a heading of no length", where=f"{where}.heading", hint="as [0, 1] for down the picture")
    return Zone(
        _name(one, where),
        points,
        uses,
        _words(one, "classes", where),
        tuple(_hours(text, f"{where}.hours[{at}]") for at, text in enumerate(_list(one, "hours", where))),
        direction,
        int(_number(one.get("limit", 0), f"{where}.limit", 0, 100_000)),
    )


def _ground(given: Any, scale: Point) -> GroundPlane:
    one = _mapping(given, "ground")
    _known(one, {"points", "distances"}, "ground")
    points = [_point(point, f"ground.points[{at}]", scale) for at, point in enumerate(_list(one, "points", "ground"))]
    distances: dict[tuple[int, int], float] = {}
    for at, given_distance in enumerate(_list(one, "distances", "ground")):
        where = f"ground.distances[{at}]"
        row = _mapping(given_distance, where)
        _known(row, {"between", "metres"}, where)
        ends = row.get("between")
        if (
            not isinstance(ends, Sequence)
            or len(ends) != 2
            or any(type(end) is not int or not 0 <= end < 4 for end in ends)
            or ends[0] == ends[1]
        ):
            raise InputError("needs two different points, 0 to 3", where=f"{where}.between")
        distances[min(ends), max(ends)] = _number(row.get("metres"), f"{where}.metres", 0.05, 5_000)
    return GroundPlane.solve(points, distances)


def _scale(top: Mapping[str, Any]) -> Point:
    if "width" not in top and "height" not in top:
        return (1.0, 1.0)
    return (
        _number(top.get("width"), "width", 1, 100_000),
        _number(top.get("height"), "height", 1, 100_000),
    )


def _point(given: Any, where: str, scale: Point) -> Point:
    x, y = _pair(given, where)
    x, y = x / scale[0], y / scale[1]
    if not (-1e-9 <= x <= 1 + 1e-9 and -1e-9 <= y <= 1 + 1e-9):
        inside = "0 to 1" if scale == (1.0, 1.0) else f"0 to {scale[0]:g} and 0 to {scale[1]:g}"
        raise InputError(f"({given[0]:g}, {given[1]:g}) is outside the picture", where=where, hint=f"x and y: {inside}")
    return (min(max(x, 0.0), 1.0), min(max(y, 0.0), 1.0))


def _pair(given: Any, where: str) -> Point:
    if not isinstance(given, list | tuple) or len(given) != 2:
        raise InputError("needs two numbers [x, y]", where=where)
    return (_number(given[0], where, -1e6, 1e6), _number(given[1], where, -1e6, 1e6))


def _number(given: Any, where: str, low: float, high: float) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
        raise InputError("needs a number", where=where)
    if not low <= given <= high:
        raise InputError(f"{given:g} is not allowed", where=where, hint=f"between {low:g} and {high:g}")
    return float(given)


def _mapping(given: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise InputError("needs an object with named values", where=where)
    return given


def _list(given: Mapping[str, Any], key: str, where: str) -> list[Any]:
    value = given.get(key) or []
    if not isinstance(value, list | tuple):
        raise InputError("needs a list", where=f"{where}.{key}")
    if len(value) > _MOST:
        raise InputError(f"{len(value)} are too many", where=f"{where}.{key}", hint=f"at most {_MOST}")
    return list(value)


def _known(given: Mapping[str, Any], keys: set[str], where: str) -> None:
    for key in given:
        if key not in keys:
            raise InputError(f"{key!r} means nothing here", where=where, hint=f"known: {', '.join(sorted(keys))}")


def _text(given: Any, where: str) -> str:
    if not isinstance(given, str) or not 0 < len(given.strip()) <= 64:
        raise InputError("needs a text of 1 to 64 characters", where=where)
    return given.strip()


def _name(given: Mapping[str, Any], where: str) -> str:
    return _text(given.get("name"), f"{where}.name")


def _words(given: Mapping[str, Any], key: str, where: str) -> frozenset[str]:
    return frozenset(_text(word, f"{where}.{key}[{at}]") for at, word in enumerate(_list(given, key, where)))


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


def _hours(given: Any, where: str) -> tuple[int, int]:
    parts = given.split("-") if isinstance(given, str) else []
    minutes = []
    for part in parts:
        hour, _, minute = part.strip().partition(":")
        if not (hour.isdecimal() and minute.isdecimal() and int(hour) * 60 + int(minute) <= 1440 and int(minute) < 60):
            break
        minutes.append(int(hour) * 60 + int(minute))
    if len(parts) != 2 or len(minutes) != 2 or minutes[0] == minutes[1]:
        raise InputError("needs hours as 22:00-05:00", where=where)
    return (minutes[0], minutes[1])


def _area(points: Sequence[Point]) -> float:
    pairs = zip(points, (*points[1:], points[0]), strict=True)
    return 0.5 * sum(a[0] * b[1] - b[0] * a[1] for a, b in pairs)


def _crosses_itself(points: Sequence[Point]) -> bool:
    count = len(points)
    edges = [(points[at], points[(at + 1) % count]) for at in range(count)]
    return any(
        _cross(*edges[one], *edges[other])
        for one in range(count)
        for other in range(one + 2, count)
        if (other + 1) % count != one
    )


def _cross(a: Point, b: Point, c: Point, d: Point) -> bool:
    def side(p: Point, q: Point, r: Point) -> float:
        return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])

    return side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0
