"""A book out of files, for a run without a centre.

Files are read as imports read them (`thap.domains.sand.reading`). Beside that, one GeoJSON file may hold all that a
province draws: features whose `kind` says wharf, yard, zone or bank are taken as such, the others as licences; and a
licence drawn without a number goes by its name.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from thap.domains.sand.columns import COLUMNS, match_columns
from thap.domains.sand.entries import Entry, Noun
from thap.domains.sand.faults import Fault
from thap.domains.sand.model import Book
from thap.domains.sand.reading import Options, read_entries
from thap.domains.sand.records import book_of
from thap.domains.sand.writing_styles import fold
from thap.kernel.errors import InputError

__all__ = ["book_of_files"]

_NOUNS: dict[Noun, frozenset[str]] = {
    "wharf": frozenset(
        {"wharf", "berth", "port", "jetty", "yard", "storage", "storage yard", "stockpile", "ben", "bai", "cang"}
    ),
    "zone": frozenset(
        {"zone", "forbidden", "forbidden zone", "prohibited", "no dredging", "vung cam", "khu cam", "cam"}
        | {"bank", "banks", "river", "river bank", "riverbank", "shore", "bo", "bo song", "song"}
    ),
}


def book_of_files(
    licences: Path,
    vessels: Path | None = None,
    wharves: Path | None = None,
    zones: Path | None = None,
    *,
    meridian: float | None = None,
) -> tuple[Book, list[tuple[str, Fault]]]:
    """Read them.

    Args:
        licences: CSV, XLSX, GeoJSON or a corner table.
        vessels: the register of vessels.
        wharves: wharves and yards.
        zones: forbidden zones, and banks with their distance.
        meridian: central meridian of corner tables that do not say theirs, degrees.

    Returns:
        The book, and of rows that were left out the file and what is wrong.

    Raises:
        InputError: a file cannot be read, or holds not one licence.
    """
    made: list[tuple[int, Entry]] = []
    left: list[tuple[str, Fault]] = []
    given: list[tuple[Noun, Path | None]] = [("vessel", vessels), ("wharf", wharves), ("zone", zones)]
    parts = list(_licence_parts(licences))
    parts += [(noun, _bytes(path), path.name) for noun, path in given if path is not None]
    for noun, content, name in parts:
        reading = read_entries(noun, content, name, Options(meridian=meridian))
        left += [(name, fault) for fault in reading.faults]
        made += [(len(made) + number, draft.entry) for number, draft in enumerate(reading.drafts, 1)]
    book = book_of(made)
    if not book.licences:
        first = f": {left[0][1]}" if left else ""
        raise InputError(
            f"no licence can be read{first}", where=str(licences), hint="each needs an outline: a polygon or corners"
        )
    return book, left


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except IsADirectoryError:
        raise InputError("this is a folder", where=str(path), hint="name a file in it") from None
    except OSError as error:
        raise InputError(f"the file cannot be read: {error.strerror}", where=str(path)) from None


def _licence_parts(path: Path) -> Iterator[tuple[Noun, bytes, str]]:
    """The file, or of a GeoJSON file of several kinds a part for each."""
    content = _bytes(path)
    try:
        body = json.loads(content.decode("utf-8-sig"))
        features = [body] if body.get("type") == "Feature" else list(body["features"])
    except (ValueError, KeyError, TypeError, AttributeError):
        yield "licence", content, path.name
        return
    groups: dict[Noun, list[Any]] = defaultdict(list)
    for number, feature in enumerate(features, 1):
        noun = _noun(feature)
        groups[noun].append(_numbered(feature, number) if noun == "licence" else feature)
    for noun, some in groups.items():
        yield noun, json.dumps({**body, "type": "FeatureCollection", "features": some}).encode(), path.name


def _told(feature: Any) -> dict[str, Any]:
    told = feature.get("properties") if isinstance(feature, dict) else None
    return told if isinstance(told, dict) else {}


def _noun(feature: Any) -> Noun:
    told = {fold(str(name)): value for name, value in _told(feature).items()}
    said = {fold(str(told[name])) for name in ("kind", "type", "layer", "loai") if isinstance(told.get(name), str)}
    return next((noun for noun, words in _NOUNS.items() if said & words), "licence")


def _numbered(feature: Any, number: int) -> Any:
    """A licence goes by its number; where it has none by its name, or its place in the file."""
    told = _told(feature)
    if not isinstance(feature, dict):
        return feature
    fields = match_columns(list(told), COLUMNS["licence"])
    if any(field == "number" and told.get(column) not in (None, "") for column, field in fields.items()):
        return feature
    named = next((told[column] for column, field in fields.items() if field == "name" and told.get(column)), None)
    return {**feature, "properties": {**told, "number": str(named or feature.get("id") or f"#{number}")}}
