"""Files handed in as entries of the register: every row that can be taken, and of every other one what is wrong."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import shapely
import shapely.geometry

from thap.domains.sand.columns import COLUMNS, known_names, match_columns, usual_names
from thap.domains.sand.entries import Entry, Noun, geometry_of, read_entry
from thap.domains.sand.faults import Fault
from thap.domains.sand.tables_in import Row, Table, read_table
from thap.domains.sand.vn2000 import (
    Corner,
    Judged,
    judge,
    meridian_of,
    read_corners,
)
from thap.domains.sand.writing_styles import Style, fold, parse_date, parse_hours, parse_number, style_of
from thap.kernel.errors import InputError

__all__ = ["Draft", "Options", "Reading", "corners_entry", "read_entries"]

_NUMBERS = frozenset(
    {"max_depth_m", "day_m3", "month_m3", "year_m3", "total_m3", "used_m3", "area_ha", "hold_m3", "radius_m",
     "min_distance_m"}
)  # fmt: skip
_DAYS = frozenset({"valid_from", "valid_to"})
_PLACE = frozenset({"geometry", "corner", "x", "y", "lon", "lat", "meridian", "radius_m"})
_IDENTITY: Mapping[Noun, str] = {"licence": "number", "wharf": "name", "zone": "name", "vessel": "mmsi", "bank": "name"}
_METRES_A_DEGREE = 111_195.0
_DEFAULT_RADIUS_M = 150.0
"""Of a wharf given as a point: its berths and the anchorage before it. The province's choice."""
_DEFAULT_BANK_M = 100.0
"""None within 100 m of the bank: An Giang's practice."""
_DREDGER = ("hut", "xang cap", "nao vet", "khai thac", "dredg", "cap cat", "bom cat", "gau ngoam", "cau cat")
_BARGE = ("xa lan", "sa lan", "barge", "van chuyen", "cho cat", "cho hang", "van tai", "carrier", "tau hang", "ghe")


@dataclass(frozen=True, slots=True)
class Options:
    """What a person adds to a file."""

    meridian: float | None = None
    """Central meridian of corner tables that do not say theirs, degrees."""
    swap_axes: bool = False
    """X and Y of corner tables are swapped."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Fields of rows that do not say them, as `number` of a file that is one licence's corner table."""


@dataclass(frozen=True, slots=True)
class Draft:
    """An entry that can be taken."""

    entry: Entry
    row: int
    notes: tuple[Fault, ...] = ()
    """What is worth knowing of it."""
    judged: Judged | None = None
    """Of one made from a corner table."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a file says."""

    noun: Noun
    name: str
    sha256: str
    drafts: tuple[Draft, ...]
    faults: tuple[Fault, ...]
    """Why the others cannot be taken."""
    unknown: tuple[str, ...] = ()
    """Columns that mean nothing here."""
    judged: tuple[tuple[str, Judged], ...] = ()
    """Corner tables that make no polygon, or a doubtful one, by what they belong to: to be drawn."""


def read_entries(noun: Noun, content: bytes, name: str, options: Options | None = None) -> Reading:
    """The entries in a file of CSV, XLSX, GeoJSON or copied text.

    Raises:
        InputError: the file as a whole cannot be read.
    """
    chosen = options or Options()
    columns = COLUMNS[noun]
    digest = hashlib.sha256(content).hexdigest()
    try:
        table = read_table(content, name, known_names(columns), usual_names(columns))
    except InputError:
        bare = _bare_corners(noun, content, name, chosen)
        if bare is None:
            raise
        return replace(bare, sha256=digest)
    fields = match_columns(table.columns, columns)
    reader = _Reader(noun, table, fields, chosen)
    drafts, faults, judged = reader.read()
    unknown = tuple(column for column in table.columns if column not in fields)
    return Reading(noun, name, digest, tuple(drafts), tuple(faults), unknown, tuple(judged))


