"""Places: the communes of the province, their names and outlines, and which one a point lies in.

The parts: `units` (names, codes, what was merged), `grid` (point → commune), `geojson` (reading
outlines), `places_records` (keeping them).
"""

from __future__ import annotations

from thap.kernel.geojson import Fault, Polygons, parse_polygons, read_polygons
from thap.kernel.grid import Locator
from thap.kernel.places_records import (
    Imported,
    import_polygons,
    imports,
    load_locator,
    polygons,
    polygons_version,
)
from thap.kernel.units import PROVINCE_CODE, Commune, OldUnit, commune, communes, convert, fold, old_units, search

__all__ = [
    "PROVINCE_CODE",
    "Commune",
    "Fault",
    "Imported",
    "Locator",
    "OldUnit",
    "Polygons",
    "commune",
    "communes",
    "convert",
    "fold",
    "import_polygons",
    "imports",
    "load_locator",
    "old_units",
    "parse_polygons",
    "polygons",
    "polygons_version",
    "read_polygons",
    "search",
]
