"""Files of tables, as they come: CSV, XLSX, GeoJSON, or text copied out of one; each as rows with named cells."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thap.domains.sand.writing_styles import fold
from thap.kernel.errors import InputError
from thap.observe.workbook import is_workbook, read_workbook

__all__ = ["LARGEST", "Row", "Table", "read_table"]

LARGEST = 32 * 1024 * 1024
"""Bytes of the largest file that is taken."""
_MOST_ROWS, _MOST_COLUMNS = 20_000, 200
_ENCODINGS = ("utf-8-sig", "utf-16", "cp1258")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table, or one feature."""

    number: int
    """Line of the file, from 1; for GeoJSON the number of the feature, from 1."""
    cells: Mapping[str, Any]
    """By the column's name as the file writes it; empty cells are left out."""
    geometry: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A file's rows."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    above: tuple[str, ...] = field(default=())
    """Lines above the heading, as titles and `kinh tuyến trục`."""


def read_table(content: bytes, name: str, known: Iterable[str], wanted: str = "") -> Table:
    """The rows of a file.

    Args:
        content: of the file.
        name: as it is called; its ending tells nothing, the content does.
        known: folded names of columns that may be there: the line with the most of them is the heading.

        wanted: columns to name in the error, where none is known.

    Raises:
        InputError: it cannot be read, or is empty.
    """
    if len(content) > LARGEST:
        raise InputError(f"more than {LARGEST >> 20} MiB", where=name, hint="split the file")
    if not content.strip():
        raise InputError("the file is empty", where=name, hint="choose another file")
    if is_workbook(content):
        return _table(_sheet(content, name), name, frozenset(known), wanted)
    if content[:4] == b"\xd0\xcf\x11\xe0":
        raise InputError("this is an old Excel file (.xls)", where=name, hint="save it as .xlsx or CSV")
    text = _text(content, name)
    if text.lstrip()[:1] in "{[":
        return _features(text, name)
    return _table(_lines(text), name, frozenset(known), wanted)


def _text(content: bytes, name: str) -> str:
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", "replace")
    for encoding in ("utf-8-sig", "cp1258"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\x00" in text:
            break
        return text
    raise InputError("this is no text, no .xlsx and no GeoJSON", where=name, hint="save it as CSV in UTF-8")


def _lines(text: str) -> list[tuple[int, list[Any]]]:
    sample = [line for line in text.splitlines()[:50] if line.strip()]
    scores = {mark: _steadiness(sample, mark) for mark in ("\t", ";", ",", "|")}
    mark = max(scores, key=lambda one: scores[one])
    if scores[mark] == (0, 0):
        mark = ","
    found = []
    reader = csv.reader(io.StringIO(text), delimiter=mark)
    try:
        for cells in reader:
            found.append((reader.line_num - sum(cell.count("\n") for cell in cells), [cell.strip() for cell in cells]))
            if len(found) > _MOST_ROWS:
                raise InputError(f"more than {_MOST_ROWS} lines", hint="split the file")
    except csv.Error as error:
        raise InputError(
            f"not a table: {error}", where=f"line {reader.line_num}", hint="save it as CSV again"
        ) from None
    return found


def _steadiness(lines: Sequence[str], mark: str) -> tuple[int, int]:
    """How many lines are cut into the same number of cells, and into how many."""
    counts = [len(next(csv.reader([line], delimiter=mark), [])) for line in lines]
    usual = max(set(counts), key=lambda one: (counts.count(one), one), default=0)
    return (counts.count(usual), usual) if usual > 1 else (0, 0)


def _sheet(content: bytes, name: str) -> list[tuple[int, list[Any]]]:
    sheets = [sheet for sheet in read_workbook(content, name, rows=_MOST_ROWS, columns=_MOST_COLUMNS) if sheet.rows]
    if not sheets:
        raise InputError("the workbook is empty", where=name, hint="choose another file")
    if sheets[0].cut:
        raise InputError(f"more than {_MOST_ROWS} lines", where=name, hint="split the file")
    return [
        (number, [cell.strip() if isinstance(cell, str) else cell for cell in cells])
        for number, cells in enumerate(sheets[0].rows, 1)
    ]


def _table(lines: list[tuple[int, list[Any]]], name: str, known: frozenset[str], wanted: str) -> Table:
    filled = [(number, cells) for number, cells in lines if any(cell not in (None, "") for cell in cells)]
    if not filled:
        raise InputError("the file has no rows", where=name, hint="choose another file")
    ranked = [
        (sum(fold(str(cell)) in known for cell in cells if isinstance(cell, str)), -at)
        for at, (_, cells) in enumerate(filled[:30])
    ]
    hits, at = max(ranked)
    if hits == 0:
        seen = ", ".join(str(cell)[:30] for cell in filled[0][1] if cell not in (None, ""))[:200]
        raise InputError(
            f"no heading is known; the first line says: {seen}",
            where=name,
            hint=f"name the columns in the first line, as {wanted}",
        )
    heading = filled[-at][1]
    columns = [str(cell).strip() if cell not in (None, "") else "" for cell in heading]
    rows = []
    for number, cells in filled[-at + 1 :]:
        named = {
            column: cell for column, cell in zip(columns, cells, strict=False) if column and cell not in (None, "")
        }
        if named:
            rows.append(Row(number, named))
    above = tuple(" ".join(str(cell) for cell in cells if cell not in (None, "")) for _, cells in filled[:-at])
    return Table(name, tuple(column for column in columns if column), tuple(rows), above)


def _features(text: str, name: str) -> Table:
    try:
        body = json.loads(text)
    except ValueError as error:
        raise InputError(f"not valid JSON: {error}", where=name, hint="export it as GeoJSON again") from None
    features = body
    if isinstance(body, dict):
        crs = json.dumps(body.get("crs", ""))
        if "crs" in body and body["crs"] and not any(good in crs for good in ("CRS84", "4326")):
            raise InputError(
                f"the file is in {crs[:80]}", where=name, hint="GeoJSON is in WGS 84 (EPSG:4326): export it so"
            )
        kind = body.get("type")
        if kind == "FeatureCollection":
            features = body.get("features")
        elif kind == "Feature":
            features = [body]
        elif "coordinates" in body or "geometries" in body:
            features = [{"type": "Feature", "properties": {}, "geometry": body}]
    if not isinstance(features, list):
        raise InputError("this JSON is no GeoJSON", where=name, hint="export a FeatureCollection")
    rows: list[Row] = []
    columns: dict[str, None] = {}
    for number, feature in enumerate(features, 1):
        if not isinstance(feature, dict):
            raise InputError(f"feature {number} is no object", where=name, hint="export it as GeoJSON again")
        cells = {str(key): value for key, value in (feature.get("properties") or {}).items() if value not in (None, "")}
        if feature.get("id") not in (None, "") and "id" not in cells:
            cells["id"] = feature["id"]
        geometry = feature.get("geometry")
        rows.append(Row(number, cells, geometry if isinstance(geometry, dict) else None))
        columns |= dict.fromkeys(cells)
    if len(rows) > _MOST_ROWS:
        raise InputError(f"more than {_MOST_ROWS} features", where=name, hint="split the file")
    if not rows:
        raise InputError("the file has no features", where=name, hint="choose another file")
    return Table(name, tuple(columns), tuple(rows))


def file_bytes(path: Path) -> bytes:
    """A file's content; errors of the system are left to the command line."""
    return path.read_bytes()