def _bare_corners(noun: Noun, content: bytes, name: str, options: Options) -> Reading | None:
    """A file that is nothing but the corners of one licence."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    found = read_corners(text)
    if noun == "vessel" or len(found.corners) < 3:
        return None
    draft, faults, judged = corners_entry(
        noun, options.defaults, found.corners, found.meridian or options.meridian, options.swap_axes, found.faults, 1
    )
    title = str(options.defaults.get(_IDENTITY[noun], name))
    return Reading(noun, name, "", (draft,) if draft else (), tuple(faults), (), ((title, judged),))


def corners_entry(
    noun: Noun,
    fields: Mapping[str, Any],
    corners: Sequence[Corner],
    meridian: float | None,
    swap_axes: bool = False,
    found: Sequence[Fault] = (),
    row: int = 0,
) -> tuple[Draft | None, list[Fault], Judged]:
    """An entry whose outline is a corner table; None, with the reasons, where that makes no polygon or the rest of its
    fields do not hold together."""
    stated = fields.get("area_ha")
    judged = judge(corners, meridian, swap_axes=swap_axes, stated_ha=stated, faults=found)
    notes = [one for one in judged.faults if not one.blocking]
    faults = [replace(one, row=one.row or row) for one in judged.faults if one.blocking]
    if not judged.good:
        return None, faults, judged
    body = {name: value for name, value in fields.items() if name not in _PLACE}
    body["geometry"] = shapely.geometry.mapping(shapely.set_precision(judged.polygon, 1e-9))
    if noun == "licence":
        assert judged.meridian is not None
        body["corners"] = {
            "meridian": judged.meridian,
            "rows": [{"label": one.label, "x": one.x, "y": one.y} for one in judged.corners],
        }
    made, wrong = _entry(noun, body, row)
    return (None if made is None else Draft(made, row, tuple(notes), judged)), faults + wrong, judged


def _entry(noun: Noun, body: Mapping[str, Any], row: int) -> tuple[Entry | None, list[Fault]]:
    given = dict(body)
    as_noun: Noun = noun
    if noun == "zone":
        kind = str((given.get("geometry") or {}).get("type", ""))
        if "Line" in kind or given.get("min_distance_m") is not None:
            as_noun = "bank"
            given.setdefault("min_distance_m", _DEFAULT_BANK_M)
            reason = given.pop("reason", "")
            given.pop("valid_from", None), given.pop("valid_to", None)
            given.setdefault("source", reason)
    try:
        return read_entry(as_noun, given), []
    except InputError as error:
        hint = "give the column, or correct what stands there"
        return None, [Fault("bad_field", error.message, hint, row=row, column=error.where or "")]


class _Reader:
    """One file."""

    def __init__(self, noun: Noun, table: Table, fields: Mapping[str, str], options: Options) -> None:
        self._noun, self._table, self._fields, self._options = noun, table, fields, options
        self._column = {field: column for column, field in fields.items()}
        texts = [
            cell
            for row in table.rows
            for column, cell in row.cells.items()
            if isinstance(cell, str) and fields.get(column) in _NUMBERS
        ]
        self._style: Style = style_of(texts)
        plane = [
            cell
            for row in table.rows
            for column, cell in row.cells.items()
            if isinstance(cell, str) and fields.get(column) in ("x", "y")
        ]
        self._plane_style: Style = style_of(plane)
        self._meridian = options.meridian
        for line in table.above:
            if self._meridian is None and "kinh tuy" in line.lower():
                try:
                    self._meridian = meridian_of(line)
                except ValueError:
                    continue

    def read(self) -> tuple[list[Draft], list[Fault], list[tuple[str, Judged]]]:
        """Drafts, faults, and judged corner tables."""
        drafts: list[Draft] = []
        faults: list[Fault] = []
        judged: list[tuple[str, Judged]] = []
        first: dict[tuple[Noun, str], int] = {}
        for rows in self._groups():
            fields, wrong = self._values(rows)
            draft: Draft | None = None
            if not wrong:
                draft, wrong, seen = self._outlined(rows, fields)
                if seen is not None:
                    judged.append((str(fields.get(_IDENTITY[self._noun]) or f"row {rows[0].number}"), seen))
            if draft is not None:
                at = first.setdefault((draft.entry.noun, draft.entry.key), draft.row)
                if at != draft.row:
                    wrong.append(
                        Fault(
                            "twice",
                            f"{draft.entry.title!r} stands in row {at} already",
                            "keep one of the two",
                            row=draft.row,
                            values={"title": draft.entry.title, "row": at},
                        )
                    )
                else:
                    drafts.append(draft)
            faults += wrong
        return drafts, faults, judged

    def _groups(self) -> Iterator[list[Row]]:
        """Rows that are one entry: consecutive corners of one licence, whose other cells may be left empty below."""
        cornered = {"x", "y"} <= self._column.keys() or {"lon", "lat"} <= self._column.keys()
        if self._noun == "vessel" or not cornered or any(row.geometry for row in self._table.rows):
            for row in self._table.rows:
                yield [row]
            return
        column = self._column.get(_IDENTITY[self._noun])
        groups: dict[str, list[Row]] = defaultdict(list)
        last = ""
        for row in self._table.rows:
            said = row.cells.get(column) if column else None
            last = fold(str(said)) or str(said) if said not in (None, "") else last
            groups[last].append(row)
        yield from groups.values()

    def _values(self, rows: Sequence[Row]) -> tuple[dict[str, Any], list[Fault]]:
        """Fields of the first row that says each, outline apart."""
        fields: dict[str, Any] = dict(self._options.defaults)
        faults: list[Fault] = []
        for row in rows:
            for column, cell in row.cells.items():
                name = self._fields.get(column)
                if (
                    name is None
                    or (name in fields and name not in self._options.defaults)
                    or name in _PLACE - {"radius_m"}
                ):
                    continue
                try:
                    fields |= self._field(name, cell)
                except ValueError as error:
                    code = "bad_day" if name in _DAYS else "bad_number" if name in _NUMBERS else "bad_value"
                    faults.append(
                        Fault(
                            code,
                            str(error),
                            _HINTS.get(name, "correct it" if name not in _NUMBERS else "write it as 1.200,5 or 1200.5"),
                            row=row.number,
                            column=column,
                            value=str(cell)[:60],
                        )
                    )
        return fields, faults

    def _field(self, name: str, cell: Any) -> dict[str, Any]:
        """What a cell says, by field.

        Raises:
            ValueError: it cannot be read.
        """
        if name in _NUMBERS:
            return {name: parse_number(cell, self._style)}
        if name in _DAYS:
            return {name: parse_date(cell).isoformat()}
        if name == "hours":
            opens, closes = parse_hours(cell)
            return {"opens": _as_clock(opens), "closes": _as_clock(closes)}
        if name in ("opens", "closes"):
            return {name: _as_clock(_one_hour(cell))}
        if name == "vessels":
            return {"vessels": _names(cell)}
        if name == "kind":
            return {"kind": _vessel_kind(cell) if self._noun == "vessel" else _wharf_kind(cell)}
        if name == "mmsi":
            return {"mmsi": re.sub(r"[\s.]|^mmsi[-:]?", "", _text(cell), flags=re.IGNORECASE)}
        if name == "tracker":
            return {"tracker": re.sub(r"\s+", "-", _text(cell))}
        return {name: _text(cell)}

    def _outlined(self, rows: Sequence[Row], fields: dict[str, Any]) -> tuple[Draft | None, list[Fault], Judged | None]:
        """The entry with its outline."""
        row = rows[0]
        if self._noun == "vessel":
            made, wrong = _entry(self._noun, fields, row.number)
            return (None if made is None else Draft(made, row.number)), wrong, None
        plane = [one for one in rows if self._cell(one, "x") is not None or self._cell(one, "y") is not None]
        if plane and row.geometry is None:
            return self._from_plane(plane, fields)
        try:
            shape = self._shape(rows, fields)
        except ValueError as error:
            column = self._column.get("geometry", self._column.get("lon", "geometry"))
            hint = "draw it again, or export it in WGS 84"
            return None, [Fault("bad_outline", str(error), hint, row=row.number, column=column)], None
        if shape is None:
            text = self._cell(row, "geometry")
            if isinstance(text, str):
                found = read_corners(text)
                if len(found.corners) >= 3:
                    return corners_entry(
                        self._noun, fields, found.corners, self._meridian_at(row, found.meridian),
                        self._options.swap_axes, found.faults, row.number,
                    )  # fmt: skip
            hint = "give corners (X, Y and the central meridian, or lon and lat), WKT, or GeoJSON"
            return None, [Fault("no_outline", "there is no outline", hint, row=row.number)], None
        body = {name: value for name, value in fields.items() if name not in _PLACE}
        body["geometry"] = shapely.geometry.mapping(shape)
        made, wrong = _entry(self._noun, body, row.number)
        return (None if made is None else Draft(made, row.number)), wrong, None

    def _from_plane(
        self, rows: Sequence[Row], fields: dict[str, Any]
    ) -> tuple[Draft | None, list[Fault], Judged | None]:
        corners, faults = [], []
        for number, row in enumerate(rows, 1):
            figures = []
            for axis in ("x", "y"):
                cell = self._cell(row, axis)
                try:
                    if cell is None:
                        raise ValueError("the cell is empty")
                    figures.append(parse_number(cell, self._plane_style))
                except ValueError as error:
                    faults.append(
                        Fault(
                            "bad_number",
                            str(error),
                            "write metres, as 1156123.45",
                            row=row.number,
                            column=self._column.get(axis, axis.upper()),
                            value=str(cell or "")[:60],
                        )
                    )
            if len(figures) == 2:
                label = self._cell(row, "corner")
                name = _text(label)[:16] if label is not None else str(number)
                corners.append(Corner(name, figures[0], figures[1], row.number))
        try:
            meridian = self._meridian_at(rows[0], None)
        except ValueError as error:
            column = self._column.get("meridian", "meridian")
            faults.append(
                Fault("bad_meridian", str(error), "write 105°00′ or 105°45′", row=rows[0].number, column=column)
            )
            meridian = None
        if any(one.blocking for one in faults):
            return None, faults, None
        if self._noun == "wharf" and len(corners) < 3:
            return self._plane_point(corners[0], meridian, fields)
        return corners_entry(self._noun, fields, corners, meridian, self._options.swap_axes, faults, rows[0].number)

    def _plane_point(
        self, corner: Corner, meridian: float | None, fields: dict[str, Any]
    ) -> tuple[Draft | None, list[Fault], Judged | None]:
        """A wharf given by one point in plane metres: a square metre around it is judged, then widened."""
        around = [replace(corner, x=corner.x + dx, y=corner.y + dy) for dx, dy in ((5, 0), (0, 5), (-5, 0), (0, -5))]
        judged = judge(around, meridian, swap_axes=self._options.swap_axes)
        if not judged.good:
            return None, [replace(one, row=corner.line) for one in judged.faults if one.blocking], None
        middle = judged.polygon.centroid
        radius = float(fields.pop("radius_m", None) or _DEFAULT_RADIUS_M)
        body = {**fields, "geometry": shapely.geometry.mapping(_circle(middle.x, middle.y, radius))}
        made, wrong = _entry(self._noun, body, corner.line)
        return (None if made is None else Draft(made, corner.line)), wrong, None

    def _meridian_at(self, row: Row, printed: float | None) -> float | None:
        cell = self._cell(row, "meridian")
        if cell is not None:
            return meridian_of(cell)
        return printed or self._meridian

    def _cell(self, row: Row, field: str) -> Any:
        column = self._column.get(field)
        return None if column is None else row.cells.get(column)

    def _shape(self, rows: Sequence[Row], fields: dict[str, Any]) -> Any:
        """The outline in degrees; None where nothing says it.

        Raises:
            ValueError: it cannot be read.
        """
        row = rows[0]
        radius = fields.pop("radius_m", None)
        given: Any = row.geometry
        if given is None:
            cell = self._cell(row, "geometry")
            if isinstance(cell, str) and (read := _written_shape(cell)) is not None:
                given = read
        if given is None and self._cell(row, "lon") is not None:
            points = [_degrees(self._cell(one, "lon"), self._cell(one, "lat")) for one in rows]
            if len(points) >= 3:
                given = {"type": "Polygon", "coordinates": [[*points, points[0]]]}
            else:
                given = {"type": "Point", "coordinates": points[0]}
        if given is None:
            return None
        if given.get("type") == "Point" and self._noun in ("wharf", "zone"):
            lon, lat = (float(value) for value in given["coordinates"][:2])
            return _circle(lon, lat, float(radius or _DEFAULT_RADIUS_M))
        return geometry_of(given)


_HINTS = {
    "valid_from": "write the day as 31/12/2026",
    "valid_to": "write the day as 31/12/2026",
    "hours": "write them as 05:00-19:00",
    "opens": "write the hour as 05:00",
    "closes": "write the hour as 19:00",
    "kind": "write dredger, barge or other (hút cát, xà lan, khác)",
}


def _text(cell: Any) -> str:
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, list | tuple):
        return ", ".join(_text(one) for one in cell)
    return re.sub(r"\s+", " ", str(cell)).strip()


def _as_clock(hours: float) -> str:
    minutes = round(hours * 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _one_hour(cell: Any) -> float:
    if hasattr(cell, "hour"):  # a time of day in a spreadsheet
        return float(cell.hour + cell.minute / 60)
    if isinstance(cell, int | float):
        return float(cell) * 24 if 0 < float(cell) < 1 else float(cell)
    found = re.match(r"\D*(\d{1,2})\s*(?:[:hg]|giờ)?\s*(\d{2})?", str(cell).strip().lower())
    if not found or int(found[1]) > 24:
        raise ValueError(f"{str(cell)[:40]!r} is no hour")
    return int(found[1]) + int(found[2] or 0) / 60


def _names(cell: Any) -> list[str]:
    parts = cell if isinstance(cell, list) else re.split(r"[,;\n|+]| và | and ", _text(cell))
    return [_text(part) for part in parts if _text(part)]


def _vessel_kind(cell: Any) -> str:
    folded = fold(_text(cell))
    if any(word in folded for word in _DREDGER):
        return "dredger"
    return "barge" if any(word in folded for word in _BARGE) else "other"


def _wharf_kind(cell: Any) -> str:
    folded = fold(_text(cell))
    return "yard" if "bai" in folded.split() or "yard" in folded or "kho" in folded.split() else "wharf"


def _written_shape(text: str) -> Mapping[str, Any] | None:
    """A shape written in a cell: WKT, GeoJSON, or `lon lat; lon lat; …`; None for anything else.

    Raises:
        ValueError: it begins like one of these and cannot be read.
    """
    plain = text.strip()
    if plain.startswith("{"):
        try:
            body = json.loads(plain)
        except ValueError as error:
            raise ValueError(f"not valid JSON: {error}") from None
        return body.get("geometry", body) if isinstance(body, dict) else None
    if re.match(r"(?i)(srid=\d+;)?\s*(multi)?(polygon|linestring|point)", plain):
        try:
            return shapely.geometry.mapping(shapely.from_wkt(re.sub(r"(?i)^srid=\d+;", "", plain)))  # type: ignore[no-any-return]
        except shapely.errors.GEOSException as error:
            raise ValueError(f"not valid WKT: {error}") from None
    pairs = [re.findall(r"-?\d+(?:\.\d+)?", part) for part in re.split(r"[;\n|]|\)\s*,\s*\(", plain)]
    pairs = [pair for pair in pairs if pair]
    if len(pairs) >= 3 and all(len(pair) == 2 for pair in pairs):
        points = [_degrees(*pair) for pair in pairs] if _in_degrees(pairs) else None
        if points:
            return {"type": "Polygon", "coordinates": [[*points, points[0]]]}
    return None


def _in_degrees(pairs: Sequence[Sequence[str]]) -> bool:
    return all(abs(float(value)) <= 180 for pair in pairs for value in pair)


def _degrees(lon: Any, lat: Any) -> tuple[float, float]:
    """Longitude and latitude; those of a table in which they are swapped are put right, for here it cannot be mistaken.

    Raises:
        ValueError: they are none.
    """
    values = [_angle(lon), _angle(lat)]
    if abs(values[1]) > 90 >= abs(values[0]):
        values.reverse()
    if abs(values[0]) > 180 or abs(values[1]) > 90:
        raise ValueError(f"{values[0]:g} {values[1]:g} is no place in degrees")
    return values[0], values[1]


def _angle(cell: Any) -> float:
    if cell is None:
        raise ValueError("a longitude or latitude is missing")
    if isinstance(cell, int | float):
        return float(cell)
    text = str(cell).strip()
    parts = re.findall(r"\d+(?:[.,]\d+)?", text)
    if not parts or len(parts) > 3:
        raise ValueError(f"{text[:40]!r} is no angle")
    degrees, minutes, seconds = (float(part.replace(",", ".")) for part in (*parts, "0", "0")[:3])
    if minutes >= 60 or seconds >= 60:
        raise ValueError(f"{text[:40]!r} is no angle")
    value = degrees + minutes / 60 + seconds / 3600
    return -value if text.startswith("-") or text[-1:] in "WSws" else value


def _circle(lon: float, lat: float, radius_m: float) -> Any:
    if not (abs(lon) <= 180 and abs(lat) < 89):
        raise ValueError(f"{lon:g} {lat:g} is no place in degrees")
    if not 1 <= radius_m <= 20_000:
        raise ValueError(f"a radius of {radius_m:g} m is not allowed: 1 to 20,000")
    ring = shapely.Point(0, 0).buffer(radius_m / _METRES_A_DEGREE, quad_segs=8).exterior.coords
    corners = [(round(lon + x / math.cos(math.radians(lat)), 7), round(lat + y, 7)) for x, y in ring]
    return shapely.Polygon(corners)
